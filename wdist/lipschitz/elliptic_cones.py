r"""A minimum of elliptic cones (distances after linear maps) as a layer.

.. math:: f(x) = \min_j \left( \|Q_j x - c_j\|_2 + b_j \right)

Its Lipschitz constant is at most :math:`\max_j \|Q_j\|_2`. A distance from a point has :math:`Q_j = I`; for a distance from a
subspace, :math:`Q_j` is a projection.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.norms import spectral_norm_bound
from wdist.lipschitz.linalg.rounding import LARGEST_SQUARED, UNDERFLOW, UNIT_ROUNDOFF, gamma, norm_above, product_above, sum_above

_NUMBERS_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class EllipticCones(FrozenLayer):
    """x -> min_j (||Q_j x - c_j||_2 + b_j), one output."""

    matrices: Tensor
    """The Q_j, float64, shape (cones, rows, inputs)."""
    points: Tensor
    """The c_j, float64, shape (cones, rows)."""
    offsets: Tensor
    """The b_j, float64, shape (cones,)."""

    kind = "elliptic-cones"

    def __call__(self, h: Tensor) -> Tensor:
        parts = h.split(max(1, _NUMBERS_AT_ONCE // self.points.numel()))
        return torch.cat([self._lowest(part) for part in parts]).unsqueeze(1) if len(h) else h.new_zeros(0, 1)

    def forward(self, h: Tensor) -> Tensor:
        return self._lowest(h).unsqueeze(1)

    def _lowest(self, h: Tensor) -> Tensor:
        mapped = torch.addmm(self.points.flatten(), h, self.matrices.flatten(0, 1).mT, beta=-1)
        return (torch.linalg.vector_norm(mapped.unflatten(1, self.points.shape), dim=2) + self.offsets).amin(1)

    def lipschitz(self) -> LayerBound:
        bound = max(spectral_norm_bound(matrix) for matrix in self.matrices)
        return LayerBound(layer=self._shape, bound=bound, method="gram, float64, the largest of its cones")

    def maximum(self, p: float) -> LayerBound:
        # All norms of the single output are equal; ||v||_2 <= ||v||_1 and ||v||_2 <= sqrt(d) ||v||_inf.
        euclidean = self.lipschitz()
        stretch = math.nextafter(math.sqrt(self.matrices.shape[2]), math.inf) if math.isinf(p) else 1.0
        return LayerBound(layer=euclidean.layer, bound=math.nextafter(euclidean.bound * stretch, math.inf), method=euclidean.method)

    @property
    def _shape(self) -> str:
        cones, rows, inputs = self.matrices.shape
        return f"{cones} elliptic cones, {rows}x{inputs}"

    def rounding(self, norm: float, units: int) -> float:
        """Rounding of the linear map, of the norm and of one sum, at the worst cone; infinite if squares may overflow."""
        rows = self.points.shape[1]
        farthest = sum_above(product_above(norm_above(self.matrices.flatten(1)), norm), norm_above(self.points))
        if farthest > LARGEST_SQUARED:
            return math.inf
        # Underflow of each product, and of each square, which is lost below the root of the smallest normal number.
        underflow = product_above(math.sqrt(rows) + 1, sum_above(product_above(units + 2, UNDERFLOW), math.sqrt(UNDERFLOW)))
        of_offsets = product_above(2 * UNIT_ROUNDOFF, float(self.offsets.abs().max()))
        return sum_above(product_above(gamma(units + rows + 10), farthest), underflow, of_offsets)

    def check(self, units: int) -> int:
        if self.matrices.ndim != 3 or self.matrices.shape[2] != units or not len(self.matrices):
            raise ValueError("the matrices of its elliptic cones do not match the dimension of the samples")
        if self.points.shape != self.matrices.shape[:2] or self.offsets.shape != self.matrices.shape[:1]:
            raise ValueError("the points or offsets of its elliptic cones do not match the matrices")
        return 1
