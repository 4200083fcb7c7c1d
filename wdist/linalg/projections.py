r"""The nearest point of a ball in the dual norms, for each row of a matrix."""

import math

import torch
from torch import Tensor


def project_to_simplex(Y: Tensor) -> Tensor:
    r"""The nearest point of the unit simplex to each row: :math:`\max(y - \tau, 0)` with a threshold found by sorting.

    Arguments:
        Y: shape (m, n).

    References:
        Condat (2016), Fast projection onto the simplex and the l1 ball, algorithm 1.
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix C, algorithm 1.
    """
    u = Y.sort(-1, descending=True).values
    k = torch.arange(1, Y.shape[-1] + 1, device=Y.device, dtype=Y.dtype)
    taus = (u.cumsum(-1) - 1) / k
    K = (taus < u).sum(-1, keepdim=True).clamp(min=1)  # u_k - tau_k changes its sign once
    return (Y - taus.gather(-1, K - 1)).clamp(min=0)


def project_to_l1_ball(Y: Tensor) -> Tensor:
    """The nearest point of the unit l1 ball to each row; rows within it stay."""
    magnitude = Y.abs()
    inside = magnitude.sum(-1, keepdim=True) <= 1
    return torch.where(inside, Y, project_to_simplex(magnitude).copysign(Y))


def project_to_ball(Y: Tensor, q: float) -> Tensor:
    """The nearest point of the unit ball of the q-norm to each row, for q = 1, 2 or infinity."""
    if q == 1:
        return project_to_l1_ball(Y)
    if q == math.inf:
        return Y.clamp(-1, 1)
    return Y / torch.linalg.vector_norm(Y, dim=-1, keepdim=True).clamp(min=1)
