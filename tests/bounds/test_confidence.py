"""Confidence bounds: their formulas, their error rates, and the laws of all methods."""

import math

import numpy as np
import pytest
from scipy import stats

from wdist.bounds.betting import betting
from wdist.bounds.confidence import (
    METHODS,
    bounded_differences,
    empirical_bernstein,
    holm,
    lower_confidence_bound,
    resolve,
    share_upper,
    student_upper,
    welch,
)
from wdist.errors import UsageError


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("counts", [(2, 3), (10, 10), (7, 400)], ids=str)
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-30, 1.0, 1e30, 1e200, 1e300])
def test_welch_agrees_with_scipy_for_values_like_normal_ones(counts, alpha, scale):
    a, b = (stats.norm.ppf((np.arange(n) + 0.5) / n, *normal) for n, normal in zip(counts, ((1, 2), (0, 0.3)), strict=True))
    reference = stats.ttest_ind(a, b, equal_var=False, alternative="greater").confidence_interval(1 - alpha).low
    assert welch(a * scale, b * scale, alpha) / scale == pytest.approx(reference, rel=1e-9)


@pytest.mark.parametrize("n", [30, 150, 1000])
@pytest.mark.parametrize(("a", "b"), [(0.02, 0.02), (0.005, 0.005), (1, 0.05), (1, 0.01), (1, 0.002), (0.02, 0)], ids=str)
def test_welch_is_wrong_for_rare_values_hardly_oftener_than_it_states(n, a, b):
    """Shares of ones. Without the corrections for few and skewed values, up to 60 % of the bounds were wrong."""
    random, runs, alpha = np.random.default_rng(0), 1000, 0.05
    draws = random.random((2, runs, n)) < np.array([a, b])[:, None, None]
    wrong = sum(welch(*draw, alpha) > a - b for draw in draws.swapaxes(0, 1).astype(float))
    assert wrong <= stats.binom.ppf(0.999, runs, alpha + 0.03)


@pytest.mark.parametrize("law", [stats.expon(), stats.lognorm(1), stats.t(3)], ids=["exponential", "lognormal", "t"])
@pytest.mark.parametrize("n", [30, 300])
def test_welch_is_wrong_for_long_tails_less_than_twice_as_often_as_it_states(law, n):
    """A side whose long tail raises the truth; without the correction for skewness, up to 15 % of the bounds were wrong."""
    random, runs, alpha = np.random.default_rng(0), 1000, 0.05
    draws = law.rvs(size=(runs, n), random_state=random)
    wrong = sum(welch(np.zeros(n), draw, alpha) > -law.mean() for draw in draws)
    assert wrong <= stats.binom.ppf(0.999, runs, 2 * alpha)


def test_welch_is_wrong_as_often_as_it_states():
    """Exact for two normal samples of equal variance and size; within 3 standard deviations of a binomial on both sides."""
    random, runs, alpha = np.random.default_rng(1), 3000, 0.1
    wrong = sum(welch(random.normal(1, 1, 12), random.normal(0, 1, 12), alpha) > 1 for _ in range(runs))
    assert abs(wrong - alpha * runs) < 3 * math.sqrt(runs * alpha * (1 - alpha)) + 0.01 * runs


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_student_agrees_with_scipy_for_values_like_normal_ones(scale):
    values = stats.norm.ppf((np.arange(9) + 0.5) / 9, 1, 2)
    reference = stats.ttest_1samp(values, 0, alternative="less").confidence_interval(0.95).high
    assert student_upper(values * scale, 0.05) / scale == pytest.approx(reference, rel=1e-12)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_student_is_wrong_as_often_as_it_states_for_normal_values(n):
    draws = np.random.default_rng(1).normal(size=(4000, n))
    wrong = sum(student_upper(values, 0.1) < 0 for values in draws)
    assert abs(wrong - 400) < 4 * (4000 * 0.1 * 0.9) ** 0.5


@pytest.mark.parametrize(("count", "n"), [(0, 13), (1, 13), (12, 13), (13, 13), (40, 1000)])
def test_a_share_agrees_with_scipy(count, n):
    reference = stats.binomtest(count, n, alternative="less").proportion_ci(0.95, method="exact").high
    assert share_upper(count, n, 0.05) == pytest.approx(reference, rel=1e-12)


def test_equal_values_do_not_make_their_mean_certain():
    assert student_upper(np.full(5, 3.0), 0.05) > 3.0
    assert student_upper(np.zeros(5), 0.05) == 0.0
    assert 0.0 < welch(np.ones(5), np.zeros(4), 0.05) < 1.0


def test_empirical_bernstein_is_the_stated_formula():
    """Maurer & Pontil (2009), theorem 4, at alpha / 2 for each mean."""
    a, b, alpha = np.array([0.0, 1.0, 0.5, 0.5]), np.array([0.2, 0.4, 0.3]), 0.1
    log = math.log(2 / 0.05)
    expected = a.mean() - b.mean()
    for values, n, extent in ((a, 4, 1.0), (b, 3, 2.0)):
        pairs = [(x - y) ** 2 for i, x in enumerate(values) for y in values[i + 1 :]]
        variance = sum(pairs) / (n * (n - 1))
        expected -= math.sqrt(2 * variance * log / n) + 7 * extent * log / (3 * (n - 1))
    assert empirical_bernstein(a, b, alpha, (1.0, 2.0)) == pytest.approx(expected, rel=1e-12)
    for scale in (1e-200, 1e200):
        found = empirical_bernstein(a * scale, b * scale, alpha, (scale, 2 * scale))
        assert found / scale == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [5, 50, 2000])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_empirical_bernstein_covers_what_welch_does_not(n, share):
    """Rare values in bounded intervals: at every sample size the bound exceeds the truth no more often than it states."""
    random, runs, alpha = np.random.default_rng(2), 400, 0.1
    draws = random.random((runs, 2, n)) < np.array([share, 0.2])[None, :, None]
    wrong = sum(empirical_bernstein(*draw.astype(float), alpha, (1.0, 1.0)) > share - 0.2 for draw in draws)
    assert wrong <= alpha * runs


def test_bounded_differences_is_the_stated_formula():
    assert bounded_differences(50, 200, 3.0, 0.1) == pytest.approx(3 * math.sqrt(math.log(10) / 2 * (1 / 50 + 1 / 200)), rel=1e-14)


@pytest.mark.parametrize("n", [3, 30])
def test_w1_of_samples_falls_no_further_below_its_mean(n):
    """Bernoulli sides far apart: W1 is the difference of the shares, as far from normal as bounded values can be."""
    random = np.random.default_rng(0)
    a, b = random.binomial(n, 0.5, 20_000) / n, np.zeros(20_000)
    margin = bounded_differences(n, n, 1.0, 0.1)
    assert (np.abs(a - b) < 0.5 - margin).mean() <= 0.1


@pytest.mark.parametrize("method", METHODS)
def test_more_confidence_and_fewer_samples_lower_the_bound(method):
    random = np.random.default_rng(3)
    a, b = random.random(400) + 1, random.random(300)

    def bound(n, alpha):
        return lower_confidence_bound(a[:n], b[:n], alpha=alpha, method=method, ranges=(1.0, 1.0))

    assert bound(300, 0.01) < bound(300, 0.05) < bound(300, 0.2) <= a[:300].mean() - b[:300].mean()
    assert bound(20, 0.05) < bound(300, 0.05)


def test_methods_are_chosen_by_name():
    a, b = np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.5])
    assert lower_confidence_bound(a, b, alpha=0.1, method="welch", ranges=(None, None)) == welch(a, b, 0.1)
    found = lower_confidence_bound(a, b, alpha=0.1, method="empirical-bernstein", ranges=(4.0, 3.0))
    assert found == empirical_bernstein(a, b, 0.1, (4.0, 3.0))
    found = lower_confidence_bound(a, b, alpha=0.1, method="betting", ranges=(4.0, 3.0), apart=5.0)
    assert found == betting(a, b, 0.1, (4.0, 3.0), 5.0)


def test_auto_is_betting_if_both_ranges_are_known_and_welch_otherwise():
    assert resolve("auto", (1.0, 2.0)) == "betting"
    assert resolve("auto", (None, 2.0)) == resolve("auto", (1.0, None)) == resolve("auto", (None, None)) == "welch"
    for method in METHODS:
        assert resolve(method, (1.0, 2.0)) == method
    a, b = np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.5])
    assert lower_confidence_bound(a, b, alpha=0.1, method="auto", ranges=(None, 3.0)) == welch(a, b, 0.1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shift", [-3.0, 0.0, 1e6])
def test_moving_a_side_moves_the_bound(method, shift):
    random = np.random.default_rng(4)
    a, b = random.random(40), random.random(60)
    here, there = (lower_confidence_bound(side, b, alpha=0.05, method=method, ranges=(1.0, 1.0)) for side in (a, a + shift))
    assert there == pytest.approx(here + shift, abs=1e-9 * (1 + abs(shift)))


def test_an_unknown_method_is_refused():
    for refuse in (
        resolve,
        lambda name, ranges: lower_confidence_bound(np.ones(2), np.ones(2), alpha=0.1, method=name, ranges=ranges),
    ):
        with pytest.raises(UsageError, match="auto, welch, empirical-bernstein, betting"):
            refuse("bootstrap", (1.0, 1.0))


@pytest.mark.parametrize("ranges", [(None, None), (1.0, None), (None, 1.0)], ids=str)
@pytest.mark.parametrize("method", ["empirical-bernstein", "betting"])
def test_bounds_for_bounded_values_need_both_ranges(method, ranges):
    with pytest.raises(UsageError, match='use ci="welch"'):
        resolve(method, ranges)
    resolve("welch", ranges)
    resolve("auto", ranges)


def test_holm_is_the_step_down_method():
    """By its definition: walk up the p-values while they are small enough for the hypotheses that are left."""
    random = np.random.default_rng(0)
    for _ in range(50):
        p_values = list(random.random(6) ** 3)
        adjusted = holm(p_values)
        for alpha in (0.01, 0.05, 0.3):
            rejected = set()
            for rank, place in enumerate(np.argsort(p_values)):
                if p_values[place] > alpha / (6 - rank):
                    break
                rejected.add(int(place))
            assert rejected == {place for place, each in enumerate(adjusted) if each <= alpha}
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
