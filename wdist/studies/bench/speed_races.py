"""Races: how soon each scheme reaches the certified bound on held-out samples with which the paper's scheme ends.

Every other scheme trains from scratch with budgets that grow by 60 %, the learning rate falling to 0 in each, until one ends at or
above that bound; then with two more budgets, each of which halves the last growth. The time of the shortest training that reached
the bound counts. Bounds are certified: values of plain float64 weights over proved norms. Times are processor times of one thread.

Learning rates are the best over 50 steps with seed 0 (20 to 60 steps for the paper's scheme), tried at factors of 2 to 3 around
each scheme's own, in the same way for all. On three cones torchlip has 0.003, because the best, 0.009, diverged in longer runs.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.bounds.dual import dual_value, evaluate
from wdist.data.sources.pairs import KnownPair, cones, sphere
from wdist.data.standardisation import Standardisation
from wdist.errors import CertificateError
from wdist.studies.bench.schemes import SCHEMES, Rates, Shape
from wdist.studies.bench.tightness_cases import whole_set
from wdist.studies.study import half_range
from wdist.training.optimizers import BIAS_LEARNING_RATE

PAPER = "paper"
CONTENDERS = ("orthogonal-sgd", "muon", "adam", "torchlip", "cayley", "pogo", "landing")
QUICK_CONTENDERS = ("orthogonal-sgd", "adam", "torchlip")
_FIRST_STEPS, _GROWTH, _HALVINGS = 8, 1.6, 2
"""First number of steps, its growth, and the number of halvings of the last growth's logarithm, which leave at most an eighth too
many steps."""
_GIVEN_UP = 1 / 4  # share of the time of the paper's scheme beyond which no training is started
_POOL, _HELD_OUT = 8192, 4096


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Training and held-out samples of both sides, in the units of the data."""

    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Race:
    """A pair, a network, and the steps of the paper's scheme."""

    name: str
    samples: Callable[[int, Path | None], Samples]
    """Makes the samples from a seed and the folder of data sets."""
    shape: Shape
    batch: int = 64
    steps: int = 50
    """Steps of the paper's scheme."""
    rates: Mapping[str, Rates] = field(default_factory=dict)
    """Learning rates for this pair, by scheme; other schemes use their own."""
    needs_data: bool = False
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class RaceRow:
    """Result of one scheme on one pair."""

    pair: str
    shape: str
    batch: int
    scheme: str
    title: str
    bound: float
    """Certified bound on held-out samples at the end: median over seeds."""
    target: float
    """Bound of the paper's scheme: median over seeds."""
    steps: float
    seconds: float | None
    """Time of a training that reached the target; None if no training did for one of the seeds."""
    sooner: float | None
    """Speed-up over the paper's scheme: median over seeds."""
    spread: float | None
    """Half the range of the speed-up over seeds."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    bound: float
    steps: int
    seconds: float
    reached: bool = True


def _known(pair: KnownPair, seed: int, data: Path | None) -> Samples:
    del data
    generator = torch.Generator().manual_seed(seed)
    a, b = (side.draw(_POOL + _HELD_OUT, generator).double() for side in (pair.a, pair.b))
    return Samples(train=(a[:_POOL], b[:_POOL]), held_out=(a[_POOL:], b[_POOL:]))


def _mnist(seed: int, data: Path | None) -> Samples:
    del seed  # the data are fixed
    address = f"torchvision:MNIST?split={{}}&classes={{}}&root={data}"
    train, held_out = ([whole_set(address.format(split, digit)) for digit in (3, 8)] for split in ("train", "test"))
    return Samples(train=(train[0], train[1]), held_out=(held_out[0], held_out[1]))


def _rates(biases: float = BIAS_LEARNING_RATE, **weights: float) -> dict[str, Rates]:
    return {name.replace("_", "-"): Rates(weights=rate, biases=biases) for name, rate in weights.items()}


RACES = (
    Race(
        name="cones-3",
        samples=partial(_known, cones()),
        shape=Shape(inputs=2, width=512, depth=4, group_size=4),
        rates=_rates(
            0.01, paper=0.05, orthogonal_sgd=0.4, muon=0.05, adam=0.01, torchlip=0.003, cayley=0.03, pogo=1.5, landing=0.9
        ),
        quick=True,
    ),
    Race(
        name="sphere-128",
        samples=partial(_known, sphere(128)),
        shape=Shape(inputs=128, width=512, depth=4, group_size=4),
        rates=_rates(paper=0.05, orthogonal_sgd=1.2, muon=0.2, adam=0.004, torchlip=0.003, cayley=0.03, pogo=1.5, landing=0.3),
        quick=True,
    ),
    Race(
        name="MNIST 3 v 8",
        samples=_mnist,
        shape=Shape(inputs=784, width=720, depth=3, group_size=9),
        steps=30,
        rates=_rates(paper=0.02, orthogonal_sgd=0.8, muon=0.2, adam=0.004, torchlip=0.003, cayley=0.01, pogo=1.5, landing=0.9),
        needs_data=True,
    ),
)


def run_race(
    race: Race, contenders: Sequence[str], *, seeds: Sequence[int], data: Path | None, shorter: int = 1
) -> Iterator[RaceRow]:
    """Runs the paper's scheme, with its steps divided by ``shorter``, and all contenders; SourceError if the data are missing."""
    sides = [race.samples(seed, data) for seed in seeds]
    targets = [_train(race, PAPER, race.steps // shorter, *side) for side in zip(seeds, sides, strict=True)]
    yield _row(race, PAPER, targets, targets)
    for name in contenders:
        runs = [_first_to_reach(race, name, *each) for each in zip(seeds, sides, targets, strict=True)]
        yield _row(race, name, runs, targets)


def _row(race: Race, name: str, runs: Sequence[_Run], targets: Sequence[_Run]) -> RaceRow:
    reached = all(run.reached for run in runs)
    sooner = [target.seconds / run.seconds for run, target in zip(runs, targets, strict=True)]
    return RaceRow(
        pair=race.name,
        shape=str(race.shape),
        batch=race.batch,
        scheme=name,
        title=SCHEMES[name].title,
        bound=median(run.bound for run in runs),
        target=median(target.bound for target in targets),
        steps=median(run.steps for run in runs),
        seconds=median(run.seconds for run in runs) if reached else None,
        sooner=median(sooner) if reached else None,
        spread=half_range(sooner) if reached else None,
    )


def _first_to_reach(race: Race, name: str, seed: int, samples: Samples, target: _Run) -> _Run:
    steps, short = float(_FIRST_STEPS), 0.0
    while True:
        run = _train(race, name, math.ceil(steps), seed, samples)
        if run.bound >= target.bound:
            break
        if run.seconds * _GROWTH > _GIVEN_UP * target.seconds:
            return replace(run, reached=False)
        steps, short = steps * _GROWTH, steps
    for _ in range(_HALVINGS):
        between = _train(race, name, math.ceil(math.sqrt(short * steps)), seed, samples)
        if between.bound >= target.bound:
            run, steps = between, float(between.steps)
        else:
            short = float(between.steps)
    return run


def _train(race: Race, name: str, steps: int, seed: int, samples: Samples) -> _Run:
    """Trains from scratch and evaluates the frozen critic; only the training is timed."""
    standardisation = Standardisation.fit(*samples.train)
    a, b = (standardisation.apply(side).float() for side in samples.train)
    generator = torch.Generator().manual_seed(seed)
    training = SCHEMES[name].start(race.shape, seed=seed, rates=race.rates.get(name))
    began = time.process_time()
    for step in range(steps):
        chosen_a, chosen_b = (side[torch.randint(len(side), (race.batch,), generator=generator)] for side in (a, b))
        training.step(chosen_a, chosen_b, spent=step / steps)
    seconds = time.process_time() - began
    training.critic.eval()
    training.critic.constrain_(tightly=True)
    frozen = training.critic.freeze(standardisation)
    try:
        lipschitz_bound = certify(frozen).lipschitz_bound
    except CertificateError:  # the training diverged
        return _Run(bound=-math.inf, steps=steps, seconds=seconds)
    values = [evaluate(frozen, side.split(1024)) for side in samples.held_out]
    return _Run(bound=dual_value(*values) / lipschitz_bound, steps=steps, seconds=seconds)
