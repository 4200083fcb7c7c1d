"""Three answers: an upper bound proves a pass, a lower bound a fail, and everything else is open."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wdist.errors import ExitStatus, UsageError
from wdist.gates.limits import AboveReference, GateLimits
from wdist.gates.rules import (
    Answer,
    Interval,
    Limits,
    LowerMaximum,
    Maximum,
    NoMoreDetected,
    NoWorse,
    ReferenceMaximum,
    joint_confidence,
)
from wdist.gates.verdict import judge, together

PASS, FAIL, INCONCLUSIVE = Answer.PASS, Answer.FAIL, Answer.INCONCLUSIVE


def population(lower, upper, **facts):
    return Interval(on="population", lower=lower, upper=upper, confidence=0.95, **facts)


def samples(lower, upper, **facts):
    return Interval(on="samples", lower=lower, upper=upper, **facts)


def detected(estimate, error=0.1, **facts):
    """A detected value with Welch's interval for many samples, of which each side has half the variance."""
    reach, side = 1.96 * error, error / math.sqrt(2)
    facts = {"errors": (side, side), "counts": (150, 150), "confidence": 0.95, "asymptotic": True, **facts}
    return Interval(on="detected", lower=max(estimate - reach, 0.0), upper=estimate + reach, estimate=estimate, **facts)


@pytest.mark.parametrize(
    ("lower", "upper", "maximum", "answer"),
    [
        (1.0, 2.0, 2.5, PASS),
        (1.0, 2.0, 2.0, PASS),
        (1.0, 2.0, 1.5, INCONCLUSIVE),
        (1.0, 2.0, 1.0, INCONCLUSIVE),
        (1.0, 2.0, 0.9, FAIL),
        (1.0, None, 1e9, INCONCLUSIVE),
        (1.0, None, 0.9, FAIL),
        (0.0, 0.0, 0.0, PASS),
        (2.0, 1.0, 1.5, INCONCLUSIVE),
        (2.0, 1.0, 0.5, INCONCLUSIVE),
        (2.0, 1.0, 3.0, INCONCLUSIVE),
    ],
)
@pytest.mark.parametrize("of", [population, samples])
def test_a_maximum(of, lower, upper, maximum, answer):
    assert judge(Maximum(value=maximum), of(lower, upper)).answer is answer


numbers = st.floats(0, 1e6)
intervals = st.tuples(numbers, numbers).map(sorted)


@given(intervals, numbers, numbers)
def test_no_answer_is_wrong_if_the_bounds_are_right(ends, share, limit):
    """Whatever W1 between the ends is."""
    lower, upper = ends
    w1 = min(max(lower, share), upper)
    answer = judge(Maximum(value=limit), samples(lower, upper)).answer
    assert not (answer is PASS and w1 > limit)
    assert not (answer is FAIL and w1 <= limit)


@given(numbers, numbers)
def test_a_lower_bound_alone_never_passes(lower, limit):
    for rule in (Maximum(value=limit), LowerMaximum(value=limit)):
        assert judge(rule, samples(lower, None)).answer is (FAIL if lower > limit else INCONCLUSIVE)
    assert judge(LowerMaximum(value=limit), samples(lower, lower)).answer is not PASS


@given(intervals, intervals, st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
def test_no_answer_to_a_regression_is_wrong_if_all_four_bounds_are_right(before, now, tolerance, at_before, at_now):
    then, w1 = (min(max(low + at * (high - low), low), high) for (low, high), at in ((before, at_before), (now, at_now)))
    answer = judge(NoWorse(before=samples(*before), tolerance=tolerance), samples(*now)).answer
    if answer is PASS:
        assert w1 <= (1 + tolerance) * then
    if answer is FAIL:
        assert w1 >= (1 + tolerance) * then


@pytest.mark.parametrize(
    ("now", "answer"),
    [((0.5, 1.0), PASS), ((1.0, 1.04), PASS), ((1.0, 1.2), INCONCLUSIVE), ((2.09, 3.0), INCONCLUSIVE), ((2.2, 3.0), FAIL)],
)
def test_a_regression_passes_by_the_lower_bound_of_the_baseline_and_fails_by_its_upper_bound(now, answer):
    assert judge(NoWorse(before=samples(1.0, 2.0), tolerance=0.05), samples(*now)).answer is answer


def test_a_baseline_without_an_upper_bound_cannot_fail_anything():
    rule = NoWorse(before=population(1.0, None), tolerance=0.05)
    assert rule.limits.fails_above is None
    assert judge(rule, population(1e9, None)).answer is INCONCLUSIVE
    assert "was at least 1.000 in the baseline" in judge(rule, population(3.0, 4.0)).reason


def test_the_errors_of_two_results_add_up_and_the_sentence_says_so():
    before, now = replace(population(1.0, 2.0), confidence=0.9), population(0.1, 0.5)
    assert joint_confidence(now, before) == pytest.approx(0.85)
    assert "with 85 % confidence" in judge(NoWorse(before=before, tolerance=0.0), now).reason
    assert joint_confidence(samples(1, 2), samples(1, 2)) is None
    assert "for certain" in judge(NoWorse(before=samples(1.0, 2.0), tolerance=0.0), samples(0.1, 0.5)).reason


def test_the_reason_names_what_was_judged_and_how_surely():
    reason = judge(Maximum(value=2.5), population(1.0, 2.0)).reason
    assert (
        reason == "W1 between the distributions behind A and B is at most 2.000, within the maximum of 2.5, with 95 % confidence."
    )
    failed = judge(Maximum(value=0.5), samples(1.0, 2.0)).reason
    assert failed == "W1 between the two sample sets is at least 1.000, which is more than the maximum of 0.5, for certain."
    assert "with 95 % confidence (asymptotic)." in judge(Maximum(value=2.5), population(1.0, 2.0, asymptotic=True)).reason


def test_one_sided_gates_say_that_they_prove_nothing():
    verdict = judge(LowerMaximum(value=2.0), population(1.0, None))
    assert "nothing is proved" in verdict.reason
    assert "give --max instead" in verdict.what_would_decide


@pytest.mark.parametrize(
    ("maximum", "sentence"),
    [
        (1.9, "To pass, the upper bound must fall by 5 %: more --draws lower it, in any number of dimensions."),
        (1.45, "The held-out estimate, 1.500, exceeds 1.45: about 100 times as many draws (--draws 40000) should make it fail"),
    ],
)
def test_draws_decide_about_the_samples_of_a_and_not_more_samples(maximum, sentence):
    """W1 from these very samples is asked about, so there cannot be more of them."""
    drawn = Interval(on="reference", lower=1.0, upper=2.0, estimate=1.5, confidence=0.95, counts=(500, 400))
    assert sentence in judge(Maximum(value=maximum), drawn).what_would_decide


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_numbers_in_a_reason_show_what_they_prove(bound, limit):
    """However near a bound is to the limit, its digits lie on the proved side of it."""

    def first_number(reason, after):
        return float(re.search(rf"{after} (\S+?),", reason)[1])

    verdict = judge(Maximum(value=limit), samples(bound, bound))
    if verdict.answer is PASS:
        shown = first_number(verdict.reason, "at most")
        assert bound <= shown <= limit
    else:
        shown = first_number(verdict.reason, "at least")
        assert limit < shown <= bound


def test_a_critic_that_still_improves_passes_nothing_but_fails_what_it_finds():
    """Otherwise a gate on what a critic finds would pass after a few steps, whatever the samples."""
    found = judge(Maximum(value=2.0), detected(1.0, rise=0.03))
    assert found.answer is INCONCLUSIVE
    assert "the critic had not stopped improving when its training ended, so this does not pass" in found.reason
    assert found.what_would_decide == "More --steps or a longer --budget show whether longer training finds more."
    assert judge(Maximum(value=2.0), detected(1.0, rise=0.01)).answer is PASS
    assert judge(Maximum(value=0.5), detected(1.0, rise=math.inf)).answer is FAIL
    growth = NoMoreDetected(now=detected(0.5, rise=0.1), before=detected(1.0), tolerance=0.05)
    assert judge(growth, growth.now).answer is INCONCLUSIVE


def test_growth_since_a_baseline_whose_critic_still_improved_does_not_fail():
    """Trained longer, the critic of the baseline might have found as much."""
    now = detected(2.0)
    known, rising = (NoMoreDetected(now=now, before=detected(1.0, converged=each), tolerance=0.05) for each in (True, False))
    assert judge(known, now).answer is FAIL
    found = judge(rising, now)
    assert found.answer is INCONCLUSIVE
    assert "grew by more than 5 %" in found.reason
    assert "the critic of the baseline had not stopped improving" in found.reason
    assert "so this does not fail" in found.reason
    assert "Record the baseline again" in found.what_would_decide


def test_only_open_questions_have_suggestions():
    assert judge(Maximum(value=3.0), population(1.0, 2.0)).what_would_decide is None
    assert judge(Maximum(value=0.5), population(1.0, 2.0)).what_would_decide is None
    toward_fail = judge(Maximum(value=1.5), population(1.0, 3.0, estimate=2.0)).what_would_decide
    # The lower end, 1 below the estimate, has to come within 0.5 of it: four times the samples.
    assert "about 4.0 times as many samples should make it fail" in toward_fail
    assert "A maximum of 3.000 would pass" in toward_fail
    toward_pass = judge(Maximum(value=1.5), population(0.5, 3.0, estimate=1.0, converged=False)).what_would_decide
    assert "the upper bound must fall by 50 %" in toward_pass
    assert "--budget" in toward_pass
    assert "none was affordable" in judge(Maximum(value=1.5), samples(1.0, None)).what_would_decide
    assert "over 1000 times" in judge(Maximum(value=1.5), population(1.0, 3.0, estimate=1.5001)).what_would_decide
    assert "another --seed" in judge(Maximum(value=1.5), population(2.0, 1.0)).what_would_decide


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        ((PASS, PASS), PASS),
        ((PASS, INCONCLUSIVE), INCONCLUSIVE),
        ((INCONCLUSIVE, FAIL), FAIL),
        ((FAIL, PASS), FAIL),
        ((PASS,), PASS),
    ],
)
def test_several_rules_give_the_worst_of_their_answers(answers, answer):
    limit = {PASS: 3.0, INCONCLUSIVE: 1.5, FAIL: 0.5}
    verdicts = tuple(judge(Maximum(value=limit[each]), samples(1.0, 2.0)) for each in answers)
    verdict = together(verdicts)
    assert verdict.answer is answer
    assert (verdict.what_would_decide is not None) == (answer is INCONCLUSIVE)
    assert all(each.reason in verdict.reason for each in verdicts)


def test_each_answer_has_its_exit_status():
    assert [each.exit_status for each in (PASS, FAIL, INCONCLUSIVE)] == [
        ExitStatus.DONE,
        ExitStatus.GATE_FAILED,
        ExitStatus.INCONCLUSIVE,
    ]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_numbers_that_are_no_distance_or_share_are_refused(value):
    with pytest.raises(UsageError, match="maximum is a distance"):
        Maximum(value=value)
    with pytest.raises(UsageError, match="max_lower is a distance"):
        LowerMaximum(value=value)
    with pytest.raises(UsageError, match="tolerance is a fraction"):
        NoWorse(before=samples(1, 2), tolerance=value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "there is no limit to check"),
        ({"tolerance": 0.1, "maximum": 1.0}, "since baseline"),
        ({"max_lower": 1.0, "maximum": 1.0}, "which maximum needs"),
        ({"max_lower": 1.0, "baseline": "last.json"}, "which baseline needs"),
        ({"maximum": -1.0}, "maximum is a distance"),
        ({"max_lower": math.nan}, "max_lower is a distance"),
        ({"baseline": "last.json", "tolerance": -0.1}, "tolerance is a fraction"),
        ({"maximum": 1.0, "on": "both"}, "on both is unknown"),
    ],
)
def test_limits_that_make_no_sense_are_refused(asked, words):
    with pytest.raises(UsageError, match=words):
        GateLimits(**asked)


def test_limits_may_be_a_maximum_and_a_baseline_together():
    assert GateLimits(maximum=1.0, baseline="last.json", tolerance=0.1).on == "population"


def test_sentences_about_growth_are_plain_english():
    rule = NoWorse(before=samples(1.0, 2.0), tolerance=0.05)
    told = [judge(rule, samples(*now)).reason for now in ((2.5, 3.0), (0.5, 1.0), (1.0, 1.5))]
    assert told == [
        "W1 between the two sample sets is at least 2.500 and was at most 2.000 in the baseline, so it grew by more than 5 %, "
        "for certain.",
        "W1 between the two sample sets is at most 1.000 and was at least 1.000 in the baseline, so it grew by at most 5 %, "
        "for certain.",
        "W1 between the two sample sets is between 1.000 and 1.500, for certain, and was between 1.000 and 2.000 in the baseline. "
        "This leaves open whether it is at most 5 % above the baseline.",
    ]


def test_a_baseline_whose_lower_bound_says_nothing_passes_only_what_is_zero():
    rule = NoWorse(before=population(-0.5, 1.0), tolerance=0.05)
    assert judge(rule, population(0.0, 0.0)).answer is PASS
    assert "must fall by 100 %" in judge(rule, population(0.0, 1e-9)).what_would_decide


def test_a_rule_that_cannot_fail_does_not_suggest_how():
    """An upper bound below the limit leaves no room for a longer training."""
    rule = NoWorse(before=samples(1.0, 2.0), tolerance=0.05)
    assert "--budget" not in judge(rule, samples(1.0, 1.5, converged=False)).what_would_decide
    assert "--budget" in judge(rule, samples(1.0, 2.5, converged=False)).what_would_decide


def test_limits_of_a_regression_are_rounded_away_from_what_is_claimed():
    limits = NoWorse(before=samples(1.0, 1.0), tolerance=0.1).limits
    assert limits == Limits(passes_within=math.nextafter(1.1, 0), fails_above=math.nextafter(1.1, 2))


def test_a_limit_reads_as_the_number_that_was_asked_for():
    """Cut to six digits it would lie below the bound that passes it."""
    verdict = judge(Maximum(value=1.07312349), samples(0.5, 1.0731234))
    assert verdict.answer is PASS
    assert "at most 1.07312341, within the maximum of 1.07312349" in verdict.reason


def test_a_fall_to_zero_is_a_fall_by_100_per_cent():
    assert "must fall by 100 %" in judge(Maximum(value=0.0), samples(0.0, 1.0)).what_would_decide


def test_a_detected_value_is_never_called_a_bound_of_w1_from_above():
    passed, failed = (judge(Maximum(value=value), detected(1.0)) for value in (1.5, 0.5))
    assert passed.reason == (
        "What this critic finds between A and B on fresh samples is at most 1.196, within the maximum of 1.5, with 95 % confidence "
        "(asymptotic). This does not bound W1: another critic may find more."
    )
    assert failed.reason.endswith("(asymptotic). W1 between their distributions is no smaller.")
    for verdict in (passed, failed, judge(Maximum(value=1.1), detected(1.0))):
        assert not re.search(r"W1[^.]* is at most", verdict.reason)


def test_an_open_question_about_a_detected_value_says_how_many_samples_decide():
    """The margin of 1.96 standard errors must shrink to the distance from the limit, as n^(-1/2)."""
    suggestions = judge(Maximum(value=1.098), detected(1.0, undivided=True)).suggestions
    assert suggestions[0] == (
        "The estimate, 1.000, is below 1.098: about 4.0 times as many samples (600 held out a side) should make it pass "
        "(an estimate, not a bound)."
    )
    assert "--folds 5" in suggestions[1]
    above, *others = judge(Maximum(value=0.902), detected(1.0)).suggestions
    assert "exceeds 0.902: about 4.0 times as many samples" in above
    assert "should make it fail" in above
    assert not others


@pytest.mark.parametrize(
    ("now", "before", "answer"), [(1.0, 1.0, INCONCLUSIVE), (0.5, 1.0, PASS), (1.5, 1.0, FAIL), (1.05, 1.0, INCONCLUSIVE)]
)
def test_growth_of_a_detected_value_is_one_test_with_all_standard_errors(now, before, answer):
    now, before = detected(now), detected(before)
    rule = NoMoreDetected(before=before, now=now, tolerance=0.05)
    assert judge(rule, now).answer is answer
    margin = 1.96 * math.sqrt(2) * (2.05 * 0.1 / math.sqrt(2))
    assert rule.limits.passes_within - now.upper == pytest.approx(1.05 - now.estimate - margin)
    assert rule.limits.fails_above - now.lower == pytest.approx(1.05 - now.estimate + margin)
    assert "was estimated as 1.000 in the baseline" in judge(rule, now).reason


def test_growth_since_a_negative_value_is_measured_from_zero():
    now, before = detected(0.3), detected(-0.5, error=0.01)
    assert judge(NoMoreDetected(before=before, now=now, tolerance=0.05), now).answer is FAIL
    now = detected(0.1)
    assert judge(NoMoreDetected(before=before, now=now, tolerance=0.05), now).answer is INCONCLUSIVE


@pytest.mark.parametrize(
    ("difference", "answer", "words"),
    [
        (
            (-0.9, -0.25),
            PASS,
            "at most 20.50; a paired test on the same blocks puts it at least 0.2500 below the limit, 10 % above",
        ),
        ((1.5, 2.0), FAIL, "at least 3.500; a paired test on the same blocks puts it at least 1.500 above the limit, 10 % above"),
        ((-0.1, 0.1), INCONCLUSIVE, "between 3.500 and 20.50"),
    ],
)
def test_a_paired_test_says_on_which_side_of_the_limit_the_mean_lies(difference, answer, words):
    """The interval of the mean alone, here 3.6 to 20.7 around a limit of 9.5, decides nothing."""
    now = Interval(on="block", lower=3.5, upper=20.5, estimate=9.1, confidence=0.95, asymptotic=True, size=4)
    found = judge(ReferenceMaximum(now=now, difference=difference, above=AboveReference(share=0.1), within=9.548), now)
    assert found.answer is answer
    assert words in found.reason
    assert "estimated as 9.548" in found.reason
    if answer is INCONCLUSIVE:
        assert found.reason.endswith(
            "and the limit, itself uncertain, is estimated as 9.548. This leaves open whether it is at most 10 % above the "
            "reference against itself."
        )
        advice = "times as many samples, with --blocks 4, should make it pass (an estimate, not a bound)."
        assert found.suggestions[0].endswith(advice), "more samples also make larger blocks, whose distances are others"
