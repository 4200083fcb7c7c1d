"""Outputs of a command: a table of formats, rendered to stdout or to files that are checked before the work begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

from wdist.cli import options as opt
from wdist.data.sources.address import check_named
from wdist.distributed.job import JobEnded, is_first
from wdist.errors import ExitStatus, OutputError, UsageError, WdistError
from wdist.files import PLOT_SUFFIXES, PROOF_SUFFIX, atomic_write, check_writable, was_read, watch_for_reading
from wdist.interruption import deferred_interrupts
from wdist.presentable import run_of


@dataclass(frozen=True)
class Format:
    """A format of the results of some commands, and the function that renders it."""

    name: str
    commands: str
    """Separated by spaces."""
    function: str
    """Renderer, as ``module:function`` in ``wdist.report`` or a full path; gives a renderable, text, bytes, or None for no file."""
    takes: str = ""
    """Its keyword arguments, separated by spaces: ``suffix`` and ``command``, and those given to :meth:`Outputs.deliver`."""
    option: str = ""
    """Option that names the file; empty if the format is for stdout only."""
    help: str = ""
    """Help of the option."""
    what: str = ""
    """Noun in the note "... saved as FILE"."""
    variable: str = ""
    """Environment variable that names a file to append to when the result is printed in the format ``github``."""
    suffixes: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """Name of the option as a parameter."""
        return self.option.removeprefix("--").replace("-", "_")

    @property
    def named_by(self) -> str:
        """Option or environment variable that names the file, as messages show it."""
        if self.variable:
            return f"${self.variable}"
        return "-o" if self.option == "--output" else self.option


_JSON: dict[str, Any] = {"option": "--output", "help": "Also write the JSON document to FILE.", "what": "result"}
_MARKDOWN: dict[str, Any] = {"option": "--markdown", "what": "Markdown"}
_CSV: dict[str, Any] = {"function": "presentation:rows", "option": "--csv", "what": "table"}
_FIGURE: dict[str, Any] = {
    "function": "presentation:figure_bytes",
    "takes": "suffix",
    "option": "--plot",
    "what": "figure",
    "suffixes": PLOT_SUFFIXES,
}
_PROOF: dict[str, Any] = {
    "option": "--save-proof",
    "help": "Save the proof of the numbers for wdist verify: .safetensors.",
    "what": "proof",
    "suffixes": (PROOF_SUFFIX,),
}
_ENDINGS = ".png, .svg or .pdf"

_VIEWED = "estimate compare gate drift dependence robust lipschitz verify merge bench reproduce"
"""Commands whose results have a view."""

FORMATS = (
    Format("text", _VIEWED, "presentation:rendered"),
    Format("text", "gan", "terminal.facts:rendered_gan"),
    Format("text", "inspect", "terminal.facts:rendered_facts"),
    Format("text", "doctor", "terminal.facts:rendered_checks"),
    Format("json", _VIEWED, "presentation:json", **_JSON),
    Format("json", "gan inspect doctor", "documents.forms:document_text", "command", **_JSON),
    Format(
        "markdown",
        "compare",
        "documents.comparison:markdown",
        help="Also write the table and the text in Markdown to FILE.",
        **_MARKDOWN,
    ),
    Format("markdown", "drift", "documents.drift:drift_markdown", help="Also write the columns in Markdown to FILE.", **_MARKDOWN),
    Format(
        "html",
        "drift",
        "presentation:page",
        option="--html",
        help="Also write the report and its figure as one page to FILE.",
        what="page",
        suffixes=(".html", ".htm"),
    ),
    Format("markdown", "gate", "documents.gate:gate_markdown", help="Also write a summary in Markdown to FILE.", **_MARKDOWN),
    Format("csv", "compare", help="Also write one CSV row for each source to FILE.", **_CSV),
    Format("csv", "drift", help="Also write one CSV row for each column to FILE.", **_CSV),
    Format(
        "junit",
        "gate",
        "documents.gate:junit",
        "accept_inconclusive",
        option="--junit",
        help="Also write a JUnit test report to FILE.",
        what="test report",
    ),
    Format("github", "gate", "documents.gate:github_annotations"),
    Format("summary", "gate", "documents.gate:gate_markdown", variable="GITHUB_STEP_SUMMARY"),
    Format("outputs", "gate", "documents.gate:github_outputs", variable="GITHUB_OUTPUT"),
    Format("proof", "estimate", "wdist.estimation.proof:proof_of_estimate", **_PROOF),
    Format("proof", "gate", "wdist.gates.gate:proof_of_gate", **_PROOF),
    Format("proof", "compare", "wdist.comparison.compare:proof_of_comparison", **_PROOF),
    Format(
        "plot",
        "estimate",
        help=f"Draw the critics (in one or two dimensions) or learning curves, and compared critics as bars: {_ENDINGS}.",
        **_FIGURE,
    ),
    Format("plot", "compare", help=f"Draw all intervals on one scale: {_ENDINGS}.", **_FIGURE),
    Format("plot", "gate", help=f"Draw what is known and the limits on one scale: {_ENDINGS}.", **_FIGURE),
    Format("plot", "dependence", help=f"Draw the rows, and what the critic finds beside random orders: {_ENDINGS}.", **_FIGURE),
    Format("plot", "drift", help=f"Draw how far columns moved, and how: {_ENDINGS}.", **_FIGURE),
    Format("plot", "robust", help=f"Draw the certified error by size: {_ENDINGS}.", **_FIGURE),
    Format("plot", "merge", help=f"Draw the result as its command does: {_ENDINGS}.", **_FIGURE),
    Format("plot", "bench reproduce", help=f"Draw the results: {_ENDINGS}.", **_FIGURE),
    Format(
        "witness",
        "compare",
        "plots.comparison:contact_sheet_bytes",
        "suffix",
        option="--witness",
        help=f"Draw the images that each critic separates most clearly: {_ENDINGS}.",
        what="contact sheet",
        suffixes=PLOT_SUFFIXES,
    ),
)
"""All formats; files are written in this order."""


class OutputOptions:
    """Output options of a command: ``--format`` if it offers a ``choice``, and those that name ``files``."""

    def __init__(self, command: str, *, choice: bool = False, files: bool = True) -> None:
        self._command, self._choice = command, choice
        self._formats = {each.name: each for each in FORMATS if command in each.commands.split()}
        self._files = {each.field: each for each in self._formats.values() if each.option} if files else {}
        self._printed = [name for name, each in self._formats.items() if not each.suffixes and not each.variable]

    def parameters(self) -> list[Parameter]:
        """The options, in the order of the help."""
        found: dict[str, tuple[Any, Any]] = {}
        if self._choice:
            words = f"Format of the printed result: {', '.join(self._printed)}."
            found["format"] = Annotated[str, opt.option(opt.OUTPUT, "NAME", words)], "text"
        found["json"] = opt.Json, False
        for name, each in self._files.items():
            names = ("-o", each.option) if name == "output" else (each.option,)
            found[name] = Annotated[Path | None, opt.option(opt.OUTPUT, "FILE", each.help, *names)], None
        found |= {"quiet": (opt.Quiet, False), "debug": (opt.Debug, False)}
        return [
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in found.items()
        ]

    def made(self, *, json: bool, debug: bool, quiet: bool, format: str = "text", **paths: Path | None) -> Outputs:
        """The requested outputs; ``debug`` is read where errors are caught."""
        del debug
        if format not in self._printed:
            near = get_close_matches(format, self._printed, n=1)
            way_out = f"did you mean {near[0]}?" if near else f"write one of {', '.join(self._printed)}"
            raise UsageError(f"--format {format} is unknown; {way_out}")
        if json and format not in ("text", "json"):
            raise UsageError(f"--json and --format {format} are two formats for stdout; give only one of them")
        files = {self._files[name]: path for name, path in paths.items() if path is not None}
        if format == "github":
            appended = (each for each in self._formats.values() if os.environ.get(each.variable))
            files |= {each: Path(os.environ[each.variable]) for each in appended}
        return Outputs(command=self._command, printed=self._formats["json" if json else format], files=files, quiet=quiet)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Printed format and files of one run of a command."""

    command: str
    printed: Format
    files: Mapping[Format, Path]
    quiet: bool = False

    def check(self, *, sources: Iterable[str] = (), inputs: Iterable[str] = ()) -> None:
        """Checks, before the work begins, that all files can be written, that they differ, and that none overwrites an input.

        Files of the ``sources`` must be there: importing torch, before they are opened, takes seconds. ``inputs`` are read besides.
        """
        if not is_first():
            return
        with deferred_interrupts():
            self._check_files()
        addresses = list(sources)
        for each in addresses:
            check_named(each)
        self._check_apart([*addresses, *inputs])

    def _check_files(self) -> None:
        named = [each for each in FORMATS if self.command in each.commands.split()]
        for each, path in self.files.items():
            other = next((form for form in named if path.suffix.lower() in form.suffixes), None)
            if each.name == "json" and other is not None:
                raise OutputError(f"-o {path} would hold the JSON document; name the {other.what} with {other.option} FILE")
            check_writable(path, option=each.named_by, suffixes=each.suffixes)
        # Files that variables name may be the same, because results are appended to them.
        ours = [(each.named_by, path) for each, path in self.files.items() if not each.variable]
        for i, (option, path) in enumerate(ours):
            for earlier, same in ours[:i]:
                if path.resolve() == same.resolve():
                    raise OutputError(f"{earlier} and {option} name the same file, {path}; give each its own")

    def _check_apart(self, inputs: list[str]) -> None:
        """Refuses files that the run is known to read, and starts watching for those it reads unexpectedly."""
        from wdist.data.inputs import reads

        for path in self.files.values():
            read = next((address for address in inputs if reads(address, path)), None)
            if read is not None and path.exists():
                raise OutputError(f"{path} is one of the inputs and would be overwritten; name another file for the result")
            if read is not None:
                raise OutputError(f"{path} would become one of the images of {read}; name a file outside of that folder")
        watch_for_reading(self.files.values())

    def observer(self) -> Any:
        """The progress display, as a context that yields an observer."""
        from wdist.cli.console import notes_console
        from wdist.report.terminal.progress import display_on

        return display_on(notes_console(), quiet=self.quiet)

    def deliver(
        self,
        result: Any,
        *,
        status: ExitStatus = ExitStatus.DONE,
        if_interrupted: str = "",
        notes: Iterable[str] = (),
        **given: Any,
    ) -> ExitStatus:
        """Prints a result, writes all files, then shows its warnings and, unless quiet, notes.

        If one delivery fails, the others still follow, and the first failure is raised at the end: OutputError for a file that
        could not be written, BrokenPipeError if the reader of stdout went away. A first Ctrl-C is ignored, a second one stops the
        delivery. Of several processes, only the first delivers.

        Arguments:
            result: the result of the command.
            status: exit status of the command, unless the user interrupted it.
            if_interrupted: what holds although the run was interrupted, as a clause of a note; empty for no note.
            notes: other notes.
            given: further arguments of renderers.

        Returns:
            The exit status.
        """
        run = run_of(result)
        if getattr(run, "interrupted", False):
            status, notes = ExitStatus.INTERRUPTED, [*notes, *([f"interrupted; {if_interrupted}"] if if_interrupted else [])]
        if not is_first():
            return status
        from wdist.cli.console import note, warn

        known = {"command": self.command, **given}
        deliveries: list[Callable[..., None]] = [self._print]
        deliveries += [partial(self._write, each, path) for each, path in self.files.items()]
        failures: list[WdistError | OSError] = []
        done = 0
        try:
            with deferred_interrupts():
                for deliver in deliveries:
                    try:
                        deliver(result, known)
                    except (WdistError, OSError) as failure:
                        failures.append(failure)
                    done += 1
        except (KeyboardInterrupt, JobEnded):
            if done < len(deliveries):
                raise
        warn(getattr(run, "warnings", ()))
        for sentence in () if self.quiet else notes:
            note(sentence)
        if failures:
            warn(str(further) for further in failures[1:])
            raise failures[0]
        return status

    def _print(self, result: Any, known: Mapping[str, Any]) -> None:
        made = _rendered(self.printed, result, known)
        if self.printed.name == "text":
            from wdist.cli.console import print_result

            print_result(made)
        else:
            sys.stdout.write(made)
        sys.stdout.flush()

    def _write(self, format: Format, path: Path, result: Any, known: Mapping[str, Any]) -> None:
        made = _rendered(format, result, {**known, "suffix": path.suffix.lower()})
        if made is None:
            return
        if was_read(path):
            raise OutputError(f"{path} was not written, because this run has read it; name another file")
        if format.variable:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(made)
            return
        atomic_write(path, made if isinstance(made, bytes) else made.encode(errors="backslashreplace"))
        if not self.quiet:
            from wdist.cli.console import note

            note(f"{format.what} saved as {path}")


def _rendered(format: Format, result: Any, known: Mapping[str, Any]) -> Any:
    module, _, name = format.function.partition(":")
    module = module if module.startswith("wdist.") else f"wdist.report.{module}"
    return getattr(import_module(module), name)(result, **{each: known[each] for each in format.takes.split()})
