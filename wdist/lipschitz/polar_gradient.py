"""A linear layer on the manifold of orthonormal matrices, whose gradient comes with all its directions alike.

References:
    Tuddenham, Prügel-Bennett & Hare (2022), Orthogonalising gradients to speed up neural network optimisation, arXiv:2202.07052.
    Absil, Mahony & Sepulchre (2008), Optimization algorithms on matrix manifolds, section 3.6.1.
"""

from typing import Any

import torch
from torch import Tensor

from wdist.lipschitz.linalg.orthonormalise import add_product, polar_express
from wdist.lipschitz.linalg.product_polar import product_polar

_FEW_ROWS = 2
"""Rows of a batch, times this, that may be as many as the smaller side of W: a dozen products of n x n against nine of W's size."""


class PolarTangentLinear(torch.autograd.Function):
    r"""z = h W^T + b, whose gradient for W is an approximate polar factor of the Euclidean one, projected to the tangent space.

    The gradient :math:`\delta^\top h` of a batch with few rows has the polar factor :math:`\delta'^\top h`
    (:func:`wdist.lipschitz.linalg.product_polar.product_polar`), whose projection needs no product larger than the layer's own: that of
    :class:`wdist.lipschitz.bjorck.OrthonormalLinear`, with :math:`\delta'` in the place of :math:`\delta`. A single row or column
    is scaled to norm 1 after the projection.
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
    outputs, inputs = W.shape[-2:]
    side = min(outputs, inputs)
    if side == 1:
        U = _tangent(delta.mT @ h, W)
        return U / torch.linalg.matrix_norm(U, keepdim=True).clamp(min=torch.finfo(U.dtype).tiny)
    if _FEW_ROWS * h.shape[-2] > side:
        return _tangent(polar_express(delta.mT @ h), W)
    D = product_polar(delta, h)
    DW = D @ W
    U = D.mT @ add_product(h, z, W, alpha=-0.5) if outputs <= inputs else add_product(D, DW, W.mT, alpha=-0.5).mT @ h
    return add_product(U, z.mT, DW, alpha=-0.5)


def _tangent(G: Tensor, W: Tensor) -> Tensor:
    if W.shape[-2] <= W.shape[-1]:
        S = G @ W.mT
        return add_product(G, S + S.mT, W, alpha=-0.5)
    S = W.mT @ G
    return add_product(G, W, S + S.mT, alpha=-0.5)
