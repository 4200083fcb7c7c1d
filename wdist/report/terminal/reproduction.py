"""A reproduced table or figure as text: our numbers beside the paper's, by how much they differ, and what held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from wdist.report.numbers import duration, nearest
from wdist.report.terminal.findings import findings_table
from wdist.report.terminal.style import plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from wdist.studies.reproduce.experiment import Experiment
    from wdist.studies.reproduce.reproduction import Comparison, Reproduction

_DIGITS = 4


def rendered_reproduction(reproduction: Reproduction, *, paper: str) -> RenderableType:
    """The whole result, for 72 columns and more."""
    form = "quick form" if reproduction.quick else "full form"
    heading = Text.assemble(
        (f"{reproduction.what}: {reproduction.title}", "bold"), (f"  {reproduction.source}, {form}\n", "dim"), (paper, "dim")
    )
    parts: list[RenderableType] = [heading, Text(""), _comparisons(reproduction), Text(""), Text(_closeness(reproduction))]
    if reproduction.findings:
        parts += [Text(""), findings_table(reproduction.findings, header="what the paper says")]
    parts += [Text(""), *_remarks(reproduction)]
    return Group(*parts)


def rendered_catalogue(experiments: list[tuple[Experiment, float, float]]) -> RenderableType:
    """All that can be reproduced, with the seconds of both forms on this machine.

    Arguments:
        experiments: each with the seconds of its quick and of its full form.
    """
    table = plain_table()
    table.add_column("what", no_wrap=True, style="bold")
    table.add_column("title")
    table.add_column("in the paper")
    table.add_column("--quick", justify="right", no_wrap=True)
    table.add_column("full", justify="right", no_wrap=True)
    for experiment, quick, full in experiments:
        table.add_row(experiment.name, experiment.title, experiment.source, duration(quick), duration(full))
    note = Text("Times are predicted for this machine, good to a factor of about two.", style="dim")
    return Group(table, Text(""), note)


def _comparisons(reproduction: Reproduction) -> Table:
    compared = any(comparison.paper is not None for comparison in reproduction.comparisons)
    columns = any(comparison.column for comparison in reproduction.comparisons)
    table = plain_table()
    table.add_column("", overflow="fold")
    if columns:
        table.add_column("", overflow="fold")
    table.add_column("ours", justify="right", no_wrap=True)
    if compared:
        table.add_column("paper", justify="right", no_wrap=True)
        table.add_column("ours - paper", justify="right", no_wrap=True)
    previous = None
    for comparison in reproduction.comparisons:
        # A name is printed once for the rows that share it.
        row = Text("" if columns and comparison.row == previous else comparison.row, style="bold")
        previous = comparison.row
        cells = [
            row,
            *([Text(comparison.column)] if columns else []),
            Text(_with_unit(comparison.ours, comparison.unit), "bold cyan"),
        ]
        if compared:
            cells += [Text(_papers(comparison)), Text(_difference(comparison))]
        table.add_row(*cells)
    return table


def _with_unit(value: float, unit: str) -> str:
    return f"{nearest(value, _DIGITS)} {unit}".rstrip()


def _papers(comparison: Comparison) -> str:
    if comparison.paper is None:
        return "not stated"
    if isinstance(comparison.paper, tuple):
        low, high = comparison.paper
        return f"{nearest(low, _DIGITS)} to {_with_unit(high, comparison.unit)}"
    return _with_unit(comparison.paper, comparison.unit)


def _difference(comparison: Comparison) -> str:
    if comparison.difference is None:
        return ""
    if comparison.difference == 0:
        return "0"
    sign = "+" if comparison.difference > 0 else ""
    return sign + _with_unit(comparison.difference, comparison.unit) if abs(comparison.difference) >= 5e-5 else "less than 0.0001"


def _closeness(reproduction: Reproduction) -> str:
    farthest = reproduction.largest_difference
    if farthest is None or farthest.difference is None:
        return "The paper states no number to compare with."
    where = f"{farthest.row}, {farthest.column}" if farthest.column else farthest.row
    return f"The largest difference from the paper is {_difference(farthest)} ({where})."


def _remarks(reproduction: Reproduction) -> list[Text]:
    lines = [*reproduction.remarks]
    if reproduction.reduced:
        lines.append(f"--quick: {'; '.join(reproduction.reduced)}.")
    elif reproduction.quick:
        lines.append("--quick changes nothing here: the full form is as quick.")
    settings = ", ".join(f"{name} {value}" for name, value in reproduction.settings.items())
    lines.append(f"{settings[:1].upper()}{settings[1:]}.")
    taken = f"Seed {reproduction.seed}, {reproduction.environment.device}, {duration(reproduction.seconds)} in all"
    if reproduction.quick and reproduction.reduced:
        taken += f"; the full form takes about {duration(reproduction.full_seconds)} on this machine"
    return [Text(line, style="dim") for line in (*lines, f"{taken}.")]
