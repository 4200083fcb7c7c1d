r"""Norms of a matrix into the maximum norm: a row's dual norm is all that counts, so they cost one pass over the entries."""

import math

import torch
from torch import Tensor

from wdist.errors import CertificateError
from wdist.linalg.rounding import gamma


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
