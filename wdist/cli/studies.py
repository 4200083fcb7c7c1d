"""``wdist bench NAME`` and ``wdist reproduce NAME``: studies of wdist on this machine, and the paper's tables and figures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from wdist.arguments import read_shard
from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wdist.studies.study import Conditions, Study

LIST = "list"
"""The name that lists all studies of a command."""
_QUICK = "tightness"
"""The suite of ``wdist bench --quick``."""


@dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """Conditions of a suite."""

    quick: bool = opt.flag(None, "", "A few minutes: fewer rows, smaller sizes.", "--quick", default=False)
    seeds: int | None = opt.flag(None, "N", "Number of seeds, starting with --seed. Default: the suite's own.", min=1)
    trials: int | None = opt.flag(None, "N", "Number of random trials of each seed. Default: the suite's own.", min=1)
    budget: str | None = opt.flag(None, "TIME", "Training time of each pair: 45s, 2m, 1h. Default: the suite's own.")
    only: list[str] | None = opt.flag(
        None, "NAMES", "Only rows whose names contain one of these comma-separated parts; * matches anything: funnels*endless."
    )
    data: Path | None = opt.flag(
        None, "DIR", "Folder of data sets, such as torchvision's MNIST; without it, rows that need one are skipped."
    )
    shard: opt.Shard = None
    seed: opt.Seed = 0
    device: opt.Device = "auto"

    def check(self) -> None:
        """Raises UsageError for values that no suite accepts."""
        from wdist.training.budget import Budget

        if self.budget is not None:
            Budget.parse(self.budget)
        if self.data is not None and not self.data.is_dir():
            raise UsageError(f"--data {self.data} is not a folder; name the one that holds the data sets, or leave it out")

    def conditions(self, study: Study, **shared: Any) -> Conditions:
        """Conditions of a suite, with its own seeds and budget unless the user gives others."""
        from wdist.studies.study import Conditions, Share

        idle = {"budget": study.budget is None, "data": not study.takes_data, "trials": study.trials is None}
        for name in (name for name, unused in idle.items() if unused and getattr(self, name) is not None):
            raise UsageError(f"--{name} has no effect on {study.name}; leave it out")
        number, of = read_shard(self.shard)
        if of > 1 and not study.divisible:
            raise UsageError(f"the rows of {study.name} must be measured on one machine, one after another; leave out --shard")
        count = self.seeds or (1 if self.quick else study.seeds)
        return Conditions(
            quick=self.quick,
            seeds=tuple(range(self.seed, self.seed + count)),
            budget=self.budget or (study.quick_budget if self.quick else study.budget),
            trials=self.trials or (study.quick_trials if self.quick else study.trials),
            only=tuple(part.strip() for part in ",".join(self.only or []).split(",") if part.strip()),
            data=self.data,
            device=self.device,
            share=None if of == 1 else Share(number, of),
            **shared,
        )


@dataclass(frozen=True, kw_only=True)
class ReproduceRequest:
    """Conditions of a table or figure."""

    quick: bool = opt.flag(None, "", "A few minutes: smaller sizes, fewer steps.", "--quick", default=False)
    root: Path = opt.flag(
        None, "DIR", "Folder of torchvision's data sets, for tables and figures about images.", "--root", default=Path("data")
    )
    data: list[str] | None = opt.flag(
        None,
        "NAME=ADDRESS",
        "Data of table2, figure15 and figure17 (mnist=..., cifar10=...), of table6 (cifar10=...) or of figure15 (celeba=...) "
        "instead of torchvision's.",
    )
    generator: list[str] | None = opt.flag(
        None, "NAME=ADDRESS", "Generator for that data of table2, instead of training one first (see wdist gan train)."
    )
    trust: opt.Trust = False
    download: opt.Download = False
    seed: opt.Seed = 0
    device: opt.Device = "auto"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Addresses of data and generators."""
        return tuple(word.partition("=")[2] for word in (*(self.data or ()), *(self.generator or ())))

    def conditions(self, study: Study, **shared: Any) -> Conditions:
        """Conditions of a table or figure."""
        from wdist.studies.study import Conditions

        sources, generators = _by_column(self.data, "--data"), _by_column(self.generator, "--generator")
        if (sources or generators) and not study.takes_data:
            raise UsageError(f"--data and --generator have no effect on {study.name}; leave them out")
        return Conditions(
            quick=self.quick,
            seeds=(self.seed,),
            device=self.device,
            data=self.root,
            download=self.download,
            trust=self.trust,
            sources=sources,
            generators=generators,
            **shared,
        )


def _by_column(words: list[str] | None, option: str) -> dict[str, str]:
    """Addresses by column, from words like ``mnist=ADDRESS``."""
    named = {}
    for word in words or []:
        name, equals, address = word.partition("=")
        if not (equals and name and address) or "/" in name:
            raise UsageError(f"{option} {word} does not name a column; write {option} mnist=ADDRESS")
        named[name] = address
    return named


@opt.expanded
def bench(
    what: Annotated[
        str | None,
        opt.argument(
            "NAME", "A suite, such as tightness or speed, or list to show them all. Default: list, or tightness with --quick."
        ),
    ] = None,
    *,
    request: BenchRequest,
    checkpoint: opt.CheckpointOptions,
    outputs: Annotated[Outputs, OutputOptions("bench")],
) -> int:
    """Measure wdist on this machine: how tight intervals are, how often they are right, how fast a step is.

    Ctrl-C or a time limit keeps the completed rows; the exit status is then 130.

    Example: wdist bench tightness --quick --plot tightness.png
    """
    outputs.check()
    request.check()
    what = what or (_QUICK if request.quick else LIST)
    from wdist.studies.catalogue import find_study, studies

    if what == LIST:
        from wdist.report.documents.forms import FORMS
        from wdist.report.terminal.study import rendered_suites

        suites = studies("bench")
        _show(outputs, {"suites": [FORMS.document(each, "SuiteDocument") for each in suites]}, rendered_suites(suites))
        return ExitStatus.DONE
    return _run(find_study("bench", what), request, checkpoint, outputs)


@opt.expanded
def reproduce(
    what: Annotated[str, opt.argument("NAME", "A table or figure, such as table1 or figure4, or list to show them all.")],
    request: ReproduceRequest,
    checkpoint: opt.CheckpointOptions,
    outputs: Annotated[Outputs, OutputOptions("reproduce")],
) -> int:
    """Reproduce a table or figure of the paper, with its numbers beside ours.

    The full form follows the paper's settings and first says how long it will take.

    Example: wdist reproduce figure5 --quick --plot cones.png
    """
    outputs.check(inputs=request.inputs)
    from wdist.studies.catalogue import find_study, studies

    if what == LIST:
        from wdist.environment import choose_device
        from wdist.report.documents.forms import FORMS
        from wdist.report.terminal.study import rendered_reproductions
        from wdist.studies.machine import machine_rate

        rate = machine_rate(choose_device("cpu"))
        forecasts = [
            (study, study.forecast(quick=True, rate=rate) or 0.0, study.forecast(quick=False, rate=rate) or 0.0)
            for study in studies("reproduce")
        ]
        experiments = [
            FORMS.document(each, "ExperimentDocument", quick_seconds=quick, full_seconds=full) for each, quick, full in forecasts
        ]
        _show(outputs, {"experiments": experiments}, rendered_reproductions(forecasts))
        return ExitStatus.DONE
    return _run(find_study("reproduce", what), request, checkpoint, outputs)


def _show(outputs: Outputs, document: dict[str, Any], rendered: RenderableType) -> None:
    """Prints a list in the requested format."""
    if outputs.printed.name == "json":
        from wdist.report.documents.document import SCHEMA_VERSION, text

        sys.stdout.write(text({"schema_version": SCHEMA_VERSION, "command": outputs.command, **document}))
    else:
        from wdist.cli.console import print_result

        print_result(rendered)


def _run(study: Study, request: BenchRequest | ReproduceRequest, checkpoint: opt.CheckpointOptions, outputs: Outputs) -> ExitStatus:
    from wdist.cli.console import note
    from wdist.report.numbers import duration
    from wdist.studies.machine import commit

    request.conditions(study)
    seconds = None if outputs.quiet else study.forecast(quick=request.quick, device=request.device)
    if seconds is not None:
        took = f"about {duration(seconds)}"
        full = not request.quick and study.reduced
        note(f"the full form takes {took} on this machine; --quick takes a few minutes" if full else f"this takes {took}")
    with checkpoint.kept(f"{study.group} {study.name}", request, commit=commit()), outputs.observer() as observer:
        result = study.run(request.conditions(study, observer=observer))
    return outputs.deliver(result, if_interrupted=f"the {len(result.rows)} completed rows are kept")
