"""What may be asked of an interval: a maximum, a maximum of its lower end, or no growth since an earlier result.

A rule comes down to two limits. It also has the words in which its answers are told: how the sentence goes on behind the bound
that decided, and what is known besides.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal, Protocol, TypeAlias

from wdist.errors import ExitStatus, UsageError
from wdist.bounds.digits import at_least, at_most, exactly

# MERGED gating.interval: What is proved of one W1: two ends, and the confidence at which they hold.

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


# MERGED gating.answer: The three answers of a gate.


class Answer(StrEnum):
    """What a gate says."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_status(self) -> ExitStatus:
        """0, 1 and 3."""
        return {
            Answer.PASS: ExitStatus.DONE,
            Answer.FAIL: ExitStatus.GATE_FAILED,
            Answer.INCONCLUSIVE: ExitStatus.INCONCLUSIVE,
        }[self]


Asked: TypeAlias = Literal["max", "max-lower", "baseline"]
"""The option that asks, less its dashes."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a rule comes down to."""

    passes_within: float | None
    """An upper end of at most this passes; None where nothing does."""
    fails_above: float | None
    """A lower end of more than this fails; None where nothing does."""


class Rule(Protocol):
    """What is asked of an interval."""

    asked: ClassVar[Asked]

    @property
    def limits(self) -> Limits:
        """Of this rule."""
        ...

    @property
    def wish(self) -> str:
        """What W1 is to be: ``within the maximum of 1.5``."""
        ...

    @property
    def before(self) -> Interval | None:
        """An earlier result that the rule rests on, whose error adds to that of the interval; None where it rests on a number."""
        ...

    @property
    def known_before(self) -> str:
        """How a sentence goes on behind what is known now."""
        ...

    @property
    def when_passed(self) -> str:
        """How a sentence goes on behind an upper end that passes."""
        ...

    @property
    def when_failed(self) -> str:
        """How a sentence goes on behind a lower end that fails."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Number:
    """A rule whose limit is a number."""

    asked: ClassVar[Asked]
    before: ClassVar[None] = None
    known_before: ClassVar[str] = ""
    value: float

    def __post_init__(self) -> None:
        check_distance(f"--{self.asked}", self.value)

    @property
    def wish(self) -> str:
        return f"within the maximum of {exactly(self.value)}"

    @property
    def when_passed(self) -> str:
        return f", {self.wish}"

    @property
    def when_failed(self) -> str:
        return f", which is more than the maximum of {exactly(self.value)}"


@dataclass(frozen=True, kw_only=True)
class Maximum(_Number):
    """W1 is to be at most ``value``."""

    asked: ClassVar[Asked] = "max"

    @property
    def limits(self) -> Limits:
        return Limits(passes_within=self.value, fails_above=self.value)


@dataclass(frozen=True, kw_only=True)
class LowerMaximum(_Number):
    """What is proved of W1 from below is to be at most ``value``: can fail, and proves nothing otherwise."""

    asked: ClassVar[Asked] = "max-lower"

    @property
    def limits(self) -> Limits:
        return Limits(passes_within=None, fails_above=self.value)


@dataclass(frozen=True, kw_only=True)
class NoWorse:
    """W1 is to be at most ``1 + tolerance`` times what it was, of which only an interval is known."""

    asked: ClassVar[Asked] = "baseline"
    before: Interval
    tolerance: float

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    @property
    def limits(self) -> Limits:
        # Each is rounded to the side on which nothing is claimed that does not follow.
        factor, upper = 1 + self.tolerance, self.before.upper
        return Limits(
            passes_within=math.nextafter(factor * self.before.lower, 0.0),
            fails_above=None if upper is None else math.nextafter(factor * upper, math.inf),
        )

    @property
    def wish(self) -> str:
        return f"at most {self._share} more than the baseline"

    @property
    def known_before(self) -> str:
        lower, upper = at_least(self.before.lower), self.before.upper
        was = f"at least {lower}" if upper is None else f"between {lower} and {at_most(upper)}"
        return f", and was {was} in the baseline"

    @property
    def when_passed(self) -> str:
        was = at_least(self.before.lower)
        return f" and was at least {was} in the baseline, so it is at most {self._share} more than it was"

    @property
    def when_failed(self) -> str:
        assert self.before.upper is not None, "nothing fails without it"
        was = at_most(self.before.upper)
        return f" and was at most {was} in the baseline, so it is more than {self._share} more than it was"

    @property
    def _share(self) -> str:
        return f"{100 * self.tolerance:g} %"


def check_tolerance(value: float) -> None:
    """Refuses what is no share.

    Raises:
        UsageError: it is negative, infinite or no number.
    """
    if not 0 <= value < math.inf:
        raise UsageError(f"--tolerance is a share of at least 0, such as 5% or 0.05, not {value:g}; write --tolerance 5%")


def check_asked(*, maximum: float | None, max_lower: float | None, baseline: bool, tolerance: float | None) -> None:
    """Makes sure that something is asked, and nothing that excludes something else.

    Arguments:
        maximum, max_lower: of the user, None where they are not given.
        baseline: whether there is an earlier result.
        tolerance: share by which W1 may have grown since.

    Raises:
        UsageError: says what does not fit.
    """
    if tolerance is not None and not baseline:
        raise UsageError("--tolerance is how much W1 may have grown since --baseline; give one, or leave it out")
    if max_lower is not None and (maximum is not None or baseline):
        other = "--max" if maximum is not None else "--baseline"
        raise UsageError(f"--max-lower computes no upper bound, which {other} needs to pass; give one of the two")
    if maximum is None and max_lower is None and not baseline:
        raise UsageError("nothing is asked of W1; give --max T, --max-lower T or --baseline FILE")


def check_distance(option: str, value: float) -> None:
    """Refuses what is no distance.

    Raises:
        UsageError: the value of that option is negative, infinite or no number.
    """
    if not 0 <= value < math.inf:
        raise UsageError(
            f"{option} is a distance in the units of the data, a number of at least 0, not {value:g}; write {option} 1.5"
        )
