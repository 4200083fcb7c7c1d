"""Couplings of many samples: a tree of halves, improved by exact transport in small blocks.

The tree halves both sides by mass along one direction, the difference of two random samples, then each half along another, and so
on; the leaves of both sides are coupled in order. Then the plan is improved in rounds: its entries are grouped, and transport
between the two ends of each group is solved exactly. Groups are either neighbours, found by bisecting the midpoints of the entries
along other directions, or random, which in the plane moves mass far at once; each round uses the kind that last gained more. The
marginals stay the same and no step increases the cost, so it falls from round to round. By contrast, the usual estimate from blocks
of independent samples is as large as W1 of such small samples.

References:
    Genest, Bonneel, Nivoliers & Coeurjolly (2025), BSP-OT: sparse transport plans between discrete measures in loglinear time (the
    tree).
    Fatras et al. (2020), Learning with minibatch Wasserstein, arXiv:1910.04091 (blocks at random).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from wdist.checkpoints.checkpoint import current, now
from wdist.data.rows import ResidentRows
from wdist.distributed.processes import processes
from wdist.errors import SourceError
from wdist.ground_metric import GroundMetric
from wdist.transport.coupling import Coupling, Effort, Plan, Sides, computed_cost, cost_above, in_parallel, predicted_seconds, solve

_SIZES = (1000, 500, 250, 100, 50)  # entries in a group, which limits the samples of each side in a block
_ENOUGH_ROUNDS, _MOST_ROUNDS = 5, 40  # with fewer rounds, smaller blocks gain more in the same time
_PATIENCE, _PATIENCE_FOR_TREE = 6, 60  # multiples of an effort's seconds for one round, and for a tree without a limit
_DIRECTIONS = 16  # directions drawn for each round; each bisection uses one of them
_LEAF = 4  # approximate number of samples in a leaf
_FLOPS = 5e9  # floating-point operations per second of matrix products on one core
_OVERHEAD = 1e-3  # seconds per block in addition to the simplex
_SORTED = 4e-7  # seconds per sample and level of the tree
_COPIES = 4  # copies of the samples, and of their positions along the directions, held in memory at a time
_LEAST_TOGETHER = 2000  # fewest samples of the larger side in one part, however little memory there is,
_LEAST_BYTES = 1 << 28  # unless they take more than this
_SAVED_TOGETHER = 64  # blocks to solve before the state of a run may be saved
_LARGEST_MASS = 1 << 62  # masses are int64, and those of all samples add up to n m
_NEGLIGIBLE = 1e-13  # fraction of a sample's mass below which an entry, left by rounding, is dropped; the bound charges the loss


Grouping: TypeAlias = Callable[[np.ndarray, int, np.random.Generator], Iterator[np.ndarray]]
"""Divides the entries of a plan, by their midpoints, into groups of at most a given size."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Sizes of a coupling made of blocks."""

    parts: int
    """Number of parts that are coupled separately to fit into memory."""
    size: int
    """Samples of each side in a block."""
    rounds: int
    """Rounds of improvement; with 0, the coupling is the tree."""
    levels: int | None = None
    """Levels of the tree if there is no time for all of them."""

    @property
    def method(self) -> str:
        """The coupling in words."""
        tree = "a tree of halves" if self.levels is None else f"a tree of halves with {self.levels} levels, for lack of time"
        rounds = "1 round" if self.rounds == 1 else f"{self.rounds} rounds"
        return tree + (f", improved in {rounds} by blocks of {self.size}" if self.rounds else "")


def affordable_work(n: int, m: int, dim: int, effort: Effort) -> Work | None:
    """The sizes that time and memory allow, from the counts alone; None if even a tree would take too long.

    With millions of samples, a tree alone may take far longer than the effort's time, and a single round somewhat longer.
    """
    if effort.seconds <= 0 or n * m > _LARGEST_MASS:
        return None
    held = (n + m) * 8 * _COPIES * (dim + _DIRECTIONS)
    nbytes = effort.nbytes if effort.blocks_nbytes is None else min(effort.nbytes, effort.blocks_nbytes)
    together = max(1, min(_LEAST_TOGETHER, _LEAST_BYTES // (2 * 8 * _COPIES * (dim + _DIRECTIONS))))
    parts = max(1, min(-(-held // max(nbytes, 1)), max(n, m) // together))
    tree = tree_seconds(n, m, dim)
    patience = effort.most_seconds if math.isfinite(effort.most_seconds) else _PATIENCE_FOR_TREE * effort.seconds
    if tree > patience:
        levels = int((patience - tree_seconds(n, m, dim, levels=0)) / ((n + m) * _SORTED)) if effort.short_tree else 0
        return Work(parts=parts, size=_SIZES[-1], rounds=0, levels=levels) if levels > 0 else None
    for size in _SIZES:
        round_seconds = _round_seconds(max(n, m), dim, size)
        rounds = max(0, int((effort.seconds - tree) / round_seconds))
        if rounds >= _ENOUGH_ROUNDS:
            break
    if rounds == 0 and tree + round_seconds <= min(_PATIENCE * effort.seconds, effort.most_seconds):
        rounds = 1
    return Work(parts=parts, size=size, rounds=min(rounds, _MOST_ROUNDS))


def tree_seconds(n: int, m: int, dim: int, *, levels: int | None = None) -> float:
    """Predicted seconds of a tree, by default with all levels."""
    return (n + m) * (_SORTED * (_levels(n, m) if levels is None else levels) + 2 * dim * _DIRECTIONS / _FLOPS)


def _levels(n: int, m: int) -> int:
    return max(1, (max(n, m) // _LEAF).bit_length())


def _round_seconds(n: int, dim: int, size: int) -> float:
    block = 2 * predicted_seconds(size, size) + 2 * size * size * dim / _FLOPS + _OVERHEAD
    return -(-n // size) * block + 4 * n * dim * _DIRECTIONS / _FLOPS


def block_coupling(
    sides: Sides,
    *,
    effort: Effort,
    seed: int,
    work: Work | None = None,
    most_seconds: float = math.inf,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Coupling | None:
    """Like :func:`wdist.transport.samples.upper_bound`, but never compares all pairs; ``work`` overrides what the effort affords.

    Also None if the finished parts show that all parts will take longer than ``most_seconds``.
    """
    work = work or affordable_work(*sides.counts, sides.dim, effort)
    if work is None:
        return None
    a, b, random = sides.a, sides.b, np.random.default_rng(seed)
    # Rows of a file are read in stored order, and rows of a block are already in random order.
    orders = [
        torch.from_numpy(random.permutation(side.count)) if work.parts > 1 and isinstance(side, ResidentRows) else None
        for side in (a, b)
    ]
    costs, began = [], now()
    entries: dict[str, list[np.ndarray]] = {"rows": [], "columns": [], "mass": []}
    for part in range(work.parts):
        if math.isfinite(most_seconds) and part and processes().decided(now() - began) * work.parts / part > most_seconds:
            return None

        def in_part(fraction: float, part: int = part) -> None:
            progress((part + fraction) / work.parts)

        members = [_members(side.count, part, work.parts) for side in (a, b)]
        x, y = (sides.prepare(side.span(*span, order)) for side, span, order in zip((a, b), members, orders, strict=True))
        units_x, units_y = _units(a.count, part, work.parts) * b.count, _units(b.count, part, work.parts) * a.count
        plan = couple(x, y, units_x, units_y, work, random=random, metric=sides.metric, progress=in_part)
        costs.append(cost_above(x, y, units_x / units_x.sum(), units_y / units_y.sum(), plan, sides.metric) / work.parts)
        if effort.keep_plan:
            rows, columns = (_positions(*span, order) for span, order in zip(members, orders, strict=True))
            entries["rows"].append(rows[plan.rows])
            entries["columns"].append(columns[plan.columns])
            entries["mass"].append(plan.mass / work.parts)
        del x, y, plan  # free the memory before the next part is read
    # One array after another, so that not all entries are in memory twice.
    whole = Plan(**{name: np.concatenate(entries.pop(name)) for name in list(entries)}) if effort.keep_plan else None
    return Coupling(cost=math.fsum(costs) * (1 + 1e-12), exact=False, method=work.method, plan=whole)


def _members(n: int, k: int, parts: int) -> tuple[int, int]:
    """Start and end of the samples with some mass in the k-th of ``parts`` equal shares."""
    return k * n // parts, -(-(k + 1) * n // parts)


def _positions(start: int, stop: int, order: Tensor | None) -> np.ndarray:
    return np.arange(start, stop) if order is None else order[start:stop].numpy()


def _units(n: int, k: int, parts: int) -> np.ndarray:
    """Masses of these samples as integers with sum n; a sample between two shares is split, so the marginals are exact."""
    members = np.arange(*_members(n, k, parts))  # sample i covers [i * parts, (i + 1) * parts)
    return np.minimum((members + 1) * parts, (k + 1) * n) - np.maximum(members * parts, k * n)


def couple(
    x: Tensor,
    y: Tensor,
    units_x: np.ndarray,
    units_y: np.ndarray,
    work: Work,
    *,
    random: np.random.Generator,
    metric: GroundMetric,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Plan:
    """A plan of total mass 1, found block by block, between points x and y, float64, shapes (n, dim) and (m, dim).

    Their masses ``units_x`` and ``units_y`` are positive integers with the same sum. With several processes, the first one makes
    the tree and the groups, and each solves an equal share of them.
    """
    coupling = _Coupling(x, y, work.size, random, metric)
    part = current().part(f"blocks between {len(x)} and {len(y)} points", [coupling], shared=[coupling.random])
    if part.result is not None:
        return _checked(part.result, len(x), len(y))

    def all_rounds() -> None:
        if coupling.plan is None:
            with part.step():
                coupling.begin(units_x, units_y, work.levels)
        while coupling.rounds < work.rounds:
            with part.step():
                coupling.improve(together=None if processes().size > 1 or not current().active else _SAVED_TOGETHER)
            progress(coupling.rounds / work.rounds)

    part.run(all_rounds)
    assert coupling.plan is not None, "there is a tree"
    part.finish(coupling.plan)
    return coupling.plan


def _checked(plan: Plan, n: int, m: int) -> Plan:
    """Checks a plan from a file.

    Raises:
        SourceError: the plan is not between this many points.
    """
    if not all(len(side) and 0 <= side.min() and side.max() < count for side, count in ((plan.rows, n), (plan.columns, m))):
        raise SourceError("the plan in the --checkpoint folder does not fit these samples; start again in another folder")
    return plan


class _Random:
    """A numpy generator that a resumed run continues."""

    resumable = ("state",)

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator

    @property
    def state(self) -> Any:
        return self.generator.bit_generator.state

    @state.setter
    def state(self, state: Any) -> None:
        self.generator.bit_generator.state = state


class _Coupling:
    """A plan that is improved round by round, and within a round a few blocks at a time."""

    resumable = ("random", "plan", "rounds", "_cost", "_gains", "_before", "_improved", "_done")

    def __init__(self, x: Tensor, y: Tensor, size: int, random: np.random.Generator, metric: GroundMetric) -> None:
        self._x, self._y, self._size, self._metric = x, y, size, metric
        self.random = _Random(random)
        self.plan: Plan | None = None
        self.rounds, self._cost = 0, 0.0
        self._gains = [math.inf] * len(_GROUPINGS)
        self._groups: list[np.ndarray] | None = None
        self._before: Any = None
        """State of the generator before the groups of the current round were drawn; None between rounds."""
        self._improved: list[Plan] = []
        self._done = 0
        """Number of groups of the current round that have been improved."""

    def begin(self, units_x: np.ndarray, units_y: np.ndarray, levels: int | None) -> None:
        """Makes the tree."""
        tree = partial(_tree, self._x, self._y, units_x, units_y, self.random.generator, levels)
        self.plan = processes().from_first("a tree of halves", tree)
        self._cost = computed_cost(self._x, self._y, self.plan, self._metric)

    def improve(self, *, together: int | None) -> None:
        """Improves the next groups of the round, at most ``together``, and ends the round after the last one."""
        x, y, plan = self._x, self._y, self.plan
        assert plan is not None, "a tree comes first"
        chosen = self._gains.index(max(self._gains))
        if self._groups is None:
            self._groups = self._divided(plan, _GROUPINGS[chosen])
        groups = self._groups
        stop = len(groups) if together is None else min(self._done + together, len(groups))
        numbers = np.array_split(np.arange(self._done, stop), processes().size)
        shares = [[groups[number] for number in share.tolist()] for share in numbers]
        tasks = [partial(_all_improved, x, y, plan, share, self._metric) for share in shares]
        self._improved += processes().spread("blocks", tasks)
        self._done = stop
        if stop == len(groups):
            self.plan = _joined(self._improved)
            before, self._cost = self._cost, computed_cost(x, y, self.plan, self._metric)
            self._gains[chosen] = before - self._cost
            self.rounds += 1
            self._groups, self._before, self._improved, self._done = None, None, [], 0

    def _divided(self, plan: Plan, grouping: Grouping) -> list[np.ndarray]:
        """Groups of a new round; a round begun by an earlier run gets the same groups again."""
        if self._before is not None:
            self.random.state = self._before
        self._before = self.random.state
        find = partial(_groups, self._x, self._y, plan, grouping, self._size, self.random.generator)
        return processes().from_first("groups of a plan", find)


def _tree(
    x: Tensor, y: Tensor, units_x: np.ndarray, units_y: np.ndarray, random: np.random.Generator, levels: int | None = None
) -> Plan:
    """Couples the leaves of both sides in order; a tree has at most ``levels``."""
    along_x, along_y = _projections(x, y, random)
    most = _levels(len(x), len(y))
    directions = random.integers(_DIRECTIONS, size=most if levels is None else min(levels, most))
    order_x, order_y = (
        _tree_order([along[direction] for direction in directions], units)
        for along, units in ((along_x, units_x), (along_y, units_y))
    )
    return in_parallel(order_x, units_x, order_y, units_y)


def _groups(x: Tensor, y: Tensor, plan: Plan, grouping: Grouping, size: int, random: np.random.Generator) -> list[np.ndarray]:
    """Groups of the entries of a plan."""
    along_x, along_y = _projections(x, y, random)
    middles = (along_x[:, plan.rows] + along_y[:, plan.columns]) / 2
    return list(grouping(middles, size, random))


def _projections(x: Tensor, y: Tensor, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Both sides projected onto differences of samples, which vary where the samples do; (directions, n) and (directions, m)."""
    ends = []
    for _ in range(2):
        picks = random.integers(len(x) + len(y), size=_DIRECTIONS)
        ends.append(torch.stack([x[pick] if pick < len(x) else y[pick - len(x)] for pick in picks.tolist()]))
    directions = ends[0] - ends[1]
    return (directions @ x.mT).numpy(), (directions @ y.mT).numpy()


def _tree_order(along: list[np.ndarray], units: np.ndarray) -> np.ndarray:
    """Points in the order of the leaves of a tree; each level halves the cells by mass along one direction."""
    order = np.argsort(along[0], kind="stable")
    for level in range(1, len(along)):
        begins = units[order].cumsum() - units[order]
        cells = (begins / units.sum() * (1 << level)).astype(np.int64)
        order = order[np.lexsort((along[level][order], cells))]
    return order


def _neighbours(middles: np.ndarray, size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Groups of at most ``size`` neighbouring entries of a plan, by bisection of their midpoints, shape (directions, entries)."""
    pending = [np.arange(middles.shape[1])]
    while pending:
        group = pending.pop()
        if len(group) <= size:
            yield group
            continue
        half = len(group) // 2
        order = np.argpartition(middles[random.integers(len(middles)), group], half)
        pending += [group[order[half:]], group[order[:half]]]


def _scattered(middles: np.ndarray, size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Random groups of at most ``size`` entries of a plan."""
    order = random.permutation(middles.shape[1])
    yield from np.array_split(order, -(-len(order) // size))


_GROUPINGS: tuple[Grouping, ...] = (_neighbours, _scattered)


def _improved(x: Tensor, y: Tensor, plan: Plan, group: np.ndarray, metric: GroundMetric) -> Plan:
    """The optimal plan with the marginals of these entries."""
    rows, at_row = np.unique(plan.rows[group], return_inverse=True)
    columns, at_column = np.unique(plan.columns[group], return_inverse=True)
    mass = plan.mass[group]
    share = float(mass.sum())
    from_rows, to_columns = np.bincount(at_row, mass) / share, np.bincount(at_column, mass) / share
    better = solve(x[rows], y[columns], from_rows, to_columns, metric)
    kept = better.mass * share > _NEGLIGIBLE / max(len(x), len(y))
    return Plan(rows=rows[better.rows[kept]], columns=columns[better.columns[kept]], mass=better.mass[kept] * share)


def _all_improved(x: Tensor, y: Tensor, plan: Plan, groups: list[np.ndarray], metric: GroundMetric) -> Plan:
    """The same for several groups of entries; an empty plan if there are none."""
    none = np.empty(0, dtype=np.int64)
    empty = Plan(rows=none, columns=none, mass=np.empty(0))
    return _joined([empty, *(_improved(x, y, plan, group, metric) for group in groups)])


def _joined(plans: list[Plan]) -> Plan:
    return Plan(
        rows=np.concatenate([plan.rows for plan in plans]),
        columns=np.concatenate([plan.columns for plan in plans]),
        mass=np.concatenate([plan.mass for plan in plans]),
    )
