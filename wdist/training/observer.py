"""What training tells while it runs, and the silent listener."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class CriticStarted:
    """Training of one critic begins."""

    critic: str
    position: int
    """1 for the first critic of this call."""
    critics: int
    """How many critics this call trains."""
    budget: str
    """In words: ``1200 steps`` or ``30 s``."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One validation of the critic in training."""

    critic: str
    step: int
    fraction: float
    """Of the budget that is spent, in [0, 1]."""
    seconds: float
    """Since this critic's training began."""
    training: float
    """Dual value on the last minibatches, in the units of the data; not a bound."""
    validation: float
    """Dual value on the validation split, less a penalty where there is one, in the units of the data.

    A bound, up to the rounding of training, where the critic's constraint bounds its constant, and none elsewhere.
    """
    best: float
    """Largest validation value so far."""

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.step / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the budget ends, at the pace so far; None before anything can be said."""
        return self.seconds * (1 - self.fraction) / self.fraction if self.fraction > 0 else None


@dataclass(frozen=True, kw_only=True)
class CriticFinished:
    """Training of one critic ended."""

    critic: str
    steps: int
    seconds: float
    best: float
    interrupted: bool


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A piece of work other than training begins, for example ``exact transport between 2000 and 2000 samples``."""

    what: str


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The ends that are proved so far for W1 between the two sample sets, in the units of the data."""

    lower: float
    upper: float | None
    """None as long as no coupling was computed."""

    @property
    def relative_gap(self) -> float | None:
        """Gap as a share of the upper end; None without one."""
        return None if not self.upper else (self.upper - self.lower) / self.upper


Event = CriticStarted | Progress | CriticFinished | Stage | Ends


@dataclass(frozen=True, kw_only=True)
class HistoryPoint:
    """One validation during training, in the units of the data."""

    step: int
    seconds: float
    training: float
    validation: float


class Observer(Protocol):
    """Listens to an estimation; must not change it."""

    def notify(self, event: Event) -> None: ...


class Silent:
    """Listens and says nothing."""

    def notify(self, event: Event) -> None:
        pass
