"""Orthonormal weights by Björck iterations: weights kept on the manifold, and the paper's own scheme of unrolled iterations.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.2.1 and appendices B.3 and B.4.
"""

from typing import Any

import torch
from torch import Tensor

from wdist.lipschitz.linalg.norms import divided_by_norm
from wdist.lipschitz.linalg.orthonormalise import (
    add_product,
    add_product_,
    bjorck,
    polar_express,
    polar_factor,
    quintic_factor,
    retract_,
    safe_scale,
)
from wdist.lipschitz.linalg.rounding import float32_products
from wdist.lipschitz.linear import LipschitzLinear, PowerIteratedLinear

_TIGHT_RETRACTIONS = 3  # enough for any defect that training leaves
_SMALL_DEFECT = 3e-4  # a retraction squares the defect, so one from below this leaves only float32 rounding
_TIGHT_UNROLLED = 30  # unrolled iterations before an evaluation; the paper uses 15 or more at the end of training
_FEW_ROWS = 2  # a batch has few rows if twice as many do not exceed the smaller side of W
_PRODUCT_STEPS = 3  # quintics that float32 tolerates on Gram matrices; five can diverge, as rounding makes eigenvalues negative


class OrthonormalLinear(LipschitzLinear):
    """A linear layer whose weight stays on the manifold of orthonormal matrices.

    The gradient is tangent (:class:`TangentLinear`), the optimiser steps along it, and :meth:`constrain_` retracts the weight by a
    Björck step. At an orthonormal W the derivative of a Björck step *is* the tangent projection, so no iteration is differentiated.
    """

    constraint = "bjorck"
    takes = frozenset({"bjorck_order", "bjorck_iterations"})
    title = "orthonormal weights"
    optimizer, learning_rate = "muon", 0.05
    constrain_every = 4  # at first; then wdist.training.step.Cadence adapts it to the defect
    side_by_side = True

    polar_gradient = False
    """Whether gradients are returned as polar factors; see :class:`wdist.training.optimizers.OrthogonalSGD`."""

    def forward(self, h: Tensor) -> Tensor:
        return (PolarTangentLinear if self.polar_gradient else TangentLinear).apply(h, self.weight, self.bias)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> Tensor:
        """Retracts as often as the options say or, before an evaluation, until only float32 rounding remains."""
        iterations = self.options.iterations or self.iterations
        if not tightly:
            return self._retract(iterations)
        with float32_products():  # removes the error of less precise products
            return self._retract(max(_TIGHT_RETRACTIONS, iterations))

    def _retract(self, iterations: int) -> Tensor:
        met = last = retract_(self.weight, order=self.options.order)
        for _ in range(iterations - 1):
            if last.device.type == "cpu" and float(last) < _SMALL_DEFECT:
                break
            last = retract_(self.weight, order=self.options.order)
        return met

    def plain_weight(self) -> Tensor:
        return polar_factor(self.exact_weight)


class UnrolledBjorckLinear(PowerIteratedLinear):
    """A linear layer whose W results from Björck iterations on parameter / scale, differentiated in every forward pass.

    The scale is a power-iteration estimate of the spectral norm, which may be too small; the iterations tolerate norms up to sqrt 3
    (order 1) or sqrt 2 times the estimate. Alternatively, it is the smallest of the norms of equations 9 to 11, which is safe but
    needs about five times as many iterations.
    """

    constraint = "bjorck-unrolled"
    takes = frozenset({"bjorck_order", "bjorck_iterations", "beta"})
    title = "orthonormal weights by unrolled iterations"
    learning_rate = 0.01
    iterations = 3

    def _iterated(self, W: Tensor, iterations: int) -> Tensor:
        order = self.options.order
        beta = self.options.beta if self.options.beta is not None and order == 1 else self.beta
        return bjorck(W, order=order, iterations=iterations, beta=beta)

    def training_weight(self) -> Tensor:
        iterations = (self.options.iterations or self.iterations) if self.training else _TIGHT_UNROLLED
        scaled = self.weight / safe_scale(self.weight) if self.options.scaling == "norms" else self.normalised()
        return self._iterated(scaled, iterations)

    @torch.no_grad()
    def plain_weight(self) -> Tensor:
        """The result of an evaluation's iterations in float64, divided by a proved bound on its norm."""
        W = self.exact_weight
        return divided_by_norm(self._iterated(W / safe_scale(W), _TIGHT_UNROLLED))


class TangentLinear(torch.autograd.Function):
    r"""z = h W^T + b for an orthonormal W, with the tangent projection of the Euclidean gradient for W.

    Let :math:`G = \delta^\top h` be the Euclidean gradient. Its projection to the tangent space is
    :math:`G - \mathrm{sym}(G W^\top) W` if :math:`W W^\top = I`, and :math:`G - W\, \mathrm{sym}(W^\top G)` if
    :math:`W^\top W = I`. Written with :math:`\delta W`, which back-propagation needs anyway, it is in the two cases

    .. math::
        \delta^\top (h - \tfrac12 z W) - \tfrac12 z^\top \delta W, \qquad
        (\delta - \tfrac12 \delta W W^\top)^\top h - \tfrac12 z^\top \delta W,

    that is, two or three products of the same size as the layer's. The dense form is cheaper once the batch has more rows than the
    smaller side of W.

    References:
        Absil, Mahony & Sepulchre (2008), Optimization algorithms on matrix manifolds, section 3.6.1.
    """

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

    The gradient :math:`\delta^\top h` of a batch with few rows has the approximate polar factor :math:`\delta'^\top h`
    (:func:`product_polar`), whose projection has the cheap form with :math:`\delta'` in place of :math:`\delta`. A gradient with a
    single row or column is scaled to norm 1 after the projection.

    References:
        Tuddenham, Prügel-Bennett & Hare (2022), Orthogonalising gradients to speed up neural network optimisation,
            arXiv:2202.07052.
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
    return add_product_(U, z.mT, DW, alpha=-0.5)


def product_polar(D: Tensor, H: Tensor) -> Tensor:
    r"""The left factor :math:`D'` of :math:`D'^\top H`, an approximate polar factor of :math:`G = D^\top H`.

    An odd polynomial of G is :math:`D^\top p(B A) H`, where :math:`A = D D^\top` and :math:`B = H H^\top` have only n rows. Three
    quintics of Polar Express therefore cost a dozen products of n x n matrices, whatever the size of G. The result agrees with
    :func:`~wdist.lipschitz.linalg.orthonormalise.polar_express` of G.

    D and H have shapes (n, o) and (n, i), with n below o and i, and any scale; they may be stacked along a leading axis.
    """
    tiny = torch.finfo(D.dtype).tiny
    A, B = D @ D.mT, H @ H.mT
    norm = 1.01 * (A * B).sum((-2, -1), keepdim=True).clamp(min=tiny).sqrt()  # Frobenius norm of G
    A = A / norm / norm  # in two steps, because the square of a small norm underflows
    composed = P = quintic_factor(B @ A, 0)
    for step in range(1, _PRODUCT_STEPS):
        A = P.mT @ A @ P
        P = quintic_factor(B @ A, step)
        composed = composed @ P
    return (composed / norm).mT @ D
