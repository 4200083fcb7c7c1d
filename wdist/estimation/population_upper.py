r"""Upper confidence bounds for W1 between two populations, from independent samples of them.

W1 is a supremum of linear functionals, hence jointly convex, hence

.. math:: \mathbb{E}\, W_1(P_n, Q_m) \ge W_1(P, Q):

W1 between blocks of samples is biased upward, so an upper confidence bound for its mean is also one for W1 between the populations.
The same holds for the cost of any coupling of each block. No critic is involved, so all samples may be used, training samples
included.

If nothing is known about the support, one optimal coupling of all samples gives an asymptotic bound: W1 between samples varies
about its mean as the mean of the dual variables u and v does,

.. math:: W_1(P_n, Q_m) + t_{1 - \alpha} \sqrt{\operatorname{var} u / n + \operatorname{var} v / m}.

where few rare or far values widen the margin as in :mod:`wdist.bounds.mean_difference`. Dual variables that overfit few samples
vary too little, so the margin is at least that of the linear function along the difference of the means. If such a coupling is too
costly, k blocks give a confidence bound for a mean: Student's t (asymptotic, widened likewise), or betting if the diameter of the
support is known. The spread of the mean hardly depends on k, but the bias shrinks as the blocks
grow, so few large blocks are best. If the diameter is known, McDiarmid's inequality also bounds the mean from a single block of
all samples, and the smaller of the two bounds holds at the sum of their errors.

The number of blocks depends on counts alone, never on values. Costs or dual variables that are all equal say nothing about the
samples that were not drawn, which may lie anywhere if nothing is known about the support: then the bound is infinite.

References:
    Villani (2009), Optimal transport: old and new, theorem 4.8 (convexity).
    del Barrio, González-Sanz & Loubes (2024), Central limit theorems for general transportation costs, arXiv:2102.06379.
    Sommerfeld, Schrieber, Zemel & Munk (2019), Optimal transport: fast probabilistic approximation with exact solvers,
    arXiv:1802.05570 (means over blocks).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.betting import interspersed, lower_mean
from wdist.bounds.confidence import bounded_differences, student_upper
from wdist.bounds.mean_difference import all_equal, mean_contrast
from wdist.checkpoints.checkpoint import now
from wdist.critics.mean_difference import steepest_direction
from wdist.data.rows import Rows, StreamedRows
from wdist.distributed.processes import processes
from wdist.ground_metric import GroundMetric
from wdist.transport.coupling import Coupling, Effort, Execution, Plan, Sides
from wdist.transport.samples import affordable, upper_bound

_FLAT, _BLOCKS_FLAT, _BLOCKS = 3, 8, 4
"""For Student's t: 8 blocks up to 3 dimensions, 4 beyond. More blocks have a smaller quantile but a larger bias, especially in many
dimensions."""
_LEAST_SAMPLES = 2
"""Samples of each side in a block."""
_MOST_BOUNDED_BLOCKS = 400
"""For betting, which pays for the diameter once per block, so that in few dimensions more blocks are better."""
_ROUNDED = 1e-6
"""Relative margin for the rounding of a diameter in prepared units and of a coupling's cost, both far smaller; half is enough."""
_DUAL_ROUNDED = 1e-9
"""Relative margin for the rounding of a cost plus a multiple of a standard error; half is enough."""
STUDENT, BETTING, MCDIARMID, DUAL = "student", "betting", "mcdiarmid", "dual"
BOUNDS = (STUDENT, BETTING, MCDIARMID, DUAL)
NEARLY_OPTIMAL = 0.99
"""Fraction of a coupling's cost that its dual variables must prove before their spread stands for that of W1 between samples."""
RANGED = (BETTING, MCDIARMID)
"""Bounds that need a diameter."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationUpper:
    """An upper confidence bound for W1 between the two populations, and the couplings that prove it."""

    value: float
    """The bound, in prepared units; infinite if nothing is known about the support and nothing varies."""
    bound: str
    """One of :data:`BOUNDS`."""
    tried: int
    """Number of bounds tried, which share the error; this is the smallest."""
    plans: tuple[Plan | None, ...]
    """Plan of each block, between positions in the block; a single block holds all samples."""

    @property
    def method(self) -> str:
        """Number of blocks and confidence bound in words, with its assumption."""
        blocks = f"W1 of {len(self.plans)} independent blocks"
        return {
            STUDENT: f"{blocks}, Student's t, asymptotic",
            BETTING: f"{blocks}, betting",
            MCDIARMID: "W1 of all samples, McDiarmid's inequality",
            DUAL: "W1 of all samples, spread of its dual variables, asymptotic",
        }[self.bound]


@dataclass(frozen=True, kw_only=True)
class Support:
    """Sample counts, and the diameter of the support that the samples are drawn from."""

    n: int
    m: int
    diameter: float | None
    """Largest distance between two points of the union of both supports, in the units of the costs; None if unknown."""


def upper_from_duals(
    cost: float,
    x: Tensor,
    y: Tensor,
    potentials: tuple[Tensor, Tensor],
    alpha: float,
    *,
    metric: GroundMetric,
    slack: float = _DUAL_ROUNDED,
) -> float:
    """Upper confidence bound: W1 between the populations exceeds it with probability at most alpha, asymptotically.

    Arguments:
        cost: of a coupling of all samples.
        x, y: all samples, shapes (n, dim) and (m, dim).
        potentials: optimal dual variables u, shape (n,), and v, shape (m,), up to a small gap.
        alpha: probability that the bound may be wrong.
        metric: between samples.
        slack: relative margin for rounding.

    Returns:
        The bound; infinite if none of these functions varies.
    """
    along = steepest_direction(x.mean(0) - y.mean(0), metric)
    functions = [(u.cpu().numpy(), v.cpu().numpy()) for u, v in (potentials, (x @ along, y @ along))]
    if all(all_equal(side, cost) for sides in functions for side in sides):
        return math.inf
    means = [mean_contrast([sides], (1, 1)) for sides in functions]
    return (cost + max(mean.upper(alpha) - mean.estimate for mean in means)) * (1 + slack)


def upper_from_costs(costs: np.ndarray, bound: str, alpha: float, support: Support, *, slack: float = _ROUNDED) -> float:
    """Upper confidence bound: W1 between the populations exceeds it with probability at most alpha.

    Arguments:
        costs: shape (blocks,), of couplings of independent blocks of equal size; for McDiarmid's inequality, of all samples.
        bound: one of :data:`BOUNDS` except ``dual``; all but Student's t need a diameter.
        alpha: probability that the bound may be wrong.
        support: of the samples, in the units of the costs.
        slack: relative margin for rounding.

    Returns:
        The bound; infinite for Student's t of costs that are all equal.
    """
    if bound == STUDENT:
        return math.inf if all_equal(costs, float(costs.max())) else student_upper(costs, alpha)
    assert support.diameter is not None, "the bound needs a diameter"
    diameter = support.diameter * (1 + slack)
    if bound == MCDIARMID:
        return (float(costs[0]) + bounded_differences(support.n, support.m, diameter, alpha)) * (1 + slack)
    costs = interspersed(costs)  # blocks of streams are consecutive rows of files that may be sorted
    return -lower_mean(-costs, np.full(len(costs), -diameter), alpha, diameter) * (1 + slack)


def population_upper_planned(n: int, m: int, dim: int, *, effort: Effort, bounded: bool) -> bool:
    """Whether :func:`population_upper_bound` will state a bound; known in advance, so that the error can be divided.

    Arguments:
        n, m: number of samples of each side.
        dim: number of coordinates.
        effort: limit of the computation.
        bounded: whether the diameter of the support is known.
    """
    if bounded:
        return affordable(n, m, dim, effort.part(2))
    blocks = unbounded_blocks(n, m, dim)
    return blocks >= _BLOCKS and affordable(n // blocks, m // blocks, dim, effort.part(blocks))


def population_upper_bound(
    sides: Sides,
    *,
    alpha: float,
    diameter: float | None,
    effort: Effort,
    seed: int,
    whole: Coupling | None = None,
    execution: Execution | None = None,
) -> PopulationUpper | None:
    """Computes an upper confidence bound: W1 between the populations exceeds it with probability at most alpha.

    Arguments:
        sides: all samples, independent; the bound is in their prepared units.
        alpha: probability that the bound may be wrong.
        diameter: largest distance between two points of the union of both supports, in these units; None if unknown.
        effort: limit of the computation, as predicted.
        seed: of the blocks.
        whole: a coupling of all these samples in the same units, if already known; its dual variables, if any, must prove at least
            :data:`NEARLY_OPTIMAL` of its cost.
        execution: the deadline after which no further block is coupled, and the listener to the fraction of the blocks done so far.

    Returns:
        The bound, infinite if nothing is known about the support and the costs or dual variables are all equal; None if
        :func:`population_upper_planned` is false, or if the deadline passed before all blocks were coupled.
    """
    (n, m), dim, execution = sides.counts, sides.dim, execution or Execution()
    if not population_upper_planned(n, m, dim, effort=effort, bounded=diameter is not None):
        return None
    support = Support(n=n, m=m, diameter=diameter)

    def coupled(blocks: int, effort: Effort) -> list[Coupling] | None:
        """Couplings of disjoint blocks of equal size; None if there is no time for all of them."""
        deadline = execution.deadline

        def of_block(number: int, block: Sides) -> Coupling | None:
            if processes().decided(now()) > deadline:
                return None
            coupling = upper_bound(block, effort=effort.part(blocks), seed=seed + number, execution=Execution(deadline=deadline))
            assert coupling is not None or math.isfinite(deadline), "the plan checked that this is affordable"
            execution.progress((number + 1) / blocks)
            return coupling

        tasks = [partial(of_block, number, block) for number, block in enumerate(independent_blocks(sides, blocks, seed=seed))]
        found = processes().spread("independent blocks", tasks) if blocks > 1 else [task() for task in tasks]
        return None if None in found else [each for each in found if each is not None]

    def bounded(bound: str, couplings: list[Coupling] | None, tried: int) -> PopulationUpper | None:
        if couplings is None:
            return None
        value = upper_from_costs(np.array([each.cost for each in couplings]), bound, alpha / tried, support)
        return PopulationUpper(value=value, bound=bound, tried=tried, plans=tuple(each.plan for each in couplings))

    if diameter is None and whole is not None and whole.potentials is not None:
        value = upper_from_duals(whole.cost, *sides.points, whole.potentials, alpha, metric=sides.metric)
        return PopulationUpper(value=value, bound=DUAL, tried=1, plans=(whole.plan,))
    if diameter is None:
        return bounded(STUDENT, coupled(unbounded_blocks(n, m, dim), effort), 1)
    effort = effort.part(2)
    blocks = _bounded_blocks(n, m, dim, alpha, effort)
    one = bounded(MCDIARMID, [whole] if whole is not None else coupled(1, effort), 2 if blocks else 1)
    if not blocks:
        return one
    both = (one, bounded(BETTING, coupled(blocks, effort), 2))
    return min((each for each in both if each is not None), key=lambda upper: upper.value, default=None)


def independent_blocks(sides: Sides, blocks: int, *, seed: int) -> Iterator[Sides]:
    """Disjoint blocks of equal size of both sides, in an order of the samples that depends only on their counts and the seed; a
    single block keeps the original order."""
    if blocks == 1:
        yield sides
        return
    a, b, random = sides.a, sides.b, np.random.default_rng(seed)
    # Streams are read in stored order, so they need no permutation, which takes 8 bytes a row.
    in_memory = any(not isinstance(rows, StreamedRows) for rows in (a, b))
    order_a, order_b = (torch.from_numpy(random.permutation(rows.count)) if in_memory else None for rows in (a, b))
    for number in range(blocks):
        x, y = (_Block(rows=rows, order=order, number=number, of=blocks) for rows, order in ((a, order_a), (b, order_b)))
        yield replace(sides, a=x, b=y)


def unbounded_blocks(n: int, m: int, dim: int) -> int:
    """Number of blocks for Student's t."""
    return min(_BLOCKS_FLAT if dim <= _FLAT else _BLOCKS, n // _LEAST_SAMPLES, m // _LEAST_SAMPLES)


def _bounded_blocks(n: int, m: int, dim: int, alpha: float, effort: Effort) -> int:
    """Number of blocks for betting; 0 for none.

    With fewer than about sqrt(n log(1 / alpha)) blocks, betting cannot be sharper than McDiarmid's inequality, whatever the values.
    """
    blocks = 2 * math.isqrt(math.ceil(min(n, m) * math.log(1 / alpha)))
    blocks = min(blocks, _MOST_BOUNDED_BLOCKS, n // _LEAST_SAMPLES, m // _LEAST_SAMPLES)
    if blocks < _BLOCKS or not affordable(n // blocks, m // blocks, dim, effort.part(blocks)):
        return 0
    return blocks


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block(Rows):
    """One of several disjoint blocks of equal size, consecutive in an order of the rows."""

    rows: Rows
    order: Tensor | None
    number: int
    of: int

    @property
    def count(self) -> int:
        return self.rows.count // self.of

    def span(self, start: int, stop: int, order: Tensor | None) -> Tensor:
        first, chosen = self.number * self.count, self.order
        if order is not None and self.order is not None:
            chosen = self.order.clone()
            chosen[first : first + self.count] = self.order[first : first + self.count][order]
        return self.rows.span(first + start, first + stop, chosen)
