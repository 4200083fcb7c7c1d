r"""Exact transport between many samples by column generation.

The transport problem is solved on a few arcs per sample. Its dual variables price all pairs, and pairs with a negative reduced cost
:math:`c_{ij} - u_i - v_j` become arcs of the next round:

- the plan of every round is feasible, so its cost is an upper bound;
- lowering each :math:`u_i` by the most negative reduced cost of its row makes the dual variables feasible, so their value is a
  lower bound.

The rounds end when the two bounds are close enough. Each round starts from the dual variables of the previous one, and arcs with
large reduced costs are dropped until they are found again, so memory grows with the samples, not with their pairs. The first arcs
come from a smaller problem (:mod:`wdist.transport.refinement`), solved in the same way.

References:
    Dantzig & Wolfe (1960), Decomposition principle for linear programs (column generation).
    Bonneel et al. (2011), Displacement interpolation using Lagrangian mass transport (the network simplex).
    Flamary et al. (2021), POT: Python optimal transport.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from wdist.checkpoints.checkpoint import current, now
from wdist.data.memory import check_free
from wdist.distributed.processes import processes
from wdist.errors import SourceError
from wdist.ground_metric import L2, GroundMetric
from wdist.transport.coupling import BYTES_PER_PAIR, GAP, ROUNDED, SLACK, Execution, SolvedPlan, ascending, computed_cost, solve
from wdist.transport.distinct import Distinct, distinct
from wdist.transport.pricing import Priced, Pricing
from wdist.transport.refinement import Problem, Start, among_smallest, coarser, distances
from wdist.transport.screening import FLAT

SMALL = 1800
"""Most samples of the larger side for the dense solver."""
_COARSE_SECONDS = 1.0
"""Seconds that the dense solver takes for that many."""
MOST_ROUNDS, _MOST_PIVOTS = 60, 10**9
_COARSE_GAP = 3e-3
"""Relative gap at which a smaller problem is solved well enough."""
_NEW_ARCS, _MOST_ARCS, _KEPT_ARCS = 8, 40, 25
"""Arcs per sample: new ones in a round, the most before some are dropped, and those kept then."""
_BYTES_PER_SAMPLE = 8000
"""Peak memory for the arcs of one sample."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedPlan:
    """A plan, and bounds for the cost of an optimal plan."""

    plan: SolvedPlan
    """The last plan, with the dual variables that proved the highest lower bound; a c-transform makes them feasible."""
    lower: float
    """Lower bound that these variables prove."""
    upper: float
    """Cost of the plan as computed."""

    @property
    def relative_gap(self) -> float:
        """Gap relative to the upper bound."""
        return (self.upper - self.lower) / self.upper if self.upper > 0 else 0.0

    def closed(self, tolerance: float) -> bool:
        """Whether the relative gap is at most ``tolerance``, up to rounding."""
        largest = sum(float(side.abs().max()) for side in self.plan.potentials)
        return self.upper - self.lower <= tolerance * self.upper + ROUNDED * largest


def affordable_rounds(n: int, m: int, dim: int, seconds: float) -> int:
    """Approximate number of rounds of :func:`column_generation` that two cores do in that time; 0 if too few for a gap of 0.1 %.

    It depends on counts alone, so that a busy machine computes the same digits.
    """
    start = generation_seconds(n, m, dim, rounds=0)
    rounds = int((seconds - start) / (generation_seconds(n, m, dim, rounds=1) - start))
    return min(rounds, MOST_ROUNDS) if rounds >= 3 else 0


def bytes_held(n: int, m: int, dim: int) -> int:
    """Approximate peak memory of :func:`column_generation`."""
    return 16 * dim * (n + m) + _BYTES_PER_SAMPLE * max(n, m) + BYTES_PER_PAIR * min(n * m, SMALL**2)


def generation_seconds(n: int, m: int, dim: int, *, rounds: int) -> float:
    """Predicted seconds of the smaller problems and ``rounds`` rounds on two cores, fitted for 5,000 to 100,000 samples."""
    pricing = n * m * (3e-10 + 1.3e-11 * dim)
    simplex = (1.2 if dim > FLAT else 2.0) * (max(n, m) / 2e4) ** 1.6
    return _COARSE_SECONDS + 3 * pricing + simplex + rounds * (pricing + simplex)


def column_generation(
    x: Tensor,
    y: Tensor,
    a: np.ndarray,
    b: np.ndarray,
    metric: GroundMetric = L2,
    *,
    tolerance: float = 1e-3,
    rounds: int = MOST_ROUNDS,
    seed: int = 0,
    small: int | None = None,
    execution: Execution | None = None,
) -> GeneratedPlan | None:
    """Solves transport between masses a at x and b at y until the relative gap is at most ``tolerance``.

    Arguments:
        x, y: points, float64, shapes (n, dim) and (m, dim), with coordinates of at most :data:`wdist.transport.pricing.LARGEST`.
        a, b: their masses, positive, shapes (n,) and (m,), with the same sum up to rounding.
        metric: between points.
        tolerance: relative gap.
        rounds: most rounds on all samples, and on each smaller problem.
        seed: of the smaller problems.
        small: most points of the larger side for the dense solver; by default, as many as take a second.
        execution: device, limits and listeners, which receive both bounds after each round.

    Returns:
        The result of the last round; None if interrupted before the first round on all samples.
    """
    apart_x, apart_y = distinct(x, a), distinct(y, b)
    solver = _Solver(tolerance, rounds, small or SMALL, np.random.default_rng(seed), execution or Execution())
    problem = Problem(x=apart_x.points, y=apart_y.points, a=apart_x.masses, b=apart_y.masses, metric=metric)
    found = solver.solved(problem)
    return None if found is None else replace(found, plan=_for_all(found.plan, apart_x, apart_y))


def _for_all(plan: SolvedPlan, apart_x: Distinct, apart_y: Distinct) -> SolvedPlan:
    """The plan between all samples, from the plan between the distinct ones."""
    (u, v), (rows, columns, mass) = plan.potentials, apart_x.divided(plan.rows, plan.columns, plan.mass)
    columns, rows, mass = apart_y.divided(columns, rows, mass)
    return replace(plan, rows=rows, columns=columns, mass=mass, potentials=(u[apart_x.labels], v[apart_y.labels]))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Arcs:
    """Some pairs with their costs; no pair occurs twice."""

    rows: np.ndarray
    columns: np.ndarray
    costs: np.ndarray

    def __getitem__(self, kept: np.ndarray) -> "_Arcs":
        return _Arcs(rows=self.rows[kept], columns=self.columns[kept], costs=self.costs[kept])

    def joined(self, other: "_Arcs", width: int) -> "_Arcs":
        """Merges these arcs with others; the second side has ``width`` points."""
        keys = np.concatenate([each.rows * width + each.columns for each in (self, other)])
        _, first = np.unique(keys, return_index=True)
        both = (np.concatenate([getattr(each, name) for each in (self, other)]) for name in ("rows", "columns", "costs"))
        rows, columns, costs = (values[first] for values in both)
        return _Arcs(rows=rows, columns=columns, costs=costs)


class _Solver:
    """Solves problems with the help of smaller ones."""

    def __init__(self, tolerance: float, rounds: int, small: int, random: np.random.Generator, execution: Execution) -> None:
        self._tolerance, self._most, self._small, self._random = tolerance, rounds, small, random
        self._execution = execution

    def solved(self, problem: Problem) -> GeneratedPlan | None:
        """The solution; None if interrupted before there is one."""
        if problem.largest <= self._small:
            return processes().from_first("transport", lambda: self._dense(problem))
        bounded = self._execution.bounded
        return self._refined(problem, self._tolerance, lambda lower, upper: bounded(lower, upper * (1 + SLACK)))

    def _refined(self, problem: Problem, tolerance: float, report: Callable[[float, float], None]) -> GeneratedPlan | None:
        smaller, interruption = coarser(problem, self._random), self._execution.interruption
        if smaller.problem.largest <= self._small:
            solved = interruption.attempt(
                lambda: processes().from_first("a smaller transport problem", lambda: self._dense(smaller.problem))
            )
        else:
            solved = self._refined(smaller.problem, max(tolerance, _COARSE_GAP), lambda lower, upper: None)
        if solved is None or interruption.requested:
            return None
        plan = solved.plan
        return self._in_rounds(problem, tolerance, report, lambda pricing: smaller.start(plan, pricing))

    def _dense(self, problem: Problem) -> GeneratedPlan:
        """The solution by the dense solver with all points."""
        plan = solve(problem.x, problem.y, problem.a, problem.b, problem.metric)
        u, v = (side.numpy() for side in plan.potentials)
        lower = Pricing(problem.x, problem.y, problem.metric).below(u, v).dual_value(u, v, problem.a, problem.b)
        return GeneratedPlan(plan=plan, lower=max(lower, 0.0), upper=computed_cost(problem.x, problem.y, plan, problem.metric))

    def _in_rounds(
        self, problem: Problem, tolerance: float, report: Callable[[float, float], None], start: Callable[[Pricing], Start]
    ) -> GeneratedPlan | None:
        """Does rounds of column generation; an interruption keeps the result so far."""
        rounds, interruption = _Rounds(problem, self._execution.device), self._execution.interruption
        part = current().part(f"transport between {len(problem.a)} and {len(problem.b)} points", [rounds])
        if part.result is not None:
            rounds.found = part.result
            interruption.attempt(rounds.prove_again)
            return rounds.found

        def one_round() -> None:
            found = rounds.next()
            report(found.lower, found.upper)
            late = now() > self._execution.deadline
            ended = late or found.closed(tolerance) or rounds.number >= self._most
            rounds.ended = processes().from_first("the next round", lambda: ended or not rounds.enlarge())

        def all_rounds() -> None:
            rounds.begin(start)
            while not rounds.ended:
                with part.step():
                    one_round()

        interruption.attempt(lambda: part.run(all_rounds))
        if rounds.found is not None and not interruption.requested:
            part.finish(rounds.found)
        return rounds.found


class _Rounds:
    """One problem, solved on more and more arcs; only the first of several processes keeps the arcs, and all of them price."""

    resumable = ("number", "ended", "found", "_arcs", "_potentials")

    def __init__(self, problem: Problem, device: torch.device) -> None:
        self._problem, self._device = problem, device
        self._pricing: Pricing
        self._priced: Priced
        self._arcs = _Arcs(rows=np.empty(0, np.int64), columns=np.empty(0, np.int64), costs=np.empty(0))
        self._potentials = np.zeros(len(problem.a)), np.zeros(len(problem.b))
        self.found: GeneratedPlan | None = None
        self.number, self.ended = 0, False

    def begin(self, start: Callable[[Pricing], Start]) -> None:
        """Takes the first arcs with those of a feasible plan, or the arcs of an earlier run."""
        problem = self._problem
        self._pricing = Pricing(problem.x, problem.y, problem.metric, device=self._device)
        if self.number:
            self.prove_again()
            return
        first = start(self._pricing)
        # A point whose cell has too little mass for any pair has no dual variable.
        self._potentials = np.nan_to_num(first.u, posinf=0.0), np.nan_to_num(first.v, posinf=0.0)
        order_x, order_y = np.argsort(first.u, kind="stable"), np.argsort(-first.v, kind="stable")
        rows, columns = _corner_plan(problem.a, problem.b, order_x, order_y)
        keys = ascending(np.r_[first.rows, rows] * len(problem.b) + np.r_[first.columns, columns])
        rows, columns = keys // len(problem.b), keys % len(problem.b)
        self._arcs = _Arcs(rows=rows, columns=columns, costs=distances(problem.x, problem.y, rows, columns, problem.metric))

    def prove_again(self) -> None:
        """Computes both bounds of an earlier run's result again, because a file proves nothing about these samples.

        Raises:
            SourceError: the result is not a plan of this problem.
        """
        problem, found = self._problem, self.found
        assert found is not None, "a round comes first"
        pricing = Pricing(problem.x, problem.y, problem.metric, device=self._device)
        lower = self._lower(pricing.below(*(side.numpy() for side in found.plan.potentials)), found.plan)
        if abs(computed_cost(problem.x, problem.y, found.plan, problem.metric) - found.upper) > GAP * found.upper:
            raise SourceError("the plan in the --checkpoint folder does not fit these samples; start again in another folder")
        self.found = replace(found, lower=lower)

    def _lower(self, priced: Priced, plan: SolvedPlan) -> float:
        u, v = (side.numpy() for side in plan.potentials)
        return max(0.0, priced.dual_value(u, v, self._problem.a, self._problem.b))

    def next(self) -> GeneratedPlan:
        """Solves the problem on the arcs, and prices all pairs."""
        self.number += 1
        plan, upper = processes().from_first("a plan on the arcs", self._restricted)
        u, v = (side.numpy() for side in plan.potentials)
        self._potentials = u, v
        self._priced = self._pricing.below(u, v)
        lower = self._lower(self._priced, plan)
        if self.found is not None and self.found.lower > lower:
            lower, plan = self.found.lower, replace(plan, potentials=self.found.plan.potentials)
        found = GeneratedPlan(plan=plan, lower=lower, upper=upper)
        self.found = replace(found, plan=replace(plan, optimal=found.closed(GAP)))
        return self.found

    def enlarge(self) -> bool:
        """Adds violated pairs to the arcs; False if there are none."""
        found = self._priced
        chosen = among_smallest(found.rows, found.reduced, _NEW_ARCS) | among_smallest(found.columns, found.reduced, _NEW_ARCS)
        if not len(found.rows):
            return False
        new = _Arcs(rows=found.rows, columns=found.columns, costs=found.costs)[chosen]
        self._arcs = self._thinned().joined(new, len(self._problem.b))
        return True

    def _restricted(self) -> tuple[SolvedPlan, float]:
        """An optimal plan on the arcs, and its cost.

        The simplex gets reduced costs, so that its first pivots choose arcs that are likely to carry mass instead of short ones.
        """
        from ot.lp.emd_wrap import emd_c_sparse  # imported late: the import takes more than a second

        a, b, arcs = self._problem.a, self._problem.b, self._arcs
        before_u, before_v = self._potentials
        reduced = arcs.costs - before_u[arcs.rows] - before_v[arcs.columns]
        least = reduced.min()  # POT compares artificial costs with the largest cost, assuming that none is negative
        # It starts from dual variables that it found itself; approximate ones would lead to a worse result than none.
        start = (None, None) if self.number == 1 else (np.full(len(a), -least), np.zeros(len(b)))
        places = arcs.rows.astype(np.uint64), arcs.columns.astype(np.uint64)
        check_free(BYTES_PER_PAIR * len(arcs.costs))
        rows, columns, mass, _, u, v, _ = emd_c_sparse(a, b * (a.sum() / b.sum()), *places, reduced - least, _MOST_PIVOTS, *start)
        carries = mass > 0
        u, v = np.asarray(u) + before_u + least, np.asarray(v) + before_v
        middle = (u.mean() - v.mean()) / 2  # small variables round less
        plan = SolvedPlan(
            rows=rows[carries].astype(np.int64),
            columns=columns[carries].astype(np.int64),
            mass=mass[carries],
            potentials=(torch.from_numpy(u - middle), torch.from_numpy(v + middle)),
        )
        return plan, computed_cost(self._problem.x, self._problem.y, plan, self._problem.metric)

    def _thinned(self) -> _Arcs:
        """Drops arcs with large reduced costs if there are too many; arcs of the plan stay."""
        assert self.found is not None
        arcs, plan, width, largest = self._arcs, self.found.plan, len(self._problem.b), self._problem.largest
        if len(arcs.rows) <= _MOST_ARCS * largest:
            return arcs
        u, v = self._potentials
        reduced = arcs.costs - u[arcs.rows] - v[arcs.columns]
        carrying = np.isin(arcs.rows * width + arcs.columns, plan.rows * width + plan.columns)
        return arcs[carrying | (reduced <= np.partition(reduced, _KEPT_ARCS * largest)[_KEPT_ARCS * largest])]


def _corner_plan(a: np.ndarray, b: np.ndarray, order_x: np.ndarray, order_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a feasible plan by the north-west corner rule: both sides in a given order, filled one sample after another."""
    ends_x, ends_y = np.cumsum(a[order_x]), np.cumsum(b[order_y])
    cuts = np.union1d(ends_x, ends_y)
    middles = (np.r_[0.0, cuts[:-1]] + cuts) / 2
    rows = order_x[np.minimum(np.searchsorted(ends_x, middles), len(a) - 1)]
    return rows, order_y[np.minimum(np.searchsorted(ends_y, middles), len(b) - 1)]
