"""Three answers from proved bounds: pass, fail, or inconclusive, with the reason and what would decide.

Everything here is a pure function of numbers. A rule comes down to two limits: it passes where the upper end lies within the one,
and fails where the lower end lies above the other; a lower bound can fail a gate and never pass it. Whatever the true W1 is, only
one of the two answers would be wrong, and then only if the end that it rests on is.
"""

from dataclasses import dataclass

from wdist.gating.answer import Answer
from wdist.gating.interval import Interval
from wdist.gating.reasons import reason
from wdist.gating.rules import Limits, Rule
from wdist.gating.ways_out import ways_out


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
        rule: what is asked, as in :mod:`wdist.gating.rules`.
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
