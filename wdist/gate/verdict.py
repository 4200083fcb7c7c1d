"""Three answers from proved bounds: pass, fail, or inconclusive, with the reason and what would decide.

Everything here is a pure function of numbers. A rule comes down to two limits: it passes where the upper end lies within the one,
and fails where the lower end lies above the other; a lower bound can fail a gate and never pass it. Whatever the true W1 is, only
one of the two answers would be wrong, and then only if the end that it rests on is.
"""

from dataclasses import dataclass

from wdist.bounds.confidence import per_cent
from wdist.gate.digits import at_least, at_most
from wdist.gate.rules import SUBJECTS, Answer, Interval, Limits, LowerMaximum, Rule, joint_confidence
from wdist.gate.suggestions import ways_out


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
        """The ways out in one paragraph; None where it is decided."""
        return " ".join(self.ways_out) or None


def judge(rule: Rule, interval: Interval) -> Verdict:
    """The answer of a rule to what is proved.

    Arguments:
        rule: what is asked, as in :mod:`wdist.gate.rules`.
        interval: of the W1 that is judged.
    """
    answer = _answer(rule.limits, interval)
    open_question = answer is Answer.INCONCLUSIVE
    return Verdict(
        answer=answer,
        reason=reason(rule, interval, answer),
        ways_out=tuple(ways_out(rule, interval)) if open_question else (),
    )


def together(verdicts: tuple[Verdict, ...]) -> Verdict:
    """All of them: fails where one fails, passes where all pass.

    Arguments:
        verdicts: at least one, of bounds that hold together.
    """
    answers = [each.answer for each in verdicts]
    # The worst of them: a fail weighs more than an open question, and that more than a pass.
    answer = next(answer for answer in (Answer.FAIL, Answer.INCONCLUSIVE, Answer.PASS) if answer in answers)
    ways = dict.fromkeys(way for each in verdicts for way in each.ways_out) if answer is Answer.INCONCLUSIVE else ()
    return Verdict(answer=answer, reason=" ".join(each.reason for each in verdicts), ways_out=tuple(ways))


def _answer(limits: Limits, interval: Interval) -> Answer:
    if interval.contradictory:
        return Answer.INCONCLUSIVE
    if limits.fails_above is not None and interval.lower > limits.fails_above:
        return Answer.FAIL
    if limits.passes_within is not None and interval.upper is not None and interval.upper <= limits.passes_within:
        return Answer.PASS
    return Answer.INCONCLUSIVE


# MERGED gating.reasons: The reason for an answer, in a sentence that names the estimand, the bound and the limit.


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
