"""The ends of the intervals that no training makes: couplings from above, and the critic that optimal transport itself gives."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from wdist.bounds.certificate import certify
from wdist.bounds.dual import lower_bound
from wdist.critics.c_transform import c_transform
from wdist.critics.frozen import FrozenCritic
from wdist.critics.max_sliced import potential_on_the_line
from wdist.data.memory import lacking_memory, planned_memory
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows, gather
from wdist.estimation.population_upper import PopulationUpper, population_upper_bound, population_upper_planned
from wdist.estimation.result import CriticResult, SamplesInterval
from wdist.estimation.samples import evaluate_rows
from wdist.ground_metric import GroundMetric
from wdist.transport.coupling import BYTES_PER_PAIR, Coupling, Effort, predicted_seconds
from wdist.transport.samples import upper_bound

TRANSPORT_SECONDS = 20.0
"""That the upper bound for two sample sets may take, as predicted."""
POPULATION_SECONDS = 10.0
"""That the upper bound for the distributions may take, as predicted."""
_COPIES = 3
"""Of all samples in float64: gathered, standardised, and as centres."""
_LARGE, _BESIDE = 1 << 30, 24
"""Where the samples in memory take so many bytes, couplings made of blocks may hold one part in so many of that beside them; where
they take less, a quarter of the machine's memory. Of 2 GB, one in 24 instead of one in 8 lowered the peak from 1.32 to 1.22 of the
samples and raised the upper end by 0.04 %."""
SHORT_OF_MEMORY = (
    "other processes hold most of the memory, so that less of it was planned with than usually on this machine; all bounds hold, "
    "but a run with more free memory may come to other digits"
)
CLOSING = "c-transform of the optimal potentials"


@dataclass(frozen=True, kw_only=True)
class Ends:
    """What couplings prove of one pair."""

    coupling: Coupling | None
    """Of all samples, in the units of the data."""
    lower: float
    """By the critic that the optimal dual variables extend to; 0 where there is none."""
    population_upper: PopulationUpper | None
    """In the units of the data."""

    def on(self, result: CriticResult) -> CriticResult:
        """One critic's result with the upper ends."""
        population = result.population
        if self.population_upper is not None:
            population = replace(population, upper=self.population_upper.value, upper_method=self.population_upper.method)
        return replace(result, samples=self._capped(result.samples), population=population)

    def tightest(self, results: list[CriticResult]) -> SamplesInterval:
        """The interval for the two sample sets that follows from everything together."""
        best = max((result.samples for result in results), key=lambda interval: interval.lower)
        if self.lower > best.lower:
            best = replace(best, lower=self.lower, lower_method=CLOSING)
        return self._capped(best)

    def _capped(self, samples: SamplesInterval) -> SamplesInterval:
        if self.coupling is None:
            return samples
        return replace(samples, upper=self.coupling.cost, exact=self.coupling.exact, upper_method=self.coupling.method)


NO_ENDS = Ends(coupling=None, lower=0.0, population_upper=None)


def samples_ends(pair: Pair, metric: GroundMetric, *, seed: int, seconds: float) -> Ends:
    """A coupling of all samples, solved in standardised units so that nothing overflows, and the critic that closes the gap to it.

    Arguments:
        pair: the two measures.
        metric: between samples.
        seed: of the order in which blocks are formed.
        seconds: that it may take, as predicted.
    """
    if pair.identical:
        return replace(NO_ENDS, coupling=Coupling(cost=0.0, exact=True, method="A and B are the same"))
    spread, drawn = pair.standardisation.spread, pair.a.digest is None and pair.b.digest is None
    coupling = upper_bound(
        pair.a.everything,
        pair.b.everything,
        prepare=lambda x: pair.standardisation.apply(x.cpu()),
        # Two sets of draws are nobody's samples: only an upper bound that costs nothing is worth stating.
        effort=_effort(0.0 if drawn else seconds, pair),
        seed=seed,
        metric=metric,
    )
    if coupling is None:
        return NO_ENDS
    critic = _closing_critic(pair, coupling, metric)
    coupling = replace(coupling, cost=coupling.cost * spread, potentials=None)
    if critic is None:
        return replace(NO_ENDS, coupling=coupling)
    a, b = (evaluate_rows(critic, side.everything) for side in (pair.a, pair.b))
    return replace(NO_ENDS, coupling=coupling, lower=lower_bound(a, b, certify(critic, metric).lipschitz_bound))


def _closing_critic(pair: Pair, coupling: Coupling, metric: GroundMetric) -> FrozenCritic | None:
    """The critic that is worth as much on all samples as the optimal coupling costs; None where dual variables are not known."""
    standardisation = pair.standardisation.to(torch.device("cpu"))
    numbers = (pair.a.everything.count + pair.b.everything.count) * pair.a.info.dim
    if coupling.potentials is not None and _COPIES * 8 * numbers <= planned_memory():
        x, y = (gather(side.everything).cpu() for side in (pair.a, pair.b))
        return c_transform((x, y), coupling.potentials, standardisation, metric)
    if pair.a.info.dim == 1 and coupling.exact:
        x, y = (standardisation.apply(gather(side.everything).cpu())[:, 0] for side in (pair.a, pair.b))
        return FrozenCritic([potential_on_the_line(x, y)], standardisation)
    return None


def population_upper_is_planned(pair: Pair, diameter: float | None, *, seconds: float = POPULATION_SECONDS) -> bool:
    """Whether :func:`population_upper` will state a bound, so that its share of the error can be set aside."""
    counts = (pair.a.everything.count, pair.b.everything.count)
    return not pair.identical and population_upper_planned(
        *counts, pair.a.info.dim, effort=_effort(seconds, pair), bounded=diameter is not None
    )


def population_upper(
    pair: Pair,
    metric: GroundMetric,
    *,
    alpha: float,
    diameter: float | None,
    seed: int,
    whole: Coupling | None,
    seconds: float = POPULATION_SECONDS,
) -> PopulationUpper | None:
    """An upper confidence bound for W1 of the distributions.

    Arguments:
        pair: the two measures.
        metric: between samples.
        alpha: probability that it may be wrong.
        diameter: of the union of both supports in the units of the data, where it is known.
        seed: of the blocks.
        whole: a coupling of all samples, in the units of the data, where there is one.
        seconds: that it may take, as predicted.
    """
    spread = pair.standardisation.spread
    upper = population_upper_bound(
        pair.a.everything,
        pair.b.everything,
        prepare=lambda x: pair.standardisation.apply(x.cpu()),
        alpha=alpha,
        diameter=None if diameter is None else diameter / spread,
        effort=_effort(seconds, pair),
        seed=seed,
        metric=metric,
        whole=whole and replace(whole, cost=whole.cost / spread),
    )
    return upper and replace(upper, value=upper.value * spread)


def _effort(seconds: float, pair: Pair) -> Effort:
    sides = (pair.a.everything, pair.b.everything)
    held = sum(side.values.nbytes for side in sides if isinstance(side, ResidentRows))
    return Effort(seconds=seconds, nbytes=planned_memory(), blocks_nbytes=held // _BESIDE if held >= _LARGE else None)


def memory_warnings(pair: Pair) -> Iterator[str]:
    """Says that a run in more memory may come to other digits, where that is so."""
    n, m = pair.a.everything.count, pair.b.everything.count
    wanted = [_COPIES * 8 * (n + m) * pair.a.info.dim]
    if predicted_seconds(n, m) <= TRANSPORT_SECONDS:
        wanted.append(n * m * BYTES_PER_PAIR)
    if any(map(lacking_memory, wanted)):
        yield SHORT_OF_MEMORY
