r"""Parseval networks: a step towards orthonormal weights after each step of the optimiser.

.. math:: W \leftarrow (1 + \beta) W - \beta W W^\top W

References:
    Cisse, Bojanowski, Grave, Dauphin & Usunier (2017), Parseval networks: improving robustness to adversarial examples,
        arXiv:1704.08847.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, equation 8.
"""

import torch
from torch import Tensor

from wdist.lipschitz.linalg.norms import divided_by_norm
from wdist.lipschitz.linalg.orthonormalise import bjorck
from wdist.lipschitz.linear import LipschitzLinear


class ParsevalLinear(LipschitzLinear):
    """A linear layer pulled towards the orthonormal matrices without reaching them; when frozen, it is divided by its norm.

    The source takes beta from 0.0001 to 0.003, which cannot keep up with this learning rate; 1/2 would be a full Björck step.
    """

    constraint = "parseval"
    takes = frozenset({"beta"})
    title = "Parseval weights"
    beta = 0.1

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Takes one step of equation 8; none before an evaluation, which judges the weights as they are in training."""
        if tightly:
            return
        beta = self.beta if self.options.beta is None else self.options.beta
        self.weight.copy_(bjorck(self.weight, iterations=1, beta=beta))

    def plain_weight(self) -> Tensor:
        return divided_by_norm(self.weight.detach().double().cpu())
