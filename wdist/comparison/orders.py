r"""Orders of sources by their distance from one reference, at five levels, the strongest first.

Sample sets, populations, and generators (by W1 from the samples of the reference) are ordered if their intervals are disjoint. The
other two levels test one paired statistic for each pair of sources, on the same samples of the reference, whose contributions to
both distances cancel:

- detected: the difference of the two held-out values, with the critics f and g and the sources' own samples x and y,

  .. math:: \frac1n \sum_i (f - g)(r_i) - \frac1{m} \sum_j f(x_j) + \frac1{k} \sum_l g(y_l);

  the three means are taken as independent given the critics, which gives Welch's t; if rows of both sources move against each
  other, the standard error is that of their differences. With folds, the statistic is the mean over folds, with the critics of
  :mod:`wdist.comparison.pool` and the variance of :mod:`wdist.bounds.mean_difference`. If one critic judges both sources, the
  reference drops out, and samples that neither trained nor chose the critic are independent between folds.
- block: the differences, group by group, of the centred distances between blocks; Student's t.

Both are asymptotic. Each difference is tested two-sided, so that its sign may be claimed, and the p-values of a level are adjusted
for all its pairs by Holm's method: a level claims a wrong order with probability at most 1 - confidence.

Longer training finds a larger distance, so it can reverse an order only by what it adds to the nearer source. At the level
detected, no source is therefore called nearer while the critics that judge it still improve: if their validation value rose in the
last quarter of training by more than 1 % of the distance that is found for the farther source.

References:
    Holm (1979), A simple sequentially rejective multiple test procedure.
    Finner (1999), Stepwise multiple test procedures and control of directional errors (signs of the rejected differences).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from statistics import fmean
from typing import Literal, TypeAlias

import numpy as np

from wdist.bounds.confidence import holm
from wdist.bounds.mean_difference import MeanDifference, mean_contrast
from wdist.comparison.entry import Entry
from wdist.comparison.pool import Found, value_found
from wdist.estimation.result import PopulationBound, SamplesInterval
from wdist.estimation.semi_discrete import SemiDiscrete
from wdist.training.loop import IMPROVING

Level: TypeAlias = Literal["samples", "population", "reference", "detected", "block"]
"""Levels of an order, the strongest first."""


@dataclass(frozen=True, kw_only=True)
class OrderClaim:
    """Claim that one source is nearer to the reference than another."""

    nearer: str
    farther: str
    p_value: float | None = None
    """Two-sided p-value of "equally near", adjusted for all pairs of the level; None if the claim rests on disjoint intervals."""
    certain: bool = False
    """Whether the claim is certain, without statistics."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order of all sources at one level."""

    level: Level
    claims: tuple[OrderClaim, ...]
    """All pairs whose order is claimed."""
    groups: tuple[tuple[str, ...], ...]
    """Every source of a group is nearer than every source of the next group."""
    tested: tuple[OrderClaim, ...] = ()
    """All pairs that were tested, claimed or not, with their adjusted p-values."""
    withheld: tuple[OrderClaim, ...] = ()
    """Pairs that the test decides, but that are not claimed because critics of the nearer source had not stopped improving."""

    def between(self, one: str, other: str) -> OrderClaim | None:
        """The claim about two sources, if there is one."""
        return next((each for each in self.claims if {each.nearer, each.farther} == {one, other}), None)

    def test_of(self, one: str, other: str) -> OrderClaim | None:
        """The test of two sources, if there was one."""
        return next((each for each in self.tested if {each.nearer, each.farther} == {one, other}), None)


@dataclass(frozen=True, kw_only=True)
class Orders:
    """The orders at all levels, the strongest first; each is wrong with probability at most 1 - confidence on its own."""

    samples: Order
    """Order of the sample sets, sorted by their lower bounds: certain, but a set's size alone already affects its distance."""
    population: Order
    """Order of the distributions by W1: proved, from disjoint intervals."""
    reference: Order
    """Order of what generators draw, by W1 from the given samples of the reference: from disjoint intervals, asymptotic."""
    detected: Order
    """Order by what critics find on fresh samples: tested in pairs, asymptotic."""
    block: Order
    """Order by centred mean distances between blocks of samples: tested in pairs, asymptotic."""

    @property
    def levels(self) -> tuple[Order, ...]:
        return self.samples, self.population, self.reference, self.detected, self.block

    @property
    def decided(self) -> Order:
        """The order of the distributions that claims the most pairs, at the strongest such level."""
        return max(self.levels[1:], key=lambda order: len(order.claims))


def interval_order(
    level: Level,
    entries: Sequence[Entry],
    *,
    bounds: Callable[[Entry], SamplesInterval | PopulationBound | SemiDiscrete],
    sorted_by: Callable[[Entry], float],
) -> Order:
    """The order claimed by disjoint intervals; certain for the sample sets."""
    claims = tuple(
        OrderClaim(nearer=near.name, farther=far.name, certain=level == "samples")
        for near, far in product(entries, repeat=2)
        if (end := bounds(near).upper) is not None and end < bounds(far).lower
    )
    return Order(level=level, claims=claims, groups=undivided(_names(entries, sorted_by), claims))


def reference_order(entries: Sequence[Entry]) -> Order:
    """The order of the sources that are drawn without end, by W1 from the samples of the reference."""
    found = {entry.name: entry.estimate.semi_discrete for entry in entries if entry.estimate.semi_discrete is not None}
    return interval_order(
        "reference",
        [entry for entry in entries if entry.name in found],
        bounds=lambda entry: found[entry.name],
        sorted_by=lambda entry: found[entry.name].estimate,
    )


def detected_order(entries: Sequence[Entry], found: Mapping[str, tuple[Found, ...]], *, alpha: float) -> Order:
    """The order of what critics find on fresh samples, wrong with probability at most ``alpha``.

    ``found`` holds the values of the critics that judge each source, fold by fold, by its name; without folds, those on one
    held-out part of the samples.
    """
    rises = {entry.name: entry.estimate.critic.rise for entry in entries}

    def difference(one: Entry, other: Entry) -> MeanDifference | None:
        return _detected_difference(one.name, other.name, found)

    def improving(claim: OrderClaim) -> bool:
        rise = max(rises[each] for each in (claim.nearer, *(each.critic for each in found[claim.nearer])))
        return rise > IMPROVING * max(0.0, fmean(each.value for each in found[claim.farther]))

    return _tested("detected", entries, difference, partial(value_found, found=found), alpha, improving=improving)


def block_order(entries: Sequence[Entry], *, alpha: float) -> Order:
    """The order of centred distances between blocks."""

    def centred(entry: Entry) -> float:
        return math.inf if entry.estimate.block is None else entry.estimate.block.centred

    return _tested("block", entries, _block_difference, centred, alpha)


def _tested(
    level: Level,
    entries: Sequence[Entry],
    difference: Callable[[Entry, Entry], MeanDifference | None],
    sorted_by: Callable[[Entry], float],
    alpha: float,
    *,
    improving: Callable[[OrderClaim], bool] = lambda _: False,
) -> Order:
    """The order decided by tests of all pairs, without claims that longer training may reverse."""
    found = [
        OrderClaim(
            nearer=(one if apart.estimate < 0 else other).name,
            farther=(other if apart.estimate < 0 else one).name,
            p_value=apart.two_sided_p_value if apart.estimate else 1.0,
        )
        for one, other in combinations(entries, 2)
        if (apart := difference(one, other)) is not None
    ]
    tested = tuple(
        replace(each, p_value=adjusted) for each, adjusted in zip(found, holm([each.p_value or 0.0 for each in found]), strict=True)
    )
    decided = [each for each in tested if each.p_value is not None and each.p_value <= alpha]
    withheld = tuple(each for each in decided if improving(each))
    claims = tuple(each for each in decided if each not in withheld)
    groups = undivided(_names(entries, sorted_by), claims)
    return Order(level=level, claims=claims, groups=groups, tested=tested, withheld=withheld)


def _detected_difference(one: str, other: str, found: Mapping[str, tuple[Found, ...]]) -> MeanDifference | None:
    """Distance of one source minus that of the other; None if they were not judged on the same samples of the reference."""
    pairs = list(zip(found.get(one, ()), found.get(other, ()), strict=False))
    if not pairs or len(found[one]) != len(found[other]) or any(len(first.a) != len(second.a) for first, second in pairs):
        return None
    values, trained, differ = [], [], False
    varied = {name: len({each.critic for each in found[name]}) > 1 for name in (one, other)}  # choosing is training, too
    for first, second in pairs:
        critics = {first.critic, second.critic}
        differ = differ or len(critics) == 2
        values.append((first.a - second.a, first.b, second.b))
        trained.append((len(critics) == 2, *(name in critics or varied[name] for name in (one, other))))
    apart = mean_contrast(values, (int(differ), -1, 1), trained=trained)  # one critic gives the reference the same values twice
    apart = replace(apart, error_b=apart.error_b * _moved_together(pairs))
    rounding = max(first.rounding + second.rounding for first, second in pairs)
    return replace(apart, estimate=math.copysign(max(0.0, abs(apart.estimate) - rounding), apart.estimate))


def _moved_together(pairs: Sequence[tuple[Found, Found]]) -> float:
    """Factor, at least 1, by which the values of two sources differ more, row by row, than independent ones would.

    The same row of two sources may come from the same input, and draws of two generators with one seed come from the same latents.
    """
    if any(len(first.b) != len(second.b) for first, second in pairs):
        return 1.0
    alone = sum(float(each.b.var() / len(each.b)) for pair in pairs for each in pair)
    together = sum(float((first.b - second.b).var() / len(first.b)) for first, second in pairs)
    return math.sqrt(max(1.0, together / alone)) if alone > 0 else 1.0


def _block_difference(one: Entry, other: Entry) -> MeanDifference | None:
    """Centred distance of one source minus that of the other, on the groups that both have; None if their blocks differ."""
    first, second = one.estimate.block, other.estimate.block
    if first is None or second is None or (first.size, first.seed) != (second.size, second.seed):
        return None
    count = min(first.count, second.count)
    apart = np.array(first.centred_values[:count]) - np.array(second.centred_values[:count])
    return mean_contrast([(apart,)], (1,))


def _names(entries: Sequence[Entry], sorted_by: Callable[[Entry], float]) -> list[str]:
    return [entry.name for entry in sorted(entries, key=sorted_by)]


def undivided(names: Sequence[str], claims: Sequence[OrderClaim]) -> tuple[tuple[str, ...], ...]:
    """Cuts ``names`` into groups wherever every pair across the cut is claimed."""
    claimed = {(claim.nearer, claim.farther) for claim in claims}
    groups: list[tuple[str, ...]] = []
    start = 0
    for cut in range(1, len(names) + 1):
        if all((near, far) in claimed for near in names[:cut] for far in names[cut:]):
            groups.append(tuple(names[start:cut]))
            start = cut
    return tuple(groups)
