"""The two streams of a command: results on stdout; progress, notes, warnings and errors on stderr."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from rich.console import ConsoleOptions, RenderableType

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters except tab and line feed."""


class _StreamConsole(Console):
    """A console that lets the command handle a reader who went away (``| head``) instead of ending the process."""

    def on_broken_pipe(self) -> None:
        raise

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Replaces control characters in names, which could steer the terminal."""
        for segment in super().render(renderable, options):
            if segment.control is None and _CONTROL.search(segment.text):
                segment = segment._replace(text=_CONTROL.sub("\N{REPLACEMENT CHARACTER}", segment.text))
            yield segment


def result_console() -> Console:
    """Console on stdout: as wide as the terminal; 80 columns (or ``COLUMNS``) and no colours elsewhere."""
    return _stream_console(sys.stdout)


def notes_console() -> Console:
    """Console on stderr, likewise."""
    return _stream_console(sys.stderr)


def _stream_console(stream: TextIO) -> Console:
    width = None if stream.isatty() else _columns()
    return _StreamConsole(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) > 0 else 80


def complain(sentence: str) -> None:
    """Prints one error on stderr, on one line however long it is, so that it can be searched and copied."""
    _say("error", "bold red", sentence)


def warn(sentences: Iterable[str]) -> None:
    """Prints warnings on stderr, a line each."""
    for sentence in sentences:
        _say("warning", "yellow", sentence)


def note(sentence: str) -> None:
    """Prints what the user should know, on stderr."""
    _say("note", "cyan", sentence)


def _say(kind: str, style: str, sentence: str) -> None:
    line = Text.assemble((f"{kind}:", style), " ", printable(" ".join(sentence.split())))
    notes_console().print(line, soft_wrap=True)


def printable(text: str) -> str:
    """Writes control characters out, so that a file name cannot steer the terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
