"""Bounds from transport: upper bounds from couplings, lower bounds from the critic that extends optimal dual variables."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.bounds.dual import CLAIM, Margin, lower_bound
from wdist.critics.c_transform import c_transform
from wdist.critics.frozen import FrozenCritic
from wdist.critics.max_sliced import potential_on_the_line
from wdist.data.memory import lacking_memory, planned_memory
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows, gather
from wdist.estimation.evaluation import evaluate_rows
from wdist.estimation.population_upper import (
    NEARLY_OPTIMAL,
    PopulationUpper,
    population_upper_bound,
    population_upper_planned,
)
from wdist.estimation.result import TransportBounds
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, product_above
from wdist.transport.coupling import BYTES_PER_PAIR, Coupling, Effort, Execution, Plan, Sides, displacement, predicted_seconds
from wdist.transport.pricing import Pricing, screens
from wdist.transport.samples import upper_bound

TRANSPORT_SECONDS = 20.0
"""Predicted time that the upper bound for the samples may take."""
CLOSING_SECONDS = 1800.0
"""The same if a gap is to be closed and no budget is given."""
POPULATION_SECONDS = 10.0
"""Predicted time that the upper bound for the populations may take."""
_COPIES = 3
"""Copies of all samples held in float64: gathered, standardised, and as centres."""
_BESIDE_STREAMS = 1 << 29
"""Bytes that a coupling of streams may use, much less than the streams themselves hold."""
_PLAN_BYTES, _LEAST_PLAN = 32, 1 << 26
"""Bytes per sample of a plan, including what joins its parts; and the size in bytes up to which a plan always fits."""
_LARGE, _BESIDE = 1 << 30, 24
"""If the samples in memory take at least this many bytes, block couplings may hold one 24th of that in addition; otherwise a
quarter of the memory."""
SHORT_OF_MEMORY = (
    "other processes hold most of the memory, so the run planned with less of it than usual; all bounds hold, but their digits may "
    "differ from those of a run with more free memory"
)
_ROUNDED = 0.999
"""Fraction of a requested gap that transport aims at; the rest is left for rounding."""
_DEFAULT_GAP = 1e-3
"""Relative gap that transport aims at if none is requested."""


def transport_bounds(
    pair: Pair,
    metric: GroundMetric,
    *,
    seed: int,
    seconds: float,
    most_seconds: float = math.inf,
    tolerance: float | None = None,
    execution: Execution | None = None,
) -> TransportBounds:
    """Couples all samples, in standardised units so that nothing overflows, and evaluates the dual variables.

    Arguments:
        seed: for all random choices.
        seconds: predicted time that it may take.
        most_seconds: the same for millions of samples, whose coupling takes far longer.
        tolerance: relative gap at which it may stop.
        execution: device, limits and listeners, in the units of the data.
    """
    if pair.identical:
        order = np.arange(pair.a.everything.count)
        plan = Plan(rows=order, columns=order, mass=np.full(len(order), 1 / len(order)))
        return TransportBounds(coupling=Coupling(cost=0.0, exact=True, method="A and B are the same", plan=plan))
    spread, drawn = pair.standardisation.spread, pair.a.digest is None and pair.b.digest is None
    execution = execution or Execution()
    outer = execution.bounded
    coupling = upper_bound(
        Sides(a=pair.a.everything, b=pair.b.everything, prepare=pair.standardisation.on_cpu, metric=metric),
        # Two sets of draws are nobody's samples: an upper bound for them is worth stating only if it costs nothing.
        effort=replace(_effort(0.0 if drawn else seconds, pair, tolerance, most_seconds=most_seconds), short_tree=True),
        seed=seed,
        execution=replace(execution, bounded=lambda lower, upper: outer(lower * spread, upper * spread)),
    )
    if coupling is None:
        return TransportBounds()
    coupling = coupling.scaled(spread)
    on_a_line = pair.a.info.dim == 1 and coupling.exact
    lower = closing_lower(pair, coupling.potentials, metric, on_a_line=on_a_line, device=execution.device)
    return TransportBounds(coupling=coupling, lower=lower)


def closing_lower(
    pair: Pair,
    potentials: tuple[Tensor, Tensor] | None,
    metric: GroundMetric,
    *,
    on_a_line: bool = False,
    margin: Margin = CLAIM,
    device: torch.device | None = None,
) -> float:
    """Lower bound for the samples from dual variables, lowered until they are feasible, or on a line from the optimal critic.

    Arguments:
        potentials: dual variables of all samples, shapes (n,) and (m,), in the units of the data; any values are valid.
        on_a_line: whether the samples are numbers, and few enough to be sorted.
        margin: left for rounding.
        device: compares the pairs; the CPU by default.
    """
    spread = pair.standardisation.spread
    if potentials is not None and _fit_into_memory(pair):
        x, y = pair.standardised
        u, v = ((side / spread).numpy() for side in potentials)
        if screens((x, y), (u, v)):
            priced = Pricing(x, y, metric, device=device).below(u, v, roundings=margin.roundings)
            value = priced.dual_value(u, v, np.full(len(u), 1 / len(u)), np.full(len(v), 1 / len(v)))
            certain = value - margin.roundings * (displacement(x, metric) + displacement(y, metric))
            return max(0.0, math.nextafter(certain * spread * (1 - 4 * UNIT_ROUNDOFF - margin.share), 0.0))
    critic = _closing_critic(pair, potentials, metric, on_a_line=on_a_line)
    if critic is None:
        return 0.0
    a, b = (evaluate_rows(critic, side.everything) for side in (pair.a, pair.b))
    return lower_bound(a, b, certify(critic, metric).lipschitz_bound, margin=margin)


def _closing_critic(
    pair: Pair, potentials: tuple[Tensor, Tensor] | None, metric: GroundMetric, *, on_a_line: bool
) -> FrozenCritic | None:
    """The critic that extends the dual variables, for samples too far apart for :class:`Pricing`, or the optimal one on a line."""
    standardisation = pair.standardisation.to(torch.device("cpu"))
    if potentials is not None and _fit_into_memory(pair):
        x, y = (gather(side.everything).cpu() for side in (pair.a, pair.b))
        u, v = (side / standardisation.spread for side in potentials)
        return c_transform((x, y), (u, v), standardisation, metric)
    if on_a_line:
        x, y = (side[:, 0] for side in pair.standardised)
        return FrozenCritic([potential_on_the_line(x, y)], standardisation)
    return None


def _fit_into_memory(pair: Pair) -> bool:
    numbers = (pair.a.everything.count + pair.b.everything.count) * pair.a.info.dim
    return _COPIES * 8 * numbers <= planned_memory()


def population_upper_is_planned(
    pair: Pair, diameter: float | None, *, seconds: float = POPULATION_SECONDS, most_seconds: float = math.inf
) -> bool:
    """Whether :func:`population_upper` will state a bound, so that a share of the error can be reserved for it."""
    n, m = (side.count for side in pair.independent)
    return not pair.identical and population_upper_planned(
        n, m, pair.a.info.dim, effort=_effort(seconds, pair, most_seconds=most_seconds), bounded=diameter is not None
    )


def population_upper(
    pair: Pair,
    metric: GroundMetric,
    *,
    alpha: float,
    diameter: float | None,
    seed: int,
    whole: TransportBounds,
    seconds: float = POPULATION_SECONDS,
    most_seconds: float = math.inf,
    execution: Execution | None = None,
) -> PopulationUpper | None:
    """Computes an upper confidence bound for W1 between the populations, within a predicted time.

    The arguments are those of :func:`population_upper_bound`, except that they are in the units of the data and ``whole`` holds the
    bounds for all samples.
    """
    (a, b), spread = pair.independent, pair.standardisation.spread
    upper = population_upper_bound(
        Sides(a=a, b=b, prepare=pair.standardisation.on_cpu, metric=metric),
        alpha=alpha,
        diameter=None if diameter is None else diameter / spread,
        effort=_effort(seconds, pair, most_seconds=most_seconds),
        seed=seed,
        whole=None if pair.a.info.fitted else _coupling_of_all(whole, spread),
        execution=execution,
    )
    return upper and replace(upper, value=product_above(upper.value, spread))


def _coupling_of_all(bounds: TransportBounds, spread: float) -> Coupling | None:
    """The coupling of all samples in prepared units, with its dual variables only if they are nearly optimal."""
    if bounds.coupling is None:
        return None
    coupling = bounds.coupling.scaled(1 / spread)
    nearly_optimal = bounds.lower >= NEARLY_OPTIMAL * bounds.coupling.cost
    return coupling if nearly_optimal else replace(coupling, potentials=None)


def _effort(seconds: float, pair: Pair, tolerance: float | None = None, *, most_seconds: float = math.inf) -> Effort:
    sides = (pair.a.everything, pair.b.everything)
    held = sum(side.values.nbytes for side in sides if isinstance(side, ResidentRows))
    return Effort(
        seconds=seconds,
        most_seconds=most_seconds,
        nbytes=_nbytes(pair),
        blocks_nbytes=held // _BESIDE if held >= _LARGE else None,
        tolerance=_DEFAULT_GAP if tolerance is None else _ROUNDED * tolerance,
        keep_plan=plan_fits(pair),
    )


def plan_fits(pair: Pair) -> bool:
    """Whether the plan of a coupling of all samples fits into the memory reserved for it; otherwise only its cost is computed."""
    return pair.a.everything.count + pair.b.everything.count <= most_provable(pair)


def most_provable(pair: Pair) -> int:
    """Largest number of samples, both sides together, whose plan fits into the memory reserved for it, so that it can be proved."""
    return max(_nbytes(pair), _LEAST_PLAN) // _PLAN_BYTES


def _nbytes(pair: Pair) -> int:
    streamed = any(not isinstance(side.everything, ResidentRows) for side in (pair.a, pair.b))
    return min(planned_memory() // 2, _BESIDE_STREAMS) if streamed else planned_memory()


def memory_warnings(pair: Pair) -> Iterator[str]:
    """Warns if the digits may differ from those of a run with more free memory."""
    n, m = pair.a.everything.count, pair.b.everything.count
    wanted = [_COPIES * 8 * (n + m) * pair.a.info.dim]
    if predicted_seconds(n, m) <= TRANSPORT_SECONDS:
        wanted.append(n * m * BYTES_PER_PAIR)
    if any(map(lacking_memory, wanted)):
        yield SHORT_OF_MEMORY
