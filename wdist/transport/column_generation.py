r"""Exact transport between many samples by column generation.

The transport problem is solved on a few arcs per sample. Its dual variables price all pairs, and pairs with a negative reduced cost
:math:`c_{ij} - u_i - v_j` become arcs of the next round:

- the plan of every round is feasible, so its cost is an upper bound;
- lowering each :math:`u_i` by the most negative reduced cost of its row makes the dual variables feasible, so their value is a
  lower bound.

The rounds end when the two are close enough. Samples are refined from coarse to fine: the dual variables of a subset, extended by
c-transform, choose the first arcs of the next larger one. Memory grows with the number of arcs, not of pairs.

Pairs are priced in float32 by matrix products, with a margin for their rounding; the cost of every arc is computed in float64.

References:
    Dantzig & Wolfe (1960), Decomposition principle for linear programs (column generation).
    Schmitzer (2016), A sparse multiscale algorithm for dense optimal transport (coarse to fine).
    Bonneel et al. (2011), Displacement interpolation using Lagrangian mass transport (the network simplex).
    Flamary et al. (2021), POT: Python optimal transport.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import coo_matrix
from torch import Tensor

from wdist.data.memory import check_free
from wdist.ground_metric import L2, GroundMetric
from wdist.transport.coupling import BYTES_PER_PAIR, SolvedPlan, solve

_COARSEST, _FINER = 1500, 4
"""Samples of each side that the dense solver takes, and the growth from level to level."""
_COARSE_SECONDS = 2.0
"""Time of the dense solver on them."""
_MOST_ROUNDS = 60
_COARSE_GAP = 3e-3
"""Relative gap at which a level passes its dual variables on."""
_FIRST_ARCS, _NEW_ARCS, _MOST_ARCS, _KEPT_ARCS = 12, 8, 40, 25
"""Arcs of a sample: at first, new in a round, before some are dropped, and after."""
BYTES_PER_SAMPLE = 8000
"""Peak memory of the arcs of one sample."""
_BLOCK_ROWS, _BLOCK_COLUMNS = 512, 8192
"""Pairs that are priced at a time, so that a block stays in the cache."""
_CROWDED, _FROM_CROWDED = 64, 4
"""Violated pairs in a row of a block above which only the most violated are taken, and how many."""
_MARGIN = 2e-6
"""Margin for float32 products, as a share of the squared norms."""
LARGEST = 1e9
"""Largest coordinate that float32 prices with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedPlan:
    """A plan, and both bounds for the cost of an optimal one as computed."""

    plan: SolvedPlan
    """With dual variables that a c-transform makes feasible."""
    lower: float
    upper: float

    @property
    def relative_gap(self) -> float:
        """Gap as a share of the upper bound."""
        return (self.upper - self.lower) / self.upper if self.upper > 0 else 0.0


def affordable_rounds(n: int, m: int, dim: int, seconds: float) -> int:
    """Rounds of :func:`column_generation` that two cores do in that time, roughly; 0 if they are too few for a gap of 0.1 %.

    Fitted for 5,000 to 100,000 samples. It follows from counts alone, so that a busy machine computes the same digits.
    """
    one = n * m * (1.4e-9 + 2.4e-11 * dim) + 1.2 * (max(n, m) / 2e4) ** 1.6
    rounds = int((seconds - _COARSE_SECONDS) / one)
    return min(rounds, _MOST_ROUNDS) if rounds >= (30 if dim <= 3 else 4) else 0


def column_generation(
    x: Tensor,
    y: Tensor,
    a: np.ndarray,
    b: np.ndarray,
    metric: GroundMetric = L2,
    *,
    tolerance: float = 1e-3,
    rounds: int = _MOST_ROUNDS,
    seed: int = 0,
    coarsest: int | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> GeneratedPlan:
    """Solves transport between masses a at x and b at y until the relative gap is at most ``tolerance``.

    Arguments:
        x, y: points, float64, shapes (n, dim) and (m, dim).
        a, b: their masses, positive, shapes (n,) and (m,), with the same sum up to rounding.
        metric: between points.
        tolerance: relative gap.
        rounds: most rounds on all samples, and on each subset of them.
        seed: of the subsets.
        coarsest: samples of each side that the dense solver takes, approximately; None for about a second.
        progress: is told both bounds after each round on all samples.
    """
    random = np.random.default_rng(seed)
    order_x, order_y = random.permutation(len(x)), random.permutation(len(y))
    sizes = _sizes(max(len(x), len(y)), coarsest or _COARSEST)
    rows, columns = order_x[: sizes[0]], order_y[: sizes[0]]
    coarse = solve(x[rows], y[columns], _masses(a, rows), _masses(b, columns), metric)
    generated = GeneratedPlan(plan=coarse, lower=0.0, upper=math.inf)
    for size in sizes[1:]:
        finer_rows, finer_columns = order_x[:size], order_y[:size]
        u, v = generated.plan.potentials
        finer_u = _c_transform(x[finer_rows], y[columns], v, metric)
        finer_v = _c_transform(y[finer_columns], x[rows], u, metric)
        rows, columns, last = finer_rows, finer_columns, size == sizes[-1]
        level = _Level(x[rows], y[columns], _masses(a, rows), _masses(b, columns), metric, random)
        generated = level.solve(
            finer_u,
            finer_v,
            tolerance=tolerance if last else max(tolerance, _COARSE_GAP),
            rounds=rounds,
            progress=progress if last else None,
        )
    if len(sizes) == 1:
        return _dense(_reordered(generated.plan, rows, columns), x, y, a, b, metric)
    return replace(generated, plan=_reordered(generated.plan, rows, columns))


def _sizes(largest: int, coarsest: int) -> list[int]:
    """Numbers of samples from coarse to fine."""
    sizes = [largest]
    while sizes[0] > 1.5 * coarsest:
        sizes.insert(0, sizes[0] // _FINER)
    return sizes


def _masses(masses: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    part = masses[chosen]
    return part * (masses.sum() / part.sum())


def _reordered(plan: SolvedPlan, rows: np.ndarray, columns: np.ndarray) -> SolvedPlan:
    """The plan between permuted samples, in their own order."""
    u, v = (torch.empty_like(side) for side in plan.potentials)
    u[torch.from_numpy(rows)], v[torch.from_numpy(columns)] = plan.potentials
    return replace(plan, rows=rows[plan.rows], columns=columns[plan.columns], potentials=(u, v))


def _dense(plan: SolvedPlan, x: Tensor, y: Tensor, a: np.ndarray, b: np.ndarray, metric: GroundMetric) -> GeneratedPlan:
    """The result where the dense solver took all samples."""
    u, v = plan.potentials
    upper = float(torch.from_numpy(plan.mass) @ metric.norm(x[plan.rows] - y[plan.columns]))
    feasible = torch.minimum(u, _c_transform(x, y, v, metric))
    return GeneratedPlan(plan=plan, lower=float(feasible.numpy() @ a + v.numpy() @ b), upper=upper)


def _c_transform(x: Tensor, y: Tensor, v: Tensor, metric: GroundMetric) -> Tensor:
    """min_j (c(x_i, y_j) - v_j) in float32, returned as float64, shape (n,)."""
    y, v = y.float(), v.float()
    return torch.cat([(metric.pairwise(part, y) - v).amin(1) for part in x.float().split(1024)]).double()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Arcs:
    """Some pairs with their costs; no pair twice."""

    rows: np.ndarray
    columns: np.ndarray
    costs: np.ndarray

    def reduced(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.costs - u[self.rows] - v[self.columns]

    def __getitem__(self, kept: np.ndarray) -> "_Arcs":
        return _Arcs(rows=self.rows[kept], columns=self.columns[kept], costs=self.costs[kept])


class _Level:
    """The transport problem between some samples."""

    def __init__(
        self, x: Tensor, y: Tensor, a: np.ndarray, b: np.ndarray, metric: GroundMetric, random: np.random.Generator
    ) -> None:
        self._x, self._y, self._a, self._b, self._metric, self._random = x, y, a, b, metric, random
        centre = x.mean(0)
        self._x32, self._y32 = (x - centre).float(), (y - centre).float()
        self._squares_x, self._squares_y = (side.square().sum(1) * (1 - _MARGIN) for side in (self._x32, self._y32))

    def solve(
        self, u: Tensor, v: Tensor, *, tolerance: float, rounds: int, progress: Callable[[float, float], None] | None
    ) -> GeneratedPlan:
        """Rounds of column generation, started with arcs of small reduced cost under u and v."""
        arcs, lower = self._first_arcs(u, v), -math.inf
        for number in range(1, rounds + 1):
            plan, upper = self._restricted(arcs)
            dual_u, dual_v = (side.numpy() for side in plan.potentials)
            violated = self._arcs(*self._below(torch.from_numpy(dual_u), torch.from_numpy(dual_v)))
            reduced = violated.reduced(dual_u, dual_v)
            lower = max(lower, self._dual_value(dual_u, dual_v, violated, reduced))
            if progress is not None:
                progress(lower, upper)
            if upper - lower <= tolerance * upper or number == rounds:
                break
            new = violated[(reduced < 0) & (_among_first(violated.rows, reduced) | _among_first(violated.columns, reduced))]
            if not len(new.rows):
                break
            arcs = self._joined(self._thinned(arcs, plan, dual_u, dual_v), new)
        return GeneratedPlan(plan=plan, lower=max(lower, 0.0), upper=upper)

    def _first_arcs(self, u: Tensor, v: Tensor) -> _Arcs:
        """About :data:`_FIRST_ARCS` arcs of smallest reduced cost for each sample, and those of a feasible plan."""
        reach_u = u + self._quantile(self._x32, self._y32, u, v)
        reach_v = v + self._quantile(self._y32, self._x32, v, u)
        rows, columns = self._below(u, v, reach_u, reach_v)
        feasible = _corner_plan(self._a, self._b, np.argsort(u.numpy()), np.argsort(-v.numpy()))
        return self._arcs(np.concatenate([rows, feasible[0]]), np.concatenate([columns, feasible[1]]))

    def _quantile(self, x: Tensor, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """For each x, about the reduced cost that :data:`_FIRST_ARCS` of all y do not exceed, from a part of them."""
        count = min(len(y), max(2000, len(y) // 8))
        part = torch.from_numpy(self._random.permutation(len(y))[:count])
        rank, y, v = min(count, max(1, round(_FIRST_ARCS * count / len(y)))), y[part], v.float()[part]
        found = [
            (self._metric.pairwise(some, y) - v - own[:, None]).kthvalue(rank, 1).values
            for some, own in zip(x.split(1024), u.float().split(1024), strict=True)
        ]
        return torch.cat(found).double()

    def _restricted(self, arcs: _Arcs) -> tuple[SolvedPlan, float]:
        """An optimal plan on some arcs, and its cost."""
        import ot  # imported here because it takes more than a second

        shape = (len(self._a), len(self._b))
        check_free(BYTES_PER_PAIR * len(arcs.costs))
        flow, log = ot.emd(self._a, self._b, coo_matrix((arcs.costs, (arcs.rows, arcs.columns)), shape=shape), 10**9, log=True)
        flow = flow.tocoo()
        carries = flow.data > 0
        plan = SolvedPlan(
            rows=flow.row[carries].astype(np.int64),
            columns=flow.col[carries].astype(np.int64),
            mass=flow.data[carries],
            potentials=(torch.from_numpy(np.asarray(log["u"])), torch.from_numpy(np.asarray(log["v"]))),
        )
        return plan, float(log["cost"])

    def _dual_value(self, u: np.ndarray, v: np.ndarray, violated: _Arcs, reduced: np.ndarray) -> float:
        """Value of the dual variables once each u_i is lowered by the most violated pair of its row, so that they are feasible."""
        most = np.zeros(len(self._a))
        np.minimum.at(most, violated.rows, reduced)
        return float((u + most) @ self._a + v @ self._b)

    def _arcs(self, rows: np.ndarray, columns: np.ndarray) -> _Arcs:
        keys = np.unique(rows.astype(np.int64) * len(self._b) + columns)
        rows, columns = keys // len(self._b), keys % len(self._b)
        step = max(1, (1 << 21) // self._x.shape[1])
        parts = [slice(start, start + step) for start in range(0, len(rows), step)]
        costs = [self._metric.norm(self._x[rows[part]] - self._y[columns[part]]).numpy() for part in parts]
        return _Arcs(rows=rows, columns=columns, costs=np.concatenate(costs) if costs else np.empty(0))

    def _thinned(self, arcs: _Arcs, plan: SolvedPlan, u: np.ndarray, v: np.ndarray) -> _Arcs:
        """The arcs without those of large reduced cost, where there are too many; those of the plan stay."""
        largest = max(len(self._a), len(self._b))
        if len(arcs.rows) <= _MOST_ARCS * largest:
            return arcs
        reduced = arcs.reduced(u, v)
        carrying = np.isin(arcs.rows * len(self._b) + arcs.columns, plan.rows * len(self._b) + plan.columns)
        return arcs[carrying | (reduced <= np.partition(reduced, _KEPT_ARCS * largest)[_KEPT_ARCS * largest])]

    def _joined(self, arcs: _Arcs, new: _Arcs) -> _Arcs:
        keys = np.concatenate([each.rows * len(self._b) + each.columns for each in (arcs, new)])
        _, first = np.unique(keys, return_index=True)
        both = (np.concatenate([getattr(each, name) for each in (arcs, new)]) for name in ("rows", "columns", "costs"))
        rows, columns, costs = (values[first] for values in both)
        return _Arcs(rows=rows, columns=columns, costs=costs)

    def _below(
        self, u: Tensor, v: Tensor, reach_u: Tensor | None = None, reach_v: Tensor | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs whose cost may be below u_i + v_j, or below the larger of reach_u_i + v_j and u_i + reach_v_j.

        Where they crowd, the most violated pair of each row and column is among them.
        """
        reach = (u, v) if reach_u is None or reach_v is None else (reach_u, reach_v)
        rows, columns = [], []

        def most(block: tuple[slice, slice], dtype: torch.dtype) -> Tensor:
            (i, j), (far_u, far_v) = block, reach
            low_u, low_v = u[i, None].to(dtype), v[None, j].to(dtype)
            if far_u is u:
                return low_u + low_v
            return torch.maximum(far_u[i, None].to(dtype) + low_v, low_u + far_v[None, j].to(dtype))

        for block in self._blocks():
            found = torch.nonzero(self._excess(block, most(block, torch.float32)) < 0)
            crowded = _CROWDED * (block[0].stop - block[0].start)
            if len(found) > crowded:  # many, or too near for float32
                reduced = self._metric.pairwise(self._x[block[0]], self._y[block[1]]).sub_(most(block, torch.float64))
                found = torch.nonzero(reduced < 0)
                if len(found) > crowded:
                    found = _most_violated(reduced)
            rows.append(found[:, 0].numpy() + block[0].start)
            columns.append(found[:, 1].numpy() + block[1].start)
        return np.concatenate(rows), np.concatenate(columns)

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        for start in range(0, len(self._x32), _BLOCK_ROWS):
            rows = slice(start, min(start + _BLOCK_ROWS, len(self._x32)))
            for first in range(0, len(self._y32), _BLOCK_COLUMNS):
                yield rows, slice(first, min(first + _BLOCK_COLUMNS, len(self._y32)))

    def _excess(self, block: tuple[slice, slice], most: Tensor) -> Tensor:
        """A block of numbers that are negative wherever the cost is below ``most``: squares in the Euclidean metric."""
        x, y = self._x32[block[0]], self._y32[block[1]]
        if self._metric != L2:
            return self._metric.pairwise(x, y).mul_(1 - _MARGIN).sub_(most)
        squares = torch.addmm(self._squares_y[block[1]], x, y.mT, alpha=-2).add_(self._squares_x[block[0], None])
        return squares.sub_(most.clamp_(min=0).square_())


def _most_violated(reduced: Tensor) -> Tensor:
    """The pairs of a block that are most violated in each row, and in each column; shape (k, 2)."""
    count, width = reduced.shape
    in_rows = reduced.topk(min(_FROM_CROWDED, width), dim=1, largest=False).indices
    rows = torch.stack([torch.arange(count).repeat_interleave(in_rows.shape[1]), in_rows.flatten()], 1)
    lowest = reduced.min(0)
    columns = torch.stack([lowest.indices, torch.arange(width)], 1)[lowest.values < 0]
    return torch.cat([rows, columns])


def _among_first(positions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Marks the :data:`_NEW_ARCS` smallest values of each position."""
    order = np.lexsort((values, positions))
    ordered = positions[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, dtype=np.int64)
    rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    marked = np.zeros(len(positions), dtype=bool)
    marked[order[rank < _NEW_ARCS]] = True
    return marked


def _corner_plan(a: np.ndarray, b: np.ndarray, order_x: np.ndarray, order_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a feasible plan: both sides in an order, each sample filled from where the previous one ended."""
    ends_x, ends_y = np.cumsum(a[order_x]), np.cumsum(b[order_y])
    cuts = np.union1d(ends_x, ends_y)
    middles = (np.r_[0.0, cuts[:-1]] + cuts) / 2
    rows = order_x[np.minimum(np.searchsorted(ends_x, middles), len(a) - 1)]
    return rows, order_y[np.minimum(np.searchsorted(ends_y, middles), len(b) - 1)]
