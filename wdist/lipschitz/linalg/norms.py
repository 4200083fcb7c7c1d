"""Operator norms of matrices: proved upper bounds, and a lower estimate that no certificate may use."""

import math

import torch
from torch import Tensor

from wdist.errors import CertificateError
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, gamma


def spectral_norm_bound(W: Tensor) -> float:
    r"""An upper bound for the spectral norm, floating-point rounding included.

    With :math:`G = W W^\top` on the smaller side, :math:`\|W\|_2^2 = \|G\|_2 \le \min(1 + \|G - I\|_F, \|G\|_\infty)`, which is
    tight when W is nearly orthonormal. Any other W is rotated first: for the computed eigenvectors Q of G, the rows of
    :math:`Q^\top W` are nearly orthogonal, so the same bound is tight for it, and
    :math:`\|W\|_2 \le \|Q^\top W\|_2 / \sigma_{\min}(Q)` holds whatever the quality of Q; :math:`\sigma_{\min}(Q)` is bounded
    from below by its own Gram matrix. All products are in float64 with their rounding counted, so the bound does not rely on the
    eigensolver.

    The relative excess is about 1e-13 times the size for orthonormal matrices, 1e-11 for others.

    Raises:
        CertificateError: W holds values that are not finite.

    References:
        Higham (2002), Accuracy and stability of numerical algorithms, section 3.5.
        Rump (2011), Verified bounds for singular values, in particular for the spectral norm of a matrix and its inverse.
    """
    W = _finite(W)
    if W.shape[0] > W.shape[1]:
        W = W.mT
    largest = float(W.abs().max())
    if largest == 0:
        return 0.0
    # A power of two, so that neither scaling nor undoing it rounds; entries end within [-2, 2], so that it exists even for 1e308.
    scale = 2.0 ** (math.frexp(largest)[1] - 1)
    # Entries that underflow when scaled change the norm by less than this.
    underflow = 2.0**-1022 * W.numel()
    W = W / scale

    def bound(A: Tensor) -> float:
        defect, infinity = _gram_norm_bound(A)
        return math.sqrt(min(1 + defect, infinity)) * (1 + 4 * UNIT_ROUNDOFF)

    candidates = [bound(W)]
    lower = float(torch.linalg.vector_norm(W, dim=1).max())
    if candidates[0] > lower * (1 + 1e-9):
        rows = W.shape[0]
        Q = torch.linalg.eigh(W @ W.mT).eigenvectors
        rotated = Q.mT @ W
        product_error = gamma(rows) * float(torch.linalg.matrix_norm(Q)) * float(torch.linalg.matrix_norm(W)) * (1 + 1e-9)
        departure, _ = _gram_norm_bound(Q.mT.contiguous())
        if departure < 0.5:
            candidates.append((bound(rotated) + product_error) / math.sqrt(1 - departure) * (1 + 4 * UNIT_ROUNDOFF))
    # The next number, because the relative rounding of a subnormal product is larger.
    return math.nextafter((min(candidates) + underflow) * (1 + 4 * UNIT_ROUNDOFF) * scale, math.inf)


def _gram_norm_bound(W: Tensor) -> tuple[float, float]:
    """Bounds for ||W W^T - I||_F and ||W W^T||_2, rounding included; W is float64 with no more rows than columns."""
    rows, columns = W.shape
    G = W @ W.mT
    magnitude = W.abs()
    # The products are off by at most gamma_n |W||W|^T entry by entry; this product rounds as well, hence the second factor.
    # A sum over a row of the Gram matrix adds gamma_m.
    error = gamma(columns) * (1 + gamma(columns)) * (magnitude @ magnitude.mT)
    slack = 1 + gamma(rows * rows + 4)
    infinity = float((G.abs() + error).sum(1).max()) * slack
    G.diagonal().sub_(1)
    # Subtracting 1 rounds once more, by at most u |g_ii - 1| <= u (g_ii + 1).
    error.diagonal().add_(UNIT_ROUNDOFF * (infinity + 2))
    defect = float(torch.linalg.matrix_norm(G.abs() + error)) * slack
    return defect, infinity


def _finite(W: Tensor) -> Tensor:
    """W in float64 on the CPU."""
    W = W.detach().double().cpu()
    if not bool(torch.isfinite(W).all()):
        raise CertificateError(
            "a weight matrix holds nan or infinity, so its norm has no bound; train again with a lower --learning-rate"
        )
    return W


def divided_by_norm(W: Tensor) -> Tensor:
    """W, float64, divided by a proved bound on its spectral norm."""
    return W / max(spectral_norm_bound(W), torch.finfo(torch.float64).tiny)


def to_maximum_norm_bound(W: Tensor, p: float) -> float:
    r"""An upper bound for the norm of W from the p-norm to the maximum norm, rounding included.

    .. math:: \|W\|_{p \to \infty} = \max_i \|w_i\|_q, \qquad \tfrac1p + \tfrac1q = 1, \qquad p \in \{1, 2, \infty\}

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, theorem 3.
    """
    magnitude = _finite(W).abs()
    largest = float(magnitude.max())
    if p == 1 or largest == 0:
        return largest
    # A power of two, so that neither scaling nor undoing it rounds, and no square overflows.
    scale = 2.0 ** (math.frexp(largest)[1] - 1)
    magnitude = magnitude / scale
    rows = magnitude.sum(1) if p == math.inf else magnitude.square().sum(1).sqrt()
    # Underflow in a square or in scaling is smaller than a rounding of the largest entry, which is at least 1 here.
    return math.nextafter(float(rows.max()) * (1 + gamma(W.shape[1] + 8)) * scale, math.inf)


def spectral_norm_estimate(W: Tensor, v: Tensor, *, iterations: int = 1) -> tuple[Tensor, Tensor]:
    r"""Power iteration: an estimate of the spectral norm **from below**, and the vector for the next call, of norm 1.

    W is a matrix of shape (m, n), or several, shape (k, m, n); the start vector v, shape (n,) or (k, n), is not orthogonal to the
    leading right singular vector. The estimate :math:`\|W v\| / \|v\|`, a scalar or shape (k,), is differentiable at the last
    iterate.

    References:
        Miyato, Kataoka, Koyama & Yoshida (2018), Spectral normalization for generative adversarial networks, arXiv:1802.05957.
    """
    with torch.no_grad():
        for _ in range(iterations):
            u = torch.nn.functional.normalize(_apply(W, v), dim=-1)
            v = torch.nn.functional.normalize(_apply(W.mT, u), dim=-1)
        u = torch.nn.functional.normalize(_apply(W, v), dim=-1)
    product = _apply(W, v)
    return u @ product if W.ndim == 2 else (u * product).sum(-1), v


def _apply(W: Tensor, v: Tensor) -> Tensor:
    """W v for one matrix, or for several along a leading axis."""
    return W @ v if W.ndim == 2 else (W @ v.unsqueeze(-1)).squeeze(-1)
