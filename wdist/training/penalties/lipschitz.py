r"""The Lipschitz penalty: the slope between a sample of A and one of B, where it exceeds 1.

.. math:: 10\, \mathbb{E} \max\Big(\frac{|f(x) - f(y)|}{\|x - y\|} - 1, 0\Big)^2

Nothing is differentiated twice, but pairs that are far apart say little of the slope between them.

References:
    Petzka, Fischer & Lukovnikov (2018), On the regularization of Wasserstein GANs, arXiv:1709.08894.
"""

import torch
from torch import Tensor, nn

from wdist.training.penalties.penalty import Penalty, excess

WEIGHT = 10.0


def lipschitz_penalty(generator: torch.Generator) -> Penalty:
    """On as many pairs as the smaller side has samples."""
    del generator  # minibatches are in random order already

    def penalty(critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        count = min(len(a), len(b))
        of_a, of_b = critic(torch.cat([a[:count], b[:count]])).chunk(2)
        distance = torch.linalg.vector_norm(a[:count] - b[:count], dim=1).clamp(min=1e-6)
        return WEIGHT * excess((of_a - of_b).abs() / distance)

    return penalty
