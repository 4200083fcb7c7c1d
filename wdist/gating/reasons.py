"""The reason for an answer, in a sentence that names the estimand, the bound and the limit."""

from wdist.confidence.level import per_cent
from wdist.gating.answer import Answer
from wdist.gating.digits import at_least, at_most
from wdist.gating.interval import SUBJECTS, Interval, joint_confidence
from wdist.gating.rules import LowerMaximum, Rule


def reason(rule: Rule, interval: Interval, answer: Answer) -> str:
    """Why that is the answer of a rule.

    Arguments:
        rule: what was asked.
        interval: of the W1 that is judged.
        answer: what follows from both.
    """
    subject, surely = SUBJECTS[interval.on], _surely(interval, rule.before)
    if answer is Answer.FAIL:
        bound = at_least(interval.lower, above=rule.limits.fails_above)
        return f"{subject} is at least {bound}{rule.when_failed}, {surely}."
    if answer is Answer.PASS:
        assert interval.upper is not None, "nothing passes without it"
        return f"{subject} is at most {at_most(interval.upper, within=rule.limits.passes_within)}{rule.when_passed}, {surely}."
    if interval.contradictory:
        return _contradiction(interval)
    if isinstance(rule, LowerMaximum):
        return (
            f"{subject} is at least {at_least(interval.lower)}, {surely}, and that is {rule.wish}: "
            f"nothing is proved, since a lower bound says nothing of how large W1 may be."
        )
    return f"{_known(interval, surely)}{rule.known_before}: whether it is {rule.wish} is open."


def _known(interval: Interval, surely: str) -> str:
    subject = SUBJECTS[interval.on]
    if interval.upper is None:
        return f"{subject} is at least {at_least(interval.lower)}, {surely}, and no upper bound was computed"
    return f"{subject} is between {at_least(interval.lower)} and {at_most(interval.upper)}, {surely}"


def _contradiction(interval: Interval) -> str:
    assert interval.upper is not None, "a contradiction has two ends"
    return (
        f"{SUBJECTS[interval.on]} comes out as at least {at_least(interval.lower)} and at most {at_most(interval.upper)}: one of "
        f"the two bounds is wrong, as may happen where they hold {_surely(interval, None)}."
    )


def _surely(interval: Interval, before: Interval | None) -> str:
    confidence = interval.confidence if before is None else joint_confidence(interval, before)
    if confidence is None:
        return "for certain"
    asymptotic = interval.asymptotic or (before is not None and before.asymptotic)
    return f"with {per_cent(confidence)} confidence" + (" (asymptotic)" if asymptotic else "")
