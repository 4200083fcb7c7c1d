r"""What a comparison of several sources with one reference found, and the order that follows from it.

The order that a table is sorted by is that of the held-out estimates, which are no bounds. Order is *claimed* of two sources only
where their intervals are disjoint: of the two sample sets for certain, of the distributions at the joint confidence of all bounds
(Bonferroni: each result has an equal part of the error, and each bound an equal part of that of its result).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wdist.comparison.witnesses import Witnesses
    from wdist.data.features.space import Features
    from wdist.data.sources.source import SourceInfo
    from wdist.environment import Environment
    from wdist.estimation.result import Estimate, PopulationBound, SamplesInterval


NOISE_FLOOR = "noise floor"
"""What the reference against itself is called."""
MOST_TIMES = 1e4
"""A number of samples is not estimated beyond so many times those that there are: a slope does not reach that far."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One source beside the reference."""

    name: str
    estimate: Estimate
    """With the reference as A and the source as B."""
    witnesses: Witnesses | None = None

    @property
    def source(self) -> SourceInfo:
        return self.estimate.b

    @property
    def samples(self) -> SamplesInterval:
        return self.estimate.samples

    @property
    def population(self) -> PopulationBound:
        return self.estimate.population


@dataclass(frozen=True, kw_only=True)
class Claim:
    """That one source is nearer to the reference than another."""

    nearer: str
    farther: str


@dataclass(frozen=True, kw_only=True)
class Separation:
    """About how many samples would make the intervals of two neighbours disjoint: an estimate and not a bound."""

    nearer: str
    """By its estimate."""
    farther: str
    times: float | None
    """As many times the samples that there are; None where it cannot be told."""
    samples: int | None
    """That many times the samples of the largest side that is not drawn without end."""
    reason: str | None
    """Why it cannot be told, as the rest of a sentence."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Sources ranked against one reference."""

    reference: SourceInfo
    digest: str | None
    """SHA-256 of the stored samples of the reference; None where they are drawn."""
    ranking: tuple[Entry, ...]
    """By held-out estimate, the nearest first."""
    noise_floor: Entry | None
    """Two disjoint halves of the reference, or two streams of draws: the distributions behind them are the same."""
    confidence: float
    """Of all bounds for the distributions together."""
    results: int
    """How many results share the error: one for each source, and the noise floor."""
    slope: float | None
    """W1 between two halves of the reference falls about as their size to the power of minus this; measured; None if it was not."""
    metric: str
    features: Features | None
    """The space that all distances are taken in; None for that of the samples."""
    seed: int
    seconds: float
    environment: Environment
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Names of the sources that there is no result of: they failed, or Ctrl-C came before."""
    interrupted: bool = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All results, the noise floor last."""
        return self.ranking if self.noise_floor is None else (*self.ranking, self.noise_floor)

    @property
    def bounds(self) -> int:
        """How many bounds for the distributions hold together."""
        return sum(entry.population.jointly_with for entry in self.entries)

    @cached_property
    def population_order(self) -> tuple[Claim, ...]:
        """What may be said of the distributions, at the joint confidence."""
        return self._order(lambda entry: entry.population.lower, lambda entry: entry.population.upper)

    @cached_property
    def samples_order(self) -> tuple[Claim, ...]:
        """What is certain of the sample sets. Sets of unlike sizes stand unlike far from the reference for that alone."""
        return self._order(lambda entry: entry.samples.lower, lambda entry: entry.samples.upper)

    @property
    def equal_counts(self) -> bool:
        """Whether all sources were judged by as many samples."""
        return len({entry.samples.n_b for entry in self.ranking}) <= 1

    def _order(self, lower: Callable[[Entry], float], upper: Callable[[Entry], float | None]) -> tuple[Claim, ...]:
        return tuple(
            Claim(nearer=near.name, farther=far.name)
            for near in self.ranking
            for far in self.ranking
            if (end := upper(near)) is not None and end < lower(far)
        )

    def places(self, entry: Entry) -> tuple[int, int]:
        """The first and the last place that a source may have among the distributions, by what is claimed of others."""
        nearer = sum(claim.farther == entry.name for claim in self.population_order)
        farther = sum(claim.nearer == entry.name for claim in self.population_order)
        return 1 + nearer, len(self.ranking) - farther

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Runs of the ranking that no claim divides: every source of one is nearer than every source of the next."""
        return _undivided([entry.name for entry in self.ranking], self.population_order)

    @cached_property
    def samples_groups(self) -> tuple[tuple[str, ...], ...]:
        """The same of the sample sets, in the order of their lower ends."""
        return _undivided([entry.name for entry in sorted(self.ranking, key=lambda entry: entry.samples.lower)], self.samples_order)

    @cached_property
    def separations(self) -> tuple[Separation, ...]:
        """For neighbours of the ranking that are not separable, about how many samples would separate them."""
        claimed = {(claim.nearer, claim.farther) for claim in self.population_order}
        return tuple(
            self._separation(near, far)
            for near, far in zip(self.ranking, self.ranking[1:], strict=False)
            if (near.name, far.name) not in claimed
        )

    def _separation(self, near: Entry, far: Entry) -> Separation:
        times, reason = times_to_separate(near.population, far.population, slope=self.slope)
        counts = [(near.samples.n_a, near.estimate.a.count), *((each.samples.n_b, each.source.count) for each in (near, far))]
        # More draws of an endless source are not the user's to give.
        most = max((n for n, count in counts if count is not None), default=max(n for n, _ in counts))
        samples = None if times is None else math.ceil(times * most)
        return Separation(nearer=near.name, farther=far.name, times=times, samples=samples, reason=reason)


def _undivided(names: list[str], claims: Sequence[Claim]) -> tuple[tuple[str, ...], ...]:
    """Runs of ``names``, of which no cut leaves only claimed pairs across it."""
    claimed = {(claim.nearer, claim.farther) for claim in claims}
    groups: list[tuple[str, ...]] = []
    start = 0
    for cut in range(1, len(names) + 1):
        if all((near, far) in claimed for near in names[:cut] for far in names[cut:]):
            groups.append(tuple(names[start:cut]))
            start = cut
    return tuple(groups)


def times_to_separate(near: PopulationBound, far: PopulationBound, *, slope: float | None) -> tuple[float | None, str | None]:
    r"""About how many times as many samples would bring the upper end of one source below the lower end of another.

    With m times the samples a lower end l is taken to rise to :math:`e - (e - l) m^{-1/2}` and an upper end u to fall to
    :math:`e + (u - e) m^{-r}`, where e is the held-out estimate. It stands for W1 here and is not above it in expectation, so the
    number is too small where critics are slack; the slope r is that of two samples of one distribution, the slowest there is, so it
    is too large where distributions are far apart. An estimate, then, of its order of magnitude.

    Arguments:
        near, far: of the two sources, ordered by their estimates.
        slope: r > 0.

    Returns:
        The number m, or None with the reason why it cannot be told.
    """
    if near.upper is None:
        return None, "there is no upper end"
    if slope is None:
        return None, "how fast upper ends fall could not be measured"
    if far.lower <= 0:
        return None, "the farther one is not told apart from the reference"
    distance = max(near.estimate, 0.0)
    apart, below, above = far.estimate - distance, far.estimate - far.lower, near.upper - distance
    # A lower end of 0 says nothing of the error of its estimate; that of the other then stands for both.
    if apart <= math.hypot(near.estimate - near.lower if near.lower > 0 else below, below):
        return None, "the estimates differ by less than their errors"

    def open_by(times: float) -> float:
        return max(below, 0.0) * times**-0.5 + max(above, 0.0) * times**-slope - apart

    if open_by(MOST_TIMES) >= 0:
        return None, f"by the rule more than {MOST_TIMES:,.0f} times as many, and it does not reach that far"
    low, high = 0.0, math.log(MOST_TIMES)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if open_by(math.exp(middle)) >= 0 else (low, middle)
    return math.exp(high), None


def short_names(addresses: Sequence[str]) -> tuple[str, ...]:
    """A name for each address, as short as tells all apart; what occurs again gets a number behind it."""
    distinct = len(set(addresses))
    candidates = ([_file(address) for address in addresses], [address.partition("?")[0] for address in addresses])
    chosen = next((names for names in candidates if len(set(names)) == distinct), list(addresses))
    counts: dict[str, int] = {}
    names = []
    for name in chosen:
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return tuple(names)


def _file(address: str) -> str:
    """The last part of a path, without options; the whole where there is no path."""
    location = address.partition("?")[0].rstrip("/")
    return location.rpartition("/")[2] or location
