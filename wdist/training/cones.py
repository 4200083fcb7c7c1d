"""Cone critics as a kind: settings, starting points, and the fit by assignment steps in either orientation."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from wdist.critics.cones import ConeCritic
from wdist.critics.settings import CriticSettings
from wdist.data.measure import Pool
from wdist.ground_metric import L2, GroundMetric
from wdist.training.budget import Budget
from wdist.training.cone_ascent import ConeAscent
from wdist.training.kind import CriticKind, CriticSpec, DataShape, TrainedCritic, TrainingJob
from wdist.training.loop import TrainingOutcome, TrainingRun, dual_on, train

_CENTRES, _FEWEST, _SAMPLES_A_CONE = 512, 16, 25
_SMALLEST_BATCH, _LARGEST_BATCH, _BATCH_NUMBERS = 1 << 14, 1 << 16, 1 << 23
_RATE = 0.5
"""Step in mean distances of a sample from its centre, for a unit of gradient."""
_LEAST_REACH, _WHOLE_REACH = 0.3, 8.0
"""First centres lie at least this far from the mean towards a sample; and on the sample up to this many dimensions."""
_VALIDATION_ROWS, _LEAST_VALIDATION_ROWS, _VALIDATION_NUMBERS = 16_384, 2048, 1 << 23
"""Validation samples of each side: cones are cheap to evaluate; fewer in more dimensions."""
_SIGN_SHARE = 0.06
"""Share of the budget for each orientation before one is chosen."""
_MOST_STEPS, _FLOPS_A_SECOND, _SECONDS = 300, 1e11, 15.0


@dataclass(frozen=True, kw_only=True)
class ConeKind(CriticKind):
    """An envelope of cones; both orientations are tried."""

    quick_share: ClassVar[float] = 0.1

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"centres", "batch_size", "learning_rate", "schedule", "lipschitz"})

    def resolve(self, settings: CriticSettings, shape: DataShape, metric: GroundMetric = L2) -> CriticSpec:
        # In more dimensions the signal of a cell lies farther below the noise of its samples.
        batch = max(512, min(_LARGEST_BATCH, max(_SMALLEST_BATCH, 4096 * shape.dim), _BATCH_NUMBERS // shape.dim))
        # A cone learns from the samples that lie nearest to it: few samples feed few cones.
        fed = _CENTRES if shape.samples is None else max(_FEWEST, min(_CENTRES, shape.samples // _SAMPLES_A_CONE))
        own = CriticSettings(
            centres=settings.centres or fed,
            batch_size=settings.batch_size or batch,
            learning_rate=settings.learning_rate or _RATE,
            schedule=settings.schedule or "linear",
            lipschitz=settings.lipschitz or 1.0,
        )
        seconds = _seconds_a_step(own, shape)
        steps = max(60, min(_MOST_STEPS, round(_SECONDS / seconds)))
        return CriticSpec(kind=self, settings=own, metric=metric, budget=Budget(steps=steps), seconds=steps * seconds)

    def fit(self, spec: CriticSpec, job: TrainingJob, budget: Budget | None) -> TrainedCritic:
        """Tries both orientations for a short time, then spends the rest on the better one by the validation split."""
        budget = budget or spec.budget or Budget(steps=_MOST_STEPS)
        ascents = _Ascents(self.name, spec, job)
        tried = {1: ascents.run(1, budget.part(_SIGN_SHARE))}
        if not job.interruption.requested:
            tried[-1] = ascents.run(-1, budget.part(_SIGN_SHARE))
        sign, (critic, outcome) = max(tried.items(), key=lambda each: each[1][1].best or 0.0)
        if not job.interruption.requested:
            longer, after = ascents.run(sign, budget.part(1 - 2 * _SIGN_SHARE))
            if (after.best or 0.0) >= (outcome.best or 0.0) or after.interrupted:
                critic, outcome = longer, after
        return TrainedCritic(
            name=self.name,
            title=self.title,
            critic=critic.freeze(job.pair.standardisation, lipschitz=spec.settings.lipschitz or 1.0),
            # The orientation that was given up is part of the search, and so is its time.
            outcome=replace(outcome, seconds=ascents.seconds),
            settings=self.shown(spec.settings),
        )


def start(low: Tensor, count: int, generator: torch.Generator, *, participation: float) -> Tensor:
    """First centres, shape (count, dim): samples of the side that lies low, standardised, shape (n, dim).

    In many dimensions the tips of optimal cones lie far from all samples, and no sample is much nearer to a third than any other:
    the centres are drawn towards the mean where ``participation``, the number of directions that carry the variance, is large.
    """
    chosen = torch.randint(len(low), (count,), generator=generator).to(low.device)
    return max(_LEAST_REACH, min(1.0, _WHOLE_REACH / participation)) * low.float()[chosen]


class _Ascents:
    """Trainings of one cone critic, from the same samples and the same seed."""

    def __init__(self, name: str, spec: CriticSpec, job: TrainingJob) -> None:
        self._name, self._spec, self._job = name, spec, job
        self._a, self._b = (Pool(side, spec.settings.batch_size or 0, job.standardised) for side in (job.pair.a, job.pair.b))
        rows = max(_LEAST_VALIDATION_ROWS, min(_VALIDATION_ROWS, _VALIDATION_NUMBERS // job.pair.a.info.dim))
        self._validation = job.validation(rows)
        self.seconds = 0.0

    def run(self, sign: int, budget: Budget) -> tuple[ConeCritic, TrainingOutcome]:
        """Trains cones of one orientation from the start: +1 where A lies farther from the centres, -1 where B does."""
        job, settings = self._job, self._spec.settings
        low = (self._b if sign > 0 else self._a).sample
        generator = torch.Generator().manual_seed(job.seed)
        centres = start(low, settings.centres or 0, generator, participation=job.pair.participation)
        critic = ConeCritic(centres, sign=sign, metric=self._spec.metric)
        unit, validate = job.pair.standardisation.spread, dual_on(*self._validation)
        outcome = train(
            TrainingRun(critic, validate=validate, unit=unit, observer=job.observer, name=self._name),
            ascend=ConeAscent(critic, rate=settings.learning_rate or 0.0),
            minibatch=lambda: (self._a.next(), self._b.next()),
            budget=budget,
            decay=settings.schedule or "",
            interruption=job.interruption,
        )
        self.seconds += outcome.seconds
        return critic, outcome


def _seconds_a_step(settings: CriticSettings, shape: DataShape) -> float:
    batch = min(settings.batch_size or 0, shape.samples or settings.batch_size or 0)
    # For both sides: a matrix product, some passes over all distances, and some over all samples.
    return 2 * batch * ((settings.centres or 0) * (2 * shape.dim + 300) + 20 * shape.dim) / _FLOPS_A_SECOND
