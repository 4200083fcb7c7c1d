"""Couplings of weighted points: optimal ones by POT's network simplex or by sorting, and proved upper bounds for their cost."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from wdist.data.memory import check_free
from wdist.data.rows import Rows, gather
from wdist.ground_metric import L2, GroundMetric
from wdist.interruption import Interruption
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, gamma, product_above

BYTES_PER_PAIR = 64
"""Peak memory of POT's dense solver per pair of samples, for costs, plan and arcs, in bytes."""
SLACK = 1e-9
"""Relative margin on a cost; half of it covers sums of n products in float64 and the error of POT's masses, within 1e-12."""
_PREPARED = gamma(4)  # displacement of a sample by rounding a shift and a scale, relative to its norm; W1 may be smaller than that
GAP, ROUNDED = 1e-7, 1e-12  # duality gap of an optimal plan, relative to the cost and to the largest distance
_FEW_NUMBERS = 1 << 21  # most coordinates for which differences are as fast as products
_NUMBERS_AT_ONCE = 1 << 20  # coordinates in memory at a time when differences are computed, 8 MB
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sides:
    """All samples of A and of B, with equal masses on each side, and the metric between them."""

    a: Rows
    b: Rows
    prepare: Callable[[Tensor], Tensor] = lambda x: x
    """Shifts and scales samples so that squares do not overflow; costs, bounds and dual variables are in its units."""
    metric: GroundMetric = L2

    @property
    def counts(self) -> tuple[int, int]:
        return self.a.count, self.b.count

    @property
    def dim(self) -> int:
        return self.a.span(0, 1, None).shape[1]

    @property
    def points(self) -> tuple[Tensor, Tensor]:
        """All samples, prepared, shapes (n, dim) and (m, dim)."""
        return self.prepare(gather(self.a)), self.prepare(gather(self.b))

    @property
    def masses(self) -> tuple[np.ndarray, np.ndarray]:
        """Equal masses with sum 1, shapes (n,) and (m,)."""
        n, m = self.counts
        return np.full(n, 1 / n), np.full(m, 1 / m)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Time and memory for an upper bound."""

    seconds: float = 30.0
    most_seconds: float = math.inf
    """Limit for millions of samples, whose coupling may take many times as long."""
    tolerance: float = 1e-3
    """Relative gap at which column generation may stop."""
    nbytes: int = 2 << 30
    blocks_nbytes: int | None = None
    """Smaller memory limit for a coupling made of blocks, which loses little if it has more parts."""
    short_tree: bool = False
    """Whether a tree of halves may have fewer levels than there is no time for; its cost is larger, but better than no bound."""
    keep_plan: bool = True
    """Whether to keep the plan of a coupling made of parts; the plan of each part is in memory only until its cost is known."""

    def part(self, parts: int) -> "Effort":
        """The effort for one of several equal parts of the work."""
        return replace(self, seconds=self.seconds / parts, most_seconds=self.most_seconds / parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Execution:
    """Device, limits and listeners of a transport computation."""

    device: torch.device = _CPU
    """Device that prices pairs."""
    interruption: Interruption = field(default_factory=Interruption)
    """Ends the work; the result so far is kept."""
    progress: Callable[[float], None] = lambda fraction: None
    """Called with the fraction done so far."""
    deadline: float = math.inf
    """Clock time of the run after which no round of column generation begins."""
    bounded: Callable[[float, float], None] = lambda lower, upper: None
    """Called with both bounds whenever they improve."""


def predicted_seconds(n: int, m: int) -> float:
    """Predicted seconds of exact transport between n and m samples by POT on one core, fitted for 500 to 5000 samples."""
    return 0.8 * (n * m / 4e6) ** 1.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Mass moved from samples of A to samples of B."""

    rows: np.ndarray
    columns: np.ndarray
    """Positions in A and in B, int64, shape (k,)."""
    mass: np.ndarray
    """Masses, positive, float64, shape (k,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SolvedPlan(Plan):
    """The plan of a solver."""

    potentials: tuple[Tensor, Tensor]
    """Dual variables u, shape (n,), and v, shape (m,)."""
    optimal: bool = False
    """Whether the plan is optimal: the solver reports it, and the value of the dual variables, once feasible, confirms it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Coupling:
    """The cost of a plan: a proved upper bound for W1 of the two sample sets."""

    cost: float
    exact: bool
    """Whether the plan is optimal, so that the cost is W1 up to rounding."""
    method: str
    plan: Plan | None = None
    """A small multiple of n + m pairs of samples, of total mass 1; None if only the cost is known."""
    potentials: tuple[Tensor, Tensor] | None = None
    """Dual variables u, shape (n,), and v, shape (m,), of an optimal plan, float64, in the units of the cost:
    u_i + v_j <= d(x_i, y_j), and their means add up to W1, up to rounding. None unless transport was solved as a whole."""

    def scaled(self, factor: float) -> "Coupling":
        """Converts the coupling to other units; the cost is rounded up, because a subnormal one rounds by more than its margin."""
        potentials = None if self.potentials is None else (self.potentials[0] * factor, self.potentials[1] * factor)
        return replace(self, cost=product_above(self.cost, factor), potentials=potentials)


def solve(x: Tensor, y: Tensor, a: np.ndarray, b: np.ndarray, metric: GroundMetric) -> SolvedPlan:
    """An optimal plan between positive masses a, b at points x, y, float64; the masses have the same sum up to rounding.

    References:
        Flamary et al. (2021), POT: Python optimal transport.
        Bonneel et al. (2011), Displacement interpolation using Lagrangian mass transport (the network simplex).
    """
    import ot  # imported late: the import takes more than a second

    distances = distances_between(x, y, metric).numpy()
    check_free(BYTES_PER_PAIR * distances.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the log contains the same information and is checked below
        matrix, log = ot.emd(a, b, distances, numItermax=100_000_000, log=True)
    rows, columns = np.nonzero(matrix)
    mass, u, v = matrix[rows, columns], np.asarray(log["u"]), np.asarray(log["v"])
    # Distances of near points come from differences, the others from a matrix product, with nine correct digits.
    slabs = (slice(start, start + 256) for start in range(0, len(u), 256))
    violation = max(0.0, max(float((u[slab, None] + v - distances[slab]).max()) for slab in slabs))
    gap = float(mass @ distances[rows, columns]) - (float(u @ a + v @ b) - violation * float(a.sum()))
    confirmed = gap <= GAP * float(mass @ distances[rows, columns]) + ROUNDED * float(distances.max()) * float(a.sum())
    potentials = torch.from_numpy(u), torch.from_numpy(v)
    return SolvedPlan(rows=rows, columns=columns, mass=mass, potentials=potentials, optimal=log["warning"] is None and confirmed)


def computed_cost(x: Tensor, y: Tensor, plan: Plan, metric: GroundMetric) -> float:
    """The computed cost of a plan between points x, shape (n, dim), and y, shape (m, dim): the sum of mass times distance."""
    step, total = max(1, _NUMBERS_AT_ONCE // x.shape[1]), 0.0
    for start in range(0, len(plan.rows), step):
        part = slice(start, start + step)
        total += float(torch.from_numpy(plan.mass[part]) @ metric.norm(x[plan.rows[part]] - y[plan.columns[part]]))
    return total


def cost_above(
    x: Tensor, y: Tensor, a: np.ndarray, b: np.ndarray, plan: Plan, metric: GroundMetric, *, slack: float = SLACK
) -> float:
    """A proved upper bound for W1 between masses a at x and b at y, each with sum 1, from any plan.

    Distances are recomputed from differences. The bound charges the largest distance for mass that the plan misplaces, by rounding
    or otherwise, and adds the displacement of points by rounding a shift and a scale. ``slack`` is the margin for the rounding of
    distances and of their sum.
    """
    misplaced, most = 0.0, 0
    for places, wanted in ((plan.rows, a), (plan.columns, b)):
        misplaced += float(np.abs(np.bincount(places, plan.mass, len(wanted)) - wanted).sum())
        most = max(most, int(np.bincount(places).max()))
    misplaced += (64 + most) * UNIT_ROUNDOFF  # rounding of the masses, because 1 / n is not exact, and of these sums
    diameter = 2 * float(max(_farthest(side, x[:1], metric) for side in (x, y)))
    return (
        computed_cost(x, y, plan, metric) * (1 + slack)
        + misplaced * diameter
        + displacement(x, metric, a)
        + displacement(y, metric, b)
    )


def _farthest(points: Tensor, point: Tensor, metric: GroundMetric) -> float:
    parts = points.split(max(1, _NUMBERS_AT_ONCE // points.shape[1]))
    return max(float(metric.norm(part - point).max()) for part in parts)


def displacement(x: Tensor, metric: GroundMetric, mass: np.ndarray | None = None) -> float:
    """The largest error of the cost due to rounding a shift and a scale: the mean displacement of the samples."""
    norms = metric.norm(x)
    return _PREPARED * float(norms.mean() if mass is None else norms @ torch.from_numpy(mass))


def distances_between(x: Tensor, y: Tensor, metric: GroundMetric) -> Tensor:
    """Distances of all pairs, shape (n, m), computed from differences for near pairs, or for all pairs if these are few.

    The matrix product of cdist loses the digits in which near points differ, so the plan between tight clusters would be arbitrary.
    """
    if metric != L2:
        return metric.pairwise(x, y)
    if len(x) * len(y) * x.shape[1] <= _FEW_NUMBERS:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    distances = metric.pairwise(x, y)
    norms_x, norms_y = (torch.linalg.vector_norm(side, dim=1) for side in (x, y))
    for start in range(0, len(x), 256):
        part = distances[start : start + 256]
        rows, columns = torch.nonzero(part < 1e-3 * (norms_x[start : start + 256, None] + norms_y), as_tuple=True)
        for some in torch.arange(len(rows)).split(max(1, (1 << 20) // x.shape[1])):
            difference = x[start + rows[some]] - y[columns[some]]
            part[rows[some], columns[some]] = torch.linalg.vector_norm(difference, dim=1)
    return distances


def ascending(numbers: np.ndarray) -> np.ndarray:
    """The distinct values among integers, sorted; :func:`numpy.unique` hashes them, which takes a hundred times as long."""
    numbers = np.sort(numbers)
    return numbers[np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))]


def in_parallel(order_x: np.ndarray, units_x: np.ndarray, order_y: np.ndarray, units_y: np.ndarray) -> Plan:
    """The plan of mass 1 that moves through both orders in parallel; on the line, with ascending orders, it is optimal.

    Masses are positive integers with the same sum on both sides, so the marginals are exact.
    """
    reached_x, reached_y = units_x[order_x].cumsum(), units_y[order_y].cumsum()
    cuts = ascending(np.concatenate([reached_x, reached_y]))
    return Plan(
        rows=order_x[np.searchsorted(reached_x, cuts)],
        columns=order_y[np.searchsorted(reached_y, cuts)],
        mass=np.diff(cuts, prepend=0) / cuts[-1],
    )


def equal_units(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Equal masses of n and of m samples as integers with the same sum n m, because sums of 1 / n would misplace mass."""
    return np.full(n, m), np.full(m, n)


def on_the_line(x: np.ndarray, y: np.ndarray) -> Plan:
    """An optimal plan between two sets of numbers, shapes (n,) and (m,)."""
    units_x, units_y = equal_units(len(x), len(y))
    return in_parallel(np.argsort(x, kind="stable"), units_x, np.argsort(y, kind="stable"), units_y)
