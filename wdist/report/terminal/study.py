"""A study as text: its tables, the claims that were checked, and the machine that it ran on."""

import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_FLOOR
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wdist.report.numbers import at_least, at_most, counted, duration, nearest, percentage, short_duration
from wdist.report.terminal.tables import checks_table, lines, paragraphs, plain_table
from wdist.studies.panels import getter
from wdist.studies.study import PAPER, Column, Kind, ReproducedNumber, Study, StudyResult, StudyTable

_DIGITS = 4


def rendered_study(result: StudyResult) -> RenderableType:
    """The whole result, for terminals of at least 72 columns."""
    study, form = result.study, "quick form" if result.conditions.quick else "full form"
    heading = Text.assemble((f"{study.name}: {study.title}", "bold"), (f"  {', '.join(filter(None, (study.source, form)))}", "dim"))
    first = [heading]
    if result.shard is not None:
        part = f"shard {result.shard.number + 1} of {result.shard.of}"
        first.append(Text(f"{part}: only its rows are shown and judged; wdist merge joins all shards", style="yellow"))
    if study.source:
        first.append(Text(PAPER, style="dim"))
    if result.interrupted:
        first.append(Text("interrupted: only the completed rows are shown", style="yellow"))
    skipped = [Text.assemble((f"{each.name}: ", "bold"), ("skipped: ", "yellow"), each.reason) for each in result.skipped]
    checks = [(each.claim, each.holds, each.detail) for each in result.conclusion.checks]
    headers = ("claim of the paper" if study.source else "claim", "holds", "measured here")
    return paragraphs(
        Group(*first),
        *_tables(result),
        Group(*skipped) if skipped else None,
        Text(_largest_difference(result)) if study.source else None,
        checks_table(headers, checks) if checks else None,
        lines([*result.conclusion.remarks, *_circumstances(result)]),
    )


def _tables(result: StudyResult) -> Iterator[RenderableType]:
    for table in result.study.tables or (_COMPARISONS,):
        rows = [row for row in result.rows if type(row) is table.of]
        if rows:
            yield Group(*([Text(table.title, style="bold")] if table.title else []), _table(table, rows))


def rendered_suites(suites: Iterable[Study]) -> RenderableType:
    """All suites of ``wdist bench``."""
    table = plain_table()
    table.add_column("name", no_wrap=True, style="bold")
    table.add_column("measures", overflow="fold")
    table.add_column("--quick")
    for study in suites:
        table.add_row(study.name, Text(study.title), Text("; ".join(study.reduced)))
    return table


def rendered_reproductions(forecasts: Iterable[tuple[Study, float, float]]) -> RenderableType:
    """All tables and figures of ``wdist reproduce``, each with the seconds of its quick and of its full form on this machine."""
    table = plain_table()
    table.add_column("name", no_wrap=True, style="bold")
    table.add_column("title")
    table.add_column("in the paper")
    table.add_column("--quick", justify="right", no_wrap=True)
    table.add_column("full", justify="right", no_wrap=True)
    for study, quick, full in forecasts:
        table.add_row(study.name, study.title, study.source, duration(quick), duration(full))
    return paragraphs(table, Text("Times are predictions for this machine, within a factor of about two.", style="dim"))


def _table(table: StudyTable, rows: Sequence[Any]) -> Table:
    shown = plain_table()
    values = {column: [value for row in rows if (value := column.value(row)) not in (None, "")] for column in table.columns}
    columns = [column for column, found in values.items() if found]
    height = max(column.header.count("\n") for column in columns)
    for column in columns:
        text = column.kind is None and all(isinstance(value, str) for value in values[column])
        # Headers of different heights are aligned at the bottom.
        header = "\n" * (height - column.header.count("\n")) + column.header
        shown.add_column(header, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    previous = None
    for row in rows:
        cells = [_cell(column, row) for column in columns]
        # A name is printed once for the rows that share it.
        name, previous = ("" if cells[0] == previous else cells[0]), cells[0]
        shown.add_row(Text(name, style="bold"), *map(Text, cells[1:]))
    return shown


def _cell(column: Column, row: Any) -> str:
    value = column.value(row)
    if value is None:
        return column.empty
    if isinstance(value, float) and not math.isfinite(value):
        return nearest(value)
    spread = getter(column.spread)(row) if column.spread is not None else None
    if column.kind == "share":
        # A share of the truth, rounded down so that less than 100 % never reads as 100 %.
        shown = percentage(value, rounding=ROUND_FLOOR)
        return shown if spread is None else f"{shown} ±{100 * spread:.1f}"
    shown = _written(column.kind, value)
    return shown if spread is None else f"{shown} ±{nearest(spread, 2)}"


def _written(kind: Kind | None, value: Any) -> str:
    match value, kind:
        case str(), _:
            return value
        case bool(), _:
            return "yes" if value else "no"
        case int(), _:
            return counted(value)
        case _, "at least":
            return at_least(value, _DIGITS)
        case _, "at most":
            return at_most(value, _DIGITS)
        case _, "seconds":
            return short_duration(value)
        case _:
            return nearest(value, _DIGITS)


def _circumstances(result: StudyResult) -> list[str]:
    machine, environment, conditions = result.machine, result.environment, result.conditions
    said = []
    if result.conclusion.settings:
        settings = ", ".join(f"{name} {value}" for name, value in result.conclusion.settings.items())
        said.append(f"{settings[:1].upper()}{settings[1:]}.")
    if result.reduced:
        said.append(f"--quick: {'; '.join(result.reduced)}.")
    elif conditions.quick:
        said.append("--quick changes nothing here: the full form is as quick.")
    made_by = f"wdist {environment.wdist}" + (f" at {result.commit}" if result.commit else "")
    said.append(
        f"{machine.processor}, {machine.cores} cores ({environment.threads} used), {machine.memory / 2**30:.0f} GiB; "
        f"{environment.device}; torch {environment.torch}; {made_by}."
    )
    seeds = ", ".join(map(str, conditions.seeds))
    taken = f"Seed {seeds}" if len(conditions.seeds) == 1 else f"Seeds {seeds}"
    taken += f", {conditions.budget} per pair" if conditions.budget else ""
    taken += f"; {duration(result.seconds)} in all"
    if result.reduced and result.full_seconds is not None:
        taken += f"; the full form takes about {duration(result.full_seconds)} on this machine"
    return [*said, f"{taken}."]


def _with_unit(value: float, unit: str) -> str:
    return f"{nearest(value, _DIGITS)} {unit}".rstrip()


def _paper_number(row: ReproducedNumber) -> str | None:
    if isinstance(row.paper, tuple):
        low, high = row.paper
        return f"{nearest(low, _DIGITS)} to {_with_unit(high, row.unit)}"
    return None if row.paper is None else _with_unit(row.paper, row.unit)


def _difference(row: ReproducedNumber) -> str | None:
    if row.difference is None:
        return None
    if 0 < abs(row.difference) < 5e-5:
        return "less than 0.0001"
    return ("+" if row.difference > 0 else "") + (_with_unit(row.difference, row.unit) if row.difference else "0")


def _largest_difference(result: StudyResult) -> str:
    farthest = result.largest_difference
    if farthest is None:
        return "The paper states no number to compare with."
    where = f"{farthest.row}, {farthest.column}" if farthest.column else farthest.row
    return f"The largest difference from the paper is {_difference(farthest)} ({where})."


_COMPARISONS = StudyTable(
    "",
    ReproducedNumber,
    Column("", "row"),
    Column("", "column"),
    Column("ours", lambda row: _with_unit(row.ours, row.unit), "number"),
    Column("paper", _paper_number, "number", empty="not stated"),
    Column("ours - paper", _difference, "number"),
)
