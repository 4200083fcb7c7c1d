"""A verification as text: the verdict, what was checked, and the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from wdist.report.numbers import certificate, lower_bound
from wdist.report.terminal.style import plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wdist.estimation.verification import Verification

_DIGITS = 10
"""Digits of claimed and recomputed bounds: enough to see where they differ."""


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
