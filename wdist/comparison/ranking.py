r"""Result of a comparison of several sources with one reference, and the order that follows from it.

The ranking is sorted by what critics find on fresh samples, which is not a bound. An order of two sources is *claimed* at one of
five levels, see :mod:`wdist.comparison.orders`. For sample sets and distributions, their intervals must be disjoint: the order of
sample sets is then certain, that of distributions holds at the joint confidence of all bounds (Bonferroni: results share the error
equally, and so do the bounds of each result).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import Any

from wdist.comparison.entry import Entry
from wdist.comparison.orders import Orders, block_order, detected_order, interval_order, reference_order
from wdist.comparison.pool import Found, best_found, value_found
from wdist.data.features.space import Features
from wdist.data.sources.source import SourceInfo
from wdist.environment import Environment
from wdist.errors import WdistError
from wdist.estimation.result import CriticResult, PopulationBound
from wdist.presentable import Tabular

NOISE_FLOOR = "noise floor"
"""Name of the reference against itself."""
MOST_TIMES = 1e4
"""Largest factor by which the number of samples is extrapolated; a measured slope is not reliable beyond."""


@dataclass(frozen=True, kw_only=True)
class Separation:
    """Approximate number of samples that would make the intervals of two neighbours disjoint; not a bound."""

    nearer: str
    """Source with the smaller estimate."""
    farther: str
    times: float | None
    """Factor by which the number of samples would have to grow; None if it cannot be estimated."""
    samples: int | None
    """``times`` the samples of the largest finite side."""
    reason: str | None
    """Reason why the factor cannot be estimated, as a clause."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparisonShard:
    """Results for some of the sources, and what joining them with the other shards requires."""

    number: int
    """Number of the shard, counted from 0."""
    of: int
    settings: dict[str, Any]
    """Everything that the digits depend on; the same for all shards."""
    names: tuple[str, ...]
    """Names of all sources."""
    outcomes: dict[str, Entry | WdistError | str | None]
    """Outcomes by name, for the sources of this shard and perhaps the noise floor: a result, or the reason why there is none."""
    confidence: float
    results: int
    """Number of results of all shards."""
    slope: float | None
    metric: str
    seed: int
    seconds: float
    warnings: tuple[str, ...]
    """Warnings about the sources, the same in all shards."""
    interrupted: bool

    def kept(self) -> "ComparisonShard":
        """The part that the document keeps: numbers, without critics and plans."""
        return replace(self, outcomes={name: _kept(outcome) for name, outcome in self.outcomes.items()})


def _kept(outcome: Entry | WdistError | str | None) -> Entry | str | None:
    if outcome is None or isinstance(outcome, str | WdistError):
        return None if outcome is None else str(outcome)
    estimate = outcome.estimate
    critic = _without_function(estimate.critic)
    return replace(outcome, witnesses=None, estimate=replace(estimate, critic=critic, baselines=(), transport=None, preview=None))


def _without_function(critic: CriticResult) -> CriticResult:
    nothing: Any = None
    return replace(critic, frozen=nothing, potential=nothing, folds=tuple(_without_function(each) for each in critic.folds))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison(Tabular):
    """Sources ranked against one reference."""

    reference: SourceInfo
    digest: str | None
    """SHA-256 of the stored samples of the reference; None for draws."""
    ranking: tuple[Entry, ...]
    """Sources sorted by the distance that critics find, nearest first."""
    noise_floor: Entry | None
    """Result for two disjoint halves of the reference, or two streams of draws, which have the same distribution."""
    confidence: float
    """Confidence at which all bounds for the distributions hold together."""
    results: int
    """Number of results that share the error: one for each source, and the noise floor."""
    slope: float | None
    """Measured r such that W1 between two halves of the reference falls about as n^(-r); None if it was not measured."""
    metric: str
    features: Features | None
    """Feature space in which all distances are measured; None for the space of the samples."""
    seed: int
    seconds: float
    environment: Environment
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Names of the sources without a result, because they failed or the user interrupted."""
    interrupted: bool = False
    shard: ComparisonShard | None = None
    """Part of the sources that was compared; None for all of them."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All results, the noise floor last."""
        return self.ranking if self.noise_floor is None else (*self.ranking, self.noise_floor)

    @property
    def bounds(self) -> int:
        """Number of bounds for the distributions that hold together."""
        return sum(entry.population.jointly_with for entry in self.entries)

    @cached_property
    def found(self) -> dict[str, tuple[Found, ...]]:
        """Held-out values of the critics that judge each source, fold by fold, by the name of the source."""
        return best_found(self.ranking)

    def detected(self, entry: Entry) -> float:
        """Distance that the critics detect on fresh samples, by which the ranking is sorted; not a bound."""
        return value_found(entry, self.found)

    @cached_property
    def orders(self) -> Orders:
        """Claimed order at each level."""
        alpha = 1 - self.confidence
        return Orders(
            samples=interval_order("samples", self.ranking, bounds=attrgetter("samples"), sorted_by=attrgetter("samples.lower")),
            population=interval_order(
                "population", self.ranking, bounds=attrgetter("population"), sorted_by=attrgetter("population.estimate")
            ),
            reference=reference_order(self.ranking),
            detected=detected_order(self.ranking, self.found, alpha=alpha),
            block=block_order(self.ranking, alpha=alpha),
        )

    @property
    def equal_counts(self) -> bool:
        """Whether all sources were judged by equally many samples."""
        return len({entry.samples.n_b for entry in self.ranking}) <= 1

    def places(self, entry: Entry) -> tuple[int, int]:
        """First and last place of a source that the claims of the deciding level allow."""
        nearer = sum(claim.farther == entry.name for claim in self.orders.decided.claims)
        farther = sum(claim.nearer == entry.name for claim in self.orders.decided.claims)
        return 1 + nearer, len(self.ranking) - farther

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Groups of sources by claims about the distributions: every source of a group is nearer than every source of the next."""
        return self.orders.population.groups

    @cached_property
    def separations(self) -> tuple[Separation, ...]:
        """Approximate number of samples that would separate each pair of neighbours without a claim about their distributions."""
        claimed = {(claim.nearer, claim.farther) for claim in self.orders.population.claims}
        return tuple(self._separation(near, far) for near, far in pairwise(self.ranking) if (near.name, far.name) not in claimed)

    def _separation(self, near: Entry, far: Entry) -> Separation:
        times, reason = times_to_separate(near.population, far.population, slope=self.slope)
        counts = [(near.samples.n_a, near.estimate.a.count), *((each.samples.n_b, each.source.count) for each in (near, far))]
        # The user cannot add samples to an endless source.
        most = max((n for n, count in counts if count is not None), default=max(n for n, _ in counts))
        samples = None if times is None else math.ceil(times * most)
        return Separation(nearer=near.name, farther=far.name, times=times, samples=samples, reason=reason)


def times_to_separate(near: PopulationBound, far: PopulationBound, *, slope: float | None) -> tuple[float | None, str | None]:
    r"""Estimates by which factor the number of samples must grow for the upper bound of one source to fall below the lower bound
    of another.

    With m times the samples, a lower bound l is assumed to rise to :math:`e - (e - l) m^{-1/2}` and an upper bound u to fall to
    :math:`e + (u - e) m^{-r}`, where e is the held-out estimate. In expectation e is at most W1, in whose place it is used here, so
    the factor is too small if critics are slack. The slope r is that of two samples of one distribution, the slowest possible, so
    the factor is too large if distributions are far apart. It is an estimate of the order of magnitude.

    Arguments:
        near, far: bounds of the two sources, ordered by their estimates.
        slope: r > 0.

    Returns:
        The factor m, or None with the reason why it cannot be estimated.
    """
    if near.upper is None:
        return None, "there is no upper bound"
    if slope is None:
        return None, "the rate at which upper bounds fall could not be measured"
    if far.lower <= 0:
        return None, "the farther source is not separated from the reference"
    distance = max(near.estimate, 0.0)
    apart, below, above = far.estimate - distance, far.estimate - far.lower, near.upper - distance
    # A lower bound of 0 says nothing about the error of its estimate, so the other error is used for both.
    if apart <= math.hypot(near.estimate - near.lower if near.lower > 0 else below, below):
        return None, "the estimates differ by less than their errors"

    def open_by(times: float) -> float:
        return max(below, 0.0) * times**-0.5 + max(above, 0.0) * times**-slope - apart

    if open_by(MOST_TIMES) >= 0:
        return None, f"it would take more than {MOST_TIMES:,.0f} times as many, too many to extrapolate"
    low, high = 0.0, math.log(MOST_TIMES)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if open_by(math.exp(middle)) >= 0 else (low, middle)
    return math.exp(high), None


def short_names(addresses: Sequence[str]) -> tuple[str, ...]:
    """The shortest distinct name for each address, ``tensor 1`` for ``<tensor 1>``; repeated addresses are numbered."""
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
    """The last part of a path without its options, or the whole address if it has no path."""
    location = address.partition("?")[0].rstrip("/")
    if location.startswith("<"):
        return location.strip("<>")  # in an order, "<tensor 2> < <tensor 1>" is hard to read
    return location.rpartition("/")[2] or location
