"""Kinds of critics: what each accepts, how its settings follow from the data, and how it is fitted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

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
"""Resolved settings of a kind: what :class:`~wdist.critics.settings.CriticSettings` become once the data is known."""
_LONG_STEP = 0.1
"""Seconds of a step above which two threads beat one. Shorter steps are slower on two, and several times slower where other work
shares the cores."""


@dataclass(frozen=True, kw_only=True)
class DataShape:
    """Facts about a pair that settings follow from."""

    event_shape: tuple[int, ...]
    """Shape of one sample."""
    dim: int
    """Coordinates of a sample."""
    participation: float
    """About how many directions carry the variance of the training samples."""
    samples: int | None
    """Training samples on the smaller side; None where both are streamed or drawn."""

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
        """Facts about samples of which only the shape is known."""
        dim = math.prod(event_shape)
        return cls(event_shape=event_shape, dim=dim, participation=float(dim), samples=None)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingJob:
    """One pair and one seed to fit a critic with."""

    pair: Pair
    seed: int
    device: torch.device
    scale: float | None = None
    """Lambda of the divergence that networks are trained for, in nats per unit of distance; None for W1."""
    observer: Observer = field(default_factory=Silent)
    interruption: Interruption = field(default_factory=Interruption)
    ceiling: float = math.inf
    """Upper bound for W1 of the samples, in the units of the data, near which no other critic is worth trying."""
    begin: Callable[[], None] = lambda: None
    """Takes the training samples back to where each training begins, whatever others have drawn."""

    @property
    def objective(self) -> Objective:
        """Objective that networks maximise in training, for potentials in standardised units."""
        return mean_difference if self.scale is None else donsker_varadhan(self.scale * self.pair.standardisation.spread)

    def standardised(self, x: Tensor) -> Tensor:
        """Samples, shape (n, dim), as critics in training see them: standardised, float32, on the device."""
        return self._standardisation.apply(x.to(self.device, non_blocking=True)).float()

    def training(self, limit: int) -> tuple[Tensor, Tensor]:
        """At most ``limit`` standardised samples of the training split of each side; of draws, the next ones."""
        return self._standardised_rows(side.training_sample(limit) for side in (self.pair.a, self.pair.b))

    def validation(self, limit: int) -> tuple[Tensor, Tensor]:
        """At most ``limit`` standardised samples of the validation split of each side."""
        return self._standardised_rows(side.validation.some(limit) for side in (self.pair.a, self.pair.b))

    def _standardised_rows(self, rows: Iterable[Rows]) -> tuple[Tensor, Tensor]:
        a, b = (self._standardisation.of(each, torch.float32) for each in rows)
        return a, b

    @cached_property
    def _standardisation(self) -> Standardisation:
        """Standardisation on the device, copied once."""
        return self.pair.standardisation.to(self.device)


@dataclass(frozen=True, kw_only=True)
class CriticSpec(Generic[Settings]):
    """A kind of critic with all its settings resolved."""

    kind: CriticKind[Settings]
    settings: Settings
    metric: GroundMetric
    budget: Budget | None
    """Default budget, in steps; None for a closed form, which takes none."""
    seconds: float = 0.0
    """Time that the default budget takes on two cores, roughly."""

    def limit(self, budget: Budget | None) -> Budget:
        """The given budget of a training, or the default one."""
        limit = budget or self.budget
        assert limit is not None
        return limit

    @property
    def has_long_steps(self) -> bool:
        """Whether its steps are so long that several threads make them faster."""
        return self.budget is not None and self.seconds > _LONG_STEP * self.budget.amount

    @property
    def steps_between_validations(self) -> int:
        """Fewest steps from one validation to the next, which takes about as long as five long ones."""
        return 5 if self.has_long_steps else 1

    def expected_seconds(self, budget: Budget | None) -> float:
        """Time that fitting within a budget is expected to take on two cores, roughly."""
        if self.budget is None or budget is None:
            return self.seconds
        return budget.amount if budget.timed else self.seconds * budget.amount / self.budget.amount


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedCritic:
    """A frozen critic with the story of its training."""

    name: str
    title: str
    critic: FrozenCritic
    outcome: TrainingOutcome
    settings: dict[str, str | int | float | None]
    """Settings as shown to the user."""
    bound_by_construction: bool = True
    """Whether its constraint alone bounds the Lipschitz constant."""
    plan: Any = None
    """Plan that :meth:`RefittableKind.refit` repeats; None if it needs none."""


@dataclass(frozen=True, kw_only=True)
class CriticKind(ABC, Generic[Settings]):
    """One kind of critic: a row of the catalogue."""

    name: str
    """Name, as users write it and results show it."""
    title: str
    """The same in a few words, for tables and help."""
    source: str
    """Citation."""
    trained: ClassVar[bool] = True
    """Whether it takes steps, so that seeds and budgets make a difference."""
    quick_share: ClassVar[float] = 0.0
    """Share of a length of time for its first run, where several kinds are tried."""

    @property
    @abstractmethod
    def accepts(self) -> frozenset[str]:
        """Names of the :class:`~wdist.critics.settings.CriticSettings` that make a difference to it."""

    @property
    def slow_to_start(self) -> bool:
        """Whether it comes after the trainings, where several kinds are tried."""
        return False

    @property
    def bound_by_construction(self) -> bool:
        """Whether its constraint alone bounds the Lipschitz constant; otherwise only division by the certificate makes a bound."""
        return True

    @abstractmethod
    def resolve(self, settings: CriticSettings, shape: DataShape, metric: GroundMetric = L2) -> CriticSpec[Settings]:
        """Chooses whatever the user left open.

        Raises:
            UsageError: the settings do not fit each other or the data.
        """

    def check(self, spec: CriticSpec[Settings], shape: DataShape) -> None:
        """Makes sure, before anything is trained, that a specification can be built.

        Raises:
            UsageError: it cannot.
        """

    def shares_batches(self, spec: CriticSpec[Settings], pair: Pair, device: torch.device) -> bool:
        """Whether processes take each step of a training together; otherwise one trains for all."""
        return False

    @abstractmethod
    def fit(self, spec: CriticSpec[Settings], job: TrainingJob, budget: Budget | None) -> TrainedCritic:
        """Fits one critic on the training split, and keeps the weights with the best validation value.

        Raises:
            TrainingDiverged: its first validation value was not finite.
        """

    def fit_together(
        self, spec: CriticSpec[Settings], jobs: Sequence[TrainingJob], budget: Budget | None
    ) -> list[TrainedCritic | TrainingDiverged | CertificateError]:
        """Fits one critic for each job, side by side where the kind can; the error stands in the place of one that diverged.

        A budget in steps is that of each; a length of time is shared.
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
        """The settings that concern it, for the user."""
        return {name: value for name, value in vars(settings).items() if name in self.accepts}


@dataclass(frozen=True, kw_only=True)
class RefittableKind(CriticKind[Settings]):
    """A kind whose chosen critics can be fitted once more, with the samples that chose them."""

    @abstractmethod
    def refit_seconds(self, trained: TrainedCritic) -> float:
        """Time that :meth:`refit` takes, roughly."""

    @abstractmethod
    def refit(self, spec: CriticSpec[Settings], job: TrainingJob, trained: TrainedCritic) -> TrainedCritic:
        """Fits a critic again, with the choices made for ``trained``, on the training samples of a job that may hold more.

        Raises:
            TrainingDiverged: it has no finite value.
        """


def minibatch_sizes(wanted: int, pair: Pair) -> tuple[int, int]:
    """Samples of A and B in a minibatch: no more than there are."""
    a, b = (wanted if side.training_rows is None else min(wanted, side.training_rows.count) for side in (pair.a, pair.b))
    return a, b
