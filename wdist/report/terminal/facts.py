"""Facts as text, a line each: about a source, a machine, or a saved critic that was verified."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from wdist.report.numbers import certificate, counted, lower_bound, nearest, shape
from wdist.report.terminal.style import plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wdist.estimation.verification import Verification

_DIGITS = 10
"""Digits of claimed and recomputed bounds: enough to see where they differ."""


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


def rendered_verification(verification: Verification) -> RenderableType:
    """The verdict, each finding, and the claimed and recomputed numbers."""
    table = plain_table()
    table.add_column("checked")
    table.add_column("", no_wrap=True)
    table.add_column("finding", overflow="fold")
    for finding in verification.findings:
        answer = Text("yes", style="green") if finding.ok else Text("NO", style="bold red")
        table.add_row(Text(finding.what), answer, Text(finding.detail))
    numbers = plain_table()
    for header in ("", "claimed", "recomputed"):
        numbers.add_column(header, justify="right" if header else "left", no_wrap=True)
    numbers.add_row(
        "certificate K <=", certificate(verification.claimed_lipschitz_bound), certificate(verification.lipschitz_bound)
    )
    for name, claimed, found in (
        ("samples W1 >=", verification.claimed_lower, verification.lower),
        ("populations W1 >=", verification.claimed_population_lower, verification.population_lower),
    ):
        numbers.add_row(name, *(lower_bound(value, _DIGITS) for value in (claimed, found)))
    verdict = (
        Text.assemble(("verified: ", "bold green"), "weights, samples and claimed numbers agree.")
        if verification.ok
        else Text.assemble(("NOT VERIFIED: ", "bold red"), "the claim does not follow from these weights and samples.")
    )
    return Group(verdict, Text(""), table, Text(""), numbers)


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
