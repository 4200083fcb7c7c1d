"""The two streams of a command: results on stdout; progress, notes, warnings and errors on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from rich.text import Text

from wdist.report.terminal.console import SafeConsole, printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from rich.console import Console, RenderableType


class _ResultConsole(SafeConsole):
    """A console that lets the command handle a reader who went away (``| head``) instead of ending the process."""

    def on_broken_pipe(self) -> None:
        raise


class _NotesConsole(SafeConsole):
    """A console that falls silent when its reader goes away (``2>&1 | head``): the result may still have files to go to."""

    def on_broken_pipe(self) -> None:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Points a stream to the null device, so that neither writing nor flushing its buffer at the end fails."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def result_console() -> Console:
    """Console on stdout: as wide as the terminal; 80 columns (or ``COLUMNS``) and no colours elsewhere."""
    return _stream_console(_ResultConsole, sys.stdout)


def print_result(made: RenderableType) -> None:
    """Prints a result on stdout; in files and pipes, no line ends in the spaces that fill a row of a terminal."""
    console = result_console()
    if console.is_terminal:
        console.print(made, crop=False)  # a long name without a place to break is wrapped by the terminal instead of being cut
        return
    with console.capture() as captured:
        console.print(made, crop=False)
    sys.stdout.write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))


def notes_console() -> Console:
    """Console on stderr, likewise."""
    return _stream_console(_NotesConsole, sys.stderr)


def _stream_console(kind: type[SafeConsole], stream: TextIO) -> Console:
    columns = os.environ.get("COLUMNS", "")
    width = None if stream.isatty() else int(columns) if columns.isdecimal() and int(columns) > 0 else 80
    return kind(file=stream, width=width, highlight=False, markup=False, emoji=False)


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
