"""Speed: training steps beside an unconstrained network and other schemes, time to a bound, memory, and start-up time.

Ratios come from one run on one thread. Blocks of steps alternate, so that other work on the machine affects all schemes alike, and
processor time excludes it. On a GPU, wall-clock time is read when the device is done, and products are in TF32. The floor is the
same network with plain linear layers, the same group sort, one forward pass of both sides together and fused Adam. Several critics
train side by side as with ``--repeats``.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from statistics import median

import torch

from wdist.critics.networks import side_by_side
from wdist.environment import choose_device
from wdist.errors import SourceError
from wdist.lipschitz.bjorck import OrthonormalLinear
from wdist.lipschitz.linalg.rounding import products_on
from wdist.studies.bench.schemes import CPU, SCHEMES, DualTraining, Scheme, Shape, stack
from wdist.studies.bench.speed_costs import CostRow, measure_costs
from wdist.studies.bench.speed_races import CONTENDERS, PAPER, QUICK_CONTENDERS, RACES, RaceRow, run_race
from wdist.studies.panels import Panel, series_of
from wdist.studies.study import Column, Conclusion, Conditions, Skipped, Study, StudyTable, half_range
from wdist.training.optimizers import make_optimizers

FLOOR, FULL = "floor", "full"
_FLOORS = {"muon": "floor-muon"}
"""The floor of each scheme whose optimiser is not Adam."""
_POOL_BATCHES = 8
_BLOCK_SECONDS = 0.05  # shortest block, in whole cycles of the constraint
_CRITICS = 4
_SIDE_BY_SIDE_WARM_UP, _SIDE_BY_SIDE_BLOCK_SECONDS = 8, 0.1
_OURS = ("adam", "orthogonal-sgd", "muon")
_WITH_FLOORS = ("floor", *_OURS, "floor-muon")
_PEERS = ("torchlip", "cayley", "pogo", "landing")
_TWO_PEERS = ("torchlip", "pogo")
_ROUNDS, _FEW_ROUNDS, _MANY_SAMPLES = 5, 3, 1024  # fewer where a batch is large and each step long
_QUICK_SHORTER = 8


@dataclass(frozen=True, kw_only=True)
class StepCase:
    """A network and a batch size, in samples per side."""

    shape: Shape
    batch: int
    quick: bool = False
    schemes: tuple[str, ...] = ("floor", "adam", "muon", "floor-muon", "paper", "torchlip", "cayley", "pogo", "landing")
    """Names of the timed schemes; the floor comes first."""

    @property
    def group(self) -> str:
        return FULL if self.shape.group_size == self.shape.width else str(self.shape.group_size)

    def __str__(self) -> str:
        return f"{self.shape} group {self.group} batch {self.batch}"


def _shape(group_size: int) -> Shape:
    return Shape(inputs=784, width=720, depth=3, group_size=group_size)


_512 = Shape(inputs=512, width=512, depth=4, group_size=2)
_1024 = Shape(inputs=3072, width=1024, depth=4, group_size=16)

CASES = (
    *(StepCase(shape=_shape(9), batch=batch, schemes=(*_WITH_FLOORS, *_PEERS, PAPER), quick=batch == 64) for batch in (64, 512)),
    StepCase(shape=_shape(9), batch=2048, schemes=(*_WITH_FLOORS, *_PEERS)),
    *(StepCase(shape=_shape(group), batch=batch, schemes=_WITH_FLOORS) for group in (2, 4, 720) for batch in (64, 512, 2048)),
    *(StepCase(shape=_512, batch=batch, schemes=(*_WITH_FLOORS, *_TWO_PEERS, PAPER)) for batch in (64, 512)),
    StepCase(shape=_512, batch=4096, schemes=(*_WITH_FLOORS, *_TWO_PEERS)),
    *(StepCase(shape=_1024, batch=batch, schemes=(*_WITH_FLOORS, *_TWO_PEERS)) for batch in (64, 512, 4096)),
)

_SMALL = (Shape(inputs=2, width=128, depth=4, group_size=16), Shape(inputs=64, width=256, depth=4, group_size=16))
SIDE_BY_SIDE = tuple(
    StepCase(shape=shape, batch=batch, quick=batch == 64 and shape.width == 128)
    for shape in (*_SMALL, _shape(9))
    for batch in (64, 512)
)


@dataclass(frozen=True, kw_only=True)
class TimedRow:
    """Time of a step on one case, over that of another way to train whose blocks alternated with it."""

    case: str
    shape: str
    batch: int
    milliseconds: float
    """Time of a step: median over all blocks."""
    ratio: float
    """Median over the rounds of each seed, then over seeds."""
    ratios: tuple[float, ...]
    """The median ratio of each seed."""

    @property
    def spread(self) -> float | None:
        return half_range(self.ratios)


@dataclass(frozen=True, kw_only=True)
class StepRow(TimedRow):
    """Steps of one scheme; the ratio is its time over that of the floor in the same round."""

    group: str
    """Number of units sorted together, or ``full``."""
    scheme: str
    title: str
    own_ratio: float
    """The ratio to the floor with the scheme's own optimiser."""
    rate_share: float
    """Operations per second of the products that every scheme needs, over the measured rate of matrix products."""
    precision: str
    """Precision of the products: ``float32`` or ``TF32``."""


@dataclass(frozen=True, kw_only=True)
class SideBySideRow(TimedRow):
    """Several critics: time of one step of all, one after another; the ratio is the time side by side over it."""

    critics: int


def _measure(conditions: Conditions) -> Iterator[StepRow | SideBySideRow | RaceRow | CostRow | Skipped]:
    with _one_thread():
        yield from _steps(conditions)
        for case in SIDE_BY_SIDE:
            name = f"several {case}"
            if conditions.wanted(name, quick=case.quick):
                rounds = _FEW_ROUNDS if conditions.quick else _ROUNDS
                timed = partial(time_side_by_side, case, seeds=conditions.seeds, rounds=rounds)
                yield conditions.row(name, timed, what=f"critics side by side, {case}")
        yield from _races(conditions)
    yield from measure_costs(conditions)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits torch to one thread: with several, ratios depend more on other work on the machine than on the schemes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _steps(conditions: Conditions) -> Iterator[StepRow | Skipped]:
    missing: dict[str, str] = {}
    for case in CASES:
        name = f"step {case}"
        if not conditions.wanted(name, quick=case.quick):
            continue
        schemes, absent = _available(case.schemes)
        missing |= absent
        rounds = _FEW_ROUNDS if conditions.quick or case.batch > _MANY_SAMPLES else _ROUNDS
        timed = partial(time_steps, case, schemes, seeds=conditions.seeds, rounds=rounds, device=choose_device(conditions.device))
        yield from conditions.rows(name, timed, what=f"steps of {case}")
    yield from (Skipped(name=name, reason=reason) for name, reason in missing.items())


def _races(conditions: Conditions) -> Iterator[RaceRow | Skipped]:
    for race in RACES:
        if not conditions.wanted(f"race {race.name}", quick=race.quick):
            continue
        if race.needs_data and conditions.data is None:
            yield Skipped(name=f"race {race.name}", reason="needs a folder of data sets; name it with --data DIR")
            continue
        names, shorter = (QUICK_CONTENDERS, _QUICK_SHORTER) if conditions.quick else (CONTENDERS, 1)
        try:
            run = partial(run_race, race, _available(names)[0], seeds=conditions.seeds, data=conditions.data, shorter=shorter)
            yield from conditions.rows(f"race {race.name}", run, what=f"race on {race.name}")
        except SourceError as error:
            yield Skipped(name=f"race {race.name}", reason=str(error))


def _available(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The schemes that can run here, and the reasons why the others cannot."""
    missing = {name: reason for name in names if (reason := SCHEMES[name].missing) is not None}
    return [name for name in names if name not in missing], missing


def _samples(case: StepCase, batches: int, seed: int, device: torch.device = CPU) -> tuple[torch.Tensor, torch.Tensor]:
    """Batches of two Gaussians, each of shape (batches, n, dim)."""
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(2, batches, case.batch, case.shape.inputs, generator=generator) / case.shape.inputs**0.5).to(device)
    return a, 0.8 * b + 0.02


class _Timed:
    """A training, samples for its steps, and the number of steps in a block."""

    def __init__(self, scheme: Scheme, case: StepCase, seed: int, device: torch.device) -> None:
        self._training, self._device = scheme.start(case.shape, seed=seed, device=device), device
        # a new batch at each step, because some schemes are fast only while weights stay the same
        self._batches = cycle(zip(*_samples(case, _POOL_BATCHES, seed, device), strict=True))
        self._run(scheme.warm_up)
        period = self._training.critic.constrain_every
        self._steps = period * max(1, round(_BLOCK_SECONDS / (self._run(1) * period)))

    def _run(self, steps: int) -> float:
        return _seconds(lambda: self._training.step(*next(self._batches)), steps, self._device)

    def block(self) -> float:
        """Seconds of one step."""
        return self._run(self._steps) / self._steps

    @property
    def sound(self) -> bool:
        """Whether all weights are finite; steps of a diverged training do not count."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self._training.critic.parameters())


def _seconds(step: Callable[[], object], count: int, device: torch.device = CPU) -> float:
    """Seconds that ``count`` steps take: processor time on a CPU, wall-clock time on a GPU, once it is done."""
    began = _now(device)
    for _ in range(count):
        step()
    return _now(device) - began


def _now(device: torch.device) -> float:
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def time_steps(
    case: StepCase, schemes: Sequence[str], *, seeds: Sequence[int], rounds: int, device: torch.device = CPU
) -> Iterator[StepRow | Skipped]:
    """Times steps of available schemes, including the floor, for every seed, in rounds of one block for each scheme."""
    blocks: dict[str, list[list[float]]] = {name: [] for name in schemes}  # seconds of a step, by seed and round
    rates: list[float] = []
    diverged: set[str] = set()
    for seed in seeds:
        timed = {name: _Timed(SCHEMES[name], case, seed, device) for name in schemes}
        for name in schemes:
            blocks[name].append([])
        for _ in range(rounds):
            rates.append(product_rate(2 * case.batch, case.shape, device))
            for name, each in timed.items():
                blocks[name][-1].append(each.block())
        diverged |= {name for name, each in timed.items() if not each.sound}
    for name in schemes:
        if name in diverged:
            yield Skipped(name=f"{case} {name}", reason=f"{SCHEMES[name].title} diverged at its learning rate")
            continue
        step = median(seconds for taken in blocks[name] for seconds in taken)
        ratios = _ratios(blocks[name], blocks[FLOOR])
        yield StepRow(
            case=str(case),
            shape=str(case.shape),
            group=case.group,
            batch=case.batch,
            scheme=name,
            title=SCHEMES[name].title,
            milliseconds=1e3 * step,
            ratio=median(ratios),
            ratios=ratios,
            own_ratio=median(_ratios(blocks[name], blocks.get(_FLOORS.get(name, FLOOR), blocks[FLOOR]))),
            rate_share=case.shape.operations(2 * case.batch) / step / median(rates),
            precision="TF32" if device.type == "cuda" else "float32",
        )


def _ratios(blocks: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Median ratio over the rounds of each seed."""
    return tuple(median(mine / its for mine, its in zip(*both, strict=True)) for both in zip(blocks, others, strict=True))


def product_rate(rows: int, shape: Shape, device: torch.device = CPU) -> float:
    """Operations per second of a matrix product of the first layer's size: the best of four."""
    h, W = torch.randn(rows, shape.inputs, device=device), torch.randn(shape.width, shape.inputs, device=device)
    with products_on(device):
        seconds = min(_seconds(lambda: torch.mm(h, W.mT), 1, device) for _ in range(4))
    return 2.0 * rows * shape.inputs * shape.width / seconds


def time_side_by_side(case: StepCase, *, seeds: Sequence[int], rounds: int) -> SideBySideRow:
    """Times both ways to train several critics, for every seed, in rounds of one block for each way."""
    singles, wholes = [], []
    for seed in seeds:
        alone, together = _ways(case, seed)
        for each in (alone, together):
            _seconds(each, _SIDE_BY_SIDE_WARM_UP)
        count = max(1, round(_SIDE_BY_SIDE_BLOCK_SECONDS / _seconds(alone, 1)))
        taken = [(_seconds(alone, count) / count, _seconds(together, count) / count) for _ in range(rounds)]
        singles.append([single for single, _ in taken])
        wholes.append([whole for _, whole in taken])
    ratios = _ratios(wholes, singles)
    return SideBySideRow(
        case=str(case),
        shape=str(case.shape),
        batch=case.batch,
        critics=_CRITICS,
        milliseconds=1e3 * median(seconds for taken in singles for seconds in taken),
        ratio=median(ratios),
        ratios=ratios,
    )


def _ways(case: StepCase, seed: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Functions that take one step of all critics: one after another, and side by side."""
    a, b = _samples(case, _CRITICS, seed)
    seeds = range(_CRITICS * seed, _CRITICS * (seed + 1))
    alone, together = (
        [stack(OrthonormalLinear, case.shape, torch.Generator().manual_seed(each)) for each in seeds] for _ in range(2)
    )
    in_turn = [DualTraining(each, make_optimizers(each, name="muon", learning_rate=0.02)) for each in alone]
    stacked = side_by_side(together)
    whole = DualTraining(stacked, make_optimizers(stacked, name="muon", learning_rate=0.02, side_by_side=True))

    def one_after_the_other() -> None:
        for training, own_a, own_b in zip(in_turn, a, b, strict=True):
            training.step(own_a, own_b)

    return one_after_the_other, lambda: whole.step(a, b)


def conclude(rows: Sequence[StepRow | SideBySideRow | RaceRow | CostRow]) -> Conclusion:
    """Draws the figure, and says how to read the tables."""
    steps = [row for row in rows if isinstance(row, StepRow)]
    races = [row for row in rows if isinstance(row, RaceRow)]
    return Conclusion(
        panels=(*_step_panels(steps), *_race_panels(races)),
        remarks=(
            "Times the floor: the median over rounds and seeds, ± half the range over seeds; blocks of all schemes alternate in "
            "one process, on one thread, in float32.",
            "Share of the product rate: operations of the products that every scheme needs, over the time of a step and over the "
            "rate of the first layer's product alone.",
        )
        if steps
        else (),
    )


def _step_panels(rows: list[StepRow]) -> Iterator[Panel]:
    """Time of each scheme's step over the batch size, for each network on which the paper's scheme was timed."""
    for network in dict.fromkeys((row.shape, row.group) for row in rows if row.scheme == PAPER):
        series = series_of(
            sorted((row for row in rows if (row.shape, row.group) == network and row.scheme != FLOOR), key=lambda row: row.batch),
            name="title",
            x="batch",
            y="ratio",
            errors="spread",
            reference=lambda row: row.scheme not in _OURS,
        )
        title, y_label = f"one step of {network[0]}, groups of {network[1]}", "times the step without a constraint"
        x_label = "samples per side in a batch"
        yield Panel(title=title, x_label=x_label, y_label=y_label, series=series, log_x=True, log_y=True, level=1.0)


def _race_panels(rows: list[RaceRow]) -> Iterator[Panel]:
    pairs = tuple(dict.fromkeys(row.pair for row in rows))
    series = series_of(
        sorted((row for row in rows if row.scheme != PAPER and row.sooner is not None), key=lambda row: row.scheme),
        name="title",
        x=lambda row: pairs.index(row.pair),
        y="sooner",
        marks=True,
        reference=lambda row: row.scheme not in _OURS,
    )
    if series:
        title, y_label = "until the bound of the paper's scheme", "speed-up over the paper's scheme"
        yield Panel(title=title, x_label="", y_label=y_label, series=series, log_y=True, ticks=pairs, level=1.0)


_TABLES = (
    StudyTable(
        "one training step on one thread, over a step of the same network without a constraint",
        StepRow,
        Column("network", "shape"),
        *Column.named("group", "batch"),
        Column("scheme", "title"),
        Column("times the\nfloor", "ratio", spread="spread"),
        Column("milli-\nseconds", "milliseconds"),
        Column("share of the\nproduct rate", "rate_share", "share"),
    ),
    StudyTable(
        "time of several critics side by side, over their time one after another",
        SideBySideRow,
        Column("network", "shape"),
        *Column.named("batch", "critics"),
        Column("milliseconds\nin turn", "milliseconds"),
        Column("side by\nside", "ratio", spread="spread"),
    ),
    StudyTable(
        "time of a training that reaches the bound of the paper's scheme",
        RaceRow,
        Column("pair"),
        Column("scheme", "title"),
        Column("bound", kind="at least"),
        Column("steps", lambda row: round(row.steps)),
        Column("time", "seconds", "seconds"),
        Column("speed-\nup", "sooner", spread="spread"),
    ),
    StudyTable(
        "other costs",
        CostRow,
        Column("cost", "what"),
        Column("value", spread="spread"),
        Column("unit"),
    ),
)

STUDY = Study(
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
)
