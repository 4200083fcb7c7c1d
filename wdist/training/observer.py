"""Events that report the progress of a command, and a silent observer."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage other than training begins, for example ``transport between 2000 and 2000 samples``."""

    what: str
    expected: float | None = None
    """Expected seconds; None if unknown."""
    after: float | None = None
    """Expected seconds of everything after it."""


@dataclass(frozen=True, kw_only=True)
class StageProgress:
    """Progress of the current stage."""

    fraction: float
    """Fraction of the stage that is done, in [0, 1]."""


NO_TRAINING = "no training"
"""Budget of a critic in closed form."""


@dataclass(frozen=True, kw_only=True)
class CriticStarted:
    """Training of one critic begins."""

    critic: str
    position: int
    """1 for the first critic of this command."""
    critics: int
    """Number of critics that this command trains."""
    budget: str
    """The budget in words: ``1200 steps``, ``30 s`` or :data:`NO_TRAINING`."""
    expected: float | None = None
    """Expected seconds of its training."""
    after: float | None = None
    """Expected seconds of everything after it."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One validation of the critic in training."""

    critic: str
    step: int
    fraction: float
    """Fraction of its budget that is spent, in [0, 1]."""
    seconds: float
    """Seconds since its training began."""
    training: float
    """Dual value on the last minibatches, in the units of the data; not a bound."""
    validation: float
    """Dual value on the validation split minus the penalty, if any, in the units of the data.

    It is a bound, up to the rounding of training, only if a constraint bounds the critic's Lipschitz constant.
    """
    best: float
    """Largest validation value so far."""

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.step / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its budget is spent, at the pace so far; None at the start."""
        return self.seconds * (1 - self.fraction) / self.fraction if self.fraction > 0 else None


@dataclass(frozen=True, kw_only=True)
class CriticFinished:
    """A critic is finished."""

    critic: str
    steps: int
    seconds: float
    best: float | None
    """Largest validation value of its training; None for a closed form, which has no training."""
    interrupted: bool


@dataclass(frozen=True, kw_only=True)
class SamplesBounded:
    """The bounds for W1 between the two sample sets proved so far, in the units of the data."""

    lower: float
    upper: float

    @property
    def relative_gap(self) -> float | None:
        """Gap as a fraction of the upper bound; None if that is 0."""
        return (self.upper - self.lower) / self.upper if self.upper else None


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """One validation during training, in the units of the data."""

    step: int
    seconds: float
    training: float
    validation: float


Event = Stage | StageProgress | CriticStarted | Progress | CriticFinished | SamplesBounded


class Observer(Protocol):
    """Listens to an estimate; must not change it."""

    def notify(self, event: Event) -> None: ...


class Silent:
    """Ignores all events."""

    def notify(self, event: Event) -> None:
        pass
