"""What is proved of one W1: two ends, and the confidence at which they hold."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

On: TypeAlias = Literal["population", "samples"]
"""Which of the two estimands is judged."""
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
    """Of both ends together; None for sample sets, where both are certain."""
    estimate: float | None = None
    """The held-out value that the lower end nears as samples become many."""
    asymptotic: bool = False
    """An end holds at its confidence only as samples become many."""
    no_upper: str = "none was affordable for so many samples: try fewer of both, ?limit=5000"
    """Where there is no upper end: why, and what to do, as the rest of a sentence."""
    converged: bool = True
    """A longer training would hardly raise the lower end."""

    @property
    def contradictory(self) -> bool:
        """The ends cross, so that one of them is wrong: possible where they hold at a confidence only."""
        return self.upper is not None and self.upper < self.lower


def joint_confidence(interval: Interval, before: Interval) -> float | None:
    """Of two results together: their errors add up. None where both are certain."""
    if interval.confidence is None or before.confidence is None:
        return None
    return max(0.0, interval.confidence + before.confidence - 1)


def is_asymptotic(method: str, upper_method: str | None) -> bool:
    """Whether an end for the distributions was found by a method that promises its level only as samples become many.

    Arguments:
        method: of the lower bound.
        upper_method: of the upper one, in words that say so; None without one.
    """
    return method == "welch" or "asymptotic" in (upper_method or "")
