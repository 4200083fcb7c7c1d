"""Coarse to fine: the solutions of smaller transport problems choose the first arcs of larger ones.

Up to three dimensions, neighbours are merged into one point, and arcs join the members of merged points that transport joins, or of
their neighbours. In more dimensions, where cells are wide, the smaller problem is between random subsets, and its dual variables,
extended by c-transforms, select arcs with small reduced costs.

References:
    Schmitzer (2016), A sparse multiscale algorithm for dense optimal transport.
    Gerber & Maggioni (2017), Multiscale strategies for computing optimal transport, arXiv:1708.02469.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from wdist.distributed.processes import processes
from wdist.ground_metric import GroundMetric
from wdist.transport.cells import Cells, cells_of
from wdist.transport.coupling import SolvedPlan, ascending
from wdist.transport.pricing import Pricing
from wdist.transport.screening import FLAT

FINER = 4
"""Ratio of sizes between a problem and the next smaller one."""
_NUMBERS_AT_ONCE = 1 << 18
_FIRST_ARCS, _FIRST_ARCS_FLAT = 28, 12
"""Approximate number of first arcs per sample, beyond three dimensions and up to three."""
_NEIGHBOURS = {1: 3, 2: 9, 3: 15}
"""Number of neighbouring cells that arcs reach, by dimension, including the cell itself."""
_GROUPS = 32
"""Number of groups whose minima approximate the smallest values."""
_TRIED, _NOISE = 64, 0.1
"""Points on which the rounding of float32 is measured, and its largest size relative to the differences that it must resolve."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Transport between masses a at x and b at y.

    Points are float64, shapes (n, dim) and (m, dim); masses are positive, with the same sum.
    """

    x: Tensor
    y: Tensor
    a: np.ndarray
    b: np.ndarray
    metric: GroundMetric

    @property
    def largest(self) -> int:
        """Number of points of the larger side."""
        return max(len(self.a), len(self.b))


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """First arcs, as positions, and dual variables near the optimal ones."""

    rows: np.ndarray
    columns: np.ndarray
    u: np.ndarray
    v: np.ndarray


def coarser(problem: Problem, random: np.random.Generator) -> "Merged | Subset":
    """Returns a problem of about a quarter of the size, whose solution gives a start for this one."""
    return Merged(problem) if problem.x.shape[1] <= FLAT else Subset(problem, random)


class Subset:
    """The problem between random subsets of the points."""

    def __init__(self, problem: Problem, random: np.random.Generator) -> None:
        self._whole, self._random, size = problem, random, problem.largest // FINER
        self._rows, self._columns = (np.sort(random.permutation(len(side))[:size]) for side in (problem.a, problem.b))
        self.problem = Problem(
            x=problem.x[self._rows],
            y=problem.y[self._columns],
            a=_share(problem.a, self._rows),
            b=_share(problem.b, self._columns),
            metric=problem.metric,
        )

    def start(self, solved: SolvedPlan, pricing: Pricing) -> Start:
        """Returns a start for the whole problem, whose pairs ``pricing`` prices."""
        whole, subset, (coarse_u, coarse_v) = self._whole, self.problem, solved.potentials
        u, far_u = _extended(whole.x, subset.y, coarse_v, whole.metric)
        v, far_v = _extended(whole.y, subset.x, coarse_u, whole.metric)
        found = pricing.below(far_u, v), pricing.below(u, far_v)
        rows, columns = (np.concatenate([getattr(each, name) for each in found]) for name in ("rows", "columns"))
        return Start(rows=rows, columns=columns, u=u, v=v)


def _share(masses: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    part = masses[chosen]
    return part * (masses.sum() / part.sum())


def _extended(x: Tensor, y: Tensor, v: Tensor, metric: GroundMetric) -> tuple[np.ndarray, np.ndarray]:
    """The c-transform min_j (c(x_i, y_j) - v_j), shape (n,), and a threshold for each x, shape (n,).

    About :data:`_FIRST_ARCS` of all points that y is a subset of stay below the threshold. The values are computed in float32 if
    that resolves the difference between the two.
    """
    smallest, far = _lowest(x[:_TRIED].float(), y.float(), v.float(), metric)
    precise = _lowest(x[:_TRIED], y, v, metric)[0]
    dtype = torch.float32 if float((smallest - precise).abs().mean()) < _NOISE * float((far - smallest).mean()) else torch.float64
    y, v = y.to(dtype), v.to(dtype)
    tasks = [partial(_lowest, part, y, v, metric) for part in x.to(dtype).split(1024)]
    found = processes().spread("first arcs", tasks)
    return torch.cat([each[0] for each in found]).double().numpy(), torch.cat([each[1] for each in found]).double().numpy()


def _lowest(x: Tensor, y: Tensor, v: Tensor, metric: GroundMetric) -> tuple[Tensor, Tensor]:
    """The smallest c(x_i, y_j) - v_j for each x, and approximately the one at the rank of the last first arc; shapes (n,)."""
    groups = min(_GROUPS, len(y))
    parts = zip(y.tensor_split(groups), v.tensor_split(groups), strict=True)
    minima = torch.stack([metric.pairwise(x, some).sub_(own).amin(1) for some, own in parts], 1).sort(dim=1).values
    return minima[:, 0], minima[:, min(_FIRST_ARCS // FINER, groups) - 1]


class Merged:
    """The problem between cells of neighbouring points."""

    def __init__(self, problem: Problem) -> None:
        self._whole = problem
        self._cells_x, self._cells_y = (_cells(side.numpy(), problem.largest // FINER) for side in (problem.x, problem.y))
        (x, a), (y, b) = self._cells_x.means(problem.x.numpy(), problem.a), self._cells_y.means(problem.y.numpy(), problem.b)
        self.problem = Problem(x=torch.from_numpy(x), y=torch.from_numpy(y), a=a, b=b, metric=problem.metric)

    def start(self, solved: SolvedPlan, pricing: Pricing) -> Start:
        """Returns a start for the whole problem, without pricing its pairs."""
        del pricing
        rows, columns = self._parts(*self._widened(solved))
        x, y, metric = self._whole.x, self._whole.y, self._whole.metric
        coarse_x, coarse_y = self._cells_x.labels, self._cells_y.labels
        coarse_u, coarse_v = (side.numpy() for side in solved.potentials)
        u, v = np.full(len(x), np.inf), np.full(len(y), np.inf)
        np.minimum.at(u, rows, distances(x, self.problem.y, rows, coarse_y[columns], metric) - coarse_v[coarse_y[columns]])
        np.minimum.at(v, columns, distances(self.problem.x, y, coarse_x[rows], columns, metric) - coarse_u[coarse_x[rows]])
        reduced = distances(x, y, rows, columns, metric) - u[rows] - v[columns]
        kept = among_smallest(rows, reduced, _FIRST_ARCS_FLAT) | among_smallest(columns, reduced, _FIRST_ARCS_FLAT)
        return Start(rows=rows[kept], columns=columns[kept], u=u, v=v)

    def _widened(self, solved: SolvedPlan) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of cells that the plan joins, and pairs with either cell replaced by a neighbour."""
        from scipy.spatial import cKDTree  # imported late: the import takes a tenth of a second

        x, y = self.problem.x.numpy(), self.problem.y.numpy()
        count = _NEIGHBOURS[x.shape[1]]
        near_x, near_y = (cKDTree(side).query(side, min(count, len(side)))[1].reshape(len(side), -1) for side in (x, y))
        rows = [np.repeat(solved.rows, near_y.shape[1]), near_x[solved.rows].ravel()]
        columns = [near_y[solved.columns].ravel(), np.repeat(solved.columns, near_x.shape[1])]
        keys = ascending(np.concatenate(rows) * len(y) + np.concatenate(columns))
        return keys // len(y), keys % len(y)

    def _parts(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of points in these pairs of cells."""
        (order_x, starts_x, sizes_x), (order_y, starts_y, sizes_y) = _members(self._cells_x), _members(self._cells_y)
        pairs = sizes_x[rows] * sizes_y[columns]
        each = np.repeat(np.arange(len(rows)), pairs)
        rank = np.arange(len(each)) - np.repeat(pairs.cumsum() - pairs, pairs)
        width = sizes_y[columns][each]
        return order_x[starts_x[rows][each] + rank // width], order_y[starts_y[columns][each] + rank % width]


def _cells(points: np.ndarray, most: int) -> Cells:
    """At most ``most`` cells; each point is its own cell if there are no more points than that."""
    if len(points) <= most:
        return Cells(labels=np.arange(len(points)), count=len(points))
    return cells_of(points, most.bit_length() - 1)


def _members(cells: Cells) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in the order of their cells, with the start and the size of each cell in that order."""
    sizes = np.bincount(cells.labels, minlength=cells.count)
    return np.argsort(cells.labels, kind="stable"), sizes.cumsum() - sizes, sizes


def distances(x: Tensor, y: Tensor, rows: np.ndarray, columns: np.ndarray, metric: GroundMetric) -> np.ndarray:
    """Distances of some pairs, computed from differences, shape (k,)."""
    found, step = np.empty(len(rows)), max(1, _NUMBERS_AT_ONCE // x.shape[1])  # one array: small ones would fragment the heap
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        found[part] = metric.norm(x[rows[part]] - y[columns[part]]).numpy()
    return found


def among_smallest(positions: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Marks the ``count`` smallest values of each position."""
    order = np.lexsort((values, positions))
    ordered = positions[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, dtype=np.int64)
    rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    marked = np.zeros(len(positions), dtype=bool)
    marked[order[rank < count]] = True
    return marked
