"""``wdist compare REF G1 G2 ...``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from wdist.cli import options as opt
from wdist.cli.delivery import check_no_input, done_whatever_fails, tell_saved
from wdist.cli.expansion import expanded
from wdist.cli.request import Request, SourceOptions
from wdist.errors import ExitStatus, OutputError, UsageError
from wdist.files import PLOT_SUFFIXES, atomic_write, check_writable

if TYPE_CHECKING:
    from wdist.comparison.ranking import Comparison

_WITNESSES = 16


@dataclass(frozen=True, kw_only=True)
class CompareRequest(Request):
    """What is asked of every estimation: one critic each, one seed."""

    # No fields any more, and so no options: a comparison has nothing to show of them.
    critics: ClassVar[None] = None  # type: ignore[misc]
    baselines: ClassVar[str] = "none"  # type: ignore[misc]
    repeats: ClassVar[int] = 1  # type: ignore[misc]
    tol: ClassVar[None] = None  # type: ignore[misc]


@dataclass(frozen=True, kw_only=True)
class CompareDelivery:
    """What the user wants to have of a comparison."""

    json: opt.Json = False
    output: opt.Output = None
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel="Output", help="Write table and sentences as Markdown.")
    ] = None
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel="Output", help="Write a row for each source as CSV.")
    ] = None
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", rich_help_panel="Output", help="Draw all intervals on one scale: .png, .svg or .pdf."),
    ] = None
    witness: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel="Output",
            help="Of images: a sheet of those samples of each side that the critics tell apart most clearly: .png, .svg or .pdf.",
        ),
    ] = None
    quiet: opt.Quiet = False
    debug: opt.Debug = False

    def check(self, *, inputs: list[str]) -> None:
        """Makes sure before the work that everything can be written, and that no input would be overwritten.

        Raises:
            OutputError: one sentence for the first file that cannot be written.
        """
        if self.output is not None and self.output.suffix.lower() in PLOT_SUFFIXES:
            raise OutputError(f"-o {self.output} would hold the JSON document; ask for the figure with --plot FILE")
        for option, path, suffixes in (
            ("-o", self.output, ()),
            ("--markdown", self.markdown, ()),
            ("--csv", self.csv, ()),
            ("--plot", self.plot, PLOT_SUFFIXES),
            ("--witness", self.witness, PLOT_SUFFIXES),
        ):
            if path is not None:
                check_writable(path, option=option, suffixes=suffixes)
        files = [path for path in (self.output, self.markdown, self.csv, self.plot, self.witness) if path is not None]
        if len({path.resolve() for path in files}) < len(files):
            raise OutputError("two of the files to be written are the same; give each a name of its own")
        check_no_input(files, inputs)

    def deliver(self, comparison: Comparison) -> ExitStatus:
        """Prints a comparison, then saves it; whatever fails, the rest is still delivered.

        Raises:
            OutputError: some file could not be written; everything else was.
            BrokenPipeError: the reader of stdout went away; the files were written.
        """
        from wdist.cli.console import note, warn

        raise_failures = done_whatever_fails(partial(deliver, comparison) for deliver in (self._print, self._write, self._draw))
        warn(comparison.warnings)
        if comparison.interrupted and not self.quiet:
            note("interrupted; what is shown is proved all the same")
        raise_failures()
        if comparison.interrupted:
            return ExitStatus.INTERRUPTED
        return ExitStatus.NOT_CERTIFIED if comparison.left_out else ExitStatus.DONE

    def _print(self, comparison: Comparison) -> None:
        if self.json:
            sys.stdout.write(_document(comparison))
        else:
            from wdist.cli.console import result_console
            from wdist.report.terminal.comparison import rendered_comparison

            result_console().print(rendered_comparison(comparison))
        sys.stdout.flush()

    def _write(self, comparison: Comparison) -> None:
        from wdist.report.exports.comparison_csv import comma_separated
        from wdist.report.exports.comparison_markdown import markdown

        for path, made, what in (
            (self.output, _document, "result"),
            (self.markdown, markdown, "Markdown"),
            (self.csv, comma_separated, "table"),
        ):
            if path is not None:
                atomic_write(path, made(comparison).encode(errors="backslashreplace"))
                self._tell_saved(what, path)

    def _draw(self, comparison: Comparison) -> None:
        if self.plot is not None:
            from wdist.report.plots.comparison import comparison_bytes

            atomic_write(self.plot, comparison_bytes(comparison, suffix=self.plot.suffix.lower()))
            self._tell_saved("figure", self.plot)
        if self.witness is not None and any(entry.witnesses for entry in comparison.ranking):
            from wdist.report.plots.contact_sheet import contact_sheet_bytes

            atomic_write(self.witness, contact_sheet_bytes(comparison, suffix=self.witness.suffix.lower()))
            self._tell_saved("contact sheet", self.witness)

    def _tell_saved(self, what: str, path: Path) -> None:
        if not self.quiet:
            tell_saved(what, path)


def _document(comparison: Comparison) -> str:
    from wdist.report.documents.comparison import ComparisonDocument
    from wdist.report.documents.document import text

    return text(ComparisonDocument.of(comparison))


@expanded
def command(
    reference: Annotated[
        str,
        typer.Argument(metavar="REF", help="What all others are compared with: a.h5, images/, torchvision:MNIST?split=test, ..."),
    ],
    ranked: Annotated[list[str], typer.Argument(metavar="SOURCE", help="What is ranked: generators, or any sources; one or more.")],
    request: CompareRequest,
    sources: SourceOptions,
    delivery: CompareDelivery,
    names: Annotated[
        str | None, typer.Option(metavar="N1,N2,...", help="What the sources are called. Default: the ends of their addresses.")
    ] = None,
) -> int:
    """Rank any number of sources by their distance from one reference, and say which order is proved.

    Example: wdist compare real.h5 early.h5 late.h5 --budget 1m --plot ranking.png
    """
    from wdist.cli.console import notes_console
    from wdist.report.terminal.progress import display_on

    delivery.check(inputs=[reference, *ranked])
    named = None if names is None else [name.strip() for name in names.split(",")]
    if named is not None and len(named) != len(ranked):
        raise UsageError(f"--names has {len(named)} names for {len(ranked)} sources; give each source one, with commas between")
    arguments = request.arguments
    for left_to_itself in ("critics", "baselines", "repeats", "tolerance"):
        del arguments[left_to_itself]
    with display_on(notes_console(), quiet=delivery.quiet) as observer:
        from wdist.comparison.compare import compare

        comparison = compare(
            reference,
            ranked,
            **arguments,
            names=named,
            witnesses=0 if delivery.witness is None else _WITNESSES,
            access=sources.access(),
            observer=observer,
        )
    return delivery.deliver(comparison)
