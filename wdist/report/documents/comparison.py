"""Comparisons as files: Markdown with a table and the sentences, and comma-separated values."""

import csv
import io
from collections.abc import Iterator
from itertools import pairwise

from wdist.comparison.entry import Entry
from wdist.comparison.ranking import Comparison
from wdist.report.documents.markdown import code, escaped, table
from wdist.report.numbers import at_most, level, lower_bound, nearest
from wdist.report.rankings import comparison_sentences, deciding, levels_of_order, levels_shown, place, proved_order


def comma_separated(comparison: Comparison) -> str:
    """A row for each source in the order of the ranking, then the noise floor; numbers at full precision, missing ones empty."""
    rows = [_record(comparison, entry) for entry in comparison.entries]
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def _record(comparison: Comparison, entry: Entry) -> dict[str, str | float | None]:
    ranked = entry is not comparison.noise_floor
    first, last = comparison.places(entry) if ranked else (None, None)
    samples, population, critic = entry.samples, entry.population, entry.estimate.critic
    return {
        "name": entry.name,
        "kind": "source" if ranked else "noise floor",
        "address": entry.source.address,
        "first_place": first,
        "last_place": last,
        "population_estimate": population.estimate,
        "population_lower": population.lower,
        "population_upper": population.upper,
        "confidence": comparison.confidence,
        "held_out_reference": population.n_a,
        "held_out_source": population.n_b,
        "samples_lower": samples.lower,
        "samples_upper": samples.upper,
        "samples_exact": "true" if samples.exact else "false",
        "n_reference": samples.n_a,
        "n_source": samples.n_b,
        "critic": critic.name,
        "lipschitz_bound": critic.lipschitz_bound,
        "steps": critic.steps,
        "seconds": entry.estimate.seconds,
        "detected": comparison.detected(entry),
    }


def markdown(comparison: Comparison) -> str:
    """A heading, the verdict, a table and the sentences; ends with a line feed."""
    headers = {"place": "--:", "source": ":--", "detected": "--:"}
    headers |= {f"W1 of the distributions, {level(comparison.confidence)}": ":-:", "W1 of the samples": ":-:"}
    lines = [
        f"### Wasserstein-1 from {code(comparison.reference.address)}",
        "",
        f"**{escaped(proved_order(comparison))}.**",
        "",
        *table(headers, (_cells(comparison, entry) for entry in comparison.entries)),
        "",
    ]
    if len(comparison.ranking) > 1:
        lines += _neighbours(comparison)
    for sentence in comparison_sentences(comparison):
        lines += [escaped(sentence), ""]
    if comparison.left_out:
        lines += [escaped(f"No result for {', '.join(comparison.left_out)}."), ""]
    return "\n".join(lines)


def _neighbours(comparison: Comparison) -> Iterator[str]:
    """A table of neighbours and the levels at which their order is claimed, with the meaning of the levels."""
    shown = levels_shown(comparison)
    pairs = [(near, far, deciding(comparison, near, far)) for near, far in pairwise(comparison.ranking)]
    rows = ((near.name, far.name, *(said[each] for each in shown)) for near, far, said in pairs)
    yield from table(dict.fromkeys(("nearer", "farther", *shown.values()), ":--"), (map(escaped, cells) for cells in rows))
    yield ""
    yield from (f"- {escaped(line)}" for line in levels_of_order(comparison))
    yield ""


def _cells(comparison: Comparison, entry: Entry) -> tuple[str, ...]:
    population, samples = entry.population, entry.samples
    if samples.exact and samples.upper is not None:
        between = f"{nearest(samples.upper)} (exact)"
    else:
        between = _interval(samples.lower, samples.upper)
    name = f"_{escaped(entry.name)}_" if entry is comparison.noise_floor else escaped(entry.name)
    return (
        place(comparison, entry),
        name,
        nearest(comparison.detected(entry)),
        _interval(population.lower, population.upper),
        between,
    )


def _interval(lower: float, upper: float | None) -> str:
    below = lower_bound(lower)
    return f"at least {below}" if upper is None else f"{below} to {at_most(upper)}"
