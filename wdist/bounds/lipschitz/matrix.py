"""Matrices known up to rounding, with upper bounds for their norms."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.linalg.norms import spectral_norm_bound, to_maximum_norm_bound
from wdist.lipschitz.linalg.rounding import UNDERFLOW, gamma, sum_above

_NORM_ABOVE = 1 + 1e-9  # far more than the rounding of a computed norm


@dataclass(frozen=True, kw_only=True, eq=False)
class Matrix:
    """A matrix that differs from its computed value by at most ``error`` in each entry."""

    value: Tensor
    """float64, shape (outputs, inputs)."""
    error: Tensor | None = None
    """Non-negative, of the same shape; None if the value is exact."""

    def __matmul__(self, other: "Matrix") -> "Matrix":
        inner = self.value.shape[1]
        magnitudes = self.value.abs(), other.value.abs()
        error = gamma(inner + 2) * (magnitudes[0] @ magnitudes[1]) + inner * UNDERFLOW
        if self.error is not None:
            error = error + self.error @ (magnitudes[1] if other.error is None else magnitudes[1] + other.error)
        if other.error is not None:
            error = error + magnitudes[0] @ other.error
        # The errors are computed as products, too; their rounding is far smaller than this.
        return Matrix(value=self.value @ other.value, error=error * _NORM_ABOVE)

    def scaled(self, factors: Tensor) -> "Matrix":
        """Returns the matrix with its columns multiplied by exact factors, shape (inputs,)."""
        value = self.value * factors
        error = value.abs() * gamma(1) + UNDERFLOW
        if self.error is not None:
            error = error + self.error * factors.abs()
        exact = self.error is None and bool((factors.abs().frexp().mantissa == 0.5).all()) and bool((value.abs() > 1e-290).all())
        return Matrix(value=value, error=None if exact else error * _NORM_ABOVE)

    def uncertainty(self) -> float:
        """An upper bound for the Frobenius norm of the error."""
        return 0.0 if self.error is None else float(torch.linalg.matrix_norm(self.error)) * _NORM_ABOVE

    def norm(self, metric: GroundMetric = L2) -> float:
        """An upper bound for the operator norm with respect to the metric's norm, l2 or linf."""
        if not self.value.numel():
            return 0.0
        if not bool(torch.isfinite(self.value).all() and (self.error is None or torch.isfinite(self.error).all())):
            return math.inf  # a product of weights has overflowed
        if metric == L2:
            return sum_above(spectral_norm_bound(self.value), self.uncertainty())
        magnitude = self.value if self.error is None else self.value.abs() + self.error
        return to_maximum_norm_bound(magnitude, math.inf) * (1.0 if self.error is None else 1 + gamma(4))
