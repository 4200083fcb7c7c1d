"""What a comparison says, in sentences: for the terminal and for Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wdist.report.names import METRICS
from wdist.report.numbers import at_most, counted, level, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wdist.comparison.ranking import Claim, Comparison, Entry, Separation


def sentences(comparison: Comparison) -> Iterator[str]:
    """What is bounded, which order is claimed of the distributions and of the sample sets, and what is left open."""
    yield _stated(comparison)
    yield _of_distributions(comparison)
    yield from (_would_separate(each) for each in comparison.separations if each.times is not None)
    reasons = dict.fromkeys(each.reason for each in comparison.separations if each.times is None)
    for reason in reasons:
        pairs = [f"{each.nearer} and {each.farther}" for each in comparison.separations if each.reason == reason]
        yield f"How many samples would separate them cannot be told of {'; '.join(pairs)}: {reason}."
    yield _of_samples(comparison)
    if comparison.noise_floor is not None:
        yield _floor(comparison.noise_floor)


def place(comparison: Comparison, entry: Entry) -> str:
    """The places that a source may have: ``1``, or ``2-3`` where nothing decides; nothing for the noise floor."""
    if entry is comparison.noise_floor:
        return ""
    first, last = comparison.places(entry)
    return str(first) if first == last else f"{first}-{last}"


def order(groups: Sequence[Sequence[str]]) -> str:
    """Names in their order, those that are not separable in parentheses: ``late < (middle, early)``."""
    return " < ".join(group[0] if len(group) == 1 else f"({', '.join(group)})" for group in groups)


def _stated(comparison: Comparison) -> str:
    space = "" if comparison.features is None else f" in the space of the features {comparison.features.spec}"
    metric = METRICS.get(comparison.metric, comparison.metric)
    one_set = "samples" if comparison.reference.count is not None else "draws"
    return (
        f"W1{space} ({metric}, {_units(comparison)}) from {comparison.reference.address}, the same {one_set} of it for all. Ranked "
        f"by held-out estimate, which is no bound; the {comparison.bounds} bounds for the distributions, over {comparison.results} "
        f"results with an equal part of the error each, hold together at {level(comparison.confidence)} confidence."
    )


def _units(comparison: Comparison) -> str:
    units = comparison.reference.units
    if units in ("as stored", ""):
        return "in the units of the data"
    return f"in the units {units}" if units.startswith("of ") else f"values {units}"


def _of_distributions(comparison: Comparison) -> str:
    confidence = level(comparison.confidence)
    groups = comparison.groups
    if len(comparison.ranking) == 1:
        return "There is one source, so there is no order."
    if not comparison.population_order:
        return f"Not separable: of the distributions no order can be claimed at {confidence}, since every two intervals overlap."
    inside = _inside(groups, comparison.population_order)
    if len(groups) == 1:
        return f"Order of the distributions, claimed at {confidence}: {inside}; the rest is not separable."
    told = f"Order of the distributions, claimed at {confidence}: {order(groups)}"
    told += f"; and {inside}" if inside else ""
    return told + ("." if all(len(group) == 1 for group in groups) else "; what stands in parentheses is not separable.")


def _inside(groups: Sequence[Sequence[str]], claims: Sequence[Claim]) -> str:
    """Claims between sources of one group."""
    home = {name: number for number, group in enumerate(groups) for name in group}
    return ", ".join(f"{each.nearer} < {each.farther}" for each in claims if home[each.nearer] == home[each.farther])


def _would_separate(separation: Separation) -> str:
    assert separation.times is not None
    assert separation.samples is not None
    return (
        f"About {counted(_rounded(separation.samples))} samples of each side, {nearest(separation.times, 2)} times as many, might "
        f"separate {separation.nearer} and {separation.farther}: an estimate of the order of magnitude and no bound."
    )


def _rounded(count: int) -> int:
    """To two digits: an estimate is not known better."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit


def _of_samples(comparison: Comparison) -> str:
    if len(comparison.ranking) == 1:
        entry = comparison.ranking[0]
        return f"The sample sets themselves hold {counted(entry.samples.n_a)} and {counted(entry.samples.n_b)} samples."
    if not comparison.samples_order:
        told = "Of the sample sets themselves no order is certain"
    else:
        groups = comparison.samples_groups
        shown = order(groups) if len(groups) > 1 else ""
        inside = _inside(groups, comparison.samples_order)
        told = f"Order of the sample sets themselves, certain: {' and '.join(part for part in (shown, inside) if part)}"
    if comparison.equal_counts:
        return told + "."
    counts = sorted({entry.samples.n_b for entry in comparison.ranking})
    return (
        f"{told}. They differ in size, {counted(counts[0])} to {counted(counts[-1])}, and fewer samples lie farther from the "
        f"reference for that alone, so this says nothing of what they were drawn from."
    )


def _floor(floor: Entry) -> str:
    samples, population = floor.samples, floor.population
    what = "halves" if floor.source.count is not None else "sets of draws"
    apart = samples.lower if samples.upper is None else samples.upper
    shown = f"{nearest(apart)} apart" if samples.exact else f"at least {nearest(apart)} apart"
    if not samples.exact and samples.upper is not None:
        shown = f"at most {at_most(apart)} apart"
    told = f"Noise floor: two {what} of the reference, {counted(samples.n_a)} samples each, are {shown}"
    if population.upper is not None:
        told += (
            f"; all that they prove of their distributions, which are the same, is that these are at most "
            f"{at_most(population.upper)} apart. Upper ends of that size come from the number of samples, not from a distance"
        )
    return told + "."
