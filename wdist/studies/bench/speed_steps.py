"""How long one training step takes by each scheme: blocks of steps in turn, on one thread, or on a GPU.

The time of the processor rather than of the clock leaves out what else the machine does; taking turns evens out the rest of it. On
a GPU the clock is read when the device has done what it was given; products there are those of TF32.

Not yet run on a GPU.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from wdist.lipschitz.linalg.rounding import products_on
from wdist.studies.bench.bench import Skipped, half_range
from wdist.studies.bench.schemes import CPU, SCHEMES, Scheme, Shape, Training

FLOOR = "floor"
FULL = "full"
_FLOORS = {"muon": "floor-muon"}
"""Of schemes whose optimiser is not Adam."""
_POOL_BATCHES = 8
_BLOCK_SECONDS = 0.05
"""A block lasts at least this long, in whole cycles of the constraint."""


@dataclass(frozen=True, kw_only=True)
class StepCase:
    """One network and batch that every scheme steps."""

    shape: Shape
    batch: int
    """Samples of each side."""
    quick: bool = False
    schemes: tuple[str, ...] = ("floor", "adam", "muon", "floor-muon", "paper", "torchlip", "cayley", "pogo", "landing")
    """By name; the floor comes first."""

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
    """Units that are sorted together, or ``full``."""
    batch: int
    scheme: str
    title: str
    milliseconds: float
    """Of a step: median over all blocks."""
    ratio: float
    """To the floor in the same round: median over the rounds of a seed, then over seeds."""
    ratios: tuple[float, ...]
    """Of each seed."""
    own_ratio: float
    """The same to the floor of the scheme's own optimiser."""
    rate_share: float
    """Of the measured rate of matrix products, counting only the products that no scheme can avoid."""
    precision: str
    """Of the products: ``float32`` or ``TF32``."""

    @property
    def spread(self) -> float | None:
        """Half of how far the seeds are apart."""
        return half_range(self.ratios)


class _Timed:
    """A training, samples to step on, and how many steps make a block."""

    def __init__(self, scheme: Scheme, case: StepCase, seed: int, device: torch.device) -> None:
        self.training: Training = scheme.start(case.shape, seed=seed, device=device)
        self._device = device
        generator = torch.Generator().manual_seed(seed)
        # Two Gaussians; another batch at each step, since some schemes are fast only while nothing moves.
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
        """Whether all weights are finite: what has diverged is fast for nothing."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.training.critic.parameters())


def _now(device: torch.device) -> float:
    """Seconds: of this process's computing, or, on a GPU, when all is done that it was given."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def time_steps(
    case: StepCase, schemes: Sequence[str], *, seeds: Sequence[int], rounds: int, device: torch.device = CPU
) -> Iterator[StepRow | Skipped]:
    """Times the steps of all schemes.

    Arguments:
        case: network and batch.
        schemes: by name, all of them at hand; the floor among them.
        seeds: of weights and samples.
        rounds: of one block for each scheme, for each seed.
        device: of the training.
    """
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
    """Operations a second of one product of the size of the first layer's: the largest of a few."""
    h, W = torch.randn(rows, shape.inputs, device=device), torch.randn(shape.width, shape.inputs, device=device)
    operations = 2.0 * rows * shape.inputs * shape.width
    best = 0.0
    for _ in range(4):
        began = _now(device)
        with products_on(device):
            torch.mm(h, W.mT)
        best = max(best, operations / (_now(device) - began))
    return best
