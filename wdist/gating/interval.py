"""What is proved of one W1: two ends, and the confidence at which they hold."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

On: TypeAlias = Literal["population", "samples"]
"""The estimand that is judged: W1 of the distributions or W1 of the two sample sets."""
SUBJECTS: dict[On, str] = {
    "population": "W1 between the distributions behind A and B",
    "samples": "W1 between the two sample sets",
}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What is proved of one W1, in the units of the data."""

    on: On
    lower: float
    upper: float | None
    """None where no upper bound was computed."""
    confidence: float | None = None
    """At which both ends hold together; None for sample sets, where both hold for certain."""
    estimate: float | None = None
    """The held-out estimate, which the lower end approaches as the number of samples grows."""
    asymptotic: bool = False
    """Whether one of the ends is only asymptotically valid."""
    no_upper: str = "none was affordable for so many samples: try fewer of both, ?limit=5000"
    """Why there is no upper end, and what to do about it, as the rest of a sentence."""
    converged: bool = True
    """Whether the training had converged; a longer one would hardly raise the lower end."""

    @property
    def contradictory(self) -> bool:
        """Whether the ends cross, so that one of them is wrong; possible only where they hold at some confidence."""
        return self.upper is not None and self.upper < self.lower


def joint_confidence(interval: Interval, before: Interval) -> float | None:
    """The confidence at which two results hold together: their errors add up. None where both are certain."""
    if interval.confidence is None or before.confidence is None:
        return None
    return max(0.0, interval.confidence + before.confidence - 1)


def is_asymptotic(method: str, upper_method: str | None) -> bool:
    """Whether one of the two methods is only asymptotically valid.

    Arguments:
        method: that of the lower bound.
        upper_method: that of the upper bound, in words; None without one.
    """
    return method == "welch" or "asymptotic" in (upper_method or "")
