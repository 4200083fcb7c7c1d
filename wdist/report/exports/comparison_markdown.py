"""A comparison as Markdown: a heading, a table and the sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wdist.report.comparison_sentences import place, sentences
from wdist.report.numbers import at_most, level, lower_bound, nearest

if TYPE_CHECKING:
    from wdist.comparison.ranking import Comparison, Entry


def markdown(comparison: Comparison) -> str:
    """A heading, a table and the sentences; ends with a line feed."""
    headers = (
        "place",
        "source",
        "held-out estimate",
        f"W1 of the distributions, {level(comparison.confidence)}",
        "W1 of the samples",
    )
    lines = [
        f"### Wasserstein-1 from `{comparison.reference.address}`",
        "",
        _row(headers),
        _row(("--:", ":--", "--:", ":-:", ":-:")),
        *(_row(_cells(comparison, entry)) for entry in comparison.entries),
        "",
    ]
    for sentence in sentences(comparison):
        lines += [_escaped(sentence), ""]
    if comparison.left_out:
        lines += [_escaped(f"There is no result of {', '.join(comparison.left_out)}."), ""]
    return "\n".join(lines)


def _cells(comparison: Comparison, entry: Entry) -> tuple[str, ...]:
    population, samples = entry.population, entry.samples
    if samples.exact and samples.upper is not None:
        between = f"{nearest(samples.upper)} (exact)"
    else:
        between = _interval(samples.lower, samples.upper)
    name = f"_{_escaped(entry.name)}_" if entry is comparison.noise_floor else _escaped(entry.name)
    return place(comparison, entry), name, nearest(population.estimate), _interval(population.lower, population.upper), between


def _interval(lower: float, upper: float | None) -> str:
    below = lower_bound(lower)
    return f"at least {below}" if upper is None else f"{below} to {at_most(upper)}"


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    """The same words where bars divide cells and signs begin markup."""
    for sign in ("\\", "|", "*", "_", "<", "`"):
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
