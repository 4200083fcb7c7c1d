"""Drifts as files: Markdown, and comma-separated values."""

import csv
import io
from collections.abc import Iterator

from wdist.drifts.columns import ColumnDrift
from wdist.drifts.drift import Drift
from wdist.report.documents.markdown import code, escaped, table
from wdist.report.numbers import at_most, bare_p_value, lower_bound, nearest, p_value, percentage
from wdist.report.sentences import drift_headline, drift_sentences, shown_change


def drift_csv(drift: Drift) -> str:
    """A row for each column in the order of the tables; numbers at full precision, missing ones empty."""
    table = io.StringIO()
    keys = ("name", "type", "distance", "scaled", "lower", "upper", "p_value", "adjusted", "share")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow((*keys, "drifted"))
    for column in drift.columns:
        writer.writerow((*(getattr(column, key) for key in keys), column in drift.drifted))
    return table.getvalue()


def drift_markdown(drift: Drift) -> str:
    """A heading, the answer, a table of the columns, what changed in them and in pairs, the sentences; ends with a line feed."""
    headers = {"column": ":--", "W1 / spread": "--:", "p": "--:", "W1": "--:", "W1 of the distributions": ":-:"}
    lines = [
        f"### Drift from {code(drift.reference.address)} to {code(drift.current.address)}",
        "",
        f"**{escaped(drift_headline(drift))}.**",
        "",
        *table({**headers, "share of the joint distance": "--:"}, (_cells(drift, column) for column in drift.ranked)),
        "",
    ]
    for column in drift.drifted:
        values = [(change.what, *shown_change(column, change)) for change in column.changes]
        moved = ", ".join(f"{what} {before} → {after}" for what, before, after in values)
        lines.append(f"- {escaped(column.name)}: {escaped(moved)}")
    for pair in drift.changed:
        first, second = (escaped(name) for name in pair.columns)
        lines.append(
            f"- The rank correlation of {first} and {second} went from {pair.reference:+.2f} to {pair.current:+.2f} "
            f"({p_value(pair.adjusted)})."
        )
    lines += ["", *(f"{escaped(sentence)}\n" for sentence in drift_sentences(drift))]
    return "\n".join(lines)


def _cells(drift: Drift, column: ColumnDrift) -> Iterator[str]:
    name = escaped(column.name)
    yield f"**{name}**" if column in drift.drifted else name
    yield nearest(column.scaled, 3)
    yield bare_p_value(column.adjusted)
    yield nearest(column.distance)
    yield f"{lower_bound(column.lower)} to {at_most(column.upper)}"
    yield "" if column.share is None else percentage(column.share)
