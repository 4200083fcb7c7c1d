"""What is measured of a ladder."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LadderRow:
    """One ladder, climbed many times."""

    ladder: str
    samples: int
    """Of each source."""
    rungs: int
    runs: int
    right: int
    """Runs in which the estimates stand in the right order."""
    samples_right: int
    """Runs in which the distances of the sample sets do."""
    claimed: int
    """Pairs, over all runs, of which order is claimed."""
    wrong: int
    """Runs with a claim that is wrong."""

    @property
    def share_right(self) -> float:
        return self.right / self.runs

    @property
    def share_samples_right(self) -> float:
        return self.samples_right / self.runs

    @property
    def share_claimed(self) -> float:
        return self.claimed / (self.runs * self.rungs * (self.rungs - 1) / 2)


@dataclass(frozen=True, kw_only=True)
class TwinRow:
    """Two seeds of one source against a reference, many times."""

    ladder: str
    samples: int
    runs: int
    not_separable: int
    """Runs in which no order is claimed, which is all that is right."""

    @property
    def share(self) -> float:
        return self.not_separable / self.runs


@dataclass(frozen=True, kw_only=True)
class RungRow:
    """One source of a ladder, over all runs."""

    ladder: str
    rung: str
    place: int
    truth: float | None
    estimate: float
    deviation: float
    """Of one run's estimate."""
    lower: float
    """Mean."""
    upper: float | None
    """Mean; None where some run had none."""


@dataclass(frozen=True, kw_only=True)
class OverheadRow:
    """One comparison against as many estimations of their own."""

    sources: int
    together: float
    """Seconds of computing, all threads together."""
    apart: float

    @property
    def overhead(self) -> float:
        return self.together / self.apart - 1
