"""A drift as text: the answer, each column, the dependence of pairs, the rows that moved most, and the joint distance."""

from collections.abc import Iterator
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.text import Text

from wdist.drifts.drift import Drift
from wdist.report.numbers import at_most, bare_p_value, counted, duration, lower_bound, nearest, percentage
from wdist.report.sentences import drift_headline, drift_sentences, shown_change
from wdist.report.terminal.estimate import source_line
from wdist.report.terminal.tables import ACCENT, FittedTable, LengthBars, TableColumn, facts_grid, heading, lines, paragraphs

_NAME_WIDTH, _MOST = 30, 20
_MOST_PAIRS = _MOST_CHANGED = 5


def rendered_drift(drift: Drift) -> RenderableType:
    """The whole result."""
    first = heading(drift_headline(drift), interrupted=drift.interrupted, alarming=bool(drift.exit_status))
    sources = facts_grid()
    sources.add_row("reference", source_line(drift.reference))
    sources.add_row("current", source_line(drift.current))
    return paragraphs(
        first,
        _columns(drift),
        _changes(drift) if drift.drifted else None,
        _pairs(drift) if drift.changed else None,
        _rows(drift) if drift.rows else None,
        lines(drift_sentences(drift), ""),
        Group(sources, lines(_circumstances(drift))),
    )


def _columns(drift: Drift) -> RenderableType:
    """Columns sorted by the evidence for their drift; bars show their distances in standard deviations."""
    columns = drift.ranked[:_MOST]
    found = [column in drift.drifted for column in columns]
    accents = [ACCENT if each else "" for each in found]
    names = [Text(column.name, style="bold" if each else "") for column, each in zip(columns, found, strict=True)]
    return FittedTable(
        TableColumn("\ncolumn", names, most=_NAME_WIDTH),
        TableColumn("W1 /\nspread", [nearest(column.scaled, 3) for column in columns], accents),
        TableColumn("\np", [bare_p_value(column.adjusted) for column in columns], accents),
        TableColumn("\nW1", [nearest(column.distance) for column in columns]),
        TableColumn("distrib.\nW1 >=", [lower_bound(column.lower) for column in columns]),
        TableColumn("\nW1 <=", [at_most(column.upper) for column in columns]),
        TableColumn("share of\nthe joint", ["" if column.share is None else percentage(column.share) for column in columns]),
        bars=LengthBars([column.scaled for column in columns], reach=max(column.scaled for column in columns), accented=found),
    )


def _changes(drift: Drift) -> RenderableType:
    """Familiar values of the columns that drifted, in both tables."""
    rows = [(column, change) for column in drift.drifted[:_MOST_CHANGED] for change in column.changes]
    repeated = [row[0] is before[0] for before, row in pairwise(rows)]
    names = ["" if each else column.name for each, (column, _) in zip([False, *repeated], rows, strict=True)]
    values = [shown_change(column, change) for column, change in rows]
    return FittedTable(
        TableColumn("column\nthat drifted", names, left=True, most=_NAME_WIDTH),
        TableColumn("\nvalue", [change.what for _, change in rows], left=True, most=_NAME_WIDTH),
        TableColumn("in the\nreference", [before for before, _ in values]),
        TableColumn("\nnow", [after for _, after in values]),
    )


def _pairs(drift: Drift) -> RenderableType:
    pairs = drift.changed[:_MOST_PAIRS]
    names = [
        " and ".join(name if level is None else f"{name} = {level}" for name, level in zip(pair.columns, pair.levels, strict=True))
        for pair in pairs
    ]
    return FittedTable(
        TableColumn("dependence\nof two columns", names, most=2 * _NAME_WIDTH),
        TableColumn("\np", [bare_p_value(pair.adjusted) for pair in pairs], [ACCENT] * len(pairs)),
        TableColumn("rank correlation\nin the reference", [f"{pair.reference:+.2f}" for pair in pairs]),
        TableColumn("\nnow", [f"{pair.current:+.2f}" for pair in pairs]),
    )


def _rows(drift: Drift) -> RenderableType:
    return FittedTable(
        TableColumn("row of the\ncurrent table", [counted(row.row) for row in drift.rows]),
        TableColumn("moved\nby", [nearest(row.distance) for row in drift.rows]),
        TableColumn("mostly in\nthe column", [row.column for row in drift.rows], left=True, most=_NAME_WIDTH),
        TableColumn("\nfrom", [row.before for row in drift.rows], most=_NAME_WIDTH),
        TableColumn("\nto", [row.after for row in drift.rows], most=_NAME_WIDTH),
    )


def _circumstances(drift: Drift) -> Iterator[str]:
    hidden = len(drift.columns) - _MOST
    if hidden > 0:
        yield f"{hidden} more columns, and all pairs, are in the JSON document."
    yield f"seed {drift.estimate.seed}, {drift.estimate.environment.device}, {duration(drift.seconds)} in total."
