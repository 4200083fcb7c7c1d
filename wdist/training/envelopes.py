"""Envelopes as kinds of critics: minima of simple functions, or maxima of their negatives. Both orientations are tried."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, TypeAlias

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.training.budget import Budget
from wdist.training.kind import CriticSpec, RefittableKind, TrainedCritic, TrainingJob
from wdist.training.loop import Minibatch, TrainingOutcome, TrainingPlan, TrainingRun, train, value_on
from wdist.training.observer import Observer, Silent
from wdist.training.step import Ascent

_LEAST_VALIDATION_ROWS, _VALIDATION_NUMBERS = 2048, 1 << 23
"""Fewest validation samples of each side, and the most coordinates otherwise."""
_TRIAL_SHARE = 0.06
"""Fraction of the budget for trying each orientation and each initialisation; the best gets the remainder."""
_CLEAR = 0.5
"""An orientation whose trial reached less than this fraction of the other's is not tried in a longer training."""


@dataclass(frozen=True, kw_only=True)
class ResolvedEnvelope:
    """Settings of an envelope."""

    batch_size: int
    learning_rate: float
    schedule: str
    centres: int
    lipschitz: float


EnvelopeSpec: TypeAlias = CriticSpec[ResolvedEnvelope]


@dataclass(frozen=True, kw_only=True)
class TrainingSamples:
    """Standardised training samples for an envelope."""

    minibatch: Minibatch
    samples: tuple[Tensor, Tensor]
    """Some samples of A and of B, from which the first pieces are made; shapes (n, dim) and (m, dim)."""
    streams: tuple[Any, ...]
    """Sources of the minibatches, whose state a resumed run restores in this order."""


@dataclass(frozen=True, kw_only=True)
class Initialisation:
    """A way to make the first pieces of an envelope."""

    count: int
    """Number of pieces."""
    mixture: bool = False
    """Whether pieces start from the means of a mixture instead of samples."""
    rounds: int = 0
    """Rounds of fitting the mixture."""
    reach: float = 1.0
    """Factor on the means, chosen by validation."""


@dataclass(frozen=True, kw_only=True)
class RefitPlan:
    """Plan for repeating a training that validation has chosen, with more samples."""

    initialisation: Initialisation
    sign: int
    """+1 if the critic is high on A, -1 if it is high on B."""
    steps: int
    """Length of the training, which determines its learning rates."""
    best_step: int
    """Step with the best validation value."""
    seconds: float
    """Approximate seconds until that step."""
    orientations: tuple[int, ...]
    """The signs that a longer search should try."""


@dataclass(frozen=True, kw_only=True)
class EnvelopeKind(RefittableKind[ResolvedEnvelope]):
    """A minimum or maximum of trained functions."""

    quick_share: ClassVar[float] = 0.1
    validation_rows: ClassVar[int] = 16_384
    """Most validation samples of each side."""
    averaged: ClassVar[bool] = False
    """Whether weights are averaged; see :class:`~wdist.training.loop.TrainingRun`."""
    orientations: tuple[int, ...] = (1, -1)
    """Signs to try: +1 is high on A, -1 is high on B."""

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset(each.name for each in fields(ResolvedEnvelope))

    @abstractmethod
    def training_samples(self, spec: EnvelopeSpec, job: TrainingJob) -> TrainingSamples:
        """Opens the samples of a job."""

    def initialisations(self, spec: EnvelopeSpec, job: TrainingJob) -> tuple[Initialisation, ...]:
        """Initialisations to try, the usual one first."""
        usual = Initialisation(count=spec.settings.centres)
        fixed = job.pair.a.training_rows is not None and job.pair.b.training_rows is not None
        return (usual, *(self.alternatives(usual, spec, job) if fixed else ()))

    def alternatives(self, usual: Initialisation, spec: EnvelopeSpec, job: TrainingJob) -> tuple[Initialisation, ...]:
        """Further initialisations for a fixed set of samples, which many pieces would overfit."""
        del usual, spec, job
        return ()

    def narrowed(self, trained: TrainedCritic) -> Self:
        plan: RefitPlan = trained.plan
        return replace(self, orientations=plan.orientations)

    def settled(self, initialisation: Initialisation, search: EnvelopeSearch, sign: int) -> Initialisation:
        """Returns the initialisation with its open settings chosen."""
        del search, sign
        return initialisation

    @abstractmethod
    def start(self, initialisation: Initialisation, search: EnvelopeSearch, sign: int) -> tuple[Critic, Ascent]:
        """Makes a fresh critic of one orientation, +1 if high on A and -1 if high on B, and the steps that train it."""

    def fit(self, spec: EnvelopeSpec, job: TrainingJob, budget: Budget | None) -> TrainedCritic:
        """Tries the orientations briefly, then the other initialisations, and spends the rest on the best by validation."""
        search = EnvelopeSearch(self, spec, job, spec.limit(budget))
        usual, *others = self.initialisations(spec, job)
        if others or len(self.orientations) > 1:
            trial = search.budget.part(_TRIAL_SHARE)
            for sign in self.orientations:
                search.run(usual, sign, trial)
            for initialisation in others:
                if not search.late:
                    search.run(initialisation, search.best.sign, trial)
            if not search.late:
                search.run(search.best.initialisation, search.best.sign, search.rest())
        else:
            (sign,) = self.orientations
            search.run(usual, sign, search.budget)
        best = search.best
        return TrainedCritic(
            name=self.name,
            title=self.title,
            critic=best.critic.freeze(job.pair.standardisation, lipschitz=spec.settings.lipschitz),
            # The time of the whole search counts, abandoned trainings included.
            outcome=replace(best.outcome, seconds=search.seconds, interrupted=job.interruption.requested),
            settings={**self.shown(spec.settings), "centres": best.initialisation.count},
            plan=best.plan(search.orientations),
        )

    def refit_seconds(self, trained: TrainedCritic) -> float:
        return trained.plan.seconds

    def refit(self, spec: EnvelopeSpec, job: TrainingJob, trained: TrainedCritic) -> TrainedCritic:
        """Repeats the best training up to the step with the best validation value."""
        plan: RefitPlan = trained.plan
        critic = EnvelopeSearch(self, spec, job, Budget(steps=plan.steps)).repeated(plan)
        return replace(trained, critic=critic.freeze(job.pair.standardisation, lipschitz=spec.settings.lipschitz))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One training of an envelope."""

    initialisation: Initialisation
    sign: int
    critic: Critic
    outcome: TrainingOutcome

    @property
    def value(self) -> float:
        """Best validation value."""
        return -math.inf if self.outcome.best is None else self.outcome.best

    def plan(self, orientations: tuple[int, ...]) -> RefitPlan:
        """Plan that leads to the same critic on the same samples."""
        best = max(self.outcome.history, key=lambda point: point.validation)
        return RefitPlan(
            initialisation=self.initialisation,
            sign=self.sign,
            steps=max(1, self.outcome.steps),
            best_step=best.step,
            seconds=best.seconds,
            orientations=orientations,
        )


class EnvelopeSearch:
    """Trainings of one envelope with the same samples and the same seed."""

    def __init__(self, kind: EnvelopeKind, spec: EnvelopeSpec, job: TrainingJob, budget: Budget) -> None:
        self.spec, self.job, self.budget = spec, job, budget
        self._kind, self._clock, self._steps = kind, budget.start(), 0
        self._samples = kind.training_samples(spec, job)
        rows = max(_LEAST_VALIDATION_ROWS, min(kind.validation_rows, _VALIDATION_NUMBERS // job.pair.a.info.dim))
        self.value = value_on(*job.validation(rows))
        self.means: dict[tuple[int, int], Tensor] = {}
        """Means of mixtures fitted so far, by number of pieces and orientation."""
        self._done: list[Trained] = []

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._clock.seconds

    @property
    def late(self) -> bool:
        """Whether a time budget has ended, because each step took long; the first process decides."""
        return self.budget.timed and self._clock.fraction(self._steps) >= 1

    @property
    def best(self) -> Trained:
        """The training with the best validation value so far; in a tie, the last and longest one."""
        return max(reversed(self._done), key=lambda each: each.value)

    @property
    def orientations(self) -> tuple[int, ...]:
        """The signs tried, less one whose first trial fell clearly short."""
        first = {each.sign: each.value for each in reversed(self._done)}
        highest = max(first.values())
        return tuple(sign for sign, value in first.items() if value >= highest - (1 - _CLEAR) * abs(highest))

    def low(self, sign: int) -> Tensor:
        """Standardised samples of the side on which the critic is low, shape (n, dim)."""
        return self._samples.samples[1 if sign > 0 else 0]

    def rest(self) -> Budget:
        """The rest of the budget: at least an eighth of a time budget, and at least one step."""
        whole = self.budget.amount
        if self.budget.timed:
            return Budget(seconds=max(whole - self.seconds, whole / 8))
        return Budget(steps=max(1, round(whole) - self._steps))

    def run(self, initialisation: Initialisation, sign: int, budget: Budget) -> None:
        """Trains one orientation from one initialisation, unless the user has stopped the search."""
        if self.job.interruption.requested and self._done:
            return
        settled = self._kind.settled(initialisation, self, sign)
        critic, outcome = self._trained(settled, sign, budget, validate=self.value, observer=self.job.observer)
        self._steps += outcome.steps
        self._done.append(Trained(initialisation=settled, sign=sign, critic=critic, outcome=outcome))

    def repeated(self, plan: RefitPlan) -> Critic:
        """Repeats a training up to its best step; no samples are left to validate it."""
        value, budget = value_on(*self._samples.samples), Budget(steps=plan.steps)
        critic, _ = self._trained(plan.initialisation, plan.sign, budget, validate=value, observer=Silent(), last=plan.best_step)
        return critic

    def _trained(
        self,
        initialisation: Initialisation,
        sign: int,
        budget: Budget,
        *,
        validate: Callable[[Critic], Tensor],
        observer: Observer,
        last: int | None = None,
    ) -> tuple[Critic, TrainingOutcome]:
        job, kind = self.job, self._kind
        critic, ascent = kind.start(initialisation, self, sign)
        spread = job.pair.standardisation.spread
        run = TrainingRun(critic, validate=validate, unit=spread, observer=observer, name=kind.name, averaged=kind.averaged)
        plan = TrainingPlan(
            ascend=ascent,
            minibatch=self._samples.minibatch,
            budget=budget,
            decay=self.spec.settings.schedule,
            interruption=job.interruption,
            drawn=self._samples.streams,
            between=self.spec.steps_between_validations,
            last=last,
        )
        return critic, train(run, plan)


def first_centres(low: Tensor, count: int, *, seed: int, share: float = 1.0) -> Tensor:
    """``count`` random samples of the low side, shape (n, dim), scaled by ``share``."""
    chosen = torch.randint(len(low), (count,), generator=torch.Generator().manual_seed(seed)).to(low.device)
    return share * low.float()[chosen]
