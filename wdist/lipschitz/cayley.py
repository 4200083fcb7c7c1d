"""Orthonormal weights by torch's Cayley parametrisation: a cross-check of the Björck layers.

References:
    Lezcano-Casado & Martínez-Rubio (2019), Cheap orthogonal constraints in neural networks, arXiv:1901.08428.
    Helfrich, Willmott & Ye (2018), Orthogonal recurrent neural networks with scaled Cayley transform, arXiv:1707.09520.
"""

import torch
from torch import Tensor
from torch.nn.utils.parametrizations import orthogonal

from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial, polar_factor
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear


class CayleyLinear(LipschitzLinear):
    """A linear layer whose weight is orthonormal for every value of an unconstrained parameter."""

    constraint = "cayley"
    title = "orthonormal weights by the Cayley transform"

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        super().__init__(inputs, outputs, generator=generator, options=options)
        # Registering and assigning complete a non-square weight with draws from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            orthogonal(self, "weight", orthogonal_map="cayley")
            self.weight = orthonormal_initial(outputs, inputs, generator)  # type: ignore[assignment]

    def plain_weight(self) -> Tensor:
        return polar_factor(self.weight.detach().double().cpu())
