r"""Weights of norm 1 from the maximum norm to itself: rows on the unit sphere of l1, projected and brought there after each step.

The first layer takes the samples in their own metric, the p-norm, to the maximum norm: its rows lie in the unit ball of the dual
norm. Such networks with sorting activations are universal for 1-Lipschitz functions in every p-norm.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, theorem 3, section 4.2.2 and appendix C.
    Condat (2016), Fast projection onto the simplex and the l1 ball.
"""

import math

import torch
from torch import Tensor

from wdist.lipschitz.linalg.induced_norms import project_to_ball, to_maximum_norm_bound
from wdist.lipschitz.linear import LipschitzLinear

_ON_ONE_ENTRY = 0.95
"""Share of a row's initial norm."""


class MaximumNormLinear(LipschitzLinear):
    """A linear layer whose rows have dual norm at most 1."""

    constraint = "linf"
    title = "rows of l1 norm 1"
    learning_rate = 0.1

    @property
    def _p(self) -> float:
        """Of the norm in which the inputs are measured."""
        return self.options.p if self.options.first else math.inf

    @property
    def _q(self) -> float:
        return {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[self._p]

    def _initial(self, generator: torch.Generator) -> Tensor:
        """Random directions of dual norm 1; behind the first layer most of each row's norm lies on one entry.

        Evenly spread, a row of l1 norm 1 would average its inputs, and a few such layers leave nothing of them.
        """
        W = torch.randn(self.outputs, self.inputs, generator=generator)
        if self._q == 1:
            W = W / W.abs().sum(1, keepdim=True) * (1 - _ON_ONE_ENTRY)
            chosen = torch.randperm(max(self.inputs, self.outputs), generator=generator)[: self.outputs] % self.inputs
            rows = torch.arange(self.outputs)
            W[rows, chosen] += _ON_ONE_ENTRY * W[rows, chosen].sign()
        return W / torch.linalg.vector_norm(W, ord=self._q, dim=1, keepdim=True)

    def training_weight(self) -> Tensor:
        return self.weight

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Projects each row, and brings to the sphere what was within the ball: a shorter row would only lose slope."""
        del tightly
        W = project_to_ball(self.weight, self._q)
        self.weight.copy_(W / torch.linalg.vector_norm(W, ord=self._q, dim=1, keepdim=True).clamp(min=1e-6))

    def plain_weight(self) -> Tensor:
        """The weight over a proved bound of its norm, so that the steepest row has norm 1."""
        W = self.weight.detach().double().cpu()
        return W / max(to_maximum_norm_bound(W, self._p), torch.finfo(torch.float64).tiny)
