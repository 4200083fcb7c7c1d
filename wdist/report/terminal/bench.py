"""A suite as text: its tables, what they are held against, and the machine that they were measured on."""

from __future__ import annotations

import math
from decimal import ROUND_FLOOR
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from wdist.report.numbers import at_least, at_most, counted, duration, nearest, percentage, short_duration
from wdist.report.terminal.findings import findings_table
from wdist.report.terminal.style import plain_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from wdist.studies.bench.bench import Bench, BenchResult, BenchTable, Column

_DIGITS = 4


def rendered_bench(result: BenchResult) -> RenderableType:
    """The whole result, for 72 columns and more."""
    form = "quick form" if result.quick else "full form"
    heading = Text.assemble((f"{result.what}: {result.title}", "bold"), (f"  {form}", "dim"))
    parts: list[RenderableType] = [heading]
    if result.interrupted:
        parts.append(Text("interrupted: only the rows that were done are shown", style="yellow"))
    for table in result.tables:
        rows = [row for row in result.rows if type(row) is table.of]
        if rows:
            parts += [Text(""), Text(table.title, style="bold"), _table(table, rows)]
    if result.skipped:
        parts += [
            Text(""),
            *(Text.assemble((f"{each.name}: ", "bold"), ("skipped: ", "yellow"), each.reason) for each in result.skipped),
        ]
    if result.conclusion.findings:
        parts += [Text(""), findings_table(result.conclusion.findings, header="held against")]
    parts += [Text(""), *(Text(line, style="dim") for line in (*result.conclusion.remarks, *_circumstances(result)))]
    return Group(*parts)


def rendered_benches(benches: Iterable[Bench]) -> RenderableType:
    """All suites, with what their forms train each pair for."""
    table = plain_table()
    table.add_column("what", no_wrap=True, style="bold")
    table.add_column("measures", overflow="fold")
    table.add_column("--quick")
    for bench in benches:
        table.add_row(bench.name, Text(bench.title), Text("; ".join(bench.reduced)))
    return table


def _table(table: BenchTable, rows: Sequence[Any]) -> Table:
    shown = plain_table()
    lines = max(column.header.count("\n") for column in table.columns)
    for column in table.columns:
        text = column.kind == "text"
        # Headers stand on their rule, whatever their height.
        header = "\n" * (lines - column.header.count("\n")) + column.header
        shown.add_column(header, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    previous = None
    for row in rows:
        cells = [Text(_cell(column, row)) for column in table.columns]
        cells[0].stylize("bold")
        if cells[0] == previous:
            previous, cells[0] = cells[0], Text("")  # a name is printed once for the rows that share it
        else:
            previous = cells[0]
        shown.add_row(*cells)
    return shown


def _cell(column: Column, row: Any) -> str:
    value = column.cell(row)
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return nearest(value)
    spread = column.spread(row) if column.spread is not None else None
    if column.kind == "share":
        # Of the truth: rounded down, so that nothing reads as 100 % that is less.
        shown = percentage(value, rounding=ROUND_FLOOR)
        return shown if spread is None else f"{shown} ±{100 * spread:.1f}"
    shown = _written(column, value)
    return shown if spread is None else f"{shown} ±{nearest(spread, 2)}"


def _written(column: Column, value: Any) -> str:
    if isinstance(value, str):
        return value
    match column.kind:
        case "at least":
            return at_least(value, _DIGITS)
        case "at most":
            return at_most(value, _DIGITS)
        case "seconds":
            return short_duration(value)
        case "count":
            return counted(value)
        case "yes or no":
            return "yes" if value else "no"
        case _:
            return nearest(value, _DIGITS) if isinstance(value, float) else str(value)


def _circumstances(result: BenchResult) -> list[str]:
    machine, environment = result.machine, result.environment
    seeds = f"seed {result.seeds[0]}" if len(result.seeds) == 1 else f"seeds {', '.join(map(str, result.seeds))}"
    budget = f", {result.budget} a pair" if result.budget else ""
    made_by = f"wdist {environment.wdist}" + (f" at {result.commit}" if result.commit else "")
    lines = [
        f"{machine.processor}, {machine.cores} cores of which {environment.threads} used, {machine.memory / 2**30:.0f} GiB; "
        f"{environment.device}; torch {environment.torch}; {made_by}.",
        f"{seeds[:1].upper()}{seeds[1:]}{budget}; {duration(result.seconds)} in all.",
    ]
    if result.reduced:
        lines.insert(0, f"--quick: {'; '.join(result.reduced)}.")
    return lines
