"""Orthonormal weights by Björck iterations: a weight kept on the manifold, and the paper's own scheme, unrolled iterations.

References:
    Björck & Bowie (1971), An iterative algorithm for computing the best estimate of an orthogonal matrix.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.2.1 and appendices B.3 and B.4.
"""

import torch
from torch import Tensor

from wdist.lipschitz.linalg.norms import divided_by_norm, spectral_norm_estimate
from wdist.lipschitz.linalg.orthonormalise import bjorck, polar_factor, retract_, safe_scale
from wdist.lipschitz.linalg.rounding import float32_products
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear
from wdist.lipschitz.tangent_gradient import PolarTangentLinear, TangentLinear

_TIGHT_RETRACTIONS = 3
"""Enough for any defect that training leaves."""
_SMALL_DEFECT = 3e-4
"""A retraction squares the defect, so one that starts below this leaves only float32 rounding."""
_TIGHT_UNROLLED = 30
"""Unrolled iterations before an evaluation; the paper takes 15 or more at the end of training."""


class OrthonormalLinear(LipschitzLinear):
    """A linear layer whose weight stays on the manifold of orthonormal matrices.

    The gradient is tangent (:class:`~wdist.lipschitz.tangent_gradient.TangentLinear`), the optimiser steps along it, and
    :meth:`constrain_` retracts the weight by one Björck step. Nothing is differentiated through iterations: at an orthonormal W
    the derivative of a Björck step *is* the tangent projection.
    """

    constraint = "bjorck"
    takes = frozenset({"bjorck_order", "bjorck_iterations"})
    title = "orthonormal weights"
    optimizer, learning_rate = "muon", 0.05
    constrain_every = 4
    """Initial interval; training then adapts it to the defect, see :class:`wdist.training.step.Cadence`."""
    side_by_side = True

    polar_gradient = False
    """Return gradients as polar factors, see :class:`wdist.training.optimizers.OrthogonalSGD`."""

    def forward(self, h: Tensor) -> Tensor:
        return (PolarTangentLinear if self.polar_gradient else TangentLinear).apply(h, self.weight, self.bias)

    def training_weight(self) -> Tensor:
        return self.weight

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> Tensor:
        """Retracts as often as the options say or, before an evaluation, until only float32 rounding is left."""
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
        """The nearest orthonormal matrix in float64, on the CPU."""
        return polar_factor(self.weight.detach().double().cpu())


class UnrolledBjorckLinear(LipschitzLinear):
    """A linear layer with W = Björck iterations of (parameter / scale), differentiated in every forward pass.

    The scale is a power-iteration estimate of the spectral norm, which may be too small, but the iterations converge up to sqrt 3
    (order 1) or sqrt 2 times it; or it is the smallest of the norms of equations 9 to 11, which is safe but needs about five times
    as many iterations.
    """

    constraint = "bjorck-unrolled"
    takes = frozenset({"bjorck_order", "bjorck_iterations", "beta"})
    title = "orthonormal weights by unrolled iterations"
    learning_rate = 0.01
    iterations = 3

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        super().__init__(inputs, outputs, generator=generator, options=options)
        self.register_buffer("leading", torch.randn(inputs, generator=generator))
        self.leading: Tensor

    def _scaled(self, W: Tensor) -> Tensor:
        if self.options.scaling == "norms":
            return W / safe_scale(W)
        sigma, self.leading = spectral_norm_estimate(W, self.leading.to(W), iterations=1 if self.training else 0)
        return W / sigma

    def _iterated(self, W: Tensor, iterations: int) -> Tensor:
        order = self.options.order
        beta = self.options.beta if self.options.beta is not None and order == 1 else self.beta
        return bjorck(W, order=order, iterations=iterations, beta=beta)

    def training_weight(self) -> Tensor:
        iterations = (self.options.iterations or self.iterations) if self.training else _TIGHT_UNROLLED
        return self._iterated(self._scaled(self.weight), iterations)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Refines the estimate of the spectral norm where it is the scale."""
        if tightly and self.options.scaling == "spectral":
            _, self.leading = spectral_norm_estimate(self.weight, self.leading, iterations=20)

    @torch.no_grad()
    def plain_weight(self) -> Tensor:
        """The iterations of an evaluation in float64, divided by a proved bound on the norm of the result."""
        W = self.weight.detach().double().cpu()
        return divided_by_norm(self._iterated(W / safe_scale(W), _TIGHT_UNROLLED))
