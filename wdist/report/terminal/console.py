"""Consoles that are safe to print names on."""

import re
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters except tab and line feed."""


class SafeConsole(Console):
    """A console that replaces control characters in names, which could steer the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None and _CONTROL.search(segment.text):
                segment = segment._replace(text=_CONTROL.sub("\N{REPLACEMENT CHARACTER}", segment.text))
            yield segment


def printable(text: str) -> str:
    """Writes control characters out, so that a file name cannot steer the terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
