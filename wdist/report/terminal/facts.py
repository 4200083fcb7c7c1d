"""Facts as text, a line each: about a source, a machine, a saved critic that was verified, or a trained generator."""

from __future__ import annotations

import shlex
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from wdist.bounds.digits import without_zeros
from wdist.report.numbers import at_least, at_most, counted, duration, level, lower_bound, nearest, percentage, shape
from wdist.report.sentences import METRICS, transport_line, units
from wdist.report.terminal.tables import FittedTable, TableColumn, checks_table, facts_grid, paragraphs, plain_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from wdist.data.tables.profile import ColumnProfile
    from wdist.estimation.verification import Verification
    from wdist.gan.training import Checkpoint, GanResult
    from wdist.transport.solution import Transport

_DIGITS = 10
"""Digits of claimed and recomputed bounds: enough to see where they differ."""


_DIGITS_OF_DIGEST = 32
"""Digits of a digest that are shown: enough to distinguish samples, on one line; the document has all."""


def rendered_transport(found: Transport) -> RenderableType:
    """The bounds and the plan, a line each."""
    rows = facts_grid()
    gap = "" if found.exact else f"  gap {percentage(found.relative_gap)}"
    rows.add_row("transport", Text(f"{transport_line(found)}{gap}"))
    n, m = (len(side) for side in found.potentials)
    rows.add_row("plan", Text(f".plan.rows, .plan.columns and .plan.mass, between {counted(n)} and {counted(m)} samples"))
    rows.add_row("dual variables", Text(".potentials, with u_i + v_j at most the distance, up to the gap"))
    rows.add_row("metric", Text(f"{METRICS[found.metric].removesuffix(' metric')}, {units(found.a, found.b)}"))
    return rows


def rendered_facts(facts: Any) -> RenderableType:
    """The fields of a dataclass in order, one line each; fields without a value are left out."""
    table = facts_grid()
    columns = getattr(facts, "columns", ())
    for fact in fields(facts):
        value = getattr(facts, fact.name)
        if value is not None and value != () and value is not columns:
            label = "to fix" if fact.name == "missing" else fact.name.replace("_", " ")
            table.add_row(label, Text(_fact(value, fact.name)))
    return paragraphs(table, *_columns(columns))


def _columns(columns: Sequence[ColumnProfile]) -> Iterator[RenderableType]:
    """A row for each column of a table, if there are any, and the levels of its categories below."""
    if not columns:
        return
    rows: dict[str, list[str]] = {
        "type": [column.type for column in columns],
        "missing": [counted(column.missing) if column.missing else "" for column in columns],
        "distinct": ["" if column.distinct is None else counted(column.distinct) for column in columns],
        "share": ["" if column.share is None else f"{100 * column.share:.1f} %" for column in columns],
    }
    for header, name in (("5 %", "low"), ("median", "median"), ("95 %", "high")):
        rows[header] = [_value(column, getattr(column, name)) for column in columns]
    for header, name in (("std", "deviation"), ("IQR", "quartiles")):
        rows[header] = [_value(column, getattr(column, name), date=False) for column in columns]
    rows = {header: cells for header, cells in rows.items() if any(cells)}
    names = TableColumn("column", [column.name for column in columns], most=24)
    yield FittedTable(names, *(TableColumn(header, cells, left=header == "type") for header, cells in rows.items()))
    levels = facts_grid(most=24)
    for column in columns:
        if column.levels:
            others = (column.distinct or 0) - len(column.levels)
            more = f", and {counted(others)} more" if others > 0 else ""
            levels.add_row(column.name, Text(", ".join(column.levels) + more))
    if levels.row_count:
        yield levels


def _value(column: ColumnProfile, value: float | None, *, date: bool = True) -> str:
    if value is None:
        return ""
    if date and column.type == "date":
        return (datetime(1970, 1, 1) + timedelta(days=value)).strftime("%Y-%m-%d")
    # No exponent where plain digits take no more room.
    return f"{value:.4g}" if not 1e4 <= abs(value) < 1e7 else f"{value:,.0f}"


def rendered_checks(diagnosis: Any) -> RenderableType:
    """The checks of a machine, a line each."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for check in diagnosis.checks:
        missing = Text("NO", style="red") if check.needed else Text("no", style="dim")
        table.add_row(Text("ok", style="green") if check.ok else missing, check.what, Text(check.found))
    return table


def rendered_verification(verification: Verification) -> RenderableType:
    """The verdict, each finding, and the claimed and proved ends."""
    table = checks_table(("checked", "", "finding"), ((each.what, each.ok, each.detail) for each in verification.findings))
    numbers = plain_table()
    for header in ("", "claimed", "proved"):
        numbers.add_column(header, justify="right" if header else "left", no_wrap=True)
    found, claims = verification.estimate, verification.claims
    distributions = f"distributions, at {level(found.population.confidence)}"
    ends: list[tuple[str, str, Any, Any]] = [
        ("W1", "samples", claims.samples, found.samples),
        ("W1", distributions, claims.population, found.population),
    ]
    if claims.divergence is not None and found.divergence is not None:
        ends += [
            ("D", "samples", claims.divergence.samples, found.divergence.samples),
            ("D", distributions, claims.divergence.population, found.divergence.population),
        ]
    for of, what, claimed, proved in ends:
        numbers.add_row(f"{what}: {of} >=", *(lower_bound(each.lower, _DIGITS) for each in (claimed, proved)))
        uppers = ["" if each.upper is None else at_most(each.upper, _DIGITS) for each in (claimed, proved)]
        if any(uppers):
            numbers.add_row(f"{what}: {of} <=", *uppers)
    verdict = (
        Text.assemble(("proved: ", "bold green"), "every claim follows from the evidence and these samples.")
        if verification.ok
        else Text.assemble(("NOT PROVED: ", "bold red"), "a claim does not follow from the evidence and these samples.")
    )
    return paragraphs(verdict, numbers, table)


def _fact(value: Any, name: str) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return counted(value)
        case float():
            return without_zeros(nearest(value, 3 if name == "megabytes" else 6))
        case str() if name == "digest":
            return f"{value[:_DIGITS_OF_DIGEST]}..."
        case tuple() | list() if name.endswith("shape"):
            return shape(tuple(value))
        case tuple() | list():
            separator = "\n" if any(isinstance(part, str) and len(part) > 20 for part in value) else ", "
            return separator.join(_fact(part, "") for part in value)
        case dict():
            return "\n".join(f"{key}: {_fact(part, '')}" for key, part in value.items())
        case _ if is_dataclass(value):
            return ", ".join(
                f"{fact.name.replace('_', ' ')} {_fact(getattr(value, fact.name), fact.name)}" for fact in fields(value)
            )
        case _:
            return str(value)


def line(checkpoint: Checkpoint) -> Text:
    """One checkpoint, shown when it is written."""
    proved = "" if checkpoint.lower is None else f"; W1 of {counted(checkpoint.compared)} images >= {at_least(checkpoint.lower)}"
    ahead = f", {duration(checkpoint.seconds_left)} left" if checkpoint.fraction < 1 else ""
    return Text(f"step {counted(checkpoint.step)}, {checkpoint.rate:.3g} steps/s{ahead}{proved}")


def rendered_gan(result: GanResult) -> RenderableType:
    """The training, the bounds that it proved, and the addresses."""
    return paragraphs(_training(result), _addresses(result))


def _training(result: GanResult) -> Text:
    pixels = shape(result.event_shape)
    text = Text()
    text.append(f"a generator of {pixels} images, {counted(result.steps)} steps against {result.settings.critic}", style="bold")
    text.append(f"  {duration(result.seconds)}", style="dim")
    if result.resumed_at is not None:
        text.append(f", resumed at step {counted(result.resumed_at)}", style="dim")
    proved = [(each.step, each.lower) for each in result.measured if each.lower is not None]
    if proved:
        step, lower = proved[-1]
        text.append(
            f"\nproved by the critic at step {counted(step)}: W1 between {counted(result.compared)} images and as many "
            f"generated ones is at least {at_least(lower)} (certain for these samples; Euclidean metric, pixels in [0, 1])"
        )
        values = "  ".join(f"{counted(step)}: {at_least(lower, 3)}" for step, lower in proved)
        text.append(f"\nstep by step  {values}", style="dim")
    if result.interrupted:
        text.append("\ninterrupted; --resume --steps N continues from here to step N", style="yellow")
    return text


def _addresses(result: GanResult) -> Text:
    """Addresses to paste, quoted for a shell, a line each; the lines are never broken."""
    rows = [("generator", shlex.quote(result.generator)), ("samples", shlex.quote(str(result.sheet)))]
    if result.exported is not None:
        rows.insert(1, ("program", f"{shlex.quote(result.exported)}  (--trust)"))
    rows.append(("next", f"wdist estimate {shlex.quote(result.settings.data)} {shlex.quote(result.generator)}"))
    text = Text(no_wrap=True, overflow="ignore")
    for position, (name, value) in enumerate(rows):
        text.append(f"{name:<10}", style="dim").append(value + ("\n" if position < len(rows) - 1 else ""))
    return text
