"""Times of one training step: by each scheme, and of several critics side by side, as ``--repeats`` trains them.

Blocks of steps are taken in turn, on one thread. Processor time rather than wall-clock time leaves out other work on the machine;
taking turns evens out the rest of it. On a GPU the clock is read when the device is done; its products are those of TF32.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from wdist.lipschitz.bjorck import OrthonormalLinear
from wdist.lipschitz.linalg.rounding import products_on
from wdist.studies.bench.schemes import CPU, SCHEMES, Scheme, Shape, stack
from wdist.studies.dual_training import trained_in_turn, trained_side_by_side
from wdist.studies.study import Skipped, half_range

FLOOR = "floor"
FULL = "full"
_FLOORS = {"muon": "floor-muon"}
"""Floors of schemes whose optimiser is not Adam."""
_POOL_BATCHES = 8
_BLOCK_SECONDS = 0.05
"""Shortest block, in whole cycles of the constraint."""
_CRITICS = 4
_SIDE_BY_SIDE_OPTIMIZER = ("muon", 0.02)
_SIDE_BY_SIDE_WARM_UP, _SIDE_BY_SIDE_BLOCK_SECONDS = 8, 0.1


@dataclass(frozen=True, kw_only=True)
class StepCase:
    """A network and a batch size."""

    shape: Shape
    batch: int
    """Samples per side."""
    quick: bool = False
    schemes: tuple[str, ...] = ("floor", "adam", "muon", "floor-muon", "paper", "torchlip", "cayley", "pogo", "landing")
    """Names of the schemes that are timed; the floor comes first."""

    @property
    def group(self) -> str:
        return FULL if self.shape.group_size == self.shape.width else str(self.shape.group_size)

    def __str__(self) -> str:
        return f"{self.shape} group {self.group} batch {self.batch}"


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """One scheme on one case."""

    case: str
    shape: str
    group: str
    """Number of units that are sorted together, or ``full``."""
    batch: int
    scheme: str
    title: str
    milliseconds: float
    """Time of a step: median over all blocks."""
    ratio: float
    """Time over that of the floor in the same round: median over the rounds of a seed, then over seeds."""
    ratios: tuple[float, ...]
    """The ratio of each seed."""
    own_ratio: float
    """The same over the floor of the scheme's own optimiser."""
    rate_share: float
    """Share of the measured rate of matrix products, counting only unavoidable products."""
    precision: str
    """Precision of the products: ``float32`` or ``TF32``."""

    @property
    def spread(self) -> float | None:
        """Half the range over seeds."""
        return half_range(self.ratios)


class _Timed:
    """A training, samples for its steps, and the number of steps in a block."""

    def __init__(self, scheme: Scheme, case: StepCase, seed: int, device: torch.device) -> None:
        self.training = scheme.start(case.shape, seed=seed, device=device)
        self._device = device
        generator = torch.Generator().manual_seed(seed)
        # Two Gaussians; another batch at each step, because some schemes are fast only while nothing moves.
        pool = torch.randn(2, _POOL_BATCHES, case.batch, case.shape.inputs, generator=generator) / case.shape.inputs**0.5
        pool = pool.to(device)
        self._a, self._b = pool[0], 0.8 * pool[1] + 0.02
        self._taken = 0
        self._run(scheme.warm_up)
        cycle = self.training.critic.constrain_every
        seconds = self._run(1) * cycle
        self._steps = cycle * max(1, round(_BLOCK_SECONDS / seconds))

    def _run(self, steps: int) -> float:
        began = _now(self._device)
        for _ in range(steps):
            position = self._taken % _POOL_BATCHES
            self.training.step(self._a[position], self._b[position])
            self._taken += 1
        return _now(self._device) - began

    def block(self) -> float:
        """Seconds of one step."""
        return self._run(self._steps) / self._steps

    @property
    def sound(self) -> bool:
        """Whether all weights are finite; steps of a diverged training do not count."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.training.critic.parameters())


def _now(device: torch.device) -> float:
    """Processor seconds of this process; on a GPU wall-clock seconds, once the device is done."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def time_steps(
    case: StepCase, schemes: Sequence[str], *, seeds: Sequence[int], rounds: int, device: torch.device = CPU
) -> Iterator[StepRow | Skipped]:
    """Times the steps of available schemes, the floor among them, in rounds of one block each, for every seed."""
    ratios: dict[str, list[float]] = {name: [] for name in schemes}
    own_ratios: dict[str, list[float]] = {name: [] for name in schemes}
    seconds: dict[str, list[float]] = {name: [] for name in schemes}
    rates: list[float] = []
    diverged: set[str] = set()
    for seed in seeds:
        timed = {name: _Timed(SCHEMES[name], case, seed, device) for name in schemes}
        taken: dict[str, list[float]] = {name: [] for name in schemes}
        for _ in range(rounds):
            rates.append(product_rate(2 * case.batch, case.shape, device))
            for name, each in timed.items():
                taken[name].append(each.block())
        diverged |= {name for name, each in timed.items() if not each.sound}
        for name in schemes:
            own_floor = _FLOORS.get(name, FLOOR)
            ratios[name].append(_ratio(taken[name], taken[FLOOR]))
            own_ratios[name].append(_ratio(taken[name], taken[own_floor if own_floor in taken else FLOOR]))
            seconds[name] += taken[name]
    for name in schemes:
        if name in diverged:
            yield Skipped(name=f"{case} {name}", reason=f"{SCHEMES[name].title} diverged at its learning rate")
            continue
        step = median(seconds[name])
        yield StepRow(
            case=str(case),
            shape=str(case.shape),
            group=case.group,
            batch=case.batch,
            scheme=name,
            title=SCHEMES[name].title,
            milliseconds=1e3 * step,
            ratio=median(ratios[name]),
            ratios=tuple(ratios[name]),
            own_ratio=median(own_ratios[name]),
            rate_share=case.shape.operations(2 * case.batch) / step / median(rates),
            precision="TF32" if device.type == "cuda" else "float32",
        )


def _ratio(own: Sequence[float], floor: Sequence[float]) -> float:
    """Median over rounds."""
    return median(mine / its for mine, its in zip(own, floor, strict=True))


def product_rate(rows: int, shape: Shape, device: torch.device = CPU) -> float:
    """Operations per second of one product of the size of the first layer's: the largest of a few."""
    h, W = torch.randn(rows, shape.inputs, device=device), torch.randn(shape.width, shape.inputs, device=device)
    operations = 2.0 * rows * shape.inputs * shape.width
    best = 0.0
    for _ in range(4):
        began = _now(device)
        with products_on(device):
            torch.mm(h, W.mT)
        best = max(best, operations / (_now(device) - began))
    return best


@dataclass(frozen=True, kw_only=True)
class SideBySideRow:
    """Several critics side by side, against the same critics one after the other."""

    case: str
    shape: str
    batch: int
    critics: int
    milliseconds: float
    """Time of one step of all critics, one after the other: median over rounds and seeds."""
    ratio: float
    """Time side by side over that: median over the rounds of a seed, then over seeds."""
    ratios: tuple[float, ...]
    """The ratio of each seed."""

    @property
    def spread(self) -> float | None:
        """Half the range over seeds."""
        return half_range(self.ratios)


def time_side_by_side(case: StepCase, *, seeds: Sequence[int], rounds: int) -> SideBySideRow:
    """Times both ways to train several critics in rounds of one block each, for every seed."""
    ratios, seconds = [], []
    for seed in seeds:
        alone, together = _ways(case, seed)
        for each in (alone, together):
            _timed(each, _SIDE_BY_SIDE_WARM_UP)
        count = max(1, round(_SIDE_BY_SIDE_BLOCK_SECONDS / _timed(alone, 1)))
        taken = [(_timed(alone, count), _timed(together, count)) for _ in range(rounds)]
        ratios.append(median(whole / single for single, whole in taken))
        seconds += [single / count for single, _ in taken]
    return SideBySideRow(
        case=str(case),
        shape=str(case.shape),
        batch=case.batch,
        critics=_CRITICS,
        milliseconds=1e3 * median(seconds),
        ratio=median(ratios),
        ratios=tuple(ratios),
    )


def _ways(case: StepCase, seed: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """One step of all critics, one after the other; and side by side."""
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, _CRITICS, case.batch, case.shape.inputs, generator=generator) / case.shape.inputs**0.5
    b = 0.8 * b + 0.02
    alone, together = (
        [
            stack(OrthonormalLinear, case.shape, torch.Generator().manual_seed(_CRITICS * seed + number))
            for number in range(_CRITICS)
        ]
        for _ in range(2)
    )
    in_turn = trained_in_turn(alone, *_SIDE_BY_SIDE_OPTIMIZER)
    whole = trained_side_by_side(together, *_SIDE_BY_SIDE_OPTIMIZER)

    def one_after_the_other() -> None:
        for training, own_a, own_b in zip(in_turn, a, b, strict=True):
            training.step(own_a, own_b)

    return one_after_the_other, lambda: whole.step(a, b)


def _timed(step: Callable[[], None], count: int) -> float:
    """Processor seconds of that many steps."""
    began = time.process_time()
    for _ in range(count):
        step()
    return time.process_time() - began
