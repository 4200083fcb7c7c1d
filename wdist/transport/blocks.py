r"""A coupling of many samples, made of exact transport in blocks that are small enough, and improved block by block.

It begins with a tree: both sides are halved by mass along one direction, the difference of two samples drawn at random, their
halves along another, and so on, and the leaves of one side are coupled with those of the other, in order. Then the plan is
improved: what it carries, pair by pair, is grouped, and transport between the two ends of each group is solved exactly. Pairs are
grouped either with their neighbours, by bisection of their middles along other directions, or at random, which on the plane moves
mass over long ways at once; the one that gained more when it was last tried is tried next. The marginals are kept and no step costs
more than what it replaces, so that the cost falls from round to round. Blocks of independent samples, which are the usual estimate,
cost as much as W1 of so few samples.

References:
    Genest, Bonneel, Nivoliers & Coeurjolly (2025), BSP-OT: sparse transport plans between discrete measures in loglinear time (the
    tree).
    Fatras et al. (2020), Learning with minibatch Wasserstein, arXiv:1910.04091 (blocks at random).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wdist.data.rows import Rows
from wdist.ground_metric import GroundMetric
from wdist.transport.coupling import Coupling, Effort, predicted_seconds
from wdist.transport.exact import Plan, carried, cost_above, solve

_SIZES = (1000, 500, 250, 100, 50)
"""Pairs in a group, hence at most so many samples of each side in a block."""
_ENOUGH_ROUNDS, _MOST_ROUNDS = 5, 40
"""With fewer rounds, smaller blocks get further in the same time."""
_DIRECTIONS = 16
"""Drawn for each round; each bisection takes one of them."""
_LEAF = 4
"""Samples at which halving ends, about."""
_FLOPS = 5e9
"""Of products of matrices on one core, a second."""
_OVERHEAD = 1e-3
"""Seconds of a block beside the simplex."""
_SORTED = 4e-7
"""Seconds of one sample on one level of the tree."""
_COPIES = 4
"""Of the samples, and of their places along the directions, that are in memory at a time."""
_LEAST_TOGETHER = 2000
"""Samples of either side that are coupled with each other, however little memory there is."""
_NEGLIGIBLE = 1e-13
"""Share of the mass of one sample below which a part of it is dropped: rounding leaves such parts, and their absence is charged."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """How a coupling is made of blocks."""

    parts: int
    """Into which all samples are divided before anything else, since no more of them fit into memory."""
    size: int
    """Samples of each side in a block."""
    rounds: int
    """Of improvement; without any the tree is all there is."""


def affordable_work(n: int, m: int, dim: int, effort: Effort) -> Work | None:
    """What time and memory allow; None where not even a tree is affordable.

    It follows from the counts alone, so that the same samples always have the same bound.
    """
    if effort.seconds <= 0:
        return None
    held = (n + m) * 8 * (_COPIES * dim + _COPIES * _DIRECTIONS)
    parts = max(1, min(-(-held // max(effort.of_blocks, 1)), max(n, m) // _LEAST_TOGETHER))
    seconds = effort.seconds - (n + m) * (_SORTED * _levels(n, m) + 2 * dim * _DIRECTIONS / _FLOPS)
    if seconds < 0:
        return None
    for size in _SIZES:
        rounds = int(seconds / _round_seconds(max(n, m), dim, size))
        if rounds >= _ENOUGH_ROUNDS:
            break
    return Work(parts=parts, size=size, rounds=min(rounds, _MOST_ROUNDS))


def _levels(n: int, m: int) -> int:
    return max(1, (max(n, m) // _LEAF).bit_length())


def _round_seconds(n: int, dim: int, size: int) -> float:
    block = 2 * predicted_seconds(size, size) + 2 * size * size * dim / _FLOPS + _OVERHEAD
    return -(-n // size) * block + 4 * n * dim * _DIRECTIONS / _FLOPS


def block_coupling(
    a: Rows, b: Rows, *, prepare: Callable[[Tensor], Tensor], effort: Effort, seed: int, metric: GroundMetric
) -> Coupling | None:
    """A coupling of all samples, none of which is ever held against all others.

    Arguments:
        a, b: all samples of each side.
        prepare: a shift and a scale; the cost is in its units.
        effort: predicted, and not exceeded by the prediction.
        seed: of the order of the samples and of the directions.
        metric: between samples.
    """
    work = affordable_work(a.count, b.count, a.span(0, 1, None).shape[1], effort)
    if work is None:
        return None
    random = np.random.default_rng(seed)
    orders = [torch.from_numpy(random.permutation(side.count)) if work.parts > 1 else None for side in (a, b)]
    cost = 0.0
    for part in range(work.parts):
        x, y = (
            prepare(side.span(*_members(side.count, part, work.parts), order)) for side, order in zip((a, b), orders, strict=True)
        )
        units_x, units_y = _units(a.count, part, work.parts) * b.count, _units(b.count, part, work.parts) * a.count
        plan = couple(x, y, units_x, units_y, size=work.size, rounds=work.rounds, random=random, metric=metric)
        cost += cost_above(x, y, units_x / units_x.sum(), units_y / units_y.sum(), plan, metric) / work.parts
    method = "a tree of halves" + (f", improved in {work.rounds} rounds by blocks of {work.size}" if work.rounds else "")
    return Coupling(cost=cost * (1 + 1e-12), exact=False, method=method)


def _members(n: int, k: int, parts: int) -> tuple[int, int]:
    """First and end of the samples whose mass lies at least partly in the k-th of ``parts`` equal shares."""
    return k * n // parts, -(-(k + 1) * n // parts)


def _units(n: int, k: int, parts: int) -> np.ndarray:
    """Masses of these samples, whole numbers that sum to n: sample i of all covers [i * parts, (i + 1) * parts).

    A sample that two shares have in common is split between them, so that the marginals are met exactly whatever the counts.
    """
    members = np.arange(*_members(n, k, parts))
    return np.minimum((members + 1) * parts, (k + 1) * n) - np.maximum(members * parts, k * n)


def couple(
    x: Tensor,
    y: Tensor,
    units_x: np.ndarray,
    units_y: np.ndarray,
    *,
    size: int,
    rounds: int,
    random: np.random.Generator,
    metric: GroundMetric,
) -> Plan:
    """A plan between masses at points, found block by block.

    Arguments:
        x, y: points, float64, shapes (n, dim) and (m, dim).
        units_x, units_y: their masses, positive whole numbers with the same sum, shapes (n,) and (m,); the plan's total is 1.
        size: points of each side in one block, at most.
        rounds: of improvement.
        random: where directions come from.
        metric: between points.
    """
    along_x, along_y = _projections(x, y, random)
    directions = random.integers(_DIRECTIONS, size=_levels(len(x), len(y)))
    order_x, order_y = (
        _tree_order([along[direction] for direction in directions], units)
        for along, units in ((along_x, units_x), (along_y, units_y))
    )
    plan = _by_quantiles(order_x, units_x, order_y, units_y)
    cost, gains = carried(x, y, plan, metric), dict.fromkeys((_neighbours, _scattered), math.inf)
    for _ in range(rounds):
        grouping = max(gains, key=lambda grouping: gains[grouping])
        along_x, along_y = _projections(x, y, random)
        middles = (along_x[:, plan.rows] + along_y[:, plan.columns]) / 2
        plan = _joined([_improved(x, y, plan, group, metric) for group in grouping(middles, size, random)])
        before, cost = cost, carried(x, y, plan, metric)
        gains[grouping] = before - cost
    return plan


def _projections(x: Tensor, y: Tensor, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Both sides along some directions, shapes (directions, n) and (directions, m).

    Differences of samples vary most where the samples do; directions at random would mostly miss that.
    """
    ends = []
    for _ in range(2):
        picks = random.integers(len(x) + len(y), size=_DIRECTIONS)
        ends.append(torch.stack([x[pick] if pick < len(x) else y[pick - len(x)] for pick in picks.tolist()]))
    directions = ends[0] - ends[1]
    return (directions @ x.mT).numpy(), (directions @ y.mT).numpy()


def _tree_order(along: list[np.ndarray], units: np.ndarray) -> np.ndarray:
    """Points in the order of the leaves of a tree: halved by mass along the first direction, each half along the second, and so on.

    Arguments:
        along: for each level, points along its direction, shape (n,).
        units: their masses, positive whole numbers, shape (n,).
    """
    order = np.argsort(along[0], kind="stable")
    for level in range(1, len(along)):
        begins = units[order].cumsum() - units[order]
        cells = (begins / units.sum() * (1 << level)).astype(np.int64)
        order = order[np.lexsort((along[level][order], cells))]
    return order


def _by_quantiles(order_x: np.ndarray, units_x: np.ndarray, order_y: np.ndarray, units_y: np.ndarray) -> Plan:
    """The plan that goes through both orders side by side; masses are whole numbers, so that the marginals are met exactly."""
    reached_x, reached_y = units_x[order_x].cumsum(), units_y[order_y].cumsum()
    cuts = np.union1d(reached_x, reached_y)
    return Plan(
        rows=order_x[np.searchsorted(reached_x, cuts)],
        columns=order_y[np.searchsorted(reached_y, cuts)],
        mass=np.diff(cuts, prepend=0) / cuts[-1],
    )


def _neighbours(middles: np.ndarray, size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Positions of a plan's entries, at most ``size`` together, by bisection of their middles, shape (directions, entries)."""
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
    """Positions of a plan's entries, at most ``size`` together, at random."""
    order = random.permutation(middles.shape[1])
    yield from np.array_split(order, -(-len(order) // size))


def _improved(x: Tensor, y: Tensor, plan: Plan, group: np.ndarray, metric: GroundMetric) -> Plan:
    """What these entries carry, from the same samples to the same samples, at the least cost."""
    rows, at_row = np.unique(plan.rows[group], return_inverse=True)
    columns, at_column = np.unique(plan.columns[group], return_inverse=True)
    mass = plan.mass[group]
    share = float(mass.sum())
    from_rows, to_columns = np.bincount(at_row, mass) / share, np.bincount(at_column, mass) / share
    return _solved(x, y, rows, columns, from_rows, to_columns, share, metric)


def _solved(
    x: Tensor,
    y: Tensor,
    rows: np.ndarray,
    columns: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    share: float,
    metric: GroundMetric,
) -> Plan:
    """The optimal plan of one block, whose masses sum to 1 and are ``share`` of all."""
    plan = solve(x[rows], y[columns], a, b, metric).plan
    kept = plan.mass * share > _NEGLIGIBLE / max(len(x), len(y))
    return Plan(rows=rows[plan.rows[kept]], columns=columns[plan.columns[kept]], mass=plan.mass[kept] * share)


def _joined(plans: list[Plan]) -> Plan:
    return Plan(
        rows=np.concatenate([plan.rows for plan in plans]),
        columns=np.concatenate([plan.columns for plan in plans]),
        mass=np.concatenate([plan.mass for plan in plans]),
    )
