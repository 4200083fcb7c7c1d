"""Outputs of a command: a table of formats, each rendered to stdout or to a file that is checked before the work begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from wdist.cli import options as opt
from wdist.errors import OutputError, UsageError, WdistError
from wdist.files import CRITIC_SUFFIXES, PLOT_SUFFIXES, atomic_write, check_writable

_ENDINGS = ".png, .svg or .pdf"


@dataclass(frozen=True)
class Renderer:
    """Function that renders the results of one command in one format."""

    function: str
    """As ``module:function``, in the package ``wdist.report`` unless another is named; imported when it is needed.

    Takes the result and returns a renderable, text, bytes, or None for no file.
    """
    help: str = ""
    """Help of the option that names the file."""
    takes: tuple[str, ...] = ()
    """Its keyword arguments: ``suffix`` and ``command``, and those given to :meth:`Outputs.deliver`."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format, for every command whose results have a renderer for it."""

    name: str
    renderers: Mapping[str, Renderer]
    """By command."""
    what: str = ""
    """In "... saved as FILE"."""
    option: str = ""
    """Option that names the file; empty where the format is for stdout only."""
    variable: str = ""
    """Environment variable that names a file to append to when the result is printed in the format ``github``."""
    suffixes: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """Name of the option as a parameter."""
        return self.option.removeprefix("--").replace("-", "_")


def _document(*takes: str, function: str = "documents.forms:document_text") -> Renderer:
    return Renderer(function, "Also write the JSON document to FILE.", ("command", *takes))


_SUMMARY = Renderer("exports.gate:gate_markdown", "Also write a summary in Markdown to FILE.")
_CURVES = f"Draw the critics (in one or two dimensions) or learning curves, and compared critics as bars: {_ENDINGS}."
_WITNESSES = f"Draw the images that each critic separates most clearly: {_ENDINGS}."

FORMATS = (
    Format(
        name="text",
        renderers={
            "estimate": Renderer("terminal.estimate:rendered"),
            "compare": Renderer("terminal.comparison:rendered_comparison"),
            "gate": Renderer("terminal.gate:rendered_gate"),
            "verify": Renderer("terminal.facts:rendered_verification"),
            "gan": Renderer("terminal.gan:rendered_gan"),
            "inspect": Renderer("terminal.facts:rendered_facts"),
            "doctor": Renderer("terminal.facts:rendered_checks"),
            **dict.fromkeys(("bench", "reproduce"), Renderer("terminal.study:rendered_study")),
        },
    ),
    Format(
        name="json",
        option="--output",
        what="result",
        renderers={
            **dict.fromkeys(("estimate", "compare", "gate", "inspect", "doctor", "gan", "bench", "reproduce"), _document()),
            "verify": _document("critic"),
        },
    ),
    Format(
        name="markdown",
        option="--markdown",
        what="Markdown",
        renderers={
            "compare": Renderer("exports.comparison:markdown", "Also write the table and the text in Markdown to FILE."),
            "gate": _SUMMARY,
        },
    ),
    Format(
        name="csv",
        option="--csv",
        what="table",
        renderers={"compare": Renderer("exports.comparison:comma_separated", "Also write one CSV row for each source to FILE.")},
    ),
    Format(
        name="junit",
        option="--junit",
        what="test report",
        renderers={"gate": Renderer("exports.gate:junit", "Also write a JUnit test report to FILE.", ("accept_inconclusive",))},
    ),
    Format(name="github", renderers={"gate": Renderer("exports.gate:github_annotations")}),
    Format(name="summary", variable="GITHUB_STEP_SUMMARY", renderers={"gate": _SUMMARY}),
    Format(name="outputs", variable="GITHUB_OUTPUT", renderers={"gate": Renderer("exports.gate:github_outputs")}),
    Format(
        name="critic",
        option="--save-critic",
        what="critic",
        suffixes=CRITIC_SUFFIXES,
        renderers={
            "estimate": Renderer(
                "wdist.estimation.verification:serialise_critic", "Save the certified critic for wdist verify: .safetensors."
            )
        },
    ),
    Format(
        name="plot",
        option="--plot",
        what="figure",
        suffixes=PLOT_SUFFIXES,
        renderers={
            "estimate": Renderer("plots.estimate:figure_bytes", _CURVES, ("suffix",)),
            "compare": Renderer("plots.comparison:comparison_bytes", f"Draw all intervals on one scale: {_ENDINGS}.", ("suffix",)),
            **dict.fromkeys(
                ("bench", "reproduce"), Renderer("plots.study:study_bytes", f"Draw the results: {_ENDINGS}.", ("suffix",))
            ),
        },
    ),
    Format(
        name="witness",
        option="--witness",
        what="contact sheet",
        suffixes=PLOT_SUFFIXES,
        renderers={"compare": Renderer("plots.contact_sheet:contact_sheet_bytes", _WITNESSES, ("suffix",))},
    ),
)
"""All formats; files are written in this order."""


class OutputOptions:
    """Options for the outputs of a command: those of all formats that its results have.

    Arguments:
        command: as in the table of formats.
        choice: also offers ``--format``, which chooses what is printed.
        files: also offers the options that name files.
        quiet: also offers ``--quiet``.
    """

    def __init__(self, command: str, *, choice: bool = False, files: bool = True, quiet: bool = True) -> None:
        self._command, self._choice, self._quiet = command, choice, quiet
        self._formats = {each.name: each for each in FORMATS if command in each.renderers}
        self._files = {each.field: each for each in self._formats.values() if each.option} if files else {}
        self._printed = ("text", "json", *(name for name, each in self._formats.items() if self._may_be_printed(each)))

    def _may_be_printed(self, each: Format) -> bool:
        return each.name not in ("text", "json") and not each.suffixes and not each.variable

    def parameters(self) -> list[Parameter]:
        """The options, in the order of the help."""
        found: dict[str, tuple[Any, Any]] = {}
        if self._choice:
            words = f"Format of the printed result: {', '.join(self._printed)}."
            found["format"] = Annotated[str, typer.Option(metavar="NAME", rich_help_panel=opt.OUTPUT, help=words)], "text"
        found["json"] = opt.Json, False
        for name, each in self._files.items():
            names = ("-o", each.option) if name == "output" else (each.option,)
            words = each.renderers[self._command].help
            option = typer.Option(*names, metavar="FILE", rich_help_panel=opt.OUTPUT, help=words)
            found[name] = Annotated[Path | None, option], None
        if self._quiet:
            found["quiet"] = opt.Quiet, False
        found["debug"] = opt.Debug, False
        return [
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in found.items()
        ]

    def made(self, *, json: bool, debug: bool, format: str = "text", quiet: bool = False, **paths: Path | None) -> Outputs:
        """The outputs that the user asked for; ``debug`` is read where errors are caught.

        Raises:
            UsageError: the format is unknown, or two formats are to be printed.
        """
        del debug
        if format not in self._printed:
            near = get_close_matches(format, self._printed, n=1)
            way_out = f"did you mean {near[0]}?" if near else f"write one of {', '.join(self._printed)}"
            raise UsageError(f"--format {format} is unknown; {way_out}")
        if json and format not in ("text", "json"):
            raise UsageError(f"--json prints JSON and --format {format} something else; give one of them")
        printed = "json" if json else format
        files = [File(format=self._files[name], path=path) for name, path in paths.items() if path is not None]
        if printed == "github":
            appended = (each for each in self._formats.values() if os.environ.get(each.variable))
            files += [File(format=each, path=Path(os.environ[each.variable])) for each in appended]
        return Outputs(command=self._command, printed=self._formats[printed], files=files, quiet=quiet)


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that the user asked for."""

    format: Format
    path: Path

    @property
    def option(self) -> str:
        """Option or environment variable that named the file."""
        if self.format.variable:
            return f"${self.format.variable}"
        return "-o" if self.format.option == "--output" else self.format.option

    @property
    def is_ours(self) -> bool:
        """False for a file that others append to as well."""
        return not self.format.variable


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Printed format and files of one run of a command."""

    command: str
    printed: Format
    files: list[File]
    quiet: bool = False

    def check(self, *, inputs: Iterable[str] = ()) -> None:
        """Makes sure before the work that every file can be written, that no two are the same, and that no input is overwritten.

        Arguments:
            inputs: addresses and files that are read.

        Raises:
            OutputError: one sentence for the first file that cannot be written.
        """
        for each in self.files:
            other = next(
                (form for form in FORMATS if each.path.suffix.lower() in form.suffixes and self.command in form.renderers), None
            )
            if each.option == "-o" and other is not None:
                raise OutputError(f"-o {each.path} would hold the JSON document; name the {other.what} with {other.option} FILE")
            check_writable(each.path, option=each.option, suffixes=each.format.suffixes)
        ours = [each for each in self.files if each.is_ours]
        for i, each in enumerate(ours):
            for other_file in ours[:i]:
                if each.path.resolve() == other_file.path.resolve():
                    raise OutputError(f"{other_file.option} and {each.option} name the same file, {each.path}; give each its own")
        addresses = list(inputs)
        for each in ours:
            if any(_is_the_file_of(address, each.path) for address in addresses):
                raise OutputError(f"{each.path} is one of the inputs and would be overwritten; name another file for the result")

    def observer(self) -> Any:
        """The display of progress, as a context that yields an observer."""
        from wdist.cli.console import notes_console
        from wdist.report.terminal.progress import display_on

        return display_on(notes_console(), quiet=self.quiet)

    def deliver(self, result: Any, *, warnings: Iterable[str] = (), notes: Iterable[str] = (), **given: Any) -> None:
        """Prints a result, then writes all files, whatever fails; then says what the user should know.

        Arguments:
            result: of the command.
            warnings: printed on stderr even when the user wants quiet.
            notes: printed on stderr otherwise.
            given: what renderers take besides the result.

        Raises:
            OutputError: some file could not be written; everything else was.
            BrokenPipeError: the reader of stdout went away; the files were written.
        """
        from wdist.cli.console import note, warn

        failures: list[WdistError | OSError] = []
        for deliver in self._deliveries(result, given):
            try:
                deliver()
            except (WdistError, OSError) as failure:
                failures.append(failure)
        warn(warnings)
        for sentence in () if self.quiet else notes:
            note(sentence)
        if failures:
            warn(str(further) for further in failures[1:])
            raise failures[0]

    def _deliveries(self, result: Any, given: Mapping[str, Any]) -> Iterator[Callable[[], None]]:
        yield partial(self._print, result, given)
        for each in self.files:
            yield partial(self._write, each, result, given)

    def _print(self, result: Any, given: Mapping[str, Any]) -> None:
        made = self._rendered(self.printed, result, given)
        if self.printed.name == "text":
            from wdist.cli.console import result_console

            # Names that nothing can break are wrapped by the terminal rather than cut.
            result_console().print(made, crop=False)
        else:
            sys.stdout.write(made)
        sys.stdout.flush()

    def _write(self, file: File, result: Any, given: Mapping[str, Any]) -> None:
        made = self._rendered(file.format, result, {**given, "suffix": file.path.suffix.lower()})
        if made is None:
            return
        if not file.is_ours:
            with file.path.open("a", encoding="utf-8") as stream:
                stream.write(made)
            return
        atomic_write(file.path, made if isinstance(made, bytes) else made.encode(errors="backslashreplace"))
        if not self.quiet:
            from wdist.cli.console import note

            note(f"{file.format.what} saved as {file.path}")

    def _rendered(self, format: Format, result: Any, given: Mapping[str, Any]) -> Any:
        renderer = format.renderers[self.command]
        module, _, name = renderer.function.partition(":")
        module = module if module.startswith("wdist.") else f"wdist.report.{module}"
        known = {"command": self.command, **given}
        return getattr(import_module(module), name)(result, **{each: known[each] for each in renderer.takes})


def _is_the_file_of(address: str, file: Path) -> bool:
    """Tells if an address, without its options and the name of a part, is that very file."""
    candidate = address.partition("?")[0]
    for path in (candidate, candidate.rpartition(":")[0]):
        if path and os.path.exists(path) and file.exists() and os.path.samefile(path, file):
            return True
    return False
