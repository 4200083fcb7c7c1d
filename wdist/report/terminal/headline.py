"""The panel at the top of an estimate: both intervals, the truth where it is known, and the two sources."""

from __future__ import annotations

from decimal import ROUND_FLOOR
from typing import TYPE_CHECKING

from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wdist.report.names import METHODS
from wdist.report.numbers import at_most, counted, level, lower_bound, nearest, percentage, shape
from wdist.report.terminal.style import ACCENT

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wdist.data.sources.source import SourceInfo
    from wdist.estimation.result import Estimate, PopulationBound, SamplesInterval

_DIGITS = 5
_PROOF_WIDTH = 60
"""Characters in which both ends' proofs stand on one line."""


def headline(estimate: Estimate) -> RenderableType:
    """Both intervals, the truth where it is known, and the two sources, in a panel."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("A", source_line(estimate.a))
    rows.add_row("B", source_line(estimate.b))
    if estimate.features is not None:
        rows.add_row("features", Text(estimate.features.what))
    rows.add_row("", "")
    if not estimate.certified:
        rows.add_row(
            "not a bound", Text(f"dual value {nearest(estimate.population.estimate, _DIGITS)}; the critic has no certificate")
        )
    else:
        rows.add_row("samples", _samples_line(estimate.samples))
        _add_proof(rows, estimate.samples.lower_method, estimate.samples.upper_method)
        if estimate.tolerance is not None:
            rows.add_row("", _tolerance_line(estimate, estimate.tolerance))
        rows.add_row("populations", _population_line(estimate.population))
        if estimate.population.upper_method is not None:
            method = METHODS.get(estimate.population.method, estimate.population.method)
            _add_proof(rows, f"{estimate.critic.name}, {method}", estimate.population.upper_method)
    if estimate.truth is not None:
        rows.add_row("truth", _truth_line(estimate))
    title = "Wasserstein-1" + (", interrupted" if estimate.interrupted else "")
    return Panel(rows, title=Text(title, style="bold"), title_align="left", box=box.ROUNDED, padding=(0, 1))


def source_line(info: SourceInfo) -> Text:
    """One source: its address, how much it holds, and in which units."""
    amount = "endless draws" if info.count is None else f"{counted(info.count)} samples"
    facts = [f"{amount} of shape {shape(info.event_shape)}", info.dtype]
    if info.units.startswith(info.dtype):
        facts[-1] = info.units
    elif info.units not in ("as stored", "of the definition", ""):
        facts.append(info.units)
    if info.dropped:
        facts.append(f"{counted(info.dropped)} rows that are not finite left out")
    return Text.assemble((info.address, "bold"), "  ", (", ".join(facts), "dim"))


def _samples_line(samples: SamplesInterval) -> Text:
    line = Text.assemble((lower_bound(samples.lower, _DIGITS), ACCENT), " <= W1")
    if samples.upper is None:
        return line.append("    no upper bound was computed", style="dim")
    if samples.exact:
        line.append(" = ").append(nearest(samples.upper, _DIGITS), style=ACCENT)
    else:
        line.append(" <= ").append(at_most(samples.upper, _DIGITS), style=ACCENT)
    gap = f"    gap {nearest(samples.gap or 0.0, 3)}"
    if samples.relative_gap:
        gap += f" ({_share(samples.relative_gap)})"
    return line.append(gap, style="dim")


def _population_line(population: PopulationBound) -> Text:
    line = Text.assemble((lower_bound(population.lower, _DIGITS), ACCENT), " <= W1")
    stated = f"at {level(population.confidence)}"
    if population.upper is not None:
        line.append(" <= ").append(at_most(population.upper, _DIGITS), style=ACCENT)
    else:
        stated += " confidence"  # both ends leave no room for it on 80 columns; the sentence below says it
    return line.append(f"    {stated}; held-out estimate {nearest(population.estimate, _DIGITS)}", style="dim")


def _add_proof(rows: Table, below: str, above: str | None) -> None:
    """What proves the two ends of the interval in the row above."""
    ends = [f"{side}: {method}" for side, method in (("from below", below), ("from above", above)) if method]
    if ends:
        separator = "; " if sum(map(len, ends)) < _PROOF_WIDTH else "\n"
        rows.add_row("", Text(separator.join(ends), style="dim"))


def _tolerance_line(estimate: Estimate, tolerance: float) -> Text:
    asked = f"a gap of at most {level(tolerance)} was asked for: "
    answer = ("reached", "green") if estimate.closed else ("not reached", "yellow")
    return Text.assemble((asked, "dim"), answer)


def _share(relative_gap: float) -> str:
    return "under 0.1 %" if 0 < relative_gap < 0.0005 else percentage(relative_gap)


def _truth_line(estimate: Estimate) -> Text:
    assert estimate.truth is not None
    line = Text.assemble((nearest(estimate.truth, _DIGITS), ACCENT), " = W1 of the populations")
    if estimate.tightness is not None:
        line.append("    tightness ", style="dim").append(percentage(estimate.tightness, rounding=ROUND_FLOOR), style="bold")
    return line
