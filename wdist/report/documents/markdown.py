"""Markdown that shows every name as it is: text with its signs escaped, code, and rows of tables."""

import re
from collections.abc import Iterable, Mapping

_SIGNS = re.compile(r"[\\|*_<`\[\]$~&]")
"""Signs that may begin emphasis, links, formulas, HTML, entities, code or a cell."""


def escaped(text: str) -> str:
    """One line of text with the signs of Markdown escaped."""
    return _SIGNS.sub(lambda sign: f"\\{sign[0]}", one_line(text))


def code(text: str, *, cell: bool = False) -> str:
    """Text as code; in a cell of a table, vertical bars are escaped there, too."""
    shown = one_line(text).replace("`", "'")
    return "`" + (shown.replace("|", "\\|") if cell else shown) + "`"


def row(cells: Iterable[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


def table(headers: Mapping[str, str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table, from its headers with their alignments, such as ``--:``."""
    return [row(headers), row(headers.values()), *map(row, rows)]


def one_line(text: str) -> str:
    """One line without characters that cannot be printed."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
