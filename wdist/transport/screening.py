r"""Screening: numbers in low precision that are negative for all pairs of points whose distance may be below u_i + v_j.

In the Euclidean metric, a single matrix product of coordinates extended by the variables gives these numbers,

.. math:: |x_i|^2 - u_i^2 + |y_j|^2 - v_j^2 - 2 (x_i \cdot y_j + u_i v_j) < 0 \iff |x_i - y_j| < |u_i + v_j|,

minus an a-priori bound for its rounding. Points are rounded first, and each variable is increased by the displacement of its point,
so that products in bfloat16, several times as fast if the processor has them, prove the same as products in float32. The variables
and the differences of squares need more precision, so each is the sum of several numbers in low precision.

References:
    Higham (2002), Accuracy and stability of numerical algorithms, section 3.1 (the rounding of inner products).
    Henry, Tang & Heinecke (2019), Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations,
    arXiv:1904.06376 (sums of several bfloat16).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from wdist.ground_metric import GroundMetric
from wdist.lipschitz.linalg.rounding import multiplies_bfloat16

FLAT = 3
"""Most dimensions in which blocks of pairs are more often skipped than screened."""
TINY = 1e-35
"""More than the underflow of a product of two numbers in float32."""
_UNIT = 2.0**-24
"""Unit roundoff of float32, in which products are summed."""
_LEAST = 2.0**-126
"""Smallest number that no processor treats as 0."""
_LARGEST_DISPLACEMENT = 0.01
"""Largest displacement of a pair's points by rounding, relative to their distance; beyond it, too many pairs are examined again."""
_TRIED = 1000
"""Points of each side on which this displacement is measured."""
_NUMBERS_AT_ONCE = 1 << 20

Screen: TypeAlias = Callable[[slice, slice], Tensor]
"""Maps ranges of rows and columns to one number for each pair; the result is valid until the next call."""


@dataclass(frozen=True, kw_only=True)
class _Precision:
    """A floating-point type, and how many of its numbers represent a variable and a difference of squares."""

    dtype: torch.dtype
    variable: int
    square: int


_FULL = _Precision(dtype=torch.float32, variable=1, square=1)
_HALF = _Precision(dtype=torch.bfloat16, variable=2, square=3)


def product_screen(x: Tensor, y: Tensor, u: np.ndarray, v: np.ndarray, *, centre: Tensor, device: torch.device) -> Screen:
    """Screens Euclidean distances by matrix products.

    Arguments:
        x, y: points, float64, shapes (n, dim) and (m, dim).
        u, v: variables, shapes (n,) and (m,).
        centre: of the points, shape (dim,); subtracted so that coordinates are small.
        device: computes the products.
    """
    half = device.type == "cpu" and x.shape[1] > FLAT and multiplies_bfloat16()
    if half:
        tried = (side[:: -(-len(side) // _TRIED)] - centre for side in (x, y))
        moved = sum(float(_rounded(side, torch.bfloat16)[1].mean()) for side in tried)
        half = moved <= _LARGEST_DISPLACEMENT * float(u.mean() + v.mean())
    precision = _HALF if half else _FULL
    left = _factor(x, u, centre, precision, first=True).to(device)
    right = _factor(y, v, centre, precision, first=False).to(device)
    room = left.new_empty(0)

    def screen(rows: slice, columns: slice) -> Tensor:
        nonlocal room
        some, others = left[rows], right[columns]
        count = len(some) * len(others)
        if len(room) < count:
            room = left.new_empty(count)
        return torch.mm(some, others.mT, out=room[:count].view(len(some), len(others)))

    return screen


def difference_screen(
    x: Tensor, y: Tensor, u: np.ndarray, v: np.ndarray, *, centre: Tensor, device: torch.device, metric: GroundMetric
) -> Screen:
    """Like :func:`product_screen`, for any metric."""
    sides = []
    for points, variables in ((x - centre, u), (y - centre, v)):
        high = torch.from_numpy(variables) + 2 * _UNIT * metric.norm(points)
        sides += [points.float().to(device), (high + 6 * _UNIT * high.abs()).float().to(device)]
    near, high_u, far, high_v = sides
    factor = 1 - 3 * (x.shape[1] + 4) * _UNIT

    def screen(rows: slice, columns: slice) -> Tensor:
        distances = metric.pairwise(near[rows], far[columns]).mul_(factor)
        return distances.sub_(high_u[rows, None]).sub_(high_v[columns])

    return screen


def negative(block: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Positions of negative entries, row by row; may include -0."""
    if block.device.type == "cpu":
        numbers = block.view(torch.int16) if block.dtype == torch.bfloat16 else block  # the sign bit is in the same place
        flat = np.flatnonzero(numbers.numpy() < 0)  # several times as fast as torch.nonzero
        return flat // block.shape[1], flat % block.shape[1]
    rows, columns = torch.nonzero(block < 0, as_tuple=True)
    return rows.cpu().numpy(), columns.cpu().numpy()


def _rounded(points: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Points in another type, and bounds for their displacement, shape (n,)."""
    rounded = points.to(dtype)
    rounded = rounded.masked_fill_(rounded.abs() < _LEAST, 0)
    return rounded, 1.01 * torch.linalg.vector_norm(points - rounded.double(), dim=1)


def _factor(points: Tensor, variables: np.ndarray, centre: Tensor, precision: _Precision, *, first: bool) -> Tensor:
    """The first or the second factor of the product, a row for each point; made piece by piece to save memory."""
    size = max(1, _NUMBERS_AT_ONCE // points.shape[1])
    pieces = zip(points.split(size), torch.from_numpy(variables).split(size), strict=True)
    return torch.cat([_extended(some - centre, own, precision, first=first) for some, own in pieces])


def _extended(points: Tensor, variables: Tensor, precision: _Precision, *, first: bool) -> Tensor:
    """Extends points by the variable, by |x|^2 - u^2 minus all rounding of products with it, and by ones for the other side's."""
    rounded, moved = _rounded(points, precision.dtype)
    # d(x, y) < u + v implies the same for the rounded points if each variable is increased by the displacement of its point.
    high = _sum_above(variables + moved, precision.variable, precision.dtype)
    squares, own = rounded.double().square().sum(1), high.double().sum(1).square()
    terms = points.shape[1] + precision.variable**2 + 2 * precision.square + 1
    share = (2 * terms * _UNIT / (1 - terms * _UNIT) + 2 * _UNIT) * 1.05
    last = -_sum_above(-(squares - own - share * (squares + own) - terms * TINY), precision.square, precision.dtype)
    ones = torch.ones_like(last)
    if first:
        return torch.cat([rounded, high.repeat_interleave(precision.variable, 1), last, ones], 1)
    return torch.cat([-2 * rounded, -2 * high.repeat(1, precision.variable), ones, last], 1)


def _sum_above(values: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Splits values, float64, shape (n,), into numbers of a type, shape (n, count), whose sums are no smaller and hardly larger."""
    unit, rest, parts = torch.finfo(dtype).eps, values, []
    for _ in range(count - 1):
        part = rest.to(dtype)
        parts.append(part.masked_fill_(part.abs() < _LEAST, 0))
        rest = rest - parts[-1].double()
    above = (rest + unit * rest.abs()).to(dtype)
    smallest = torch.where(rest > 0, _LEAST, 0.0).to(dtype)
    return torch.stack([*parts, torch.where(above.abs() < _LEAST, smallest, above)], 1)
