"""Gates on mean distances between blocks: limits relative to the reference, and baselines on the same blocks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from wdist import gate
from wdist.errors import SourceError, UsageError
from wdist.estimation.blocks import above_reference, deviation_interval, growth, summary
from wdist.gates.limits import AboveReference, GateLimits, read_maximum
from wdist.report.documents.forms import document_text


@pytest.fixture(scope="module")
def sides():
    random = np.random.default_rng(0)
    return random.normal(size=(400, 8)), random.normal(size=(400, 8)) + 0.5


def judged(sides, maximum=None, **more):
    return gate(*sides, maximum=maximum, on="block", **more)


def blocks(values, confidence=0.95):
    return summary(np.asarray(values, dtype=float), 5, confidence=confidence, diameter=None, seed=0)


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("1.5", 1.5),
        ("reference+10%", AboveReference(share=0.1)),
        (" reference + 2.5 % ", AboveReference(share=0.025)),
        ("3sd", AboveReference(deviations=3)),
        (".5 sd", AboveReference(deviations=0.5)),
    ],
)
def test_limits_are_read(words, read):
    assert read_maximum(words) == read


@pytest.mark.parametrize("words", ["3s", "reference", "reference+10", "reference-10%", "sd", "10%"])
def test_other_words_are_refused_with_the_way_out(words):
    with pytest.raises(UsageError, match=r"write a distance, such as maximum=1\.5"):
        read_maximum(words)


@pytest.mark.parametrize("on", ["population", "samples", "detected"])
def test_relative_limits_are_for_blocks(on):
    with pytest.raises(UsageError, match='add on="block", or give a distance'):
        GateLimits(maximum="3sd", on=on)
    with pytest.raises(UsageError, match="give maximum instead"):
        GateLimits(max_lower=1.0, on="block")


def normal_scores(n):
    """Quantiles of the standard normal distribution, at which Student's t needs no correction."""
    return stats.norm.ppf((np.arange(n) + 0.5) / n)


def test_a_share_above_the_reference_is_a_paired_test():
    values = normal_scores(12)[:, None] * [0.2, -0.1, 0.1] + 1
    limit, (low, high) = above_reference(blocks(values), share=0.1, deviations=0.0)
    assert limit == pytest.approx(1.1 * values[:, 1].mean())
    expected = stats.ttest_1samp(values[:, 0] - 1.1 * values[:, 1], 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("groups", [10, 40])
def test_deviations_above_the_reference_are_covered(groups):
    """Each end of the excess over three standard deviations, also where the distances and their spread move together."""
    random, runs, alpha = np.random.default_rng(2), 300, 0.1
    drawn = random.gamma(3, size=(runs, groups, 3))  # mean 3, variance 3
    found = [above_reference(blocks(values, 1 - alpha), share=0.0, deviations=3.0)[1] for values in drawn]
    truth, allowed = -3 * 3**0.5, stats.binom.ppf(0.999, runs, alpha / 2)
    assert sum(low > truth for low, _ in found) <= allowed
    assert sum(high < truth for _, high in found) <= allowed


def test_a_deviation_of_few_groups_has_no_upper_end_at_high_confidence(sides):
    assert deviation_interval(np.arange(4.0), 1e-6) == (0.0, np.inf)
    assert deviation_interval(np.ones(40), 0.05) == (0.0, np.inf), "equal values do not show how far away a rare one is"
    open_question = judged(sides, "0.1sd", blocks=50, confidence=0.99999)
    assert open_question.answer == "inconclusive"
    assert "inf" not in open_question.verdict.what_would_decide


def test_growth_is_a_paired_test():
    before, after = np.append(normal_scores(10), [5.0, 9.0]) * [[0.1], [0.3]] + 1
    found = growth(blocks(np.stack([after, before, before], axis=1)), before[:10], tolerance=0.05)
    expected = stats.ttest_1samp((after - 1.05 * before)[:10], 0).confidence_interval(0.95)
    assert found == pytest.approx((expected.low, expected.high))


def test_verdicts_name_the_reference_and_do_not_claim_more(sides):
    far, near = judged(sides, "reference+5%"), judged(sides, "reference+60%")
    assert (far.answer, near.answer) == ("fail", "pass")
    assert "above the limit, 5 % above the reference against itself" in far.verdict.reason
    assert "W1 between their distributions may be smaller" in far.verdict.reason
    assert "W1 between their distributions" not in near.verdict.reason, "the test is about a difference"
    assert near.estimate.critic.steps == 0, "no critic is trained"
    block = near.estimate.block
    absolute = judged(sides, block.upper * 1.01)
    assert absolute.answer == "pass"
    assert absolute.verdict.reason.endswith("W1 between their distributions is no larger.")
    undecided = judged(sides, block.estimate)
    assert undecided.answer == "inconclusive"
    assert "times as many samples" in undecided.verdict.what_would_decide


def test_the_reference_itself_is_within_few_deviations():
    random = np.random.default_rng(4)
    assert judged((random.normal(size=(600, 4)), random.normal(size=(600, 4))), "3sd").answer == "pass"


def test_a_baseline_is_compared_on_the_same_blocks_of_the_reference(sides, tmp_path):
    a, b = sides
    path = tmp_path / "base.json"
    path.write_text(document_text(judged(sides, 1.0, blocks=10), command="gate"))
    again = judged(sides, baseline=path)
    assert again.estimate.block.size == 10, "the size of the baseline"
    assert again.answer == "pass"
    assert "between the same blocks of A, so it grew by at most 5 %" in again.verdict.reason
    assert judged((a, b + 1), baseline=path).answer == "fail"
    with pytest.raises(UsageError, match="give blocks=10 and seed=0"):
        judged(sides, baseline=path, seed=1)
    without = tmp_path / "old.json"
    without.write_text(document_text(replace(again, estimate=replace(again.estimate, block=None)), command="gate"))
    with pytest.raises(SourceError, match="holds no distances between blocks"):
        judged(sides, baseline=without)


def test_too_few_samples_and_proofs_are_refused(sides):
    with pytest.raises(UsageError, match='on="block" needs independent samples, at least 20 of each side and 8 times blocks'):
        judged((sides[0], sides[0]), 1.0)
    with pytest.raises(UsageError, match='not what on="block" judges'):
        judged(sides, 1.0, proof="p.safetensors")
