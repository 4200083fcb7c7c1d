r"""Pricing: finds the pairs of samples that violate :math:`u_i + v_j \le d(x_i, y_j)`, and the dual value proved despite them.

All pairs are screened in low precision (:mod:`wdist.transport.screening`), which finds every violated pair and a few others. These
are examined again in float64. Blocks of pairs whose bounding boxes are too far apart are skipped. Lowering each variable of one
side by the largest violation of its sample makes all variables feasible, so their value minus its rounding is a proved lower bound
for W1.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from wdist.distributed.processes import processes
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, float32_products
from wdist.transport.cells import nearby_order
from wdist.transport.screening import FLAT, TINY, difference_screen, negative, product_screen

LARGEST, LARGEST_VARIABLE = 1e9, 1e15
"""Largest coordinate, and largest dual variable, for screening in float32: their squares are far from overflow."""
_ROWS, _COLUMNS, _COLUMNS_FLAT = 512, 2048, 512
"""Rows and columns of the blocks that are screened at a time, so that they stay in the cache; smaller up to :data:`FLAT`
dimensions, where most blocks are skipped."""
_ON_GPU = 8192
_CROWDED, _FROM_CROWDED = 64, 4
"""Average number of pairs per row of a block above which only the most violated pairs are taken, and how many of each row."""
_NUMBERS_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Priced:
    """Pairs with a negative reduced cost c_ij - u_i - v_j; in crowded blocks, only the lowest of each row and column."""

    rows: np.ndarray
    columns: np.ndarray
    """Positions, int64, shape (k,); no pair occurs twice."""
    costs: np.ndarray
    reduced: np.ndarray
    """Reduced costs, shape (k,)."""
    lowest_rows: np.ndarray
    lowest_columns: np.ndarray
    """Proved lower bounds for the reduced costs of all pairs of a row, shape (n,), and of a column, shape (m,); at most 0."""
    roundings: float
    """Multiple of the proved rounding that these bounds subtract; 1 is enough for validity."""

    def dual_value(self, u: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        """A proved lower bound for the cost of all plans between the masses a and b."""
        lowered = ((u + self.lowest_rows, v), (u, v + self.lowest_columns))
        terms = [np.concatenate([each_u * a, each_v * b]) for each_u, each_v in lowered]
        return max(math.fsum(each) - 16 * UNIT_ROUNDOFF * self.roundings * float(np.abs(each).sum()) for each in terms)


class Pricing:
    """All pairs of points x, shape (n, dim), and y, shape (m, dim), float64, on the CPU; ``device`` screens them."""

    def __init__(self, x: Tensor, y: Tensor, metric: GroundMetric, *, device: torch.device | None = None) -> None:
        device = device or torch.device("cpu")
        self._metric, self._device = metric, device
        self._order_x, self._order_y = nearby_order(x.numpy(), _ROWS), nearby_order(y.numpy(), _ROWS)
        self._x, self._y = x[self._order_x], y[self._order_y]
        self._centre = self._x.mean(0)
        height, width = (_ON_GPU, _ON_GPU) if device.type == "cuda" else (_ROWS, _COLUMNS_FLAT if x.shape[1] <= FLAT else _COLUMNS)
        self._blocks_x, self._blocks_y = _slices(len(x), height), _slices(len(y), width)
        self._apart = self._distances_of_boxes()

    def below(self, u: np.ndarray, v: np.ndarray, *, roundings: float = 1.0) -> Priced:
        """Prices all pairs with dual variables u, shape (n,), and v, shape (m,), with a margin of ``roundings`` times the rounding.

        Processes take blocks of rows in turn; their joint result is bitwise that of a single process.

        Raises:
            ValueError: a variable exceeds :data:`LARGEST_VARIABLE`, so that a product could overflow unnoticed.
        """
        in_x, in_y = u[self._order_x], v[self._order_y]
        middle = (in_x.mean() - in_y.mean()) / 2  # sums u_i + v_j do not change, and small variables round less
        in_x, in_y = in_x - middle, in_y + middle
        if not max(np.abs(in_x).max(), np.abs(in_y).max()) <= LARGEST_VARIABLE:
            raise ValueError("dual variables are too large to be screened in float32")
        tally = _Tally.empty(len(u), len(v), 8 * roundings * UNIT_ROUNDOFF * abs(middle), roundings)
        with float32_products():
            for rows, columns in self._screened(in_x, in_y):
                if len(rows) > _CROWDED * (rows[-1] - rows[0] + 1):
                    rows, columns = self._most_violated(rows, columns, in_x, in_y, tally)
                self._examine(rows, columns, in_x, in_y, tally)
        return tally.of_all_processes(self._blocks_x[0].stop).priced(self._order_x, self._order_y)

    def _distances_of_boxes(self) -> np.ndarray:
        """Lower bounds for the distances of all pairs of blocks, from their bounding boxes."""
        boxes = [
            (torch.stack([side[block].amin(0) for block in blocks]), torch.stack([side[block].amax(0) for block in blocks]))
            for side, blocks in ((self._x, self._blocks_x), (self._y, self._blocks_y))
        ]
        (low_x, high_x), (low_y, high_y) = boxes
        between = (torch.maximum(low - high_y, low_y - high).clamp_(min=0) for low, high in zip(low_x, high_x, strict=True))
        return torch.stack([self._metric.norm(each) for each in between]).numpy() * (1 - 1e-12)

    def _screened(self, u: np.ndarray, v: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions, block by block, of all pairs whose cost may be below u_i + v_j, in this process's share of blocks."""
        high_u, high_v = (
            np.array([side[block].max() for block in blocks]) for side, blocks in ((u, self._blocks_x), (v, self._blocks_y))
        )
        near = self._apart <= (high_u[:, None] + high_v) + 1e-12 * (np.abs(high_u)[:, None] + np.abs(high_v))
        sides = self._x, self._y, u, v
        if self._metric == L2:
            screen = product_screen(*sides, centre=self._centre, device=self._device)
        else:
            screen = difference_screen(*sides, centre=self._centre, device=self._device, metric=self._metric)
        own = processes()
        for number, some in list(enumerate(self._blocks_x))[own.rank :: own.size]:
            for other in np.flatnonzero(near[number]):
                others = self._blocks_y[other]
                rows, columns = negative(screen(some, others))
                if len(rows):
                    yield rows + some.start, columns + others.start

    def _most_violated(
        self, rows: np.ndarray, columns: np.ndarray, u: np.ndarray, v: np.ndarray, tally: "_Tally"
    ) -> tuple[np.ndarray, np.ndarray]:
        """The most violated pairs of a crowded block, screened again in float64; the tally gets bounds for the others."""
        some, others = np.unique(rows), np.unique(columns)
        reduced = self._reduced_below(self._x[some], self._y[others], u[some], v[others], tally.roundings)
        if int((reduced < 0).sum()) <= _CROWDED * len(some):
            rows, columns = negative(reduced)
            return some[rows], others[columns]
        in_rows, in_columns = (_lowest(each, _FROM_CROWDED) for each in (reduced, reduced.mT))
        tally.rest(some, in_rows[1], others, in_columns[1])
        chosen = torch.zeros_like(reduced, dtype=torch.bool)
        chosen.scatter_(1, in_rows[0], True)
        chosen.mT.scatter_(1, in_columns[0], True)
        at_row, at_column = torch.nonzero(chosen & (reduced < 0), as_tuple=True)
        return some[at_row.numpy()], others[at_column.numpy()]

    def _reduced_below(self, x: Tensor, y: Tensor, u: np.ndarray, v: np.ndarray, roundings: float) -> Tensor:
        """Proved lower bounds for the reduced costs of all pairs of some points, computed relative to their own centre."""
        unit, dim, centre = roundings * UNIT_ROUNDOFF, x.shape[1], x.mean(0)
        x, y = x - centre, y - centre
        norms_x, norms_y = self._metric.norm(x), self._metric.norm(y)
        if self._metric == L2:
            share = 1 - 2 * (dim + 6) * unit
            squares = torch.addmm((norms_y.square() * share)[None], x, y.mT, alpha=-2)
            distances = squares.add_((norms_x.square() * share - TINY)[:, None]).clamp_(min=0).sqrt_()
        else:
            distances = self._metric.pairwise(x, y)
        high_u, high_v = (torch.from_numpy(each + 8 * unit * np.abs(each)) for each in (u, v))
        distances = distances.mul_(1 - 2 * (dim + 6) * unit)
        return distances.sub_((high_u + 2 * unit * norms_x)[:, None]).sub_(high_v + 2 * unit * norms_y)

    def _examine(self, rows: np.ndarray, columns: np.ndarray, u: np.ndarray, v: np.ndarray, tally: "_Tally") -> None:
        """Computes the reduced costs of pairs from differences in float64."""
        step = max(1, _NUMBERS_AT_ONCE // self._x.shape[1])
        for start in range(0, len(rows), step):
            i, j = rows[start : start + step], columns[start : start + step]
            costs = self._metric.norm(self._x[i] - self._y[j]).numpy()
            rounding = tally.roundings * UNIT_ROUNDOFF * ((self._x.shape[1] + 8) * costs + 8 * (np.abs(u[i]) + np.abs(v[j])))
            tally.add(i, j, costs, costs - u[i] - v[j], rounding)


def screens(points: tuple[Tensor, Tensor], variables: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether all points and dual variables, centred as :meth:`Pricing.below` does, are small enough for float32."""
    coordinates = max(float(side.abs().max()) for side in points)
    return coordinates <= LARGEST and 2 * max(float(np.abs(side).max()) for side in variables) <= LARGEST_VARIABLE


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _lowest(reduced: Tensor, count: int) -> tuple[Tensor, np.ndarray]:
    """Positions of the ``count`` smallest entries of each row, and the smallest of the others, at most 0."""
    width = reduced.shape[1]
    found = reduced.topk(min(count + 1, width), dim=1, largest=False, sorted=True)
    if width <= count:
        return found.indices, np.zeros(len(reduced))
    return found.indices[:, :count], found.values[:, count].clamp(max=0).numpy()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tally:
    """Results collected over blocks, in their order."""

    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
    """Rows, columns, costs and reduced costs of pairs with negative reduced costs."""
    lowest_rows: np.ndarray
    lowest_columns: np.ndarray
    rounding: float
    """Rounding of the variables by centring them."""
    roundings: float

    @classmethod
    def empty(cls, n: int, m: int, rounding: float, roundings: float) -> "_Tally":
        none = np.empty(0, dtype=np.int64)
        pairs = [(none, none, np.empty(0), np.empty(0))]
        return cls(pairs=pairs, lowest_rows=np.zeros(n), lowest_columns=np.zeros(m), rounding=rounding, roundings=roundings)

    def add(self, rows: np.ndarray, columns: np.ndarray, costs: np.ndarray, reduced: np.ndarray, rounding: np.ndarray) -> None:
        lowest = reduced - (rounding + self.rounding)
        np.minimum.at(self.lowest_rows, rows, lowest)
        np.minimum.at(self.lowest_columns, columns, lowest)
        kept = reduced < 0
        self.pairs.append((rows[kept], columns[kept], costs[kept], reduced[kept]))

    def rest(self, rows: np.ndarray, lowest_rows: np.ndarray, columns: np.ndarray, lowest_columns: np.ndarray) -> None:
        """Records bounds for pairs that are not listed."""
        self.lowest_rows[rows] = np.minimum(self.lowest_rows[rows], lowest_rows - self.rounding)
        self.lowest_columns[columns] = np.minimum(self.lowest_columns[columns], lowest_columns - self.rounding)

    def of_all_processes(self, height: int) -> "_Tally":
        """Merges the results of all processes, in the order of the blocks, which have ``height`` rows."""
        if processes().size == 1:
            return self
        own = [np.concatenate(parts) for parts in zip(*self.pairs, strict=True)]
        found = processes().gathered("pricing", (own, self.lowest_rows, self.lowest_columns))
        rows, columns, costs, reduced = (np.concatenate(parts) for parts in zip(*(each[0] for each in found), strict=True))
        order = np.argsort(rows // height, kind="stable")
        return replace(
            self,
            pairs=[(rows[order], columns[order], costs[order], reduced[order])],
            lowest_rows=np.minimum.reduce([each[1] for each in found]),
            lowest_columns=np.minimum.reduce([each[2] for each in found]),
        )

    def priced(self, order_x: np.ndarray, order_y: np.ndarray) -> Priced:
        rows, columns, costs, reduced = (np.concatenate(parts) for parts in zip(*self.pairs, strict=True))
        lowest_rows, lowest_columns = np.empty_like(self.lowest_rows), np.empty_like(self.lowest_columns)
        lowest_rows[order_x], lowest_columns[order_y] = self.lowest_rows, self.lowest_columns
        return Priced(
            rows=order_x[rows],
            columns=order_y[columns],
            costs=costs,
            reduced=reduced,
            lowest_rows=lowest_rows,
            lowest_columns=lowest_columns,
            roundings=self.roundings,
        )
