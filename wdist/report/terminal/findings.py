"""Claims that were held against measurements, and whether they held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from wdist.report.terminal.style import plain_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from wdist.studies.claim_check import Finding


def findings_table(findings: Sequence[Finding], *, header: str) -> Table:
    """A row for each claim.

    Arguments:
        findings: what was found of each.
        header: of the column of claims.
    """
    table = plain_table()
    table.add_column(header, overflow="fold")
    table.add_column("held", no_wrap=True)
    table.add_column("found here", overflow="fold")
    for finding in findings:
        answer = Text("yes", style="green") if finding.holds else Text("NO", style="bold red")
        table.add_row(Text(finding.claim), answer, Text(finding.detail))
    return table
