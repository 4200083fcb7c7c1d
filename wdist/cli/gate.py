"""``wdist gate A B``: a verdict for continuous integration."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from wdist.cli import options as opt
from wdist.cli.delivery import check_no_input, done_whatever_fails
from wdist.cli.expansion import expanded
from wdist.cli.request import Request, SourceOptions
from wdist.errors import ExitStatus, OutputError, UsageError
from wdist.files import atomic_write, check_writable
from wdist.gates.rules import GateLimits

if TYPE_CHECKING:
    from wdist.gates.gate import GateResult

_QUESTION = "What is asked (--max-lower alone, or one or both of the others)"
FORMATS = ("text", "json", "markdown", "github", "junit")
_SUMMARY, _OUTPUTS = "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of W1."""

    max: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            rich_help_panel=_QUESTION,
            help="Pass if W1 is proved to be at most T, fail if it is proved to be more; else inconclusive.",
        ),
    ] = None
    max_lower: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            rich_help_panel=_QUESTION,
            help="Cheaper, without upper bounds: fail if the lower bound is above T. Otherwise nothing is proved, so never pass.",
        ),
    ] = None
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_QUESTION,
            help="A document of gate, estimate or compare (compare.json:NAME) with the same A: pass if W1 is proved to have grown "
            "by --tolerance at most, fail if by more.",
        ),
    ] = None
    tolerance: Annotated[
        str | None, typer.Option(metavar="SHARE", rich_help_panel=_QUESTION, help="For --baseline, as 5% or 0.05. Default: 5%.")
    ] = None
    on: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            rich_help_panel=_QUESTION,
            help="Judge the distributions behind the samples (population, at --confidence) or the two sets (samples, for certain).",
        ),
    ] = "population"
    accept_inconclusive: Annotated[
        bool,
        typer.Option(
            "--accept-inconclusive", metavar="", rich_help_panel=_QUESTION, help="Exit with 0 instead of 3 where nothing is proved."
        ),
    ] = False

    def __post_init__(self) -> None:
        _ = self.limits

    @property
    def limits(self) -> GateLimits:
        """Limits for W1."""
        return GateLimits(
            maximum=self.max,
            max_lower=self.max_lower,
            baseline=self.baseline,
            tolerance=self.share,
            on=self.on,  # type: ignore[arg-type]
        )

    @property
    def share(self) -> float | None:
        """The tolerance as a number."""
        if self.tolerance is None:
            return None
        match = re.fullmatch(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)\s*", self.tolerance)
        if match is None:
            raise UsageError(f"--tolerance {self.tolerance!r} is no share; write --tolerance 5% or --tolerance 0.05")
        value = float(match[1])
        if not match[2] and value >= 1:
            raise UsageError(
                f"--tolerance {self.tolerance} would be {100 * value:g} %; write {value:g}% if that is meant as per cent"
            )
        return value / 100 if match[2] else value

    def accepts(self, result: GateResult) -> ExitStatus:
        """The exit status of a verdict."""
        status = result.answer.exit_status
        return ExitStatus.DONE if status == ExitStatus.INCONCLUSIVE and self.accept_inconclusive else status


@dataclass(frozen=True, kw_only=True)
class GateRequest(Request):
    """As for an estimate, of one critic, whose bound then has no others to share the error with."""

    baselines: opt.Baselines = "none"
    # No options here: one seed, and no gap to close, since exit statuses mean the verdict.
    repeats: ClassVar[int] = 1  # type: ignore[misc]
    tol: ClassVar[None] = None  # type: ignore[misc]

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of the library's function that options of an estimation decide; its tolerance is that of a regression."""
        return {name: value for name, value in super().arguments.items() if name != "tolerance"}


@dataclass(frozen=True, kw_only=True)
class GateDelivery:
    """What the user wants to have of a verdict."""

    format: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel="Output", help=f"Of what is printed: {', '.join(FORMATS)}.")
    ] = "text"
    json: Annotated[bool, typer.Option("--json", metavar="", rich_help_panel="Output", help="The same as --format json.")] = False
    output: opt.Output = None
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel="Output", help="Write a JUnit test report to FILE as well.")
    ] = None
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel="Output", help="Write a summary in Markdown to FILE as well.")
    ] = None
    quiet: opt.Quiet = False
    debug: opt.Debug = False
    """Read where errors are caught."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            near = get_close_matches(self.format, FORMATS, n=1)
            raise UsageError(
                f"--format {self.format} is unknown; "
                + (f"did you mean {near[0]}?" if near else f"write one of {', '.join(FORMATS)}")
            )
        if self.json and self.format not in ("text", "json"):
            raise UsageError(f"--json is the same as --format json, and --format {self.format} is something else; give one of them")

    @property
    def _format(self) -> str:
        return "json" if self.json else self.format

    def check(self, *, inputs: tuple[str, ...]) -> None:
        """Makes sure before the work that everything can be written, and that no input would be overwritten.

        Raises:
            OutputError: one sentence for the first file that cannot be written.
        """
        files = dict(self._files())
        for option, path in files.items():
            check_writable(path, option=option)
        check_no_input([path for option, path in files.items() if not option.startswith("$")], inputs)
        written = [path.resolve() for option, path in files.items() if not option.startswith("$")]
        if len(set(written)) < len(written):
            raise OutputError("two of -o, --junit and --markdown name the same file; give each its own")

    def _files(self) -> Iterator[tuple[str, Path]]:
        for option, path in (("-o", self.output), ("--junit", self.junit), ("--markdown", self.markdown)):
            if path is not None:
                yield option, path
        if self._format == "github":
            for variable in (_SUMMARY, _OUTPUTS):
                if os.environ.get(variable):
                    yield f"${variable}", Path(os.environ[variable])

    def deliver(self, result: GateResult, question: Question) -> ExitStatus:
        """Prints a verdict, then saves it; whatever fails, the rest is still delivered.

        Raises:
            OutputError: some file could not be written; everything else was.
            BrokenPipeError: the reader of stdout went away; the files were written.
        """
        from wdist.cli.console import note, warn

        raise_failures = done_whatever_fails(
            partial(deliver, result, question) for deliver in (self._print, self._write_files, self._tell_github)
        )
        warn(result.estimate.warnings)
        if result.timed and not self.quiet:
            note("--budget ends the training by the clock, so another run comes to other digits; --steps makes them repeat")
        if result.estimate.interrupted and not self.quiet:
            note("interrupted; the bounds are proved all the same, and the verdict follows from them")
        raise_failures()
        return ExitStatus.INTERRUPTED if result.estimate.interrupted else question.accepts(result)

    def _print(self, result: GateResult, question: Question) -> None:
        if self._format == "text":
            from wdist.cli.console import result_console
            from wdist.report.terminal.gate import rendered_gate

            result_console().print(rendered_gate(result))
        else:
            sys.stdout.write(_contents(result, question)[self._format]())
        sys.stdout.flush()

    def _write_files(self, result: GateResult, question: Question) -> None:
        contents = _contents(result, question)
        for kind, what, path in (
            ("json", "result", self.output),
            ("junit", "test report", self.junit),
            ("markdown", "summary", self.markdown),
        ):
            if path is not None:
                atomic_write(path, contents[kind]().encode(errors="backslashreplace"))
                if not self.quiet:
                    from wdist.cli.console import note

                    note(f"{what} saved as {path}")

    def _tell_github(self, result: GateResult, question: Question) -> None:
        from wdist.report.exports.github import github_outputs

        contents = {_SUMMARY: _contents(result, question)["markdown"], _OUTPUTS: lambda: github_outputs(result)}
        for option, path in self._files():
            if option.startswith("$"):
                # All steps of a job write to these, each behind what the others wrote.
                with path.open("a", encoding="utf-8") as file:
                    file.write(contents[option.removeprefix("$")]())


def _contents(result: GateResult, question: Question) -> dict[str, Callable[[], str]]:
    """By format, what makes the text."""
    from wdist.report.documents.document import text
    from wdist.report.documents.gate import GateDocument
    from wdist.report.exports.gate_markdown import gate_markdown
    from wdist.report.exports.github import github_annotations
    from wdist.report.exports.junit import junit

    return {
        "json": lambda: text(GateDocument.of_gate(result)),
        "markdown": lambda: gate_markdown(result),
        "github": lambda: github_annotations(result),
        "junit": lambda: junit(result, accept_inconclusive=question.accept_inconclusive),
    }


@expanded
def command(
    a: Annotated[str, typer.Argument(metavar="A", help="The reference: data.h5, images/, torchvision:MNIST?split=test, ...")],
    b: Annotated[str, typer.Argument(metavar="B", help="What is judged: draws of a generator, tonight's data, ...")],
    question: Question,
    request: GateRequest,
    sources: SourceOptions,
    delivery: GateDelivery,
) -> int:
    """Pass, fail, or inconclusive: is W1 between A and B within a limit, and no worse than it was?

    A pass is proved by an upper bound, a fail by a lower one; neither is guessed. Exit status: 0 pass, 1 fail, 3 inconclusive.

    Example: wdist gate data.h5 tonight.h5 --max 1.5 --baseline last.json -o now.json
    """
    from wdist.cli.console import notes_console
    from wdist.report.terminal.progress import display_on

    files = (a, b) if question.baseline is None else (a, b, question.baseline)
    delivery.check(inputs=files)
    with display_on(notes_console(), quiet=delivery.quiet) as observer:
        from wdist.estimation.options import EstimateOptions
        from wdist.gates.gate import run_gate

        options = EstimateOptions.validated(access=sources.access(), **request.arguments)
        result = run_gate(a, b, options, question.limits, observer=observer)
    return delivery.deliver(result, question)
