"""Markdown that shows every name as it is: text with its signs escaped, code, and rows of tables."""

import re

_SIGNS = re.compile(r"[\\|*_<`\[\]$~&]")
"""Signs that may begin emphasis, links, formulas, HTML, entities, code or a cell."""


def escaped(text: str) -> str:
    """One line of text with the signs of Markdown escaped."""
    return _SIGNS.sub(lambda sign: f"\\{sign[0]}", one_line(text))


def code(text: str, *, cell: bool = False) -> str:
    """Text as code; in a cell of a table, vertical bars are escaped there, too."""
    shown = one_line(text).replace("`", "'")
    return "`" + (shown.replace("|", "\\|") if cell else shown) + "`"


def row(cells: tuple[str, ...]) -> str:
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


def one_line(text: str) -> str:
    """One line without characters that cannot be printed."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
