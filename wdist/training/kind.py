"""Kinds of critics: which settings each accepts, how settings left open are chosen, and how the critic is fitted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.critics.settings import CriticSettings
from wdist.data.pairing import Pair
from wdist.data.rows import Rows
from wdist.data.standardisation import Standardisation
from wdist.errors import CertificateError, TrainingDiverged
from wdist.ground_metric import L2, GroundMetric
from wdist.interruption import Interruption
from wdist.training.budget import Budget
from wdist.training.loop import TrainingOutcome
from wdist.training.objective import Objective, donsker_varadhan, mean_difference
from wdist.training.observer import Observer, Silent

Settings = TypeVar("Settings")
"""Settings of a kind, resolved from :class:`~wdist.critics.settings.CriticSettings` once the data is known."""
_LONG_STEP = 0.1
"""Seconds per step above which two threads beat one. Shorter steps are slower on two threads, and several times slower if other
work shares the cores."""


@dataclass(frozen=True, kw_only=True)
class DataShape:
    """Facts about a pair that determine default settings."""

    event_shape: tuple[int, ...]
    """Shape of one sample."""
    dim: int
    """Coordinates of a sample."""
    participation: float
    """Approximate number of directions that carry the variance of the training samples."""
    samples: int | None
    """Training samples on the smaller side; None if both sides are streamed or drawn."""

    @classmethod
    def of(cls, pair: Pair) -> DataShape:
        """Reads the facts off an open pair."""
        sides = (pair.a, pair.b)
        return cls(
            event_shape=pair.a.info.event_shape,
            dim=pair.a.info.dim,
            participation=pair.participation,
            samples=min((side.training_rows.count for side in sides if side.training_rows is not None), default=None),
        )

    @classmethod
    def unseen(cls, event_shape: tuple[int, ...]) -> DataShape:
        """Facts assumed for samples of which only the shape is known."""
        dim = math.prod(event_shape)
        return cls(event_shape=event_shape, dim=dim, participation=float(dim), samples=None)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingJob:
    """One pair and one seed to fit a critic with."""

    pair: Pair
    seed: int
    device: torch.device
    scale: float | None = None
    """Lambda of the divergence to train for, in nats per unit of distance; None for W1."""
    observer: Observer = field(default_factory=Silent)
    interruption: Interruption = field(default_factory=Interruption)
    ceiling: float = math.inf
    """Upper bound for W1 of the samples, in the units of the data; once a critic comes close to it, no other is worth trying."""
    begin: Callable[[], None] = lambda: None
    """Rewinds the training samples to where every training begins, whatever other trainings have drawn."""

    @property
    def objective(self) -> Objective:
        """Objective that networks maximise in training, for potentials in standardised units."""
        return mean_difference if self.scale is None else donsker_varadhan(self.scale * self.pair.standardisation.spread)

    def standardised(self, x: Tensor) -> Tensor:
        """Samples as critics in training see them: standardised, float32, on the device; shape (n, dim)."""
        return self._standardisation.apply(x.to(self.device, non_blocking=True)).float()

    def training(self, limit: int) -> tuple[Tensor, Tensor]:
        """At most ``limit`` standardised samples of the training split of each side; for an endless side, the next draws."""
        return self._standardised_rows(side.training_sample(limit) for side in (self.pair.a, self.pair.b))

    def validation(self, limit: int) -> tuple[Tensor, Tensor]:
        """At most ``limit`` standardised samples of the validation split of each side."""
        return self._standardised_rows(side.validation.some(limit) for side in (self.pair.a, self.pair.b))

    def _standardised_rows(self, rows: Iterable[Rows]) -> tuple[Tensor, Tensor]:
        a, b = (self._standardisation.of(each, torch.float32) for each in rows)
        return a, b

    @cached_property
    def _standardisation(self) -> Standardisation:
        """Standardisation, copied to the device once."""
        return self.pair.standardisation.to(self.device)


@dataclass(frozen=True, kw_only=True)
class CriticSpec(Generic[Settings]):
    """A kind of critic with all its settings resolved."""

    kind: CriticKind[Settings]
    settings: Settings
    metric: GroundMetric
    budget: Budget | None
    """Default budget, in steps; None for a closed form, which needs none."""
    seconds: float = 0.0
    """Approximate duration of the default budget on two cores."""

    def limit(self, budget: Budget | None) -> Budget:
        """The given budget, or else the default one."""
        limit = budget or self.budget
        assert limit is not None
        return limit

    @property
    def has_long_steps(self) -> bool:
        """Whether its steps are long enough for several threads to speed them up."""
        return self.budget is not None and self.seconds > _LONG_STEP * self.budget.amount

    @property
    def steps_between_validations(self) -> int:
        """Fewest steps from one validation to the next; a validation takes about as long as five long steps."""
        return 5 if self.has_long_steps else 1

    def expected_seconds(self, budget: Budget | None) -> float:
        """Rough expectation of the seconds that fitting within a budget takes on two cores."""
        if self.budget is None or budget is None:
            return self.seconds
        return budget.amount if budget.timed else self.seconds * budget.amount / self.budget.amount


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedCritic:
    """A frozen critic with a record of its training."""

    name: str
    title: str
    critic: FrozenCritic
    outcome: TrainingOutcome
    settings: dict[str, str | int | float | None]
    """Settings as shown to the user."""
    bound_by_construction: bool = True
    """Whether its constraint alone bounds the Lipschitz constant."""
    plan: Any = None
    """Plan for :meth:`RefittableKind.refit` to repeat; None if it needs none."""


@dataclass(frozen=True, kw_only=True)
class CriticKind(ABC, Generic[Settings]):
    """One kind of critic: a row of the catalogue."""

    name: str
    """Name that users write and results show."""
    title: str
    """Short description for tables and help."""
    source: str
    """Citation."""
    trained: ClassVar[bool] = True
    """Whether it is trained in steps, so that seeds and budgets make a difference."""
    quick_share: ClassVar[float] = 0.0
    """Fraction of a time budget for its first run when several kinds are tried."""

    @property
    @abstractmethod
    def accepts(self) -> frozenset[str]:
        """Names of the :class:`~wdist.critics.settings.CriticSettings` that make a difference to it."""

    @property
    def slow_to_start(self) -> bool:
        """Whether it is fitted after all trainings when several kinds are tried."""
        return False

    @property
    def bound_by_construction(self) -> bool:
        """Whether its constraint alone bounds the Lipschitz constant; otherwise only division by the certificate yields a bound."""
        return True

    @abstractmethod
    def resolve(self, settings: CriticSettings, shape: DataShape, metric: GroundMetric = L2) -> CriticSpec[Settings]:
        """Chooses the settings that the user left open.

        Raises:
            UsageError: the settings do not fit each other or the data.
        """

    def check(self, spec: CriticSpec[Settings], shape: DataShape) -> None:
        """Checks, before anything is trained, that a specification can be built.

        Raises:
            UsageError: it cannot be built.
        """

    def shares_batches(self, spec: CriticSpec[Settings], pair: Pair, device: torch.device) -> bool:
        """Whether processes take each training step together; otherwise one process trains for all."""
        return False

    def narrowed(self, trained: TrainedCritic) -> Self:
        """The same kind without the alternatives that a first training has ruled out."""
        del trained
        return self

    @abstractmethod
    def fit(self, spec: CriticSpec[Settings], job: TrainingJob, budget: Budget | None) -> TrainedCritic:
        """Fits one critic on the training split, and keeps the weights with the best validation value.

        Raises:
            TrainingDiverged: its first validation value was not finite.
        """

    def fit_together(
        self, spec: CriticSpec[Settings], jobs: Sequence[TrainingJob], budget: Budget | None
    ) -> list[TrainedCritic | TrainingDiverged | CertificateError]:
        """Fits one critic for each job, side by side if the kind can; a critic that diverged is replaced by its error.

        A budget of steps applies to each job; a time budget is shared.
        """
        each = budget if budget is None or budget.seconds is None else budget.part(1 / len(jobs))
        fitted: list[TrainedCritic | TrainingDiverged | CertificateError] = []
        for job in jobs:
            if job.interruption.requested and fitted:
                break
            try:
                fitted.append(self.fit(spec, job, each))
            except (TrainingDiverged, CertificateError) as error:
                fitted.append(error)
        return fitted

    def shown(self, settings: Settings) -> dict[str, str | int | float | None]:
        """The settings that apply to it, as shown to the user."""
        return {name: value for name, value in vars(settings).items() if name in self.accepts}


@dataclass(frozen=True, kw_only=True)
class RefittableKind(CriticKind[Settings]):
    """A kind whose chosen critic can be fitted again with the validation samples added to the training samples."""

    @abstractmethod
    def refit_seconds(self, trained: TrainedCritic) -> float:
        """Approximate seconds that :meth:`refit` takes."""

    @abstractmethod
    def refit(self, spec: CriticSpec[Settings], job: TrainingJob, trained: TrainedCritic) -> TrainedCritic:
        """Fits a critic again, with the choices made for ``trained``, on the training samples of ``job``, which may be more.

        Raises:
            TrainingDiverged: the critic has no finite value.
        """


def minibatch_sizes(wanted: int, pair: Pair) -> tuple[int, int]:
    """Numbers of samples of A and B in a minibatch: ``wanted``, or all of them if there are fewer."""
    a, b = (wanted if side.training_rows is None else min(wanted, side.training_rows.count) for side in (pair.a, pair.b))
    return a, b
