"""Speed: a training step against the same network without a constraint and against other schemes, bounds reached, memory, start.

Ratios are taken side by side in one run on one thread. The floor is the same network with plain linear layers, the same group sort,
one forward pass of both sides together and fused Adam.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from wdist.environment import choose_device
from wdist.errors import SourceError
from wdist.studies.bench.schemes import SCHEMES, Shape
from wdist.studies.bench.speed_costs import CostRow, measure_costs
from wdist.studies.bench.speed_races import CONTENDERS, PAPER, QUICK_CONTENDERS, RACES, RaceRow, run_race
from wdist.studies.bench.speed_steps import FLOOR, SideBySideRow, StepCase, StepRow, time_side_by_side, time_steps
from wdist.studies.panels import Panel, series_of
from wdist.studies.study import Column, Conclusion, Conditions, Skipped, Study, StudyTable
from wdist.training.observer import Stage

_OURS = ("adam", "orthogonal-sgd", "muon")
_WITH_FLOORS = ("floor", *_OURS, "floor-muon")
_PEERS = ("torchlip", "cayley", "pogo", "landing")
_TWO_PEERS = ("torchlip", "pogo")
_ROUNDS, _FEW_ROUNDS, _MANY_SAMPLES = 5, 3, 1024
"""Fewer where a batch is large and each step long."""
_QUICK_SHORTER = 8


def _shape(group_size: int) -> Shape:
    return Shape(inputs=784, width=720, depth=3, group_size=group_size)


_512 = Shape(inputs=512, width=512, depth=4, group_size=2)
_1024 = Shape(inputs=3072, width=1024, depth=4, group_size=16)

CASES = (
    StepCase(shape=_shape(9), batch=64, schemes=(*_WITH_FLOORS, *_PEERS, PAPER), quick=True),
    StepCase(shape=_shape(9), batch=512, schemes=(*_WITH_FLOORS, *_PEERS, PAPER)),
    StepCase(shape=_shape(9), batch=2048, schemes=(*_WITH_FLOORS, *_PEERS)),
    *(StepCase(shape=_shape(group), batch=batch, schemes=_WITH_FLOORS) for group in (2, 4, 720) for batch in (64, 512, 2048)),
    StepCase(shape=_512, batch=64, schemes=(*_WITH_FLOORS, *_TWO_PEERS, PAPER)),
    StepCase(shape=_512, batch=512, schemes=(*_WITH_FLOORS, *_TWO_PEERS, PAPER)),
    StepCase(shape=_512, batch=4096, schemes=(*_WITH_FLOORS, *_TWO_PEERS)),
    *(StepCase(shape=_1024, batch=batch, schemes=(*_WITH_FLOORS, *_TWO_PEERS)) for batch in (64, 512, 4096)),
)


SIDE_BY_SIDE = tuple(
    StepCase(shape=shape, batch=batch, quick=batch == 64 and shape.width == 128)
    for shape in (
        Shape(inputs=2, width=128, depth=4, group_size=16),
        Shape(inputs=64, width=256, depth=4, group_size=16),
        _shape(9),
    )
    for batch in (64, 512)
)


def _measure(conditions: Conditions) -> Iterator[StepRow | SideBySideRow | RaceRow | CostRow | Skipped]:
    with _one_thread():
        yield from _steps(conditions)
        yield from _several(conditions)
        yield from _races(conditions)
    yield from measure_costs(quick=conditions.quick, seeds=conditions.seeds, wanted=conditions.wanted)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Ratios on several threads depend more on other work on the machine than on the schemes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _steps(conditions: Conditions) -> Iterator[StepRow | Skipped]:
    missing: dict[str, str] = {}
    for case in CASES:
        if (conditions.quick and not case.quick) or not conditions.wanted(f"step {case}"):
            continue
        schemes, absent = _available(case.schemes)
        missing |= absent
        conditions.observer.notify(Stage(what=f"steps of {case}"))
        yield from time_steps(
            case,
            schemes,
            seeds=conditions.seeds,
            rounds=_FEW_ROUNDS if conditions.quick or case.batch > _MANY_SAMPLES else _ROUNDS,
            device=choose_device(conditions.device),
        )
    yield from (Skipped(name=name, reason=reason) for name, reason in missing.items())


def _several(conditions: Conditions) -> Iterator[SideBySideRow]:
    for case in SIDE_BY_SIDE:
        if (conditions.quick and not case.quick) or not conditions.wanted(f"several {case}"):
            continue
        conditions.observer.notify(Stage(what=f"critics side by side, {case}"))
        yield time_side_by_side(case, seeds=conditions.seeds, rounds=_FEW_ROUNDS if conditions.quick else _ROUNDS)


def _races(conditions: Conditions) -> Iterator[RaceRow | Skipped]:
    for race in RACES:
        if (conditions.quick and not race.quick) or not conditions.wanted(f"race {race.name}"):
            continue
        if race.needs_data and conditions.data is None:
            yield Skipped(name=f"race {race.name}", reason="needs a folder of data sets; name it with --data DIR")
            continue
        contenders, _ = _available(QUICK_CONTENDERS if conditions.quick else CONTENDERS)
        conditions.observer.notify(Stage(what=f"race on {race.name}"))
        try:
            yield from run_race(
                race, contenders, seeds=conditions.seeds, data=conditions.data, shorter=_QUICK_SHORTER if conditions.quick else 1
            )
        except SourceError as error:
            yield Skipped(name=f"race {race.name}", reason=str(error))


def _available(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The schemes that can run here, and why the others cannot."""
    missing = {name: reason for name in names if (reason := SCHEMES[name].missing) is not None}
    return [name for name in names if name not in missing], missing


def conclude(rows: Sequence[StepRow | SideBySideRow | RaceRow | CostRow]) -> Conclusion:
    """Figure, and how to read the tables."""
    steps = [row for row in rows if isinstance(row, StepRow)]
    races = [row for row in rows if isinstance(row, RaceRow)]
    return Conclusion(
        panels=(*_step_panels(steps), *_race_panels(races)),
        remarks=(
            "Times the floor: the median over rounds and seeds, ± half the range over seeds; blocks of all schemes are timed in "
            "turn in one process, on one thread, in float32.",
            "Share of the product rate: operations of the unavoidable products, over the time and over the rate of the first "
            "layer's product by itself.",
        )
        if steps
        else (),
    )


def _step_panels(rows: list[StepRow]) -> Iterator[Panel]:
    """A step of each scheme over the batch size, for each network on which the paper's scheme was timed."""
    for network in dict.fromkeys((row.shape, row.group) for row in rows if row.scheme == PAPER):
        series = series_of(
            sorted((row for row in rows if (row.shape, row.group) == network and row.scheme != FLOOR), key=lambda row: row.batch),
            name=lambda row: row.title,
            x=lambda row: row.batch,
            y=lambda row: row.ratio,
            errors=lambda row: row.spread,
            reference=lambda row: row.scheme not in _OURS,
        )
        title, y_label = f"one step of {network[0]}, groups of {network[1]}", "times the step without a constraint"
        x_label = "samples per side in a batch"
        yield Panel(title=title, x_label=x_label, y_label=y_label, series=series, log_x=True, log_y=True, level=1.0)


def _race_panels(rows: list[RaceRow]) -> Iterator[Panel]:
    pairs = tuple(dict.fromkeys(row.pair for row in rows))
    series = series_of(
        sorted((row for row in rows if row.scheme != PAPER and row.sooner is not None), key=lambda row: row.scheme),
        name=lambda row: row.title,
        x=lambda row: pairs.index(row.pair),
        y=lambda row: row.sooner,
        marks=True,
        reference=lambda row: row.scheme not in _OURS,
    )
    if series:
        title, y_label = "until the bound of the paper's scheme", "speed-up over the paper's scheme"
        yield Panel(title=title, x_label="", y_label=y_label, series=series, log_y=True, ticks=pairs, level=1.0)


_TABLES = (
    StudyTable(
        title="one training step on one thread, over a step of the same network without a constraint",
        of=StepRow,
        columns=(
            Column(header="network", cell=lambda row: row.shape, kind="text"),
            Column(header="group", cell=lambda row: row.group, kind="text"),
            Column(header="batch", cell=lambda row: row.batch, kind="count"),
            Column(header="scheme", cell=lambda row: row.title, kind="text"),
            Column(header="times the\nfloor", cell=lambda row: row.ratio, spread=lambda row: row.spread),
            Column(header="milli-\nseconds", cell=lambda row: row.milliseconds),
            Column(header="share of the\nproduct rate", cell=lambda row: row.rate_share, kind="share"),
        ),
    ),
    StudyTable(
        title="critics of one shape side by side, over the time one after the other",
        of=SideBySideRow,
        columns=(
            Column(header="network", cell=lambda row: row.shape, kind="text"),
            Column(header="batch", cell=lambda row: row.batch, kind="count"),
            Column(header="critics", cell=lambda row: row.critics, kind="count"),
            Column(header="milliseconds\nin turn", cell=lambda row: row.milliseconds),
            Column(header="side by\nside", cell=lambda row: row.ratio, spread=lambda row: row.spread),
        ),
    ),
    StudyTable(
        title="time until a training ends at the bound of the paper's scheme",
        of=RaceRow,
        columns=(
            Column(header="pair", cell=lambda row: row.pair, kind="text"),
            Column(header="scheme", cell=lambda row: row.title, kind="text"),
            Column(header="bound", cell=lambda row: row.bound, kind="at least"),
            Column(header="steps", cell=lambda row: round(row.steps), kind="count"),
            Column(header="time", cell=lambda row: row.seconds, kind="seconds"),
            Column(header="speed-\nup", cell=lambda row: row.sooner, spread=lambda row: row.spread),
        ),
    ),
    StudyTable(
        title="other costs",
        of=CostRow,
        columns=(
            Column(header="cost", cell=lambda row: row.what, kind="text"),
            Column(header="value", cell=lambda row: row.value, spread=lambda row: row.spread),
            Column(header="unit", cell=lambda row: row.unit, kind="text"),
        ),
    ),
)

STUDIES = (
    Study(
        name="speed",
        title="Cost of a training step, of a bound and of a whole run",
        measure=_measure,
        conclude=conclude,
        tables=_TABLES,
        seeds=3,
        takes_data=True,
        reduced=(
            f"1 of {len(CASES)} networks and batches, and of {len(SIDE_BY_SIDE)} for critics side by side",
            "1 seed instead of 3",
            f"{_FEW_ROUNDS} rounds instead of {_ROUNDS}",
            "2 of 3 races, an eighth as long and with fewer schemes",
            "no 2 GB of samples",
        ),
    ),
)
