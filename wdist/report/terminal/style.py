"""Look of all tables on a terminal."""

from rich import box
from rich.table import Table

ACCENT = "bold cyan"
"""Style of the numbers to look at first."""


def plain_table(padding: int = 1) -> Table:
    """An empty table with a rule under its headers and ``padding`` columns between its cells."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, padding, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
