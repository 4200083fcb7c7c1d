"""Envelopes as kinds: minima of simple functions or maxima of their negatives; both orientations are tried."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.training.budget import Budget
from wdist.training.kind import CriticKind, CriticSpec, TrainedCritic, TrainingJob
from wdist.training.loop import Minibatch, TrainingOutcome, TrainingRun, dual_on, train
from wdist.training.step import Ascent

_VALIDATION_ROWS, _LEAST_VALIDATION_ROWS, _VALIDATION_NUMBERS = 16_384, 2048, 1 << 23
"""Validation samples of each side: cones are cheap to evaluate; fewer in more dimensions."""
_SIGN_SHARE = 0.06
"""Share of the budget for each orientation before one is chosen."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Standardised training samples for an envelope."""

    minibatch: Minibatch
    samples: tuple[Tensor, Tensor]
    """Some of A and of B, from which first pieces are made; shapes (n, dim) and (m, dim)."""


@dataclass(frozen=True, kw_only=True)
class EnvelopeKind(CriticKind):
    """A minimum or maximum of functions that learn."""

    quick_share: ClassVar[float] = 0.1

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"centres", "batch_size", "learning_rate", "schedule", "lipschitz"})

    @abstractmethod
    def draws(self, spec: CriticSpec, job: TrainingJob) -> Draws:
        """Opens the samples of a job."""

    @abstractmethod
    def start(self, spec: CriticSpec, job: TrainingJob, low: Tensor, sign: int) -> tuple[Critic, Ascent]:
        """A fresh critic of one orientation, and what raises it.

        Arguments:
            spec, job: of the fit.
            low: samples of the side that lies low, standardised, shape (n, dim).
            sign: +1 where A lies high, -1 where B does.
        """

    def fit(self, spec: CriticSpec, job: TrainingJob, budget: Budget | None) -> TrainedCritic:
        """Tries both orientations for a short time, then spends the rest on the better one by the validation split."""
        budget = budget or spec.budget or Budget(steps=1)
        search = _Search(self, spec, job)
        tried = {1: search.run(1, budget.part(_SIGN_SHARE))}
        if not job.interruption.requested:
            tried[-1] = search.run(-1, budget.part(_SIGN_SHARE))
        sign, (critic, outcome) = max(tried.items(), key=lambda each: each[1][1].best or 0.0)
        if not job.interruption.requested:
            longer, after = search.run(sign, budget.part(1 - 2 * _SIGN_SHARE))
            if (after.best or 0.0) >= (outcome.best or 0.0) or after.interrupted:
                critic, outcome = longer, after
        return TrainedCritic(
            name=self.name,
            title=self.title,
            critic=critic.freeze(job.pair.standardisation, lipschitz=spec.settings.lipschitz or 1.0),
            # The orientation that was given up is part of the search, and so is its time.
            outcome=replace(outcome, seconds=search.seconds),
            settings=self.shown(spec.settings),
        )


class _Search:
    """Trainings of one envelope, from the same samples and the same seed."""

    def __init__(self, kind: EnvelopeKind, spec: CriticSpec, job: TrainingJob) -> None:
        self._kind, self._spec, self._job = kind, spec, job
        self._draws = kind.draws(spec, job)
        rows = max(_LEAST_VALIDATION_ROWS, min(_VALIDATION_ROWS, _VALIDATION_NUMBERS // job.pair.a.info.dim))
        self._validation = job.validation(rows)
        self.seconds = 0.0

    def run(self, sign: int, budget: Budget) -> tuple[Critic, TrainingOutcome]:
        """Trains one orientation from the start: +1 where A lies higher, -1 where B does."""
        job = self._job
        critic, ascent = self._kind.start(self._spec, job, self._draws.samples[1 if sign > 0 else 0], sign)
        outcome = train(
            TrainingRun(
                critic,
                validate=dual_on(*self._validation),
                unit=job.pair.standardisation.spread,
                observer=job.observer,
                name=self._kind.name,
            ),
            ascend=ascent,
            minibatch=self._draws.minibatch,
            budget=budget,
            decay=self._spec.settings.schedule or "",
            interruption=job.interruption,
        )
        self.seconds += outcome.seconds
        return critic, outcome


def first_centres(low: Tensor, count: int, *, seed: int, share: float = 1.0) -> Tensor:
    """``count`` of the samples that lie low, shape (n, dim), at ``share`` of their distance from the mean."""
    chosen = torch.randint(len(low), (count,), generator=torch.Generator().manual_seed(seed)).to(low.device)
    return share * low.float()[chosen]
