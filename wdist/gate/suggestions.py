"""What would decide a question that a gate leaves open."""

from collections.abc import Iterator

from wdist.bounds.digits import at_most
from wdist.gate.rules import Interval, LowerMaximum, NoWorse, On, Rule

_MOST_TIMES = 1000
"""More samples than so many times those at hand are not worth naming."""


def ways_out(rule: Rule, interval: Interval) -> Iterator[str]:
    """A sentence or two.

    Arguments:
        rule: that neither passes nor fails.
        interval: of the W1 that is judged.
    """
    limits = rule.limits
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
    way = f"To be {rule.wish}, the upper end must fall by {_two_digits(100 * (1 - limit / upper))} %"
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
    return f"{way}, by {how}; a maximum of {at_most(upper)} would pass."


def _two_digits(per_cent: float) -> str:
    return f"{per_cent:.0f}" if per_cent >= 9.95 else f"{per_cent:.2g}"


def _nearest(value: float) -> str:
    return f"{value:.4g}"
