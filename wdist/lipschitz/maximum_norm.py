r"""Weights of norm 1 from the maximum norm to itself: each row is projected onto the unit l1 ball and scaled to its sphere.

The first layer maps the samples' own p-norm to the maximum norm: its rows lie in the unit ball of the dual norm. Such networks
with sorting activations are universal for 1-Lipschitz functions in every p-norm.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, theorem 3, section 4.2.2 and appendix C.
"""

import math

import torch
from torch import Tensor

from wdist.lipschitz.linalg.norms import to_maximum_norm_bound
from wdist.lipschitz.linear import LipschitzLinear

_ON_ONE_ENTRY = 0.95  # share of a row's initial norm that lies on one entry


class MaximumNormLinear(LipschitzLinear):
    """A linear layer whose rows have dual norm at most 1."""

    constraint = "linf"
    title = "rows of l1 norm 1"
    learning_rate = 0.1

    @property
    def _p(self) -> float:
        return self.options.p if self.options.first else math.inf

    @property
    def _q(self) -> float:
        return {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[self._p]

    def _initial(self, generator: torch.Generator) -> Tensor:
        """Random directions of dual norm 1; behind the first layer, most of a row's norm lies on one entry.

        A row of l1 norm 1 with its norm spread evenly would average its inputs, and a few such layers would flatten them.
        """
        W = torch.randn(self.outputs, self.inputs, generator=generator)
        if self._q == 1:
            W = W / W.abs().sum(1, keepdim=True) * (1 - _ON_ONE_ENTRY)
            chosen = torch.randperm(max(self.inputs, self.outputs), generator=generator)[: self.outputs] % self.inputs
            rows = torch.arange(self.outputs)
            W[rows, chosen] += _ON_ONE_ENTRY * W[rows, chosen].sign()
        return W / torch.linalg.vector_norm(W, ord=self._q, dim=1, keepdim=True)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Projects each row onto the ball and scales it to the sphere: a shorter row would only lose slope."""
        W = project_to_ball(self.weight, self._q)
        self.weight.copy_(W / torch.linalg.vector_norm(W, ord=self._q, dim=1, keepdim=True).clamp(min=1e-6))

    def plain_weight(self) -> Tensor:
        """The weight divided by a proved bound on its norm, so that the steepest row has norm 1."""
        W = self.weight.detach().double().cpu()
        return W / max(to_maximum_norm_bound(W, self._p), torch.finfo(torch.float64).tiny)


def project_to_ball(Y: Tensor, q: float) -> Tensor:
    """The nearest point of the unit ball of the q-norm to each row, for q = 1, 2 or infinity."""
    if q == 1:
        return project_to_l1_ball(Y)
    if q == math.inf:
        return Y.clamp(-1, 1)
    return Y / torch.linalg.vector_norm(Y, dim=-1, keepdim=True).clamp(min=1)


def project_to_l1_ball(Y: Tensor) -> Tensor:
    """The nearest point of the unit l1 ball to each row."""
    magnitude = Y.abs()
    inside = magnitude.sum(-1, keepdim=True) <= 1
    return torch.where(inside, Y, project_to_simplex(magnitude).copysign(Y))


def project_to_simplex(Y: Tensor) -> Tensor:
    r"""The nearest point of the unit simplex to each row: :math:`\max(y - \tau, 0)` with a threshold found by sorting.

    References:
        Condat (2016), Fast projection onto the simplex and the l1 ball, algorithm 1.
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix C, algorithm 1.
    """
    u = Y.sort(-1, descending=True).values
    k = torch.arange(1, Y.shape[-1] + 1, device=Y.device, dtype=Y.dtype)
    taus = (u.cumsum(-1) - 1) / k
    K = (taus < u).sum(-1, keepdim=True).clamp(min=1)  # u_k - tau_k changes its sign once
    return (Y - taus.gather(-1, K - 1)).clamp(min=0)
