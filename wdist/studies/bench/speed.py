"""How fast: a training step beside the same network without a constraint and beside other schemes, bounds reached, memory, start.

Ratios are taken side by side in one run on one thread. The floor is the same network with plain linear layers, the same group sort,
one forward pass of both sides together and fused Adam.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from wdist.environment import choose_device
from wdist.errors import SourceError
from wdist.studies.bench.bench import Bench, BenchTable, Column, Conditions, Skipped
from wdist.studies.bench.schemes import SCHEMES, Shape
from wdist.studies.bench.speed_conclusion import conclude
from wdist.studies.bench.speed_costs import CostRow, measure_costs
from wdist.studies.bench.speed_races import CONTENDERS, PAPER, QUICK_CONTENDERS, RACES, RaceRow, run_race
from wdist.studies.bench.speed_side_by_side import SideBySideCase, SideBySideRow, time_side_by_side
from wdist.studies.bench.speed_steps import StepCase, StepRow, time_steps
from wdist.training.observer import Stage

_OURS = ("floor", "adam", "orthogonal-sgd", "muon", "floor-muon")
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
    StepCase(shape=_shape(9), batch=64, schemes=(*_OURS, *_PEERS, PAPER), quick=True),
    StepCase(shape=_shape(9), batch=512, schemes=(*_OURS, *_PEERS, PAPER)),
    StepCase(shape=_shape(9), batch=2048, schemes=(*_OURS, *_PEERS)),
    *(StepCase(shape=_shape(group), batch=batch, schemes=_OURS) for group in (2, 4, 720) for batch in (64, 512, 2048)),
    StepCase(shape=_512, batch=64, schemes=(*_OURS, *_TWO_PEERS, PAPER)),
    StepCase(shape=_512, batch=512, schemes=(*_OURS, *_TWO_PEERS, PAPER)),
    StepCase(shape=_512, batch=4096, schemes=(*_OURS, *_TWO_PEERS)),
    *(StepCase(shape=_1024, batch=batch, schemes=(*_OURS, *_TWO_PEERS)) for batch in (64, 512, 4096)),
)


SIDE_BY_SIDE = tuple(
    SideBySideCase(shape=shape, batch=batch, quick=batch == 64 and shape.width == 128)
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
    """Ratios on several threads would say more of the machine's other work than of the schemes."""
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
        schemes, absent = _at_hand(case.schemes)
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
            yield Skipped(name=f"race {race.name}", reason="its data do not come with the project; name their folder with --data")
            continue
        contenders, _ = _at_hand(QUICK_CONTENDERS if conditions.quick else CONTENDERS)
        conditions.observer.notify(Stage(what=f"race on {race.name}"))
        try:
            yield from run_race(
                race,
                contenders,
                seeds=conditions.seeds,
                data=conditions.data,
                shorter=_QUICK_SHORTER if conditions.quick else 1,
            )
        except SourceError as error:
            yield Skipped(name=f"race {race.name}", reason=str(error))


def _at_hand(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The schemes that can be tried here, and why the others cannot."""
    missing = {name: reason for name in names if (reason := SCHEMES[name].missing) is not None}
    return [name for name in names if name not in missing], missing


def _of_limit(row: Any) -> str:
    return {True: "within", False: "beyond", None: ""}[row.within]


BENCH = Bench(
    name="speed",
    title="what a training step, a bound and a whole run cost",
    measure=_measure,
    tables=(
        BenchTable(
            title="one training step on one thread, in steps of the same network without a constraint",
            of=StepRow,
            columns=(
                Column(header="network", cell=lambda row: row.shape, kind="text"),
                Column(header="group", cell=lambda row: row.group, kind="text"),
                Column(header="batch", cell=lambda row: row.batch, kind="count"),
                Column(header="scheme", cell=lambda row: row.title, kind="text"),
                Column(header="times the\nfloor", cell=lambda row: row.ratio, spread=lambda row: row.spread),
                Column(header="milli-\nseconds", cell=lambda row: row.milliseconds),
                Column(header="of the\nproduct rate", cell=lambda row: row.rate_share, kind="share"),
            ),
        ),
        BenchTable(
            title="critics of one shape side by side, in times of one after the other",
            of=SideBySideRow,
            columns=(
                Column(header="network", cell=lambda row: row.shape, kind="text"),
                Column(header="batch", cell=lambda row: row.batch, kind="count"),
                Column(header="critics", cell=lambda row: row.critics, kind="count"),
                Column(header="milliseconds\nin turn", cell=lambda row: row.milliseconds),
                Column(header="side by\nside", cell=lambda row: row.ratio, spread=lambda row: row.spread),
            ),
        ),
        BenchTable(
            title="until a training ends at the bound of the paper's scheme",
            of=RaceRow,
            columns=(
                Column(header="pair", cell=lambda row: row.pair, kind="text"),
                Column(header="scheme", cell=lambda row: row.title, kind="text"),
                Column(header="bound", cell=lambda row: row.bound, kind="at least"),
                Column(header="steps", cell=lambda row: round(row.steps), kind="count"),
                Column(header="time", cell=lambda row: row.seconds, kind="seconds"),
                Column(header="times as\nsoon", cell=lambda row: row.sooner, spread=lambda row: row.spread),
            ),
        ),
        BenchTable(
            title="beside the products",
            of=CostRow,
            columns=(
                Column(header="what", cell=lambda row: row.what, kind="text"),
                Column(header="value", cell=lambda row: row.value, spread=lambda row: row.spread),
                Column(header="unit", cell=lambda row: row.unit, kind="text"),
                Column(header="limit", cell=lambda row: row.limit),
                Column(header="", cell=_of_limit, kind="text"),
            ),
        ),
    ),
    conclude=conclude,
    takes_data=True,
    reduced=(
        f"1 of {len(CASES)} networks and batches, and of {len(SIDE_BY_SIDE)} for critics side by side",
        "1 seed instead of 3",
        "3 rounds instead of 5",
        "2 of 3 races, an eighth as long and with fewer schemes",
        "no 2 GB of samples",
    ),
)
