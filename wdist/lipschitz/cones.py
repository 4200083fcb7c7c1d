r"""A minimum of cones: McShane's extension as a layer.

.. math:: f(x) = \min_j \left( \|x - a_j\|_p + b_j \right)

Each cone is 1-Lipschitz in the p-norm by the triangle inequality, and so is their minimum; its slope is 1 wherever the lowest cone
is unique and x is not its tip. Rounding the centres or offsets does not change that.

References:
    McShane (1934), Extension of range of functions, theorem 1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import LARGEST_SQUARED, UNIT_ROUNDOFF, gamma, norm_above, product_above, sum_above

_PAIRS_AT_ONCE = 1 << 19  # distances in memory at a time, 4 MB for each of half a dozen arrays
_CROWD = 32  # most cones to compare one by one if a matrix product cannot tell which is lowest at a sample


@dataclass(frozen=True, kw_only=True, eq=False)
class Cones(FrozenLayer):
    """x -> min_j (||x - a_j||_p + b_j), one output."""

    centres: Tensor
    offsets: Tensor
    """float64, shapes (cones, inputs) and (cones,)."""
    p: float = 2.0
    """1, 2 or infinity."""

    @classmethod
    def distinct(cls, centres: Tensor, offsets: Tensor, *, p: float = 2.0) -> "Cones":
        """The same function with only the lowest cone at each centre."""
        points, which = torch.unique(centres, dim=0, return_inverse=True)
        lowest = offsets.new_full((len(points),), math.inf).scatter_reduce_(0, which, offsets, "amin")
        return cls(centres=points, offsets=lowest, p=p)

    @property
    def kind(self) -> str:
        return f"cones:l{'inf' if math.isinf(self.p) else int(self.p)}"

    def __call__(self, h: Tensor) -> Tensor:
        lowest = self._lowest_euclidean if self.p == 2 else self._lowest
        parts = h.split(max(1, _PAIRS_AT_ONCE // len(self.centres)))
        return torch.cat([lowest(part) for part in parts]).unsqueeze(1) if len(h) else h.new_zeros(0, 1)

    def forward(self, h: Tensor) -> Tensor:
        mode = "donot_use_mm_for_euclid_dist"  # the expanded square loses digits of small distances and their gradients
        return (torch.cdist(h, self.centres, p=self.p, compute_mode=mode) + self.offsets).amin(1, keepdim=True)

    def _lowest(self, h: Tensor) -> Tensor:
        return (torch.cdist(h, self.centres, p=self.p) + self.offsets).amin(1)

    def _lowest_euclidean(self, h: Tensor) -> Tensor:
        """The minimum: a matrix product selects candidates for the lowest cone, and differences decide among them.

        The expanded square :math:`|x|^2 + |a|^2 - 2 x \\cdot a` is fast but loses digits of small distances.
        """
        norms, tips = torch.linalg.vector_norm(h, dim=1, keepdim=True), torch.linalg.vector_norm(self.centres, dim=1)
        reach = (norms + tips).square_()
        squares = (norms.square() + tips.square()).addmm_(h, self.centres.mT, alpha=-2)
        error = reach.mul_(2 * gamma(h.shape[1] + 8))
        above = (squares + error).sqrt_().add_(self.offsets)
        least = above.amin(1, keepdim=True)
        below = squares.sub_(error).clamp_(min=0).sqrt_().add_(self.offsets)
        margin = 8 * UNIT_ROUNDOFF * (least.abs() + self.offsets.abs().max())
        candidates = below <= least + margin
        lowest = h.new_full((len(h),), math.inf)
        # If all tips coincide, or a sample is equally far from all, selecting pairs costs more than computing all of them.
        (crowded,) = torch.nonzero(candidates.sum(1) > _CROWD, as_tuple=True)
        if len(crowded):
            points, which = torch.unique(h[crowded], dim=0, return_inverse=True)  # a point mass puts many samples at one point
            distances = torch.cdist(points, self.centres, compute_mode="donot_use_mm_for_euclid_dist")
            lowest[crowded] = (distances + self.offsets).amin(1)[which]
            candidates[crowded] = False
        rows, cones = torch.nonzero(candidates, as_tuple=True)
        for some in torch.arange(len(rows)).split(max(1, _PAIRS_AT_ONCE // h.shape[1])):
            row, cone = rows[some], cones[some]
            values = torch.linalg.vector_norm(h[row] - self.centres[cone], dim=1) + self.offsets[cone]
            lowest.scatter_reduce_(0, row, values, "amin")
        return lowest

    def lipschitz(self) -> LayerBound:
        stretch = self.centres.shape[1] if self.p == 1 else 1
        return LayerBound(layer=self._shape, bound=_root_above(stretch), method="triangle inequality")

    def maximum(self, p: float) -> LayerBound:
        # ||v||_1 <= sqrt(d) ||v||_2 <= d ||v||_inf, and ||v||_q <= ||v||_p for q >= p; as squares.
        powers = {1.0: 0, 2.0: 1, math.inf: 2}
        stretch = self.centres.shape[1] ** max(0, powers[p] - powers[self.p])
        return LayerBound(layer=self._shape, bound=_root_above(stretch), method="triangle inequality")

    @property
    def _shape(self) -> str:
        return f"{len(self.centres)} cones in {self.centres.shape[1]} dimensions"

    def rounding(self, norm: float, units: int) -> float:
        """Rounding of differences, of their norm and of one sum, at the farthest cone; infinite if squares may overflow.

        Squares that underflow change a norm by less than the rounding at ``norm``, which exceeds any such norm.
        """
        farthest = sum_above(norm, norm_above(self.centres))
        if farthest > LARGEST_SQUARED:
            return math.inf
        stretch = _root_above(units) if self.p == 1 else 1.0
        of_offsets = product_above(2 * UNIT_ROUNDOFF, float(self.offsets.abs().max()))
        return sum_above(product_above(gamma(units + 8), stretch, farthest), of_offsets)

    def check(self, units: int) -> int:
        if self.centres.ndim != 2 or self.centres.shape[1] != units or not len(self.centres):
            raise ValueError("the centres of its cones do not match the dimension of the samples")
        if self.offsets.shape != self.centres.shape[:1]:
            raise ValueError("its cones have more or fewer centres than offsets")
        return 1


def _root_above(square: int) -> float:
    """The square root of a whole number, rounded up."""
    root = math.isqrt(square)
    return float(root) if root * root == square else math.nextafter(math.sqrt(square), math.inf)
