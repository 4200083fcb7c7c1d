"""Where measurements go: a table or its JSON document on stdout, the document and a figure into files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wdist.cli import options as opt
from wdist.errors import OutputError, WdistError
from wdist.files import PLOT_SUFFIXES, atomic_write, check_writable

if TYPE_CHECKING:
    from rich.console import RenderableType


class Measurement(Protocol):
    """What was measured, in the forms that a user may want."""

    def document(self) -> str:
        """As JSON."""
        ...

    def rendered(self) -> RenderableType:
        """For a terminal."""
        ...

    def figure(self, suffix: str) -> bytes:
        """As the content of a ``.png``, ``.svg`` or ``.pdf`` file."""
        ...


@dataclass(frozen=True, kw_only=True)
class MeasurementDelivery:
    """What the user wants to have of measurements."""

    json: opt.Json = False
    output: opt.Output = None
    plot: opt.Plot = None
    quiet: opt.Quiet = False
    debug: opt.Debug = False

    def check(self) -> None:
        """Makes sure before the work that everything can be written.

        Raises:
            OutputError: one sentence for the first file that cannot be written.
        """
        if self.output is not None:
            if self.output.suffix.lower() in PLOT_SUFFIXES:
                raise OutputError(f"-o {self.output} would hold the JSON document; ask for the figure with --plot FILE")
            check_writable(self.output, option="-o")
        if self.plot is not None:
            check_writable(self.plot, option="--plot", suffixes=PLOT_SUFFIXES)

    def deliver(self, measurement: Measurement) -> None:
        """Prints what was measured and saves it; whatever fails, the rest is still delivered.

        Raises:
            OutputError: some file could not be written; everything else was.
            BrokenPipeError: the reader of stdout went away; the files were written.
        """
        failures: list[WdistError | OSError] = []
        for deliver in self._deliveries(measurement):
            try:
                deliver()
            except (WdistError, OSError) as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def _deliveries(self, measurement: Measurement) -> Iterator[Callable[[], None]]:
        yield partial(self._print, measurement)
        if self.output is not None:
            yield partial(self._save, "result", self.output, lambda: measurement.document().encode())
        if self.plot is not None:
            suffix = self.plot.suffix.lower()
            yield partial(self._save, "figure", self.plot, lambda: measurement.figure(suffix))

    def _print(self, measurement: Measurement) -> None:
        if self.json:
            sys.stdout.write(measurement.document())
        else:
            from wdist.cli.console import result_console

            result_console().print(measurement.rendered())
        sys.stdout.flush()

    def _save(self, what: str, path: Path, content: Callable[[], bytes]) -> None:
        atomic_write(path, content())
        if not self.quiet:
            from wdist.cli.console import note

            note(f"{what} saved as {path}")
