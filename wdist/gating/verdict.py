"""Three answers from proved bounds: pass, fail, or inconclusive, with the reason and what would decide.

Everything here is a pure function of numbers. A rule comes down to two limits: it passes where the upper end lies within the one,
and fails where the lower end lies above the other; a lower bound can fail a gate and never pass it. Whatever the true W1 is, only
one of the two answers would be wrong, and then only if the end that it rests on is.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from wdist.errors import ExitStatus, UsageError

On: TypeAlias = Literal["population", "samples"]
"""Which of the two estimands is judged."""
SUBJECTS: dict[On, str] = {
    "population": "W1 between the distributions behind A and B",
    "samples": "W1 between the two sample sets",
}
_DIGITS, _MOST_DIGITS = 4, 18
_FIXED_FROM, _FIXED_TO = -4, 7
"""Decimal exponents between which numbers are written without a power of ten."""
_MOST_TIMES = 1000
"""More samples than so many times those at hand are not worth naming."""


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


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a rule comes down to."""

    passes_within: float | None
    """An upper end of at most this passes; None where nothing does."""
    fails_above: float | None
    """A lower end of more than this fails; None where nothing does."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An answer that can be read aloud."""

    answer: Answer
    reason: str
    """A sentence that names the estimand, the bound and the limit."""
    ways_out: tuple[str, ...] = ()
    """Where it is open: what would decide it, a sentence each."""

    @property
    def what_would_decide(self) -> str | None:
        """The same in one go; None where it is decided."""
        return " ".join(self.ways_out) or None


class Rule(Protocol):
    """What is asked of an interval."""

    @property
    def limits(self) -> Limits:
        """Of this rule."""
        ...

    @property
    def wish(self) -> str:
        """What W1 is to be: ``within the maximum of 1.5``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Maximum:
    """W1 is to be at most ``value``."""

    value: float

    def __post_init__(self) -> None:
        check_distance("--max", self.value)

    @property
    def limits(self) -> Limits:
        return Limits(passes_within=self.value, fails_above=self.value)

    @property
    def wish(self) -> str:
        return f"within the maximum of {self.value:g}"


@dataclass(frozen=True, kw_only=True)
class LowerMaximum:
    """What is proved of W1 from below is to be at most ``value``: can fail, and proves nothing otherwise."""

    value: float

    def __post_init__(self) -> None:
        check_distance("--max-lower", self.value)

    @property
    def limits(self) -> Limits:
        return Limits(passes_within=None, fails_above=self.value)

    @property
    def wish(self) -> str:
        return f"within the maximum of {self.value:g}"


@dataclass(frozen=True, kw_only=True)
class NoWorse:
    """W1 is to be at most ``1 + tolerance`` times what it was, of which only an interval is known."""

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
        return f"at most {100 * self.tolerance:g} % more than the baseline"


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


def judge(rule: Rule, interval: Interval) -> Verdict:
    """The answer of a rule to what is proved.

    Arguments:
        rule: :class:`Maximum`, :class:`LowerMaximum` or :class:`NoWorse`.
        interval: of the W1 that is judged.
    """
    limits, answer = rule.limits, _answer(rule.limits, interval)
    reason = _compared(rule, interval, answer) if isinstance(rule, NoWorse) else _measured(rule, interval, answer)
    if answer is not Answer.INCONCLUSIVE:
        return Verdict(answer=answer, reason=reason)
    return Verdict(answer=answer, reason=reason, ways_out=tuple(_ways_out(rule, limits, interval)))


def together(verdicts: tuple[Verdict, ...]) -> Verdict:
    """All of them: fails where one fails, passes where all pass.

    Arguments:
        verdicts: at least one, of bounds that hold together.
    """
    answers = [each.answer for each in verdicts]
    # The worst of them: a fail weighs more than an open question, and that more than a pass.
    answer = next(answer for answer in (Answer.FAIL, Answer.INCONCLUSIVE, Answer.PASS) if answer in answers)
    ways_out = dict.fromkeys(way for each in verdicts for way in each.ways_out) if answer is Answer.INCONCLUSIVE else ()
    return Verdict(answer=answer, reason=" ".join(each.reason for each in verdicts), ways_out=tuple(ways_out))


def _answer(limits: Limits, interval: Interval) -> Answer:
    if interval.contradictory:
        return Answer.INCONCLUSIVE
    if limits.fails_above is not None and interval.lower > limits.fails_above:
        return Answer.FAIL
    if limits.passes_within is not None and interval.upper is not None and interval.upper <= limits.passes_within:
        return Answer.PASS
    return Answer.INCONCLUSIVE


def _measured(rule: Rule, interval: Interval, answer: Answer) -> str:
    """The reason where the limit was given as a number."""
    subject, surely = SUBJECTS[interval.on], _surely(interval)
    limit = rule.limits.fails_above
    assert limit is not None, "maxima can fail"
    if answer is Answer.FAIL:
        bound = _at_least(interval.lower, above=limit)
        return f"{subject} is at least {bound}, which is more than the maximum of {limit:g}, {surely}."
    if answer is Answer.PASS:
        assert interval.upper is not None
        return f"{subject} is at most {_at_most(interval.upper, within=limit)}, {rule.wish}, {surely}."
    if interval.contradictory:
        return _contradiction(interval)
    if isinstance(rule, LowerMaximum):
        return (
            f"{subject} is at least {_at_least(interval.lower)}, {surely}, and that is {rule.wish}: "
            f"nothing is proved, since a lower bound says nothing of how large W1 may be."
        )
    return f"{_known(interval)}: whether it is {rule.wish} is open."


def _compared(rule: NoWorse, interval: Interval, answer: Answer) -> str:
    """The reason where the limit is what was recorded."""
    before, limits = rule.before, rule.limits
    surely = _surely(interval, before)
    subject = SUBJECTS[interval.on]
    share = f"{100 * rule.tolerance:g} %"
    if answer is Answer.PASS:
        assert interval.upper is not None
        shown = _at_most(interval.upper, within=limits.passes_within)
        return (
            f"{subject} is at most {shown} and was at least {_at_least(before.lower)} in the baseline, so it is "
            f"at most {share} more than it was, {surely}."
        )
    if answer is Answer.FAIL:
        assert before.upper is not None
        shown = _at_least(interval.lower, above=limits.fails_above)
        return (
            f"{subject} is at least {shown} and was at most {_at_most(before.upper)} in the baseline, so it is "
            f"more than {share} more than it was, {surely}."
        )
    if interval.contradictory:
        return _contradiction(interval)
    was = (
        f"between {_at_least(before.lower)} and {_at_most(before.upper)}"
        if before.upper is not None
        else (f"at least {_at_least(before.lower)}")
    )
    return f"{_known(interval, before)}, and was {was} in the baseline: whether it is {rule.wish} is open."


def joint_confidence(interval: Interval, before: Interval) -> float | None:
    """Of two results together: their errors add up. None where both are certain."""
    if interval.confidence is None or before.confidence is None:
        return None
    return max(0.0, interval.confidence + before.confidence - 1)


def _known(interval: Interval, before: Interval | None = None) -> str:
    subject, surely = SUBJECTS[interval.on], _surely(interval, before)
    if interval.upper is None:
        return f"{subject} is at least {_at_least(interval.lower)}, {surely}, and no upper bound was computed"
    return f"{subject} is between {_at_least(interval.lower)} and {_at_most(interval.upper)}, {surely}"


def _contradiction(interval: Interval) -> str:
    assert interval.upper is not None
    return (
        f"{SUBJECTS[interval.on]} comes out as at least {_at_least(interval.lower)} and at most {_at_most(interval.upper)}: one of "
        f"the two bounds is wrong, as may happen where they hold {_surely(interval)}."
    )


def _ways_out(rule: Rule, limits: Limits, interval: Interval) -> Iterator[str]:
    """What would decide an open question: a sentence or two."""
    if interval.contradictory:
        yield "More samples, or another --seed for the split, would tell which."
        return
    if isinstance(rule, LowerMaximum):
        yield "To prove that W1 is within it give --max instead, which computes an upper bound too."
        return
    if limits.fails_above is not None and interval.estimate is not None and interval.estimate > limits.fails_above:
        yield _more_samples_to_fail(interval, interval.estimate, limits.fails_above)
    elif not interval.converged:
        yield "The critic was still rising when its training ended: a longer --budget, or more --steps, may raise the lower end."
    if interval.upper is None:
        yield f"Only an upper bound can pass, and {interval.no_upper}."
    elif limits.passes_within is not None:
        yield _what_would_pass(rule, limits.passes_within, interval.upper, interval.on)


def _more_samples_to_fail(interval: Interval, estimate: float, limit: float) -> str:
    """The lower end nears the held-out estimate as the root of the number of samples: a rule of thumb, not a bound."""
    above = f"The held-out estimate, {_nearest(estimate)}, lies above {_nearest(limit)}"
    times = ((estimate - interval.lower) / (estimate - limit)) ** 2
    if times > _MOST_TIMES:
        return f"{above}, but by so little that over {_MOST_TIMES} times the samples would be needed to fail."
    shown = f"{times:.1f}" if times < 10 else f"{times:.0f}"
    return f"{above}: about {shown} times as many samples should make it fail (an estimate, not a bound)."


def _what_would_pass(rule: Rule, limit: float, upper: float, on: On) -> str:
    way = f"To be {rule.wish}, the upper end must fall by {100 * (1 - limit / upper):.2g} %"
    if isinstance(rule, NoWorse):
        narrower = "more samples in both runs narrow all four ends"
        return f"{way}, or the baseline be known better: {narrower}" + (
            "." if on == "samples" else ", and --on samples compares the sets themselves."
        )
    how = (
        "an optimal coupling, for which these samples may be too many (try ?limit=5000 on both sides)"
        if on == "samples"
        else "more samples of both sides, with which it falls slowly in many dimensions"
    )
    return f"{way}, by {how}; a maximum of {_at_most(upper)} would pass."


def _nearest(value: float) -> str:
    return f"{value:.4g}"


def _surely(interval: Interval, before: Interval | None = None) -> str:
    confidence = interval.confidence if before is None else joint_confidence(interval, before)
    if confidence is None:
        return "for certain"
    asymptotic = interval.asymptotic or (before is not None and before.asymptotic)
    return f"with {100 * confidence:.6g} % confidence" + (" (asymptotic)" if asymptotic else "")


def is_asymptotic(method: str, upper_method: str | None) -> bool:
    """Whether an end for the distributions was found by a method that promises its level only as samples become many.

    Arguments:
        method: of the lower bound.
        upper_method: of the upper one, in words that say so; None without one.
    """
    return method == "welch" or "asymptotic" in (upper_method or "")


def _at_least(value: float, *, above: float | None = None) -> str:
    """Rounded down, with so many digits that it still shows to be above."""
    return _rounded(max(value, 0.0), ROUND_FLOOR, lambda shown: above is None or not value > above or shown > above)


def _at_most(value: float, *, within: float | None = None) -> str:
    """Rounded up, with so many digits that it still shows to be within."""
    return _rounded(value, ROUND_CEILING, lambda shown: within is None or not value <= within or shown <= within)


def _rounded(value: float, rounding: str, shows: Callable[[float], bool]) -> str:
    if value == 0:
        return "0"
    text = ""
    for digits in range(_DIGITS, _MOST_DIGITS):
        context = Context(prec=digits, rounding=rounding)
        shown = context.create_decimal(value)
        shown = shown.quantize(Decimal(1).scaleb(shown.adjusted() - digits + 1), context=context)  # 1.500, as in the tables
        text = f"{shown:f}" if _FIXED_FROM <= shown.adjusted() < _FIXED_TO else f"{shown:g}"
        if shows(float(text)):
            break
    return text
