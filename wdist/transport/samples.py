"""Upper bounds for W1 between two sample sets: the cost of an explicit coupling, optimal if affordable."""

import math
from dataclasses import replace

import numpy as np
from torch import Tensor

from wdist.data.rows import Rows
from wdist.transport.blocks import affordable_work, block_coupling
from wdist.transport.column_generation import (
    MOST_ROUNDS,
    SMALL,
    affordable_rounds,
    bytes_held,
    column_generation,
    generation_seconds,
)
from wdist.transport.coupling import (
    BYTES_PER_PAIR,
    SLACK,
    Coupling,
    Effort,
    Execution,
    Plan,
    Sides,
    computed_cost,
    cost_above,
    displacement,
    equal_units,
    in_parallel,
    on_the_line,
    predicted_seconds,
    solve,
)
from wdist.transport.pricing import LARGEST

_OVERRUN = 2.0
"""Multiple of the predicted time after which a coupling of blocks is given up."""
_EXACT = 1e-9
"""Relative gap for a plan that should be optimal."""
_SORTED_BYTES = 64
"""Memory for sorting numbers, per number."""
_NUMBERS_AT_ONCE = 1 << 22
"""Coordinates read at a time: 32 MB in float64."""


def upper_bound(sides: Sides, *, effort: Effort, seed: int, execution: Execution | None = None) -> Coupling | None:
    """Couples all samples, optimally if memory and time allow, otherwise in optimal blocks; None if neither is affordable.

    Arguments:
        sides: the samples; cost, bounds and potentials are in their prepared units.
        effort: limit of predicted time and memory.
        seed: for all random choices.
        execution: device, limits and listeners; after an interruption, the result is None if nothing is proved yet.
    """
    execution = execution or Execution()
    found = in_closed_form(sides, nbytes=effort.nbytes, keep_plan=effort.keep_plan)
    if found is not None:
        return found
    found = _solved(sides, effort, seed, execution)
    if found is not None or execution.interruption.requested:
        return found
    # Under a time budget, a machine that is much slower than predicted gives up.
    most_seconds = _OVERRUN * effort.most_seconds if math.isfinite(execution.deadline) else math.inf
    return block_coupling(sides, effort=effort, seed=seed, most_seconds=most_seconds, progress=execution.progress)


def _solved(sides: Sides, effort: Effort, seed: int, execution: Execution) -> Coupling | None:
    """Like :func:`upper_bound`, by a single transport problem between all samples; None if that is not affordable."""
    dense, rounds = _solvable(*sides.counts, effort), _rounds(*sides.counts, sides.dim, effort)
    if not dense and not rounds:
        return None
    (x, y), masses, metric = sides.points, sides.masses, sides.metric
    rounding = displacement(x, metric) + displacement(y, metric)
    if max(float(side.abs().max()) for side in (x, y)) > LARGEST:
        solved = solve(x, y, *masses, metric) if dense else None
    else:
        generated = column_generation(
            x,
            y,
            *masses,
            metric,
            tolerance=min(effort.tolerance, _EXACT) if dense else effort.tolerance,
            rounds=rounds or MOST_ROUNDS,
            seed=seed,
            execution=replace(execution, bounded=lambda lower, upper: execution.bounded(lower - rounding, upper + rounding)),
        )
        solved = None if generated is None else generated.plan
    if solved is None:
        return None
    return Coupling(
        cost=cost_above(x, y, *masses, solved, metric),
        exact=solved.optimal,
        method="exact transport" if solved.optimal else "transport, stopped early" if dense else "transport by column generation",
        plan=Plan(rows=solved.rows, columns=solved.columns, mass=solved.mass),
        potentials=solved.potentials,
    )


def in_closed_form(sides: Sides, *, nbytes: int, keep_plan: bool = True, slack: float = SLACK) -> Coupling | None:
    """The optimal coupling of numbers, by sorting, or with a single point; otherwise None. ``slack`` is the rounding margin."""
    a, b, metric = sides.a, sides.b, sides.metric
    for points, others in ((a, b), (b, a)):
        if (point := _single_point(points)) is not None:
            there, total = sides.prepare(point), 0.0
            for batch in map(sides.prepare, others.batches(_at_once(there))):
                distance = float(metric.norm(batch - there).mean())
                total += len(batch) * (distance * (1 + slack) + displacement(batch, metric) + displacement(there, metric))
            plan = _in_order(a.count, b.count) if keep_plan else None
            return Coupling(cost=total / others.count, exact=True, method="one side is a single point", plan=plan)
    if sides.dim > 1 or _SORTED_BYTES * sum(sides.counts) > nbytes:
        return None
    x, y = sides.points
    plan = on_the_line(x[:, 0].numpy(), y[:, 0].numpy())
    cost = computed_cost(x, y, plan, metric) * (1 + slack) + displacement(x, metric) + displacement(y, metric)
    return Coupling(cost=cost, exact=True, method="sorting, one dimension", plan=plan)


def _in_order(n: int, m: int) -> Plan:
    units_a, units_b = equal_units(n, m)
    return in_parallel(np.arange(n), units_a, np.arange(m), units_b)


def proved_again(sides: Sides, plan: Plan | None) -> float | None:
    """The cost of a plan as an upper bound for W1, with half the margin for rounding, so that it is at most :func:`upper_bound`'s.

    No plan is needed if the optimal coupling has a closed form; None if a plan is needed but missing.
    """
    closed = in_closed_form(sides, nbytes=_SORTED_BYTES * sum(sides.counts), keep_plan=False, slack=SLACK / 2)
    if closed is not None:
        return closed.cost
    return None if plan is None else cost_above(*sides.points, *sides.masses, plan, sides.metric, slack=SLACK / 2)


def affordable(n: int, m: int, dim: int, effort: Effort) -> bool:
    """Whether :func:`upper_bound` finds a coupling of any n and m samples."""
    return _solvable(n, m, effort) or _rounds(n, m, dim, effort) > 0 or affordable_work(n, m, dim, effort) is not None


def expected_seconds(n: int, m: int, dim: int) -> float:
    """Expected seconds of transport between n and m samples without a time limit."""
    return predicted_seconds(n, m) if max(n, m) <= SMALL else generation_seconds(n, m, dim, rounds=2)


def _rounds(n: int, m: int, dim: int, effort: Effort) -> int:
    """Rounds of column generation; 0 if time or memory do not allow it."""
    return affordable_rounds(n, m, dim, effort.seconds) if bytes_held(n, m, dim) <= effort.nbytes else 0


def _solvable(n: int, m: int, effort: Effort) -> bool:
    """Whether the dense solver is affordable; column generation is faster, and then continues until its plan is optimal."""
    return predicted_seconds(n, m) <= effort.seconds and n * m * BYTES_PER_PAIR <= effort.nbytes


def _single_point(rows: Rows) -> Tensor | None:
    """The point, shape (1, dim), that all samples are equal to; None if they differ."""
    point = rows.span(0, 1, None)
    return point if all(bool((batch == point).all()) for batch in rows.batches(_at_once(point))) else None


def _at_once(point: Tensor) -> int:
    """Number of samples, of the same dimension as a point, to read at a time."""
    return max(1, min(4096, _NUMBERS_AT_ONCE // point.shape[1]))
