"""Weights that stay on the manifold of orthonormal matrices: tangent gradients, and a Björck step as the way back.

References:
    Björck & Bowie (1971), An iterative algorithm for computing the best estimate of an orthogonal matrix.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.2.1.
"""

from typing import Any

import torch
from torch import Tensor

from wdist.lipschitz.linalg.orthonormalise import add_product, add_product_, polar_factor, retract_
from wdist.lipschitz.linalg.precision import float32_products
from wdist.lipschitz.linear import LipschitzLinear
from wdist.lipschitz.polar_gradient import PolarTangentLinear


class _TangentLinear(torch.autograd.Function):
    r"""z = h W^T + b, whose gradient for W is already projected to the tangent space of orthonormal matrices.

    With :math:`G = \delta^\top h` the Euclidean gradient, the projection is :math:`G - \mathrm{sym}(G W^\top) W` where
    :math:`W W^\top = I`, and :math:`G - W\, \mathrm{sym}(W^\top G)` where :math:`W^\top W = I`. Written out with
    :math:`\delta W` (which back-propagation needs anyway) it is, in the two cases,

    .. math::
        \delta^\top (h - \tfrac12 z W) - \tfrac12 z^\top \delta W, \qquad
        (\delta - \tfrac12 \delta W W^\top)^\top h - \tfrac12 z^\top \delta W,

    two or three products of the size of the layer's own. The dense form is cheaper once the batch has more rows than the smaller
    side of W.

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
        outputs, inputs = W.shape[-2:]
        if not kept:
            dh = delta @ W if ctx.needs_input_grad[0] else None
            G = delta.mT @ h
            if outputs <= inputs:
                S = G @ W.mT
                G = add_product_(G, S + S.mT, W, alpha=-0.5)
            else:
                S = W.mT @ G
                G = add_product_(G, W, S + S.mT, alpha=-0.5)
            return dh, G, delta.sum(-2)
        z = kept[0]
        dh = delta @ W
        if outputs <= inputs:
            G = delta.mT @ add_product(h, z, W, alpha=-0.5)
            G = add_product(G, z.mT, dh, alpha=-0.5)
        else:
            G = add_product(delta, dh, W.mT, alpha=-0.5).mT @ h
            G = add_product(G, z.mT, dh, alpha=-0.5)
        return dh, G, delta.sum(-2)


_TIGHT_ITERATIONS = 3
"""Enough from any defect that training leaves."""
_SMALL_DEFECT = 3e-4
"""A step that met less than this has left nothing but float32 rounding, since it squares the defect."""


class OrthonormalLinear(LipschitzLinear):
    """A linear layer whose weight stays on the manifold of orthonormal matrices.

    The gradient is tangent (:class:`_TangentLinear`), the optimiser steps along it, and :meth:`constrain_` brings the weight back
    by one Björck step. Nothing is differentiated through iterations: at an orthonormal W the derivative of a Björck step *is* the
    tangent projection.
    """

    constraint = "bjorck"
    takes = frozenset({"bjorck_order", "bjorck_iterations"})
    title = "orthonormal weights"
    optimizer, learning_rate = "muon", 0.05
    constrain_every = 4
    """At first; then as the defect that is met asks for, see :class:`wdist.training.step.Cadence`."""
    side_by_side = True

    polar_gradient = False
    """Whether gradients come as polar factors, see :class:`wdist.training.optimizers.OrthogonalSGD`."""

    def forward(self, h: Tensor) -> Tensor:
        return (PolarTangentLinear if self.polar_gradient else _TangentLinear).apply(h, self.weight, self.bias)

    def training_weight(self) -> Tensor:
        return self.weight

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> Tensor:
        """As many retractions as the options say, or, before an evaluation, what leaves the defect at float32 rounding."""
        iterations = self.options.iterations or self.iterations
        if not tightly:
            return self._retract(iterations)
        with float32_products():  # corrects what rougher ones have left
            return self._retract(max(_TIGHT_ITERATIONS, iterations))

    def _retract(self, iterations: int) -> Tensor:
        met = last = retract_(self.weight, order=self.options.order)
        for _ in range(iterations - 1):
            if last.device.type == "cpu" and float(last) < _SMALL_DEFECT:
                break
            last = retract_(self.weight, order=self.options.order)
        return met

    def plain_weight(self) -> Tensor:
        """The nearest orthonormal matrix in float64, on the CPU."""
        return polar_factor(self.weight.detach().double().cpu())
