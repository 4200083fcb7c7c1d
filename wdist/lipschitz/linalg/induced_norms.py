r"""Norms of a matrix into the maximum norm: a row's dual norm is all that counts, so they cost one pass over the entries."""

import math

import torch
from torch import Tensor

from wdist.errors import CertificateError
from wdist.lipschitz.linalg.rounding import gamma


def to_maximum_norm_bound(W: Tensor, p: float) -> float:
    r"""A number that the norm of W from the p-norm to the maximum norm certainly does not exceed, rounding included.

    .. math:: \|W\|_{p \to \infty} = \max_i \|w_i\|_q, \qquad \tfrac1p + \tfrac1q = 1

    Arguments:
        W: a matrix of shape (m, n).
        p: 1, 2 or infinity.

    Raises:
        CertificateError: W holds values that are not finite.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, theorem 3.
    """
    W = W.detach().double().cpu()
    if not bool(torch.isfinite(W).all()):
        raise CertificateError(
            "a weight matrix holds nan or infinity, so its norm has no bound; train again with a lower --learning-rate"
        )
    magnitude = W.abs()
    largest = float(magnitude.max())
    if p == 1 or largest == 0:
        return largest
    # A power of two, so that neither scaling nor undoing it rounds, and no square overflows.
    scale = 2.0 ** (math.frexp(largest)[1] - 1)
    magnitude = magnitude / scale
    rows = magnitude.sum(1) if p == math.inf else magnitude.square().sum(1).sqrt()
    # What underflows in a square, or when it is scaled, is less than a rounding of the largest entry, which is at least 1 here.
    return math.nextafter(float(rows.max()) * (1 + gamma(W.shape[1] + 8)) * scale, math.inf)


# MERGED linalg.projections: The nearest point of a ball in the dual norms, for each row of a matrix.


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
