r"""Linear maps with an orthonormal weight W whose gradient for W is already tangent to the orthonormal matrices.

With :math:`G = \delta^\top h` the Euclidean gradient, its projection to the tangent space is :math:`G - \mathrm{sym}(G W^\top) W`
where :math:`W W^\top = I`, and :math:`G - W\, \mathrm{sym}(W^\top G)` where :math:`W^\top W = I`. Written out with
:math:`\delta W`, which back-propagation needs anyway, it is, in the two cases,

.. math::
    \delta^\top (h - \tfrac12 z W) - \tfrac12 z^\top \delta W, \qquad
    (\delta - \tfrac12 \delta W W^\top)^\top h - \tfrac12 z^\top \delta W,

two or three products of the size of the layer's own. The dense form is cheaper once the batch has more rows than the smaller side
of W.

References:
    Absil, Mahony & Sepulchre (2008), Optimization algorithms on matrix manifolds, section 3.6.1.
    Amsel, Persson, Musco & Gower (2025), The Polar Express, arXiv:2505.16932.
    Tuddenham, Prügel-Bennett & Hare (2022), Orthogonalising gradients to speed up neural network optimisation, arXiv:2202.07052.
"""

from typing import Any

import torch
from torch import Tensor

from wdist.lipschitz.linalg.orthonormalise import POLAR_EXPRESS, add_product, add_product_, polar_express

_FEW_ROWS = 2
"""The batch has few rows if this many times as many do not exceed the smaller side of W."""
_PRODUCT_STEPS = 3
"""Quintics that float32 tolerates on Gram matrices; five can diverge, since rounding makes eigenvalues negative."""


class TangentLinear(torch.autograd.Function):
    """z = h W^T + b with the tangent projection of the Euclidean gradient for W."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, W: Tensor, b: Tensor) -> Tensor:
        if h.shape[-2] > min(W.shape[-2:]):
            ctx.save_for_backward(h, W)
            return add_product(b.unsqueeze(-2), h, W.mT)
        z = h @ W.mT
        ctx.save_for_backward(h, W, z)
        return z + b.unsqueeze(-2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        h, W, *kept = ctx.saved_tensors
        delta = gradients[0]
        if kept:
            dh = delta @ W
            return dh, _tangent_of_product(delta, dh, h, W, kept[0]), delta.sum(-2)
        dh = delta @ W if ctx.needs_input_grad[0] else None
        return dh, _tangent_(delta.mT @ h, W), delta.sum(-2)


class PolarTangentLinear(torch.autograd.Function):
    r"""z = h W^T + b with the tangent projection of an approximate polar factor of the Euclidean gradient for W.

    The gradient :math:`\delta^\top h` of a batch with few rows has the polar factor :math:`\delta'^\top h`
    (:func:`product_polar`), whose projection has the cheap form with :math:`\delta'` in place of :math:`\delta`. A single row or
    column is scaled to norm 1 after the projection.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, W: Tensor, b: Tensor) -> Tensor:
        z = h @ W.mT
        ctx.save_for_backward(h, W, z)
        return z + b.unsqueeze(-2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        h, W, z = ctx.saved_tensors
        delta = gradients[0]
        dh = delta @ W if ctx.needs_input_grad[0] else None
        return dh, _polar_tangent(delta, h, W, z), delta.sum(-2)


def _polar_tangent(delta: Tensor, h: Tensor, W: Tensor, z: Tensor) -> Tensor:
    side = min(W.shape[-2:])
    if side == 1:
        U = _tangent_(delta.mT @ h, W)
        return U / torch.linalg.matrix_norm(U, keepdim=True).clamp(min=torch.finfo(U.dtype).tiny)
    if _FEW_ROWS * h.shape[-2] > side:
        return _tangent_(polar_express(delta.mT @ h), W)
    D = product_polar(delta, h)
    return _tangent_of_product(D, D @ W, h, W, z)


def _tangent_(G: Tensor, W: Tensor) -> Tensor:
    """The tangent projection of G at W, in place."""
    if W.shape[-2] <= W.shape[-1]:
        S = G @ W.mT
        return add_product_(G, S + S.mT, W, alpha=-0.5)
    S = W.mT @ G
    return add_product_(G, W, S + S.mT, alpha=-0.5)


def _tangent_of_product(D: Tensor, DW: Tensor, h: Tensor, W: Tensor, z: Tensor) -> Tensor:
    """The tangent projection of D^T h at W without a square product, given D W and z = h W^T."""
    wide = W.shape[-2] <= W.shape[-1]
    U = D.mT @ add_product(h, z, W, alpha=-0.5) if wide else add_product(D, DW, W.mT, alpha=-0.5).mT @ h
    return add_product(U, z.mT, DW, alpha=-0.5)


def product_polar(D: Tensor, H: Tensor) -> Tensor:
    r"""The left factor :math:`D'` of :math:`D'^\top H`, an approximate polar factor of :math:`D^\top H`.

    With :math:`G = D^\top H`, an odd polynomial of G is :math:`D^\top p(B A) H`, where :math:`A = D D^\top` and
    :math:`B = H H^\top` have only n rows. Three quintics of Polar Express therefore cost a dozen products of n x n matrices,
    whatever the size of G. The result agrees with :func:`~wdist.lipschitz.linalg.orthonormalise.polar_express` of G.

    Arguments:
        D, H: shapes (n, o) and (n, i), of any scale, or stacked along a leading axis; n should be below o and i.
    """
    tiny = torch.finfo(D.dtype).tiny
    A, B = D @ D.mT, H @ H.mT
    norm = 1.01 * (A * B).sum((-2, -1), keepdim=True).clamp(min=tiny).sqrt()  # Frobenius norm of G
    A = A / norm / norm  # in two steps, because the square of a small norm underflows
    composed = None
    for step, (a, b, c) in enumerate(POLAR_EXPRESS[:_PRODUCT_STEPS], start=1):
        M = B @ A
        P = add_product(M, M, M, beta=b, alpha=c)
        P.diagonal(dim1=-2, dim2=-1).add_(a)
        composed = P if composed is None else composed @ P
        if step < _PRODUCT_STEPS:
            A = P.mT @ A @ P
    assert composed is not None, "there is at least one step"
    return (composed / norm).mT @ D
