"""``wdist reproduce WHAT``: the paper's tables and figures, made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wdist.cli import options as opt
from wdist.errors import ExitStatus, OutputError, UsageError

if TYPE_CHECKING:
    from wdist.reproduce.reproduction import Reproduction

LIST = "list"
"""What stands in the place of a table or figure to see all of them."""


def command(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="A table or figure: table1, table2, figure4, ..., or list, which shows all of them."),
    ],
    quick: Annotated[bool, typer.Option("--quick", metavar="", help="A few minutes: smaller sizes, fewer steps.")] = False,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Where torchvision finds its data sets, for table2, figure6 and figure16.")
    ] = Path("data"),
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ADDRESS", help="Data of a column of table2 (mnist=..., cifar10=...) instead of torchvision's."),
    ] = None,
    generator: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ADDRESS", help="Its generator, instead of one that is trained first (see wdist gan train)."),
    ] = None,
    trust: opt.Trust = False,
    download: opt.Download = False,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    json: opt.Json = False,
    output: opt.Output = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel="Output", help="Draw what the paper draws, from our numbers: .png, .svg or .pdf."
        ),
    ] = None,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """Make a table or figure of the paper again, its own numbers beside ours.

    The full form follows the paper's settings and says before it starts how long it will take.

    Example: wdist reproduce figure5 --quick --plot cones.png
    """
    from wdist.cli.console import note, notes_console
    from wdist.output import PLOT_SUFFIXES, atomic_write, check_writable

    if output is not None:
        if output.suffix.lower() in PLOT_SUFFIXES:
            raise OutputError(f"-o {output} would hold the JSON document; ask for the figure with --plot FILE")
        check_writable(output, option="-o")
    if plot is not None:
        check_writable(plot, option="--plot", suffixes=PLOT_SUFFIXES)
    if what == LIST:
        return _list(json=json)

    from wdist.report.terminal.progress import display_on
    from wdist.reproduce.registry import experiment
    from wdist.reproduce.reproduction import Conditions

    chosen = experiment(what)
    named = {"data": _by_name(data, "--data"), "generators": _by_name(generator, "--generator")}
    if any(named.values()) and not chosen.takes_generators:
        raise UsageError(f"--data and --generator make no difference to {chosen.name}; leave them out")
    if not quiet:
        note(_forecast(chosen.forecast(quick=quick, device=device), quick=quick, reducible=bool(chosen.reduced)))
    with display_on(notes_console(), quiet=quiet) as observer:
        reproduction = chosen.run(
            Conditions(
                quick=quick, seed=seed, device=device, root=str(root), download=download, trust=trust, observer=observer, **named
            )
        )
    document = _document(reproduction)
    _print(reproduction, document, json=json)
    if output is not None:
        atomic_write(output, document.encode())
    if plot is not None:
        from wdist.report.figures.reproduction import reproduction_bytes

        atomic_write(plot, reproduction_bytes(reproduction, suffix=plot.suffix.lower()))
    if not quiet:
        for name, path in (("result", output), ("figure", plot)):
            if path is not None:
                note(f"{name} saved as {path}")
    return ExitStatus.DONE


def _by_name(words: list[str] | None, option: str) -> dict[str, str]:
    """``mnist=ADDRESS`` taken apart."""
    named = {}
    for word in words or []:
        name, equals, address = word.partition("=")
        if not (equals and name and address) or "/" in name:
            raise UsageError(f"{option} {word} names no column; write {option} mnist=ADDRESS")
        named[name] = address
    return named


def _forecast(seconds: float, *, quick: bool, reducible: bool) -> str:
    from wdist.report.numbers import duration

    if quick or not reducible:
        return f"this will take about {duration(seconds)}"
    return f"the full form will take about {duration(seconds)} on this machine; --quick makes a smaller one in a few minutes"


def _document(reproduction: Reproduction) -> str:
    from wdist.report.documents.document import text
    from wdist.report.documents.reproduction import ReproductionDocument
    from wdist.reproduce.reproduction import PAPER

    return text(ReproductionDocument.of(reproduction, paper=PAPER))


def _print(reproduction: Reproduction, document: str, *, json: bool) -> None:
    import sys

    if json:
        sys.stdout.write(document)
    else:
        from wdist.cli.console import result_console
        from wdist.report.terminal.reproduction import rendered_reproduction
        from wdist.reproduce.reproduction import PAPER

        result_console().print(rendered_reproduction(reproduction, paper=PAPER))
    sys.stdout.flush()


def _list(*, json: bool) -> int:
    import sys

    from wdist.device import choose_device
    from wdist.reproduce.forecast import machine_rate
    from wdist.reproduce.registry import EXPERIMENTS

    rate = machine_rate(choose_device("cpu"))
    experiments = [
        (each, each.forecast(quick=True, rate=rate), each.forecast(quick=False, rate=rate)) for each in EXPERIMENTS.values()
    ]
    if json:
        from wdist.report.documents.document import text
        from wdist.report.documents.reproduction import CatalogueDocument

        sys.stdout.write(text(CatalogueDocument.of(experiments)))
    else:
        from wdist.cli.console import result_console
        from wdist.report.terminal.reproduction import rendered_catalogue

        result_console().print(rendered_catalogue(experiments))
    return ExitStatus.DONE
