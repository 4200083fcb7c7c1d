"""``wdist bench WHAT``: how tight, how often right, how fast, measured on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wdist.cli import options as opt
from wdist.errors import ExitStatus, OutputError, UsageError

if TYPE_CHECKING:
    from wdist.bench.bench import Bench, BenchResult

LIST = "list"
"""What stands in the place of a suite to see all of them."""


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="A suite: tightness, coverage, ladder, gates or speed; or list, which shows all of them."
        ),
    ],
    quick: Annotated[bool, typer.Option("--quick", metavar="", help="A few minutes: fewer rows, smaller sizes.")] = False,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many seeds, from --seed on. Default: the suite's own.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Training time of each pair: 45s, 2m, 1h. Default: the suite's own.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Rows whose names contain one of these, separated by commas; * stands for anything: funnels*endless.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder with data sets, such as torchvision's MNIST; rows that need it are skipped without it."
        ),
    ] = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    json: opt.Json = False,
    output: opt.Output = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel="Output", help="Draw what was measured: .png, .svg or .pdf.")
    ] = None,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """Measure a suite on this machine: how tight intervals are, how often they are right, how fast a step is.

    Ctrl-C, or a time limit that ends it, keeps the rows that are done; the exit status is 130 then.

    Example: wdist bench tightness --quick --plot tightness.png
    """
    from wdist.cli.console import note, notes_console
    from wdist.output import PLOT_SUFFIXES, atomic_write, check_writable
    from wdist.training.budget import Budget

    if output is not None:
        if output.suffix.lower() in PLOT_SUFFIXES:
            raise OutputError(f"-o {output} would hold the JSON document; ask for the figure with --plot FILE")
        check_writable(output, option="-o")
    if plot is not None:
        check_writable(plot, option="--plot", suffixes=PLOT_SUFFIXES)
    if budget is not None:
        Budget.parse(budget)  # refuses what is no length of time
    if data is not None and not data.is_dir():
        raise UsageError(f"--data {data} is no folder; name the one that holds the data sets, or leave it out")
    if what == LIST:
        return _list(json=json)

    from wdist.bench.bench import Conditions
    from wdist.bench.registry import bench
    from wdist.report.terminal.progress import display_on

    suite = bench(what)
    _check_takes(suite, budget=budget, data=data)
    count = seeds or (suite.quick_seeds if quick else suite.seeds)
    with display_on(notes_console(), quiet=quiet) as observer, _ended_like_ctrl_c():
        result = suite.run(
            Conditions(
                quick=quick,
                seeds=tuple(range(seed, seed + count)),
                budget=budget or (suite.quick_budget if quick else suite.budget),
                only=tuple(part.strip() for part in (only or "").split(",") if part.strip()),
                data=data,
                device=device,
                observer=observer,
            )
        )
    document = _document(result)
    try:
        # The files come first: hours of measuring are not to be lost with the reader of stdout.
        if output is not None:
            atomic_write(output, document.encode())
        if plot is not None:
            from wdist.report.figures.bench import bench_bytes

            atomic_write(plot, bench_bytes(result, suffix=plot.suffix.lower()))
    finally:
        _print(result, document, json=json)
    if not quiet:
        for name, path in (("result", output), ("figure", plot)):
            if path is not None:
                note(f"{name} saved as {path}")
        if result.interrupted:
            note(f"interrupted after {len(result.rows)} rows, which are kept")
    return ExitStatus.INTERRUPTED if result.interrupted else ExitStatus.DONE


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A suite that a time limit ends keeps its rows as well."""
    import signal

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


def _document(result: BenchResult) -> str:
    from wdist.report.documents.bench import BenchDocument
    from wdist.report.documents.document import text

    return text(BenchDocument.of(result))


def _print(result: BenchResult, document: str, *, json: bool) -> None:
    import sys

    if json:
        sys.stdout.write(document)
    else:
        from wdist.cli.console import result_console
        from wdist.report.terminal.bench import rendered_bench

        result_console().print(rendered_bench(result))
    sys.stdout.flush()


def _list(*, json: bool) -> int:
    import sys

    from wdist.bench.registry import BENCHES

    if json:
        from wdist.report.documents.bench import SuitesDocument
        from wdist.report.documents.document import text

        sys.stdout.write(text(SuitesDocument.of(BENCHES.values())))
    else:
        from wdist.cli.console import result_console
        from wdist.report.terminal.bench import rendered_benches

        result_console().print(rendered_benches(BENCHES.values()))
    return ExitStatus.DONE
