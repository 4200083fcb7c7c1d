"""Facts about a source or a machine as text, a line each."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from wdist.report.numbers import counted, nearest, shape

if TYPE_CHECKING:
    from rich.console import RenderableType


def rendered_facts(facts: Any) -> RenderableType:
    """The fields of a dataclass, a line each, in their order; fields without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for fact in fields(facts):
        value = getattr(facts, fact.name)
        if value is not None and value != ():
            table.add_row(fact.name.replace("_", " "), Text(_fact(value, fact.name)))
    return table


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


def _fact(value: Any, name: str) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return counted(value)
        case float():
            shown = nearest(value, 6)
            return shown.rstrip("0").rstrip(".") if "." in shown and "e" not in shown else shown
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
