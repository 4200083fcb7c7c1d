"""Sentences about comparisons: the claimed order, its levels, what would separate sources, and the noise floor."""

from collections.abc import Iterator, Sequence
from math import comb

from wdist.comparison.entry import Entry
from wdist.comparison.orders import OrderClaim
from wdist.comparison.ranking import Comparison, ComparisonShard, Separation
from wdist.report.numbers import at_most, counted, counted_as, level, lower_bound, nearest, p_value
from wdist.report.sentences import DIGITS, METRICS, units

LEVELS = {"samples": "samples", "population": "populations", "reference": "reference", "detected": "detected", "block": "blocks"}
"""The levels of an order, the strongest first."""
_KINDS_OF_ORDER = {
    "population": ("Proved order", "Proved"),
    "reference": ("Order of distances from the samples of the reference", "From the samples of the reference"),
    "detected": ("Order of what the critics detect", "Detected"),
    "block": ("Order of distances between blocks", "Between blocks"),
}
"""Beginnings of sentences about a whole order, and about parts of it."""
_LISTED = 8
"""Most pairs that a sentence lists; otherwise it says how many there are."""
_TRAIN_LONGER = "give more --steps or a longer --budget"


def proved_order(comparison: Comparison) -> str:
    """The claimed order of the distributions, at the level that claims the most, in plain words."""
    confidence = f"with {level(comparison.confidence)} confidence"
    if len(comparison.ranking) == 1:
        (entry,) = comparison.ranking
        if entry.population.lower > 0:
            apart = lower_bound(entry.population.lower, DIGITS)
            return f"{entry.name} differs from the reference: W1 is at least {apart}, {confidence}"
        return f"No difference between {entry.name} and the reference is proved at this sample size"
    decided = comparison.orders.decided
    claims, groups = decided.claims, decided.groups
    if not claims and comparison.orders.detected.withheld:
        return f"No order is claimed: the critics had not stopped improving when training ended; {_TRAIN_LONGER}"
    if not claims:
        tested = ", and no test finds a difference" if any(each.tested for each in comparison.orders.levels) else ""
        return f"No order is proved at this sample size: all intervals overlap{tested}"
    inside, (whole, parts) = _order_within_groups(groups, claims), _KINDS_OF_ORDER[decided.level]
    if len(groups) == 1:
        return f"{parts} {confidence}: {inside}; the rest is not separable"
    sentence = f"{whole}, nearest first, {confidence}: {order(groups)}"
    if inside:
        return f"{sentence}; and {inside}; the rest is not separable"
    return sentence + ("" if all(len(group) == 1 for group in groups) else "; sources in parentheses are not separable")


def levels_shown(comparison: Comparison) -> dict[str, str]:
    """The levels in a table; ``reference`` only if some source is a generator."""
    drawn = any(entry.estimate.semi_discrete is not None for entry in comparison.ranking)
    return {level: title for level, title in LEVELS.items() if drawn or level != "reference"}


def deciding(comparison: Comparison, near: Entry, far: Entry) -> dict[str, str]:
    """The claim of each level about two sources, ``<`` if the former is nearer, ``>`` if the latter, with p-values.

    ``open, rising`` means that a test decided, but the claim is withheld because the critics of the nearer source still improved.
    """
    said: dict[str, str] = {}
    for each in comparison.orders.levels:
        if any({one.nearer, one.farther} == {near.name, far.name} for one in each.withheld):
            said[each.level] = "open, rising"
            continue
        claim, test = each.between(near.name, far.name), each.test_of(near.name, far.name)
        sign = "open" if claim is None else "<" if claim.nearer == near.name else ">"
        said[each.level] = sign if test is None or test.p_value is None else f"{sign}, {p_value(test.p_value)}"
    return said


def strongest(comparison: Comparison, near: Entry, far: Entry) -> str:
    """The strongest level at which the distributions of two sources are in order; ``open`` if there is none."""
    said = deciding(comparison, near, far)
    found = next((each for each in list(LEVELS)[1:] if not said[each].startswith("open")), None)
    if found is None:
        return "open"
    sign, _, tested = said[found].partition(", ")
    return ", ".join([LEVELS[found], *([tested] if tested else []), *(["reversed"] if sign == ">" else [])])


def levels_of_order(comparison: Comparison) -> Iterator[str]:
    """The meaning of an order at each level, one line per level."""
    confidence, orders = level(comparison.confidence), comparison.orders
    yield "samples: the order of these sample sets themselves, certain"
    yield f"populations: the order of the distributions behind them, proved, {confidence} jointly"
    if "reference" in levels_shown(comparison):
        yield (
            f"reference: the order of W1 from these samples of the reference to what generators draw, asymptotic, "
            f"{confidence} jointly"
        )
    if orders.detected.tested:
        rising = "; rising: longer training may find more for the nearer source" if orders.detected.withheld else ""
        yield f"detected: the order of what the critics find on fresh samples, tested in pairs, asymptotic{rising}"
    blocks = next((entry.estimate.block for entry in comparison.ranking if entry.estimate.block is not None), None)
    if orders.block.tested and blocks is not None:
        yield (
            f"blocks: the order of mean distances between {counted_as(blocks.size, 'sample')} a side, less half of those within "
            f"each side, tested in pairs, asymptotic"
        )
    if orders.detected.tested or orders.block.tested:
        yield f"p-values are adjusted for all pairs of a level (Holm); each level holds at {confidence} on its own"


def comparison_sentences(comparison: Comparison) -> Iterator[str]:
    """The shard, briefly trained critics, metric, confidence, inseparable pairs, the sample sets, the noise floor."""
    if comparison.shard is not None:
        yield _about_shard(comparison.shard, len(comparison.ranking))
    if comparison.orders.detected.withheld:
        yield _about_withheld(comparison)
    yield _about_bounds(comparison)
    yield from _samples_needed(comparison.separations)
    yield _about_samples(comparison)
    if comparison.noise_floor is not None:
        yield _about_noise_floor(comparison.noise_floor)


def place(comparison: Comparison, entry: Entry) -> str:
    """The possible places of a source: ``1``, or ``2-3`` if nothing decides; empty for the noise floor."""
    if entry is comparison.noise_floor:
        return ""
    first, last = comparison.places(entry)
    return str(first) if first == last else f"{first}-{last}"


def order(groups: Sequence[Sequence[str]]) -> str:
    """Names in order, with inseparable ones in parentheses: ``late < (middle, early)``."""
    return " < ".join(group[0] if len(group) == 1 else f"({', '.join(group)})" for group in groups)


def _about_shard(shard: ComparisonShard, sources: int) -> str:
    return (
        f"This is shard {shard.number + 1} of {shard.of}, with {sources} of {len(shard.names)} sources: order and places are among "
        f"these alone. wdist merge joins the documents of all shards."
    )


def _about_bounds(comparison: Comparison) -> str:
    space = "" if comparison.features is None else f" in the space of the features {comparison.features.spec}"
    metric = METRICS[comparison.metric]
    what = "samples" if comparison.reference.count is not None else "draws"
    return (
        f"W1{space} ({metric}, {units(comparison.reference)}) from {comparison.reference.address}, using the same {what} of it for "
        f"every source. Sources are ranked by what critics detect, which is not a bound. The {comparison.bounds} bounds for "
        f"the distributions, over {comparison.results} results, hold together at {level(comparison.confidence)} confidence."
    )


def _order_within_groups(groups: Sequence[Sequence[str]], claims: Sequence[OrderClaim]) -> str:
    """Claims about two sources of the same group."""
    home = {name: number for number, group in enumerate(groups) for name in group}
    inside = [f"{each.nearer} < {each.farther}" for each in claims if home[each.nearer] == home[each.farther]]
    if len(inside) <= _LISTED:
        return ", ".join(inside)
    pairs = sum(comb(len(group), 2) for group in groups)
    where = " in parentheses" if len(groups) > 1 else ""
    return f"the order of {counted(len(inside))} of {counted(pairs)} pairs{where}, which the JSON document lists"


def _about_withheld(comparison: Comparison) -> str:
    nearer = {claim.nearer for claim in comparison.orders.detected.withheld}
    names = [entry.name for entry in comparison.ranking if entry.name in nearer]
    which = "it is not called nearer than others" if len(names) == 1 else "none of them is called nearer than others"
    return (
        f"Critics that judge {', '.join(names)} had not stopped improving when training ended, and longer training may find more: "
        f"at the level detected, {which}. To decide, {_TRAIN_LONGER}."
    )


def _samples_needed(separations: Sequence[Separation]) -> Iterator[str]:
    """The sample sizes that might separate neighbours, or the reason why they cannot be estimated."""
    sizes = {each: each.samples for each in separations if each.samples is not None}
    if len(sizes) > _LISTED:
        fewest, most = (counted(_rounded(end(sizes.values()))) for end in (min, max))
        yield (
            f"About {fewest} to {most} samples of each side might separate the populations of {counted(len(sizes))} pairs of "
            f"neighbours: orders of magnitude, not bounds."
        )
    else:
        yield from map(_would_separate, sizes)
    for reason in dict.fromkeys(each.reason for each in separations if each not in sizes):
        pairs = [f"{each.nearer} and {each.farther}" for each in separations if each.reason == reason]
        shown = "; ".join(pairs) if len(pairs) <= _LISTED else f"{counted(len(pairs))} pairs of neighbours"
        yield f"No estimate of the sample size needed to separate the populations of {shown}: {reason}."


def _would_separate(separation: Separation) -> str:
    assert separation.times is not None
    assert separation.samples is not None
    return (
        f"About {counted(_rounded(separation.samples))} samples of each side, {nearest(separation.times, 2)} times as many, might "
        f"separate the populations of {separation.nearer} and {separation.farther}: an order of magnitude, not a bound."
    )


def _rounded(count: int) -> int:
    """The count to two digits, the precision of an estimate."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit


def _about_samples(comparison: Comparison) -> str:
    if len(comparison.ranking) == 1:
        entry = comparison.ranking[0]
        return f"The sample sets themselves hold {counted(entry.samples.n_a)} and {counted(entry.samples.n_b)} samples."
    certain = comparison.orders.samples
    if not certain.claims:
        sentence = "No order of the sample sets themselves is certain"
    else:
        shown = order(certain.groups) if len(certain.groups) > 1 else ""
        inside = _order_within_groups(certain.groups, certain.claims)
        sentence = f"Certain order of the sample sets themselves: {' and '.join(part for part in (shown, inside) if part)}"
    if comparison.equal_counts:
        return sentence + "."
    counts = sorted({entry.samples.n_b for entry in comparison.ranking})
    return (
        f"{sentence}. They differ in size, from {counted(counts[0])} to {counted(counts[-1])}, and smaller sets lie farther from "
        f"the reference for that reason alone, so this says nothing about their distributions."
    )


def _about_noise_floor(floor: Entry) -> str:
    samples, population = floor.samples, floor.population
    what = "halves" if floor.source.count is not None else "sets of draws"
    apart = samples.lower if samples.upper is None else samples.upper
    shown = f"{nearest(apart)} apart" if samples.exact else f"at least {nearest(apart)} apart"
    if not samples.exact and samples.upper is not None:
        shown = f"at most {at_most(apart)} apart"
    sentence = f"Noise floor: two {what} of the reference, {counted(samples.n_a)} samples each, are {shown}."
    if population.upper is not None:
        sentence += (
            f" Their distributions are the same, yet the upper bound for them is {at_most(population.upper)}: upper bounds of that "
            f"size reflect the number of samples, not a difference."
        )
    return sentence
