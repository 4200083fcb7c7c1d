r"""Matrices whose singular values are all 1: random ones, iterations that converge to them, and retractions.

A matrix of shape (m, n) is orthonormal if its rows (m <= n) or its columns (m >= n) are. Every function works on the smaller Gram
matrix and preserves shape, device and dtype. Docstrings say where matrices may be stacked along leading axes.
"""

import math
from functools import cache

import torch
from torch import Tensor

from wdist.errors import CertificateError
from wdist.lipschitz.linalg.rounding import multiplies_bfloat16

POLAR_EXPRESS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
)
"""Coefficients (a, b, c) of the odd quintics a s + b s^3 + c s^5, in the order of composition."""
# Spectral norms from which a Björck step converges: below sqrt 3 at order 1, below sqrt 2 at higher orders.
_SAFE_RADIUS, _SAFE_RADIUS_OF_HIGHER_ORDERS = 1.5, 1.4
_PROBES = 16  # random vectors, which estimate the square of a norm within about a third; the guard takes its fourth root
_FEW_STEPS, _LONG = 3, 2
"""Most quintics and smallest ratio of sides for which iterating on the Gram matrix is cheaper and accurate enough in float32."""
_WIDE = 256
"""Smaller side from which bfloat16 products are worth the conversion; they are 1.4 to 7 times as fast if the processor has them."""
_DEFECT_TOLERANCE = 1e-12  # defect at which a polar factor is accepted; float64 reaches about 1e-13 at width 1000
_MOST_ITERATIONS = 200  # most Newton-Schulz iterations before an SVD takes over


def gram(W: Tensor) -> Tensor:
    """The smaller of W W^T and W^T W, for one or several matrices."""
    return W @ W.mT if W.shape[-2] <= W.shape[-1] else W.mT @ W


def add_product(C: Tensor, A: Tensor, B: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """beta C + alpha A B in one call, for matrices or stacks along one leading axis."""
    return (torch.addmm if C.ndim == 2 else torch.baddbmm)(C, A, B, beta=beta, alpha=alpha)


def add_product_(C: Tensor, A: Tensor, B: Tensor, *, alpha: float) -> Tensor:
    """C + alpha A B in place, as in :func:`add_product`."""
    return (C.addmm_ if C.ndim == 2 else C.baddbmm_)(A, B, alpha=alpha)


def orthonormality_defect(W: Tensor) -> Tensor:
    r"""Frobenius norm of the smaller Gram matrix minus the identity, a scalar tensor.

    The spectral norm of W is at most :math:`\sqrt{1 + \text{defect}}` in exact arithmetic.
    """
    return torch.linalg.matrix_norm(_gram_less_identity(W))


def orthonormal_initial(rows: int, columns: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """A Haar-distributed orthonormal matrix of shape (rows, columns), by QR with the signs of R's diagonal moved into Q."""
    G = torch.randn(max(rows, columns), min(rows, columns), generator=generator, dtype=torch.float64, device=generator.device)
    Q, R = torch.linalg.qr(G)
    Q = Q * R.diagonal().sign()
    return (Q if rows >= columns else Q.mT).to(dtype).contiguous()


def safe_scale(W: Tensor) -> Tensor:
    r"""A cheap upper bound for the spectral norm, in exact arithmetic: the smallest of the paper's three and a sharper one.

    .. math:: \sqrt{m n}\, \max_{ij} |w_{ij}|, \quad \sqrt n\, \|W\|_1, \quad \sqrt m\, \|W\|_\infty

    Dividing by it makes every singular value at most 1, enough for Björck iterations to converge. Departures from the source: it
    pairs the square roots with the norms of its own layout of W; here :math:`\|W\|_1` is the largest column sum and
    :math:`\|W\|_\infty` the largest row sum. The sharper one is :math:`\sqrt{\|W\|_1 \|W\|_\infty}`.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix B.3, equations 9-11.
    """
    m, n = W.shape[-2:]
    magnitude = W.abs()
    columns, rows = magnitude.sum(-2).amax(-1), magnitude.sum(-1).amax(-1)
    candidates = (magnitude.amax((-2, -1)) * math.sqrt(m * n), columns * math.sqrt(n), rows * math.sqrt(m), (columns * rows).sqrt())
    return torch.stack(candidates).amin(0)


def bjorck(W: Tensor, *, order: int = 1, iterations: int = 15, beta: float = 0.5) -> Tensor:
    r"""Moves every singular value of a matrix towards 1 by Björck iterations of order + 1 matrix products each; differentiable.

    .. math:: W_{k+1} = W_k \Big(I + \tfrac12 Q_k + \dots + (-1)^p \tbinom{-1/2}{p} Q_k^p\Big), \qquad Q_k = I - W_k^\top W_k

    At order p = 1 this is :math:`\tfrac32 W - \tfrac12 W W^\top W`; with another ``beta`` it is the Parseval update :math:`(1 +
    \beta) W - \beta W W^\top W`. Converges to the polar factor if all singular values lie in (0, sqrt 3) at order 1 and beta 1/2,
    and at every order if they lie in (0, sqrt 2); a zero one stays zero. W is scaled beforehand, for example by :func:`safe_scale`.
    The result is only nearly orthonormal: :func:`wdist.lipschitz.linalg.norms.spectral_norm_bound` bounds its norm.

    Raises:
        ValueError: the order is below 1, or beta is set at a higher order.

    References:
        Björck & Bowie (1971), An iterative algorithm for computing the best estimate of an orthogonal matrix.
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, equations 2 and 8.
    """
    if order < 1 or (order > 1 and beta != 0.5):
        raise ValueError("the order of Björck iterations must be at least 1, and only order 1 takes beta")
    for _ in range(iterations):
        W = _bjorck_step(W, -_gram_less_identity(W), order, beta)
    return W


def _gram_less_identity(W: Tensor) -> Tensor:
    G = gram(W)
    G.diagonal(dim1=-2, dim2=-1).sub_(1)
    return G


def _bjorck_step(W: Tensor, Q: Tensor, order: int, beta: float = 0.5) -> Tensor:
    """One iteration, given Q = I - G for the smaller Gram matrix G; p + 1 products at order p, by Horner's rule."""
    coefficients = [2 * beta * math.prod((2 * i - 1) / (2 * i) for i in range(1, p + 1)) for p in range(1, order + 1)]
    correction = coefficients[-1] * Q
    for coefficient in reversed(coefficients[:-1]):
        correction = Q @ correction + coefficient * Q
    return add_product(W, correction, W) if W.shape[-2] <= W.shape[-1] else add_product(W, W, correction)


def bjorck_product(W: Tensor, v: Tensor, iterations: int) -> Tensor:
    r"""A v, where A is W after some Björck iterations of order 1, computed from products of W with vectors alone.

    With :math:`M_k = A_k A_k^\top` as an operator, :math:`A_{k+1} = \tfrac32 A_k - \tfrac12 M_k A_k` and
    :math:`M_{k+1} u = \tfrac94 M_k u - \tfrac32 M_k^2 u + \tfrac14 M_k^3 u`, so each operator takes three applications of the
    one before, :math:`O(3^k)` products in all: some 240 for 5 iterations. W has a spectral norm below sqrt 3, and v shape (n,) or
    (n, count).

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix B.4.
    """
    product = W @ v
    for k in range(iterations):
        product = 1.5 * product - 0.5 * _outer(W, product, k)
    return product


def _outer(W: Tensor, u: Tensor, k: int) -> Tensor:
    """A_k A_k^T u."""
    if k == 0:
        return W @ (W.mT @ u)
    once = _outer(W, u, k - 1)
    twice = _outer(W, once, k - 1)
    return 2.25 * once - 1.5 * twice + 0.25 * _outer(W, twice, k - 1)


def retract_(W: Tensor, *, order: int = 1) -> Tensor:
    r"""Retracts nearly orthonormal matrices, shape (m, n) or (k, m, n), to the manifold, in place, without waiting for the device.

    One Björck step squares the defect, but diverges when a singular value exceeds sqrt 5 (and reverses the direction above sqrt 3).
    So W is first divided by a guard: an upper bound on its spectral norm over a safe radius, if that exceeds 1. With E = G - I,

    .. math:: \|W\|_2^2 \le \min\big(1 + \|E^2\|_F^{1/2},\; \|(I + E)^2\|_F^{1/2}\big)

    The plain :math:`1 + \|E\|_F` would be far too large here: if an optimiser moves all n singular values by t, it is
    :math:`\sqrt n\, t`, and dividing by it at every step would shrink W to nothing. The second form lets a small W grow. On a
    CPU, where reading a value is free, the squares are skipped if the plain form already shows that no guard is needed. Elsewhere
    products with a few random vectors estimate their norms at a tenth of the cost of a square; half of the bound would still do.

    Returns the root mean square over the singular values of the defect before the call, about twice their distance from 1: a scalar
    tensor on the device of W, the largest of several matrices.
    """
    E = _gram_less_identity(W)
    norm = torch.linalg.matrix_norm(E)
    if norm.ndim:
        norm = norm.amax()
    radius = _SAFE_RADIUS if order == 1 else _SAFE_RADIUS_OF_HIGHER_ORDERS
    if W.device.type == "cpu" and float(norm) <= radius * radius - 1:
        W.copy_(_bjorck_step(W, E.neg_(), order))
    else:
        guard = (_norm_guard(E) / radius).clamp(min=1)[..., None, None]
        E.diagonal(dim1=-2, dim2=-1).add_(1)
        Q = -E / guard.square()
        Q.diagonal(dim1=-2, dim2=-1).add_(1)
        W.copy_(_bjorck_step(W / guard, Q, order))
    return norm / min(W.shape[-2:]) ** 0.5


def _norm_guard(E: Tensor) -> Tensor:
    """An estimated upper bound for the spectral norm of each matrix whose smaller Gram matrix is I + E."""
    X = _probes(E.shape[-1], E.dtype, E.device)
    Y = E @ X
    Z = E @ Y
    near = 1 + torch.linalg.matrix_norm(Z).sqrt()
    far = torch.linalg.matrix_norm(X + 2 * Y + Z).sqrt()
    return torch.minimum(near, far).sqrt()


@cache
def _probes(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Gaussian columns, scaled so that the mean of |A X|_F^2 is |A|_F^2; always the same, for reproducible runs."""
    X = torch.randn(n, _PROBES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (X / _PROBES**0.5).to(device, dtype)


def polar_factor(W: Tensor) -> Tensor:
    """The orthonormal matrix nearest to W, in float64, by Newton-Schulz iterations until the defect is negligible.

    Far from the manifold, the quintics of Polar Express (:func:`polar_express`) come first; a small singular value costs a few more
    iterations. If W does not have full rank, the result is some orthonormal matrix. CertificateError if W is not finite.
    """
    W = W.double()
    if not bool(torch.isfinite(W).all()):
        raise CertificateError("a weight matrix holds nan or infinity and cannot be orthonormalised; try a lower --learning-rate")
    if float(orthonormality_defect(W)) > 0.5:
        W = polar_express(W, steps=len(POLAR_EXPRESS))
        W = W / safe_scale(W).clamp(min=1)
    defect = float(orthonormality_defect(W))
    for _ in range(_MOST_ITERATIONS):
        if defect <= _DEFECT_TOLERANCE:
            return W
        candidate = bjorck(W, iterations=1)
        improved = float(orthonormality_defect(candidate))
        if improved >= defect and defect < 1e-9:
            return W  # the limit of float64 at this size
        W, defect = candidate, improved
    U, _, Vh = torch.linalg.svd(W, full_matrices=False)
    return U @ Vh


def polar_express(W: Tensor, *, steps: int = 3) -> Tensor:
    """Approximate polar factors of matrices of any scale, shape (m, n) or (k, m, n), by a few optimal quintic steps.

    Singular values of at least a thousandth of the Frobenius norm end in [0.1, 1.9] after three steps, within 0.15 of 1 after five
    and within 1e-8 of 1 after seven; smaller ones end lower. Three steps suffice for the direction of an update; weights need
    :func:`polar_factor`. A step costs three products on the smaller side. Up to three steps on wide float32 matrices multiply in
    bfloat16 if the processor is several times as fast at it; singular values then change by about a hundredth.

    References:
        Amsel, Persson, Musco & Gower (2025), The Polar Express, arXiv:2505.16932.
        Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks.
    """
    W = W / (torch.linalg.matrix_norm(W, keepdim=True).clamp(min=torch.finfo(W.dtype).tiny) * 1.01)
    if steps <= _FEW_STEPS and W.dtype == torch.float32 and W.device.type == "cpu" and min(W.shape[-2:]) >= _WIDE:
        W = W.bfloat16() if multiplies_bfloat16() else W
        return _composed_quintics(W, steps).float()
    return _composed_quintics(W, steps)


def _composed_quintics(W: Tensor, steps: int) -> Tensor:
    """The first steps of Polar Express for matrices of Frobenius norm below 1."""
    flat = W.shape[-2] <= W.shape[-1]
    if 1 < steps <= _FEW_STEPS and max(W.shape[-2:]) >= _LONG * min(W.shape[-2:]):
        Q = _polar_polynomial(gram(W), steps)
        return Q @ W if flat else W @ Q
    for a, b, c in POLAR_EXPRESS[:steps]:
        G = gram(W)
        P = add_product(G, G, G, beta=b, alpha=c)
        W = add_product(W, P, W, beta=a) if flat else add_product(W, W, P, beta=a)
    return W


def _polar_polynomial(G: Tensor, steps: int) -> Tensor:
    """The composed quintics without the last factor W, from the smaller Gram matrix, whose conditioning allows only few steps."""
    composed = P = quintic_factor(G, 0)
    for step in range(1, steps):
        G = P @ G @ P
        P = quintic_factor(G, step)
        composed = P @ composed
    return composed


def quintic_factor(G: Tensor, step: int) -> Tensor:
    """a I + b G + c G^2 with the coefficients of a step of Polar Express."""
    a, b, c = POLAR_EXPRESS[step]
    P = add_product(G, G, G, beta=b, alpha=c)
    P.diagonal(dim1=-2, dim2=-1).add_(a)
    return P
