"""Verdicts from bounds: pass, fail, or inconclusive, with the reason and with suggestions for an open question.

Everything here is a pure function of numbers. A rule amounts to two limits: it passes if the upper bound lies within the first,
and fails if the lower bound exceeds the second. A lower bound can fail a gate but never pass it. Whatever the true W1, only one of
the two answers can be wrong, and only if the bound behind it is; so each bound of what critics find takes the whole error.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from wdist.bounds.digits import at_least, at_most, nearest, per_cent, without_zeros
from wdist.gates.limits import On
from wdist.gates.rules import Answer, Interval, Limits, Maximum, Rule
from wdist.training.loop import IMPROVING

_MOST_TIMES = 1000
"""Largest factor for the number of samples that is worth suggesting."""


_ABOUT_FAIL: dict[On, str] = {
    "detected": " W1 between their distributions is no smaller.",
    "block": " W1 between their distributions may be smaller: few samples are some distance apart in any case.",
}
_ABOUT_PASS: dict[On, str] = {
    "detected": " This does not bound W1: another critic may find more.",
    "block": " W1 between their distributions is no larger.",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An answer with its explanation."""

    answer: Answer
    reason: str
    """Sentence that names the estimand, the bound and the limit."""
    suggestions: tuple[str, ...] = ()
    """Sentences that say how to decide an open question."""

    @property
    def what_would_decide(self) -> str | None:
        """The suggestions in one paragraph; None if the answer is pass or fail."""
        return " ".join(self.suggestions) or None


def judge(rule: Rule, interval: Interval) -> Verdict:
    """Applies a rule to the proved bounds of the W1 that is judged."""
    answer = _answer(rule, interval)
    return Verdict(
        answer=answer,
        reason=_reason(rule, interval, answer),
        suggestions=tuple(_suggestions(rule, interval)) if answer is Answer.INCONCLUSIVE else (),
    )


def together(verdicts: tuple[Verdict, ...]) -> Verdict:
    """Combines one or more verdicts on bounds that hold together: fails if one fails, passes if all pass."""
    answers = [each.answer for each in verdicts]
    answer = next(answer for answer in (Answer.FAIL, Answer.INCONCLUSIVE, Answer.PASS) if answer in answers)
    suggestions = dict.fromkeys(each for verdict in verdicts for each in verdict.suggestions)
    return Verdict(
        answer=answer,
        reason=" ".join(each.reason for each in verdicts),
        suggestions=tuple(suggestions) if answer is Answer.INCONCLUSIVE else (),
    )


def _answer(rule: Rule, interval: Interval) -> Answer:
    limits, before = rule.limits, rule.before
    if interval.contradictory:
        return Answer.INCONCLUSIVE
    # If the training of the baseline ended too early, a larger value now need not mean that the distance grew.
    if _is_above(limits, interval) and (before is None or before.on != "detected" or before.converged):
        return Answer.FAIL
    # If this training ended too early, a small value need not mean that critics find no more.
    if _is_within(limits, interval) and interval.rise <= IMPROVING * max(limits.passes_within or 0.0, 0.0):
        return Answer.PASS
    return Answer.INCONCLUSIVE


def _is_above(limits: Limits, interval: Interval) -> bool:
    return limits.fails_above is not None and interval.lower > limits.fails_above


def _is_within(limits: Limits, interval: Interval) -> bool:
    return limits.passes_within is not None and interval.upper is not None and interval.upper <= limits.passes_within


def _reason(rule: Rule, interval: Interval, answer: Answer) -> str:
    subject, sure = interval.subject, _at_confidence(rule.confidence(interval), asymptotic=rule.asymptotic(interval))
    if interval.contradictory:
        assert interval.upper is not None, "a contradiction has two bounds"
        return (
            f"{subject} would be at least {at_least(interval.lower)} and at most {at_most(interval.upper)}: one of the two bounds "
            f"is wrong, which may happen because they hold {_at_confidence(interval.confidence, asymptotic=interval.asymptotic)}."
        )
    if _is_above(rule.limits, interval):
        claim = f"{subject} is at least {at_least(interval.lower, above=rule.limits.fails_above)}{rule.when_failed}, {sure}."
        if answer is Answer.FAIL:
            return f"{claim}{_ABOUT_FAIL.get(interval.on, '')}"
        return f"{claim} But the critic of the baseline had not stopped improving when its training ended, so this does not fail."
    if _is_within(rule.limits, interval):
        assert interval.upper is not None, "it is within the limit"
        claim = f"{subject} is at most {at_most(interval.upper, within=rule.limits.passes_within)}{rule.when_passed}, {sure}."
        if answer is Answer.PASS:
            absolute = interval.on == "detected" or isinstance(rule, Maximum)  # a paired test is not about the upper bound
            return f"{claim}{_ABOUT_PASS.get(interval.on, '') if absolute else ''}"
        return f"{claim} But the critic had not stopped improving when its training ended, so this does not pass."
    known = f"at least {at_least(interval.lower)}, {sure}"
    if rule.limits.passes_within is None:
        return f"{subject} is {known}: nothing is proved, because a lower bound {rule.requirement} does not limit W1 from above."
    if interval.upper is None:
        known += ", and no upper bound was computed"
    else:
        each = "each " if interval.one_sided else ""
        known = f"between {at_least(interval.lower)} and {at_most(interval.upper)}, {each}{sure}"
    return f"{subject} is {known}{rule.known_before}. This leaves open whether it is {rule.requirement}."


def _at_confidence(confidence: float | None, *, asymptotic: bool) -> str:
    if confidence is None:
        return "for certain"
    return f"with {per_cent(confidence)} confidence" + (" (asymptotic)" if asymptotic else "")


def _suggestions(rule: Rule, interval: Interval) -> Iterator[str]:
    """Sentences that say how to decide a rule that neither passes nor fails."""
    limits = rule.limits
    if interval.contradictory:
        yield "More samples, or another --seed for the split, would show which one."
        return
    if limits.passes_within is None:
        yield "To prove that W1 is within the limit, give --max instead, which also computes an upper bound."
        return
    if _is_above(limits, interval):
        yield "Record the baseline again with more --steps or a longer --budget, and give this run as many."
        return
    if _is_within(limits, interval):
        yield "More --steps or a longer --budget show whether longer training finds more."
        return
    if interval.on in ("detected", "block"):
        yield from _what_would_detect(rule, interval)
        return
    if limits.fails_above is not None and (interval.upper is None or interval.upper > limits.fails_above):
        yield from _what_would_fail(interval, limits.fails_above)
    if interval.upper is None:
        yield f"Only an upper bound can pass the gate, and {interval.no_upper}."
    else:
        yield _what_would_pass(rule, limits.passes_within, interval.upper, interval.on)


def _what_would_fail(interval: Interval, limit: float) -> Iterator[str]:
    if interval.estimate is not None and interval.estimate > limit:
        above = f"The held-out estimate, {nearest(interval.estimate)}, exceeds {without_zeros(nearest(limit))}"
        yield _more_samples(above, interval, (interval.estimate - interval.lower) / (interval.estimate - limit), Answer.FAIL)
    elif not interval.trained:
        yield "No critic was trained: one named with --critic may raise the lower bound."
    elif not interval.converged:
        yield "The critic was still improving when its training ended: more --steps or a longer --budget may raise the lower bound."


def _more_samples(why: str, interval: Interval, ratio: float, answer: Answer) -> str:
    """A sentence with the number of samples that shrinks a margin by this ratio, assuming the rate n^(-1/2)."""
    times = ratio**2
    what = "draws" if interval.on == "reference" else "samples"  # the samples of A are what is asked about
    if times > _MOST_TIMES:
        return f"{why}, but so narrowly that a {answer} would take over {_MOST_TIMES} times as many {what}."
    shown = f"{times:.1f}" if times < 10 else f"{times:.0f}"
    counts = ""
    if interval.on == "reference" and interval.counts is not None:
        counts = f" (--draws {float(f'{times * interval.counts[1]:.2g}'):.0f})"
    elif interval.size is not None:  # larger blocks would be nearer to each other, and the limit with them
        counts = f", with --blocks {interval.size},"
    elif interval.counts is not None:
        needed = float(f"{times * max(interval.counts):.2g}")
        counts = f" ({needed:,.0f} {'' if interval.anytime else 'held out '}a side)"
    return f"{why}: about {shown} times as many {what}{counts} should make it {answer} (an estimate, not a bound)."


def _what_would_detect(rule: Rule, interval: Interval) -> Iterator[str]:
    """Sentences that say how many samples would decide about a detected value, whose two bounds converge to the estimate."""
    assert interval.estimate is not None and interval.upper is not None, "a detected value has them all"  # noqa: PT018
    limits, estimate = rule.limits, interval.estimate
    middle = [limit for limit in (limits.passes_within, limits.fails_above) if limit is not None]
    limit = sum(middle) / len(middle)
    if estimate > limit:
        why, answer = f"The estimate, {nearest(estimate)}, exceeds {without_zeros(nearest(limit))}", Answer.FAIL
        missing = max(0.0, (limits.fails_above or limit) - interval.lower)
    else:
        why, answer = f"The estimate, {nearest(estimate)}, is below {without_zeros(nearest(limit))}", Answer.PASS
        missing = max(0.0, interval.upper - (limit if limits.passes_within is None else limits.passes_within))
    yield _more_samples(why, interval, 1 + missing / abs(estimate - limit) if estimate != limit else math.inf, answer)
    if interval.undivided:
        yield "With --folds 5 all samples count, instead of the sixth that is held out."


def _what_would_pass(rule: Rule, limit: float, upper: float, on: On) -> str:
    share = 100 * (1 - max(limit, 0.0) / upper)
    fall = f"To pass, the upper bound must fall by {share:{'.0f' if share >= 9.95 else '.2g'}} %"
    if rule.before is not None:
        other = "" if on == "samples" else ", and --on samples compares the sets themselves"
        return f"{fall} or the baseline must be known more precisely: more samples in both runs narrow all four bounds{other}."
    if on == "samples":
        how = "an optimal coupling may lower it, but may be too costly for so many samples (try ?limit=5000 on both sides)"
    elif on == "reference":
        how = "more --draws lower it, in any number of dimensions"
    else:
        how = "more samples of both sides lower it, though slowly in high dimension"
    return f"{fall}: {how}. A maximum of {at_most(upper)} would pass."
