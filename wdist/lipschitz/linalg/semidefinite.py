"""Proofs that a symmetric matrix is positive semidefinite; they do not rely on the accuracy of the factorisation routine."""

import math

import torch
from torch import Tensor

from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, gamma


def is_positive_semidefinite(A: Tensor, error: Tensor) -> bool:
    r"""True only if every symmetric matrix that differs from A by at most ``error``, entry by entry, is positive semidefinite.

    A is scaled on both sides by powers of two, which do not round, so that its diagonal is near 1. For the computed Cholesky factor
    R of A - s I, Weyl's inequality gives :math:`\lambda_{\min}(A) \ge s - \|A - s I - R R^\top\|_F`, where the residual is computed
    with its own rounding bounded. False proves nothing: the matrix may be singular, or the slack too small for float64.

    Arguments:
        A: float64, shape (n, n), symmetric.
        error: non-negative, of the same shape.

    References:
        Rump (2006), Verification of positive definiteness, BIT Numerical Mathematics 46.
        Higham (2002), Accuracy and stability of numerical algorithms, sections 3.5 and 10.1.
    """
    n, diagonal = len(A), A.diagonal()
    if not bool(torch.isfinite(A).all() and torch.isfinite(error).all() and (diagonal > 0).all()):
        return False
    scale = torch.exp2(-torch.round(torch.log2(diagonal) / 2))
    A, error = A * scale * scale[:, None], error * scale * scale[:, None]
    # Underflow in scaling is smaller than the last term, because the diagonal is near 1.
    outside = float(torch.linalg.matrix_norm(error)) * (1 + gamma(n * n)) + n * 2.0**-1000
    shift = 2 * outside + 8 * gamma(n + 8) * float(A.diagonal().sum())
    shifted = A.clone()
    shifted.diagonal().sub_(shift)
    R, info = torch.linalg.cholesky_ex(shifted)
    if int(info) != 0:
        return False
    residual = float(torch.linalg.matrix_norm(shifted - R @ R.mT))
    # The entries of |R| |R|^T are bounded by products of row norms of R, whose squares are near the diagonal of A.
    magnitude = float(R.square().sum())
    rounding = gamma(n + 4) * magnitude + 4 * UNIT_ROUNDOFF * (magnitude + math.sqrt(n) * (2 + shift))
    rounding += 4 * UNIT_ROUNDOFF * float(torch.linalg.matrix_norm(A))
    return outside + (residual + rounding) * (1 + gamma(n * n + 8)) <= shift
