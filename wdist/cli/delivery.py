"""Where a result goes: stdout first, then the files that were asked for; each checked before the work begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wdist.cli import options as opt
from wdist.errors import ExitStatus, OutputError, WdistError
from wdist.files import CRITIC_SUFFIXES, PLOT_SUFFIXES, atomic_write, check_writable

if TYPE_CHECKING:
    from wdist.estimation.result import Estimate


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What the user wants to have of a result."""

    json: opt.Json = False
    """The JSON document on stdout instead of text."""
    output: opt.Output = None
    """File for the JSON document."""
    plot: opt.Plot = None
    save_critic: opt.SaveCritic = None
    quiet: opt.Quiet = False
    debug: opt.Debug = False
    """Read where errors are caught."""

    def check(self, *, inputs: Iterable[str] = ()) -> None:
        """Makes sure before the work that everything can be written, and that no input would be overwritten.

        Arguments:
            inputs: addresses of the sources.

        Raises:
            OutputError: one sentence for the first file that cannot be written.
        """
        if self.output is not None:
            if self.output.suffix.lower() in (*PLOT_SUFFIXES, *CRITIC_SUFFIXES):
                option = "--plot" if self.output.suffix.lower() in PLOT_SUFFIXES else "--save-critic"
                raise OutputError(f"-o {self.output} would hold the JSON document; ask for the other file with {option} FILE")
            check_writable(self.output, option="-o")
        if self.plot is not None:
            check_writable(self.plot, option="--plot", suffixes=PLOT_SUFFIXES)
        if self.save_critic is not None:
            check_writable(self.save_critic, option="--save-critic", suffixes=CRITIC_SUFFIXES)
        check_no_input(self._files, inputs)

    def deliver(self, estimate: Estimate) -> ExitStatus:
        """Prints a result, then saves it; whatever fails, the rest is still delivered.

        Returns:
            The exit status of the command.

        Raises:
            OutputError: some file could not be written; everything else was.
            BrokenPipeError: the reader of stdout went away; the files were written.
        """
        from wdist.cli.console import note, warn

        raise_failures = done_whatever_fails(
            partial(deliver, estimate) for deliver in (self._print, self._write_document, self._save_critic, self._draw)
        )
        warn(estimate.warnings)
        if estimate.interrupted and not self.quiet:
            note("interrupted; the bounds are proved all the same")
        raise_failures()
        if estimate.interrupted:
            return ExitStatus.INTERRUPTED
        reached = estimate.tolerance is None or estimate.closed
        return ExitStatus.DONE if estimate.certified and reached else ExitStatus.NOT_CERTIFIED

    @property
    def _files(self) -> list[Path]:
        return [path for path in (self.output, self.plot, self.save_critic) if path is not None]

    def _print(self, estimate: Estimate) -> None:
        if self.json:
            from wdist.report.documents.document import text
            from wdist.report.documents.estimate import EstimateDocument

            sys.stdout.write(text(EstimateDocument.of(estimate)))
        else:
            from wdist.cli.console import result_console
            from wdist.report.terminal.estimate import rendered

            result_console().print(rendered(estimate))
        sys.stdout.flush()

    def _write_document(self, estimate: Estimate) -> None:
        if self.output is not None:
            from wdist.report.documents.document import text
            from wdist.report.documents.estimate import EstimateDocument

            atomic_write(self.output, text(EstimateDocument.of(estimate)).encode())
            self._tell_saved("result", self.output)

    def _draw(self, estimate: Estimate) -> None:
        if self.plot is not None:
            from wdist.report.plots.estimate import figure_bytes

            atomic_write(self.plot, figure_bytes(estimate, suffix=self.plot.suffix.lower()))
            self._tell_saved("figure", self.plot)

    def _save_critic(self, estimate: Estimate) -> None:
        if self.save_critic is not None:
            from wdist.estimation.verification import serialise_critic

            atomic_write(self.save_critic, serialise_critic(estimate))
            self._tell_saved("critic", self.save_critic)

    def _tell_saved(self, what: str, path: Path) -> None:
        if not self.quiet:
            tell_saved(what, path)


def done_whatever_fails(deliveries: Iterable[Callable[[], None]]) -> Callable[[], None]:
    """Delivers everything that can be delivered.

    Arguments:
        deliveries: each writes one thing.

    Returns:
        What raises the first failure, and warns of the others, once all else has been said; it does nothing if there was none.
    """
    failures: list[WdistError | OSError] = []
    for deliver in deliveries:
        try:
            deliver()
        except (WdistError, OSError) as failure:
            failures.append(failure)

    def raise_failures() -> None:
        from wdist.cli.console import warn

        if failures:
            warn(str(further) for further in failures[1:])
            raise failures[0]

    return raise_failures


def tell_saved(what: str, path: Path) -> None:
    """A note that a file is there."""
    from wdist.cli.console import note

    note(f"{what} saved as {path}")


def check_no_input(files: Iterable[Path], inputs: Iterable[str]) -> None:
    """Refuses to write a result over what it is computed from.

    Arguments:
        files: that will be written.
        inputs: addresses that are read.

    Raises:
        OutputError: names the first such file.
    """
    addresses = list(inputs)
    for file in files:
        if any(_is_the_file_of(address, file) for address in addresses):
            raise OutputError(f"{file} is one of the inputs and would be overwritten; name another file for the result")


def _is_the_file_of(address: str, file: Path) -> bool:
    """Whether an address, less its options and the name of a part, is that very file."""
    candidate = address.partition("?")[0]
    for path in (candidate, candidate.rpartition(":")[0]):
        if path and os.path.exists(path) and file.exists() and os.path.samefile(path, file):
            return True
    return False
