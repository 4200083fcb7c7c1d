"""Critics given by a formula, without training."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.critics.settings import CriticSettings
from wdist.data.rows import Rows
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.training.budget import Budget
from wdist.training.kind import CriticSpec, DataShape, RefittableKind, TrainedCritic, TrainingJob
from wdist.training.loop import TrainingOutcome

FIT_ROWS = 20_000
"""Most training samples of each side that a closed form uses."""
_FIT_NUMBERS = 1 << 23
"""Most coordinates of these samples, 64 MB per side."""

Formula = Callable[[Tensor, Tensor, GroundMetric], list[FrozenLayer]]
"""Maps standardised training samples of A and B, float64, shapes (n, dim) and (m, dim), and the metric to the layers."""


@dataclass(frozen=True, kw_only=True)
class ResolvedClosedForm:
    """Settings of a closed form."""

    lipschitz: float


ClosedFormSpec: TypeAlias = CriticSpec[ResolvedClosedForm]


@dataclass(frozen=True, kw_only=True)
class ClosedFormKind(RefittableKind[ResolvedClosedForm]):
    """A critic given by a formula."""

    trained: ClassVar[bool] = False
    formula: Formula
    most_samples: Callable[[int], int] | None = None
    """Maps the dimension to the number of training samples of each side to use; None for as many as fit."""
    seconds: float = 0.0
    """Approximate seconds that it takes."""

    @property
    def accepts(self) -> frozenset[str]:
        return frozenset({"lipschitz"})

    @property
    def slow_to_start(self) -> bool:
        return self.seconds > 1

    def resolve(self, settings: CriticSettings, shape: DataShape, metric: GroundMetric = L2) -> ClosedFormSpec:
        del shape
        own = ResolvedClosedForm(lipschitz=settings.lipschitz or 1.0)
        return CriticSpec(kind=self, settings=own, metric=metric, budget=None, seconds=self.seconds)

    def fit(self, spec: ClosedFormSpec, job: TrainingJob, budget: Budget | None) -> TrainedCritic:
        del budget
        began, dim = time.perf_counter(), job.pair.a.info.dim
        wanted = FIT_ROWS if self.most_samples is None else self.most_samples(dim)
        limit = max(1, min(wanted, _FIT_NUMBERS // dim))
        a, b = (side.training_sample(limit, drawn=FIT_ROWS) for side in (job.pair.a, job.pair.b))
        standardisation = job.pair.standardisation.to(torch.device("cpu"))
        critic = self.critic(a, b, standardisation, spec.metric, lipschitz=spec.settings.lipschitz)
        outcome = TrainingOutcome(steps=0, seconds=time.perf_counter() - began, history=(), interrupted=False)
        return TrainedCritic(name=self.name, title=self.title, critic=critic, outcome=outcome, settings=self.shown(spec.settings))

    def refit_seconds(self, trained: TrainedCritic) -> float:
        return self.seconds

    def refit(self, spec: ClosedFormSpec, job: TrainingJob, trained: TrainedCritic) -> TrainedCritic:
        return self.fit(spec, job, None)

    def critic(
        self, a: Tensor | Rows, b: Tensor | Rows, standardisation: Standardisation, metric: GroundMetric, *, lipschitz: float = 1.0
    ) -> FrozenCritic:
        """Evaluates the formula on training samples in the units of the data; tensors have shapes (n, dim) and (m, dim)."""
        layers = self.formula(standardisation.of(a), standardisation.of(b), metric)
        return FrozenCritic(layers, standardisation, lipschitz=lipschitz)
