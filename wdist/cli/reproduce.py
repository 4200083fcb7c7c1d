"""``wdist reproduce WHAT``: the paper's tables and figures, made again."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wdist.cli import options as opt
from wdist.cli.expansion import expanded
from wdist.cli.measurement_delivery import MeasurementDelivery
from wdist.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wdist.studies.reproduce.experiment import Experiment
    from wdist.studies.reproduce.reproduction import Conditions, Reproduction
    from wdist.training.observer import Observer

LIST = "list"
"""What stands in the place of a table or figure to see all of them."""


@dataclass(frozen=True, kw_only=True)
class ReproduceRequest:
    """In which form a table or figure is made again, and from which data."""

    quick: Annotated[bool, typer.Option("--quick", metavar="", help="A few minutes: smaller sizes, fewer steps.")] = False
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Where torchvision finds its data sets, for table2, figure6 and figure16.")
    ] = Path("data")
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ADDRESS", help="Data of a column of table2 (mnist=..., cifar10=...) instead of torchvision's."),
    ] = None
    generator: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ADDRESS", help="Its generator, instead of one that is trained first (see wdist gan train)."),
    ] = None
    trust: opt.Trust = False
    download: opt.Download = False
    seed: opt.Seed = 0
    device: opt.Device = "auto"

    def columns(self, chosen: Experiment) -> dict[str, dict[str, str]]:
        """Data and generators, by the names of the columns that they are for.

        Raises:
            UsageError: they are named for an experiment that takes none, or not by column.
        """
        named = {"data": _by_name(self.data, "--data"), "generators": _by_name(self.generator, "--generator")}
        if any(named.values()) and not chosen.takes_generators:
            raise UsageError(f"--data and --generator make no difference to {chosen.name}; leave them out")
        return named

    def conditions(self, columns: dict[str, dict[str, str]], observer: Observer) -> Conditions:
        """What an experiment is run under."""
        from wdist.studies.reproduce.reproduction import Conditions

        return Conditions(
            quick=self.quick,
            seed=self.seed,
            device=self.device,
            root=str(self.root),
            download=self.download,
            trust=self.trust,
            observer=observer,
            **columns,
        )


@dataclass(frozen=True, kw_only=True)
class ReproduceDelivery(MeasurementDelivery):
    """What the user wants to have of a reproduction."""

    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel="Output", help="Draw what the paper draws, from our numbers: .png, .svg or .pdf."
        ),
    ] = None


@expanded
def command(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="A table or figure: table1, table2, figure4, ..., or list, which shows all of them."),
    ],
    request: ReproduceRequest,
    delivery: ReproduceDelivery,
) -> int:
    """Make a table or figure of the paper again, its own numbers beside ours.

    The full form follows the paper's settings and says before it starts how long it will take.

    Example: wdist reproduce figure5 --quick --plot cones.png
    """
    from wdist.cli.console import note, notes_console

    delivery.check()
    if what == LIST:
        return _list(json=delivery.json)

    from wdist.report.terminal.progress import display_on
    from wdist.studies.reproduce.registry import experiment

    chosen = experiment(what)
    columns = request.columns(chosen)
    if not delivery.quiet:
        seconds = chosen.forecast(quick=request.quick, device=request.device)
        note(_forecast(seconds, quick=request.quick, reducible=bool(chosen.reduced)))
    with display_on(notes_console(), quiet=delivery.quiet) as observer:
        reproduction = chosen.run(request.conditions(columns, observer))
    delivery.deliver(_Reproduced(reproduction))
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


@dataclass(frozen=True)
class _Reproduced:
    """A reproduction in the forms that a user may want."""

    reproduction: Reproduction

    def document(self) -> str:
        from wdist.report.documents.document import text
        from wdist.report.documents.reproduction import ReproductionDocument
        from wdist.studies.reproduce.reproduction import PAPER

        return text(ReproductionDocument.of(self.reproduction, paper=PAPER))

    def rendered(self) -> RenderableType:
        from wdist.report.terminal.reproduction import rendered_reproduction
        from wdist.studies.reproduce.reproduction import PAPER

        return rendered_reproduction(self.reproduction, paper=PAPER)

    def figure(self, suffix: str) -> bytes:
        from wdist.report.plots.reproduction import reproduction_bytes

        return reproduction_bytes(self.reproduction, suffix=suffix)


def _list(*, json: bool) -> int:
    from wdist.environment import choose_device
    from wdist.studies.reproduce.forecast import machine_rate
    from wdist.studies.reproduce.registry import EXPERIMENTS

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
