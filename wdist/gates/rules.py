"""Rules of a gate: W1 within a maximum, its lower bound within a maximum, or no growth since an earlier result.

A rule amounts to two limits: an upper bound within the first passes, a lower bound above the second fails.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from wdist.bounds.digits import at_least, at_most, exactly, nearest
from wdist.errors import ExitStatus
from wdist.gates.limits import AboveReference, Asked, On, check_distance, check_tolerance

SUBJECTS: dict[On, str] = {
    "population": "W1 between the distributions behind A and B",
    "samples": "W1 between the two sample sets",
    "detected": "What this critic finds between A and B on fresh samples",
    "block": "Mean W1 between few fresh samples of A and of B",
    "reference": "W1 from the samples of A to the distribution of B",
}


class Answer(StrEnum):
    """Verdict of a gate in one word."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_status(self) -> ExitStatus:
        """0 for pass, 1 for fail, 3 for inconclusive."""
        return {"pass": ExitStatus.DONE, "fail": ExitStatus.GATE_FAILED, "inconclusive": ExitStatus.INCONCLUSIVE}[self]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Bounds of the estimand that is judged, in the units of the data."""

    on: On
    lower: float
    upper: float | None
    """Upper bound; None if none was computed."""
    confidence: float | None = None
    """Confidence at which both bounds hold together; None for sample sets, where they are certain."""
    one_sided: bool = False
    """Each bound holds at the confidence, but not both together: for a given truth only one verdict can be wrong."""
    estimate: float | None = None
    """Held-out estimate, which the lower bound approaches as the number of samples grows; for ``detected``, both bounds do so."""
    errors: tuple[float, float] | None = None
    """Standard errors of the means of both sides; only for ``detected``."""
    counts: tuple[int, int] | None = None
    """Samples of both sides that the bounds rest on, for ``detected``."""
    undivided: bool = False
    """Whether one part of the samples was held out, though they could be held out in turn."""
    anytime: bool = False
    """Whether the bounds are those of a confidence sequence, for the running average over many critics."""
    size: int | None = None
    """Samples in a block, for ``block``."""
    asymptotic: bool = False
    """Whether a bound is only asymptotically valid."""
    no_upper: str = "none was affordable for so many samples: try fewer on both sides, ?limit=5000"
    """Reason for a missing upper bound and what to do about it, as a clause."""
    trained: bool = True
    """Whether a critic was trained for the lower bound."""
    rise: float = 0.0
    """Rise of the validation value in the last quarter of the training, for ``detected``."""
    converged: bool = True
    """Whether the training had converged, so that a longer one would hardly raise the lower bound."""

    @property
    def subject(self) -> str:
        """The estimand, as the subject of a sentence."""
        if self.anytime:
            return "What critics trained on earlier samples find on later ones, on average,"
        fresh = "few fresh samples" if self.size is None else f"{self.size} fresh sample{'s' * (self.size > 1)}"
        return SUBJECTS[self.on].replace("few fresh samples", fresh)

    @property
    def contradictory(self) -> bool:
        """Whether the bounds cross, so that one of them is wrong; possible only if they hold at some confidence."""
        return self.upper is not None and self.upper < self.lower


@dataclass(frozen=True, kw_only=True)
class Look:
    """State of a sequential gate after one batch."""

    samples: int
    """Samples of each side so far, including those of the first training."""
    estimate: float
    """Average of what each critic found on the batch after its training."""
    lower: float
    upper: float


def joint_confidence(interval: Interval, before: Interval) -> float | None:
    """Confidence at which two results hold together: their errors add up. None if both are certain."""
    if interval.confidence is None or before.confidence is None:
        return None
    return max(0.0, interval.confidence + before.confidence - 1)


def is_asymptotic(method: str, upper_method: str | None) -> bool:
    """Returns whether the method of the lower bound, or that of the upper bound if there is one, is only asymptotically valid."""
    return method in ("welch", "cross-fitted") or "asymptotic" in (upper_method or "")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The two limits of a rule."""

    passes_within: float | None
    """An upper bound of at most this passes; None if the rule can only fail."""
    fails_above: float | None
    """A lower bound above this fails; None if the rule can only pass."""


class _Rule:
    """A rule whose answers are as sure as the interval that is judged."""

    def confidence(self, interval: Interval) -> float | None:
        return interval.confidence

    def asymptotic(self, interval: Interval) -> bool:
        return interval.asymptotic


@dataclass(frozen=True, kw_only=True)
class _Number(_Rule):
    """A rule whose limit is a number."""

    asked: ClassVar[Asked]
    before: ClassVar[None] = None
    known_before: ClassVar[str] = ""
    value: float

    def __post_init__(self) -> None:
        check_distance(f"--{self.asked}", self.value)

    @property
    def requirement(self) -> str:
        return f"within the maximum of {exactly(self.value)}"

    @property
    def when_passed(self) -> str:
        return f", {self.requirement}"

    @property
    def when_failed(self) -> str:
        return f", which is more than the maximum of {exactly(self.value)}"


@dataclass(frozen=True, kw_only=True)
class Maximum(_Number):
    """Requires W1 to be at most ``value``."""

    asked: ClassVar[Asked] = "max"

    @property
    def limits(self) -> Limits:
        return Limits(passes_within=self.value, fails_above=self.value)


@dataclass(frozen=True, kw_only=True)
class LowerMaximum(_Number):
    """Requires the lower bound of W1 to be at most ``value``; this rule can only fail or prove nothing."""

    asked: ClassVar[Asked] = "max-lower"

    @property
    def limits(self) -> Limits:
        return Limits(passes_within=None, fails_above=self.value)


@dataclass(frozen=True, kw_only=True)
class _Growth(_Rule):
    """A rule that compares with an earlier result."""

    asked: ClassVar[Asked] = "baseline"
    before: Interval
    tolerance: float

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    @property
    def requirement(self) -> str:
        return f"at most {self._share} above the baseline"

    @property
    def _share(self) -> str:
        return f"{100 * self.tolerance:g} %"


@dataclass(frozen=True, kw_only=True)
class NoWorse(_Growth):
    """Requires W1 to be at most ``1 + tolerance`` times its earlier value, of which only bounds are known."""

    @property
    def limits(self) -> Limits:
        # Rounded towards claiming less.
        factor, upper = 1 + self.tolerance, self.before.upper
        return Limits(
            passes_within=math.nextafter(factor * max(self.before.lower, 0.0), 0.0),
            fails_above=None if upper is None else math.nextafter(factor * upper, math.inf),
        )

    def confidence(self, interval: Interval) -> float | None:
        return joint_confidence(interval, self.before)

    def asymptotic(self, interval: Interval) -> bool:
        return interval.asymptotic or self.before.asymptotic

    @property
    def known_before(self) -> str:
        upper = self.before.upper
        was = f"at least {self._least}" if upper is None else f"between {self._least} and {at_most(upper)}"
        return f", and was {was} in the baseline"

    @property
    def when_passed(self) -> str:
        return f" and was at least {self._least} in the baseline, so it grew by at most {self._share}"

    @property
    def when_failed(self) -> str:
        assert self.before.upper is not None, "nothing fails without it"
        return f" and was at most {at_most(self.before.upper)} in the baseline, so it grew by more than {self._share}"

    @property
    def _least(self) -> str:
        return at_least(max(self.before.lower, 0.0))


@dataclass(frozen=True, kw_only=True)
class _EstimatedGrowth(_Growth):
    """A rule that compares an estimate with that of an earlier result."""

    compared: ClassVar[str] = ""
    """The samples that both estimates share, as the end of a clause."""

    @property
    def known_before(self) -> str:
        return f", and {self._was}"

    @property
    def when_passed(self) -> str:
        return f" and {self._was}, so it grew by at most {self._share}"

    @property
    def when_failed(self) -> str:
        return f" and {self._was}, so it grew by more than {self._share}"

    @property
    def _was(self) -> str:
        return f"was estimated as {nearest(_value(self.before))} in the baseline{self.compared}"


@dataclass(frozen=True, kw_only=True)
class NoMoreDetected(_EstimatedGrowth):
    r"""Requires that the critic finds at most ``1 + tolerance`` times what the critic of the baseline found.

    This is one test of the difference of both estimates, at the confidence of the present interval. Both runs share the reference
    and may share more, and their critics differ, so the standard errors of each side are added, which covers every correlation:

    .. math:: \hat\theta - (1 + t)\, \hat\theta_0 \pm q \sqrt{(s_a + (1 + t)\, s_{a,0})^2 + (s_b + (1 + t)\, s_{b,0})^2}
    """

    now: Interval

    @property
    def limits(self) -> Limits:
        factor, now, before = 1 + self.tolerance, self.now, self.before
        assert now.errors is not None and before.errors is not None, "both are detected"  # noqa: PT018
        errors = [new + factor * old for new, old in zip(now.errors, before.errors, strict=True)]
        margin = max(_quantile(now), _quantile(before)) * math.hypot(*errors)
        least = factor * max(_value(before), 0.0) - _value(now)
        return Limits(
            passes_within=math.nextafter(_upper(now) + least - margin, -math.inf),
            fails_above=math.nextafter(now.lower + least + margin, math.inf),
        )

    def asymptotic(self, interval: Interval) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class _Paired(_Rule):
    """A rule on blocks, decided by one test of a difference, whose interval lies below 0 if the rule holds and above if not."""

    now: Interval
    difference: tuple[float, float]
    """Confidence interval of the mean between the sides minus its limit, from paired blocks."""

    @property
    def limits(self) -> Limits:
        low, high = self.difference
        return Limits(
            passes_within=math.nextafter(_upper(self.now) - high, -math.inf),
            fails_above=math.nextafter(self.now.lower - low, math.inf) if math.isfinite(low) else None,
        )

    def asymptotic(self, interval: Interval) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class ReferenceMaximum(_Paired):
    """Requires the mean distance between the sides to exceed that of the reference against itself by at most an allowance."""

    asked: ClassVar[Asked] = "max"
    before: ClassVar[None] = None
    above: AboveReference
    within: float
    """The estimate of the limit."""

    @property
    def known_before(self) -> str:
        return f", and the limit, itself uncertain, is estimated as {nearest(self.within)}"

    @property
    def requirement(self) -> str:
        return f"at most {self.above.words}"

    @property
    def when_passed(self) -> str:
        return self._apart(-self.difference[1], "below")

    @property
    def when_failed(self) -> str:
        return self._apart(self.difference[0], "above")

    @property
    def value(self) -> float:
        """The estimate of the limit."""
        return self.within

    def _apart(self, margin: float, side: str) -> str:
        # The interval of the mean alone may lie on the other side of the limit: only the difference decides.
        apart = f"a paired test on the same blocks puts it at least {at_least(max(margin, 0.0))} {side} the limit"
        return f"; {apart}, {self.above.words}, which is estimated as {nearest(self.within)}"


@dataclass(frozen=True, kw_only=True)
class NoFartherBlocks(_Paired, _EstimatedGrowth):
    """Requires the mean between the sides to be at most ``1 + tolerance`` times that of the baseline, on the same blocks of A."""

    compared: ClassVar[str] = ", between the same blocks of A"

    @property
    def within(self) -> float:
        """The estimate of the limit."""
        return (1 + self.tolerance) * _value(self.before)


def _value(interval: Interval) -> float:
    assert interval.estimate is not None, "a detected value has an estimate"
    return interval.estimate


def _upper(interval: Interval) -> float:
    assert interval.upper is not None, "a detected value has both ends"
    return interval.upper


def _quantile(interval: Interval) -> float:
    """Half the width of the interval in standard errors: the quantile of its test."""
    error = math.hypot(*(interval.errors or (0.0,)))
    return (_upper(interval) - interval.lower) / 2 / error if error > 0 else 0.0


Rule: TypeAlias = Maximum | LowerMaximum | NoWorse | NoMoreDetected | ReferenceMaximum | NoFartherBlocks
"""A requirement on the estimand that is judged.

Every rule has ``limits`` for the two bounds, a ``requirement`` that completes "W1 must be ...", the earlier interval ``before``
that it rests on (None if it rests on a number), the ``confidence`` of its answers, whether they are ``asymptotic``, and three
clauses for its sentences: ``known_before`` follows what is known now, ``when_passed`` follows an upper bound that passes, and
``when_failed`` a lower bound that fails.
"""
