"""Ground metrics: the distance between two samples as a norm of their difference, for three norms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wdist.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GroundMetric:
    """d(x, y) = ||x - y||_p."""

    name: str
    """Name for users: ``l1``, ``l2`` or ``linf``."""
    p: float
    """1, 2 or infinity."""

    @property
    def dual(self) -> float:
        """q with 1/p + 1/q = 1: a linear function with gradient g has Lipschitz constant ||g||_q in this metric."""
        return {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[self.p]

    def diameter(self, low: float, high: float, dim: int) -> float:
        """Diameter of the box [low, high]^dim, which bounds the range of a 1-Lipschitz function on it."""
        return (high - low) * self.of_ones(dim)

    def of_ones(self, dim: int) -> float:
        """||(1, ..., 1)||_p."""
        return {1.0: float(dim), 2.0: math.sqrt(dim), math.inf: 1.0}[self.p]

    def norm(self, differences: Tensor) -> Tensor:
        """Norm of each row, shape (n,), of a tensor of shape (n, dim)."""
        import torch

        return torch.linalg.vector_norm(differences, ord=self.p, dim=-1)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances of all pairs, shape (n, m)."""
        import torch

        return torch.cdist(x, y, p=self.p)

    def __str__(self) -> str:
        return self.name


L1 = GroundMetric(name="l1", p=1.0)
L2 = GroundMetric(name="l2", p=2.0)
LINF = GroundMetric(name="linf", p=math.inf)
METRICS = {metric.name: metric for metric in (L2, L1, LINF)}


def ground_metric(name: str) -> GroundMetric:
    """Returns the metric with this name.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in METRICS:
        raise UsageError(f"--metric {name!r} is unknown; choose one of {', '.join(METRICS)}")
    return METRICS[name]
