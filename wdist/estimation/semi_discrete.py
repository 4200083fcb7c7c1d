r"""The level "reference": W1 from the fixed samples of A to the distribution of B, which can be drawn from without end.

The samples x_1, ..., x_n are fixed and B can be drawn from at will, so both bounds converge to this W1 as the number of draws
grows, in any dimension. For any vector u, Kantorovich duality gives a lower bound, and because W1 is convex, the expected W1 to
finitely many draws is an upper bound:

.. math::
    \frac1n \sum_i u_i + \mathbb{E}_{y \sim Q} \min_i \bigl( d(x_i, y) - u_i \bigr)
    \le W_1(\hat P_n, Q) \le \mathbb{E}\, W_1(\hat P_n, Q_m).

The draws are divided into groups of m. Transport between the samples and each group yields a cost and dual variables; u is the mean
of the dual variables over the first half of the groups, and the draws of the other half estimate the expectation. Each bound takes
half of the error.

References:
    Villani (2009), Optimal transport: old and new, theorems 4.8 (convexity) and 5.10 (duality).
    Genevay, Cuturi, Peyré & Bach (2016), Stochastic optimization for large-scale optimal transport, section 4 (semi-discrete form).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.mean_difference import all_equal
from wdist.data.measure import DRAWN_COORDINATES
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows, gather
from wdist.data.sources.source import EndlessSource, random_stream
from wdist.distributed.processes import processes
from wdist.estimation.blocks import BOUNDED, ROUNDED, STUDENT, lower_mean
from wdist.ground_metric import GroundMetric
from wdist.transport.column_generation import MOST_ROUNDS, column_generation
from wdist.transport.coupling import Execution, cost_above
from wdist.transport.pricing import LARGEST
from wdist.transport.samples import expected_seconds

GROUPS = 6
"""Number of groups: few, because larger groups lower the upper bound more than a smaller quantile of Student's t would."""
_MOST = 8
"""Most draws per group and sample of A, if the number of draws is not given."""
_FEWEST = 50
"""Fewest draws per group."""
LEAST_DRAWS = GROUPS * _FEWEST
"""Fewest draws that give bounds."""
_PURPOSE = 3
"""Makes these draws independent of those for training, validation and evaluation."""
_TOLERANCE = 1e-3
"""Relative gap at which transport to a group may stop."""
_DISTANCES = 1 << 22
"""Number of distances held at a time."""


@dataclass(frozen=True, kw_only=True)
class SemiDiscrete:
    """Bounds for W1 from the samples of A to the distribution of B, in the units of the data."""

    estimate: float
    """Dual value on draws that the potentials were not computed from; its expectation is at most this W1."""
    lower: float
    """At least 0."""
    upper: float
    confidence: float
    """Joint confidence of both bounds; the error is not shared with other levels."""
    method: str
    """``student`` (asymptotic) or ``bounded-differences``."""
    n: int
    """Samples of A."""
    draws: int
    """Number of draws of B, in equal groups."""


@dataclass(frozen=True, kw_only=True)
class SemiDiscretePlan:
    """Number of draws of B."""

    source: EndlessSource
    size: int
    """Draws per group."""
    seconds: float
    """Predicted time."""


def drawn_against_samples(pair: Pair) -> bool:
    """Whether A is a set in memory and B is drawn without end."""
    return pair.b.endless is not None and isinstance(pair.a.everything, ResidentRows) and pair.a.digest is not None


def semi_discrete_plan(pair: Pair, *, seconds: float, draws: int | None = None) -> SemiDiscretePlan | None:
    """Plans the draws that time and memory allow; None if these are too few, or unless A is a set in memory and B is endless.

    Arguments:
        seconds: predicted time to stay within.
        draws: most draws in total; None to choose by time.
    """
    source, a = pair.b.endless, pair.a.everything
    if source is None or not drawn_against_samples(pair):
        return None
    dim = pair.a.info.dim
    most = max(_FEWEST, DRAWN_COORDINATES // (GROUPS * dim))
    size = min(_MOST * a.count if draws is None else draws // GROUPS, most)

    def predicted() -> float:
        return GROUPS * expected_seconds(a.count, size, dim)

    while size > _FEWEST and predicted() > seconds:
        size //= 2
    if size < _FEWEST or predicted() > seconds:
        return None
    return SemiDiscretePlan(source=source, size=size, seconds=predicted())


def semi_discrete_bounds(
    pair: Pair,
    metric: GroundMetric,
    plan: SemiDiscretePlan,
    *,
    confidence: float,
    diameter: float | None,
    seed: int,
    progress: Callable[[float], None] = lambda fraction: None,
) -> SemiDiscrete | None:
    """Bounds W1 from the samples of A to the distribution of B.

    Arguments:
        confidence: of both bounds together.
        diameter: largest distance between two points of the union of both supports, for bounded differences, which hold for any
            number of draws; None for Student's t, which is asymptotic.
        seed: of the draws.
        progress: called with the fraction done so far.

    Returns:
        None if transport fails, for example on values that are too large; or if no diameter is known and all draws are equally far
        from the samples, which says nothing about values that were not drawn.
    """
    stream, spread = random_stream(seed, 1, _PURPOSE), pair.standardisation.spread
    x = pair.standardisation.on_cpu(gather(pair.a.everything))
    masses = np.full(len(x), 1 / len(x)), np.full(plan.size, 1 / plan.size)
    costs, potentials, unseen = [], [], []
    for group in range(GROUPS):
        # All processes use the draws of the first: a generator's output may differ from one GPU to another.
        drawn = processes().from_first("draws", lambda: plan.source.draw(plan.size, stream).flatten(1).cpu().double())
        y = pair.standardisation.apply(drawn)
        if max(float(side.abs().max()) for side in (x, y)) > LARGEST:
            return None
        found = column_generation(x, y, *masses, metric, tolerance=_TOLERANCE, rounds=MOST_ROUNDS, seed=seed, execution=Execution())
        if found is None:
            return None
        costs.append(cost_above(x, y, *masses, found.plan, metric))
        if group < GROUPS // 2:
            potentials.append(found.plan.potentials[0] - found.plan.potentials[0].mean())
        else:
            unseen.append(y)
        progress((group + 1) / GROUPS)
    u = torch.stack(potentials).mean(0)
    duals = float(u.mean()) + _c_transform(x, u, torch.cat(unseen), metric)
    if diameter is None and any(all_equal(values, max(costs)) for values in (np.array(costs), duals.numpy())):
        return None
    return bounds_of(
        np.array(costs) * spread,
        duals.numpy() * spread,
        n=len(x),
        draws=GROUPS * plan.size,
        confidence=confidence,
        diameter=diameter,
    )


def bounds_of(
    costs: np.ndarray, duals: np.ndarray, *, n: int, draws: int, confidence: float, diameter: float | None
) -> SemiDiscrete:
    """Both bounds from the costs of all groups, shape (groups,), and the dual values of the unseen draws, shape (k,).

    Replacing one draw changes the mean cost by at most D / ``draws``, and the mean dual value by at most D / k.
    """
    alpha = (1 - confidence) / 2
    squares = (None, None) if diameter is None else (diameter**2 / len(duals), diameter**2 / draws)
    rounding = ROUNDED * (float(costs.mean()) + float(np.abs(duals).mean()))
    return SemiDiscrete(
        estimate=float(duals.mean()),
        lower=max(0.0, lower_mean(duals, alpha, squares[0]) - rounding),
        upper=-lower_mean(-costs, alpha, squares[1]) + rounding,
        confidence=confidence,
        method=STUDENT if diameter is None else BOUNDED,
        n=n,
        draws=draws,
    )


def _c_transform(x: Tensor, u: Tensor, y: Tensor, metric: GroundMetric) -> Tensor:
    """The smallest d(x_i, y_j) - u_i over i for each y_j, shape (m,)."""
    parts: Sequence[Tensor] = y.split(max(1, _DISTANCES // len(x)))
    return torch.cat([(metric.pairwise(part, x) - u).amin(1) for part in parts])
