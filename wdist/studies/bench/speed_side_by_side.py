"""What critics of one shape cost side by side, as ``--repeats`` trains them, in times of the same critics one after the other.

Blocks of steps of either kind are taken in turn, on one thread, and the time of the processor counts.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from wdist.critics.critic import Critic
from wdist.critics.groupsort_bjorck import RECIPE
from wdist.critics.networks import side_by_side
from wdist.critics.settings import CriticSettings
from wdist.studies.bench.bench import half_range
from wdist.studies.bench.schemes import Shape
from wdist.training.optimizers import make_optimizers
from wdist.training.step import TrainingStep

_CRITICS = 4
_WARM_UP = 8
_BLOCK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class SideBySideCase:
    """A shape, a batch and an optimiser."""

    shape: Shape
    batch: int
    """Samples of each side for each critic."""
    optimizer: str = "muon"
    learning_rate: float = 0.02
    quick: bool = False

    def __str__(self) -> str:
        return f"{self.shape} group {self.shape.group_size} batch {self.batch}"


@dataclass(frozen=True, kw_only=True)
class SideBySideRow:
    """One case."""

    case: str
    shape: str
    batch: int
    critics: int
    milliseconds: float
    """Of one step of all critics, one after the other: median over rounds and seeds."""
    ratio: float
    """Side by side, in times of that: median over the rounds of a seed, then over seeds."""
    ratios: tuple[float, ...]
    """Of each seed."""

    @property
    def spread(self) -> float | None:
        """Half of how far the seeds are apart."""
        return half_range(self.ratios)


def time_side_by_side(case: SideBySideCase, *, seeds: Sequence[int], rounds: int) -> SideBySideRow:
    """Times both kinds.

    Arguments:
        case: what is trained.
        seeds: of samples; weights follow from them.
        rounds: of one block of either kind, for each seed.
    """
    ratios, seconds = [], []
    for seed in seeds:
        alone, together = _steps(case, seed)
        count = max(1, round(_BLOCK_SECONDS / _timed(alone, 1)))
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


def _steps(case: SideBySideCase, seed: int) -> Iterator[Callable[[], object]]:
    """One step of all critics, one after the other; and side by side."""
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, _CRITICS, case.batch, case.shape.inputs, generator=generator) / case.shape.inputs**0.5
    b = 0.8 * b + 0.02
    steps = [_step(case, critic) for critic in _critics(case, seed)]
    whole = _step(case, side_by_side(_critics(case, seed)), together=True)

    def one_after_the_other() -> None:
        for step, own_a, own_b in zip(steps, a, b, strict=True):
            step(own_a, own_b, factor=1.0)

    for each in (one_after_the_other, lambda: whole(a, b, factor=1.0)):
        _timed(each, _WARM_UP)
        yield each


def _critics(case: SideBySideCase, seed: int) -> list[Critic]:
    settings = CriticSettings(width=case.shape.width, depth=case.shape.depth, group_size=case.shape.group_size)
    seeds = range(_CRITICS * seed, _CRITICS * (seed + 1))
    return [RECIPE.build(case.shape.inputs, settings, torch.Generator().manual_seed(each)) for each in seeds]


def _step(case: SideBySideCase, critic: Critic, *, together: bool = False) -> TrainingStep:
    optimizers = make_optimizers(critic, name=case.optimizer, learning_rate=case.learning_rate, side_by_side=together)
    return TrainingStep(critic, optimizers)


def _timed(step: Callable[[], object], count: int) -> float:
    """Seconds of so many."""
    began = time.process_time()
    for _ in range(count):
        step()
    return time.process_time() - began
