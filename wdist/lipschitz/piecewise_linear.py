r"""Piecewise linear functions of one number, such as the potentials of exact transport on the line.

The knots and slopes alone define the function, which is 0 at the first knot:

.. math:: f(t) = \int_{t_0}^t s(u)\, du

Its Lipschitz constant is therefore the largest slope, however the values at the knots are rounded.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import gamma


@dataclass(frozen=True, kw_only=True, eq=False)
class PiecewiseLinear(FrozenLayer):
    """A layer of one unit."""

    knots: Tensor
    """float64, shape (k,), ascending, k >= 1."""
    slopes: Tensor
    """float64, shape (k + 1,): before the first knot, between neighbours, and after the last."""

    @property
    def kind(self) -> str:
        return "piecewise-linear"

    @cached_property
    def _values(self) -> Tensor:
        rises = self.slopes[1:-1] * self.knots.diff()
        return torch.cat([torch.zeros(1, dtype=torch.float64), rises.cumsum(0)])

    def __call__(self, h: Tensor) -> Tensor:
        interval = torch.searchsorted(self.knots, h)
        knot = (interval - 1).clamp(min=0)
        return self._values[knot] + self.slopes[interval] * (h - self.knots[knot])

    def lipschitz(self) -> LayerBound:
        name = f"{self.kind}, {len(self.knots)} knots"
        return LayerBound(layer=name, bound=float(self.slopes.abs().max()), method="largest slope")

    def maximum(self, p: float) -> LayerBound:
        del p  # all norms of one number are equal
        return self.lipschitz()

    def rounding(self, norm: float, units: int) -> float:
        """A sum over all knots at most, each rise at most slope times length, then one more product and sum."""
        del units
        reach = float(self.knots[-1] - self.knots[0]) + 2 * (norm + float(self.knots.abs().max()))
        return (1 + 1e-9) * gamma(len(self.knots) + 8) * float(self.slopes.abs().max()) * reach

    def check(self, units: int) -> int:
        if units != 1 or self.knots.ndim != 1 or not len(self.knots) or self.slopes.shape != (len(self.knots) + 1,):
            raise ValueError("the shapes of its piecewise linear layer do not match")
        if not bool(torch.isfinite(self.knots).all() and torch.isfinite(self.slopes).all() and (self.knots.diff() >= 0).all()):
            raise ValueError("the knots of its piecewise linear layer are not in ascending order, or not finite")
        return 1
