r"""A minimum of cones, the layer that McShane's extension is made of.

.. math:: f(x) = \min_j \left( \|x - a_j\|_p + b_j \right)

Each cone is 1-Lipschitz in the p-norm by the triangle inequality, and so is their minimum; its slope is 1 wherever the nearest cone
is unique and x is not its tip. No rounding of the centres or offsets can change that.

References:
    McShane (1934), Extension of range of functions, theorem 1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, gamma

KIND = "cones"
_PAIRS_AT_ONCE = 1 << 19
"""Distances held at a time, 4 MB; there are half a dozen numbers of each."""
_CROWD = 32
"""Cones that a product of matrices cannot tell apart at one sample."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cones(FrozenLayer):
    """x -> min_j (||x - a_j||_p + b_j), one output."""

    centres: Tensor
    """float64, shape (cones, inputs)."""
    offsets: Tensor
    """float64, shape (cones,)."""
    p: float = 2.0
    """1, 2 or infinity."""

    @classmethod
    def distinct(cls, centres: Tensor, offsets: Tensor, *, p: float = 2.0) -> "Cones":
        """The same function with one cone for each centre, the lowest, where several cones share theirs."""
        points, which = torch.unique(centres, dim=0, return_inverse=True)
        lowest = offsets.new_full((len(points),), math.inf).scatter_reduce_(0, which, offsets, "amin")
        return cls(centres=points, offsets=lowest, p=p)

    @property
    def kind(self) -> str:
        return f"{KIND}:l{'inf' if math.isinf(self.p) else int(self.p)}"

    def __call__(self, h: Tensor) -> Tensor:
        least = self._least_euclidean if self.p == 2 else self._least
        parts = h.split(max(1, _PAIRS_AT_ONCE // len(self.centres)))
        return torch.cat([least(part) for part in parts]).unsqueeze(1) if len(h) else h.new_zeros(0, 1)

    def _least(self, h: Tensor) -> Tensor:
        return (torch.cdist(h, self.centres, p=self.p) + self.offsets).amin(1)

    def _least_euclidean(self, h: Tensor) -> Tensor:
        """By a product of matrices where that decides which cone is lowest, by differences among those that it cannot tell apart.

        The expanded square :math:`|x|^2 + |a|^2 - 2 x \\cdot a` is fast but loses the digits of small distances.
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
        lowest = torch.full((len(h),), math.inf, dtype=h.dtype)
        # Where all tips are one point, or a sample lies in the middle of all, to pick pairs costs more than to look at all of them.
        (crowded,) = torch.nonzero(candidates.sum(1) > _CROWD, as_tuple=True)
        if len(crowded):
            points, which = torch.unique(h[crowded], dim=0, return_inverse=True)  # a point mass is many samples and one point
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
        stretch = self._inputs if self.p == 1 else 1
        return LayerBound(layer=self._shape, bound=_root_above(stretch), method="triangle inequality")

    def maximum(self, p: float) -> LayerBound:
        # ||v||_1 <= sqrt(d) ||v||_2 <= d ||v||_inf, and ||v||_q <= ||v||_p for q >= p; as squares.
        powers = {1.0: 0, 2.0: 1, math.inf: 2}
        stretch = self._inputs ** max(0, powers[p] - powers[self.p])
        return LayerBound(layer=self._shape, bound=_root_above(stretch), method="triangle inequality")

    @property
    def _inputs(self) -> int:
        return self.centres.shape[1]

    @property
    def _shape(self) -> str:
        return f"{len(self.centres)} cones in {self._inputs} dimensions"

    def rounding(self, norm: float, units: int) -> float:
        """Of differences, of their norm and of one sum, at the farthest cone there is."""
        farthest = norm + float(torch.linalg.vector_norm(self.centres, dim=1).max())
        stretch = math.sqrt(units) if self.p == 1 else 1.0
        return (1 + 1e-9) * (gamma(units + 8) * stretch * farthest + 2 * UNIT_ROUNDOFF * float(self.offsets.abs().max()))

    def check(self, units: int) -> int:
        if self.centres.ndim != 2 or self.centres.shape[1] != units or not len(self.centres):
            raise ValueError("the centres of its cones do not fit the samples")
        if self.offsets.shape != self.centres.shape[:1]:
            raise ValueError("its cones and their offsets are not as many")
        if not bool(torch.isfinite(self.centres).all() and torch.isfinite(self.offsets).all()):
            raise ValueError("its cones are not finite")
        return 1

    def tensors(self) -> dict[str, Tensor]:
        return {"centres": self.centres, "offsets": self.offsets}


def _root_above(square: int) -> float:
    """The square root of a whole number, from above."""
    root = math.isqrt(square)
    return float(root) if root * root == square else math.nextafter(math.sqrt(square), math.inf)


def read_cones(norm: str, centres: Tensor, offsets: Tensor) -> Cones:
    """Cones of the norm that :attr:`Cones.kind` names: ``l1``, ``l2`` or ``linf``.

    Raises:
        KeyError: there is no such norm.
    """
    return Cones(centres=centres, offsets=offsets, p={"l1": 1.0, "l2": 2.0, "linf": math.inf}[norm])
