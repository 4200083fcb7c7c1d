"""``wdist bench WHAT``: how tight, how often right, how fast, measured on this machine."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

    from wdist.studies.bench.bench import Bench, BenchResult, Conditions
    from wdist.training.observer import Observer

LIST = "list"
"""What stands in the place of a suite to see all of them."""


@dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """Under which conditions a suite is measured."""

    quick: Annotated[bool, typer.Option("--quick", metavar="", help="A few minutes: fewer rows, smaller sizes.")] = False
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many seeds, from --seed on. Default: the suite's own.")
    ] = None
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Training time of each pair: 45s, 2m, 1h. Default: the suite's own.")
    ] = None
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Rows whose names contain one of these, separated by commas; * stands for anything: funnels*endless.",
        ),
    ] = None
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder with data sets, such as torchvision's MNIST; rows that need it are skipped without it."
        ),
    ] = None
    seed: opt.Seed = 0
    device: opt.Device = "auto"

    def check(self) -> None:
        """Refuses what means nothing for any suite.

        Raises:
            UsageError: the budget is no length of time, or there is no folder of data.
        """
        from wdist.training.budget import Budget

        if self.budget is not None:
            Budget.parse(self.budget)
        if self.data is not None and not self.data.is_dir():
            raise UsageError(f"--data {self.data} is no folder; name the one that holds the data sets, or leave it out")

    def conditions(self, suite: Bench, observer: Observer) -> Conditions:
        """Those of a suite, with its own seeds and budget where nothing else is asked for."""
        from wdist.studies.bench.bench import Conditions

        count = self.seeds or (suite.quick_seeds if self.quick else suite.seeds)
        return Conditions(
            quick=self.quick,
            seeds=tuple(range(self.seed, self.seed + count)),
            budget=self.budget or (suite.quick_budget if self.quick else suite.budget),
            only=tuple(part.strip() for part in (self.only or "").split(",") if part.strip()),
            data=self.data,
            device=self.device,
            observer=observer,
        )


@dataclass(frozen=True, kw_only=True)
class BenchDelivery(MeasurementDelivery):
    """What the user wants to have of a suite."""

    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel="Output", help="Draw what was measured: .png, .svg or .pdf.")
    ] = None


@expanded
def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="A suite: tightness, coverage, ladder, gates or speed; or list, which shows all of them."
        ),
    ],
    request: BenchRequest,
    delivery: BenchDelivery,
) -> int:
    """Measure a suite on this machine: how tight intervals are, how often they are right, how fast a step is.

    Ctrl-C, or a time limit that ends it, keeps the rows that are done; the exit status is 130 then.

    Example: wdist bench tightness --quick --plot tightness.png
    """
    from wdist.cli.console import note, notes_console

    delivery.check()
    request.check()
    if what == LIST:
        return _list(json=delivery.json)

    from wdist.report.terminal.progress import display_on
    from wdist.studies.bench.registry import bench

    suite = bench(what)
    _check_takes(suite, budget=request.budget, data=request.data)
    with display_on(notes_console(), quiet=delivery.quiet) as observer, _ended_like_ctrl_c():
        result = suite.run(request.conditions(suite, observer))
    delivery.deliver(_Measured(result))
    if result.interrupted and not delivery.quiet:
        note(f"interrupted after {len(result.rows)} rows, which are kept")
    return ExitStatus.INTERRUPTED if result.interrupted else ExitStatus.DONE


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A suite that a time limit ends keeps its rows as well."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_takes(suite: Bench, *, budget: str | None, data: Path | None) -> None:
    """Refuses options that make no difference to a suite."""
    if budget is not None and suite.budget is None:
        raise UsageError(f"--budget makes no difference to {suite.name}; leave it out")
    if data is not None and not suite.takes_data:
        raise UsageError(f"--data makes no difference to {suite.name}; leave it out")


@dataclass(frozen=True)
class _Measured:
    """A suite in the forms that a user may want."""

    result: BenchResult

    def document(self) -> str:
        from wdist.report.documents.bench import BenchDocument
        from wdist.report.documents.document import text

        return text(BenchDocument.of(self.result))

    def rendered(self) -> RenderableType:
        from wdist.report.terminal.bench import rendered_bench

        return rendered_bench(self.result)

    def figure(self, suffix: str) -> bytes:
        from wdist.report.plots.bench import bench_bytes

        return bench_bytes(self.result, suffix=suffix)


def _list(*, json: bool) -> int:
    from wdist.studies.bench.registry import BENCHES

    if json:
        from wdist.report.documents.bench import SuitesDocument
        from wdist.report.documents.document import text

        sys.stdout.write(text(SuitesDocument.of(BENCHES.values())))
    else:
        from wdist.cli.console import result_console
        from wdist.report.terminal.bench import rendered_benches

        result_console().print(rendered_benches(BENCHES.values()))
    return ExitStatus.DONE
