"""Differences of two means: standard errors with and without folds, and p-values of "no difference"."""

import math

import numpy as np
import pytest
from scipy import stats

from wdist.bounds.mean_difference import mean_contrast, mean_difference, permutation_p_value, shared_training


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_one_difference_agrees_with_scipy_for_values_like_normal_ones(scale):
    a, b = (stats.norm.ppf((np.arange(n) + 0.5) / n, *normal) for n, normal in ((40, (0.4, 2)), (25, (0, 0.3))))
    found = mean_difference([(a * scale, b * scale)])
    reference = stats.ttest_ind(a, b, equal_var=False, alternative="greater")
    assert found.estimate / scale == pytest.approx(a.mean() - b.mean(), rel=1e-12)
    assert found.error_a / scale == pytest.approx(stats.sem(a), rel=1e-12)
    assert found.error_b / scale == pytest.approx(stats.sem(b), rel=1e-12)
    assert found.freedom == pytest.approx(reference.df, rel=1e-12)
    assert found.p_value == pytest.approx(reference.pvalue, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
def test_few_and_skewed_values_widen_the_bounds_as_stated(alpha, scale):
    random = np.random.default_rng(1)
    a, b = random.exponential(size=40), random.standard_t(3, 25) ** 2
    found = mean_difference([(a * scale, b * scale)])
    variances = [np.var(side, ddof=1) / len(side) for side in (a, b)]
    freedoms = [min(len(side) - 1, 2 * len(side) / (stats.kurtosis(side, fisher=False) - 1)) for side in (a, b)]
    freedom = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    error = sum(variances) ** 0.5
    skewness = (stats.kstat(a, 3) / len(a) ** 2 - stats.kstat(b, 3) / len(b) ** 2) / error**3
    assert found.freedom == pytest.approx(freedom, rel=1e-9)
    assert found.skewness == pytest.approx(skewness, rel=1e-9)
    assert skewness < 0
    t = stats.t.ppf(1 - alpha, freedom)
    lower, upper = a.mean() - b.mean() - (t - skewness * (2 * t**2 + 1) / 6) * error, a.mean() - b.mean() + t * error
    assert found.lower(alpha) / scale == pytest.approx(lower, rel=1e-9)
    assert found.upper(alpha) / scale == pytest.approx(upper, rel=1e-9)


@pytest.mark.parametrize("shift", [0.3, 1.0, 3.0])
def test_the_p_value_is_the_error_at_which_the_lower_bound_reaches_0(shift):
    b = np.random.default_rng(2).exponential(size=30)
    found = mean_difference([(np.full(20, b.mean() + shift) + 0.1 * np.arange(20), b)])
    assert found.lower(found.p_value) == pytest.approx(0.0, abs=1e-9)
    assert found.lower(2 * found.p_value) > 0 > found.lower(found.p_value / 2)


def test_values_that_are_equal_count_as_if_a_far_one_might_occur():
    """Once in n values, as far as the two means or two values seen are apart, with two degrees of freedom; once over all folds."""
    found = mean_difference([(np.ones(50), np.zeros(40))])
    assert (found.error_a, found.error_b) == pytest.approx((1 / 50, 1 / 40))
    varied = np.arange(40.0)
    found = mean_difference([(np.full(50, 9.5), varied)])
    assert found.error_a == pytest.approx((39 + 10) / 50)
    assert found.error_b == pytest.approx(stats.sem(varied))
    over_folds = mean_difference([(np.ones(10), np.zeros(8))] * 5)
    assert over_folds.error_a**2 == pytest.approx(shared_training(5) / 50**2)
    assert over_folds.freedom == pytest.approx(mean_difference([(np.ones(50), np.zeros(40))]).freedom)


def test_values_of_one_fold_far_above_the_others_do_not_divide_by_0():
    random = np.random.default_rng(3)
    folds = [(random.normal(size=20), random.normal(size=20)) for _ in range(3)]
    folds[1] = (folds[1][0] + 1e154, folds[1][1] + 1e154)
    assert mean_difference(folds).lower(0.05) < 1e140


@pytest.mark.filterwarnings("ignore:invalid value")
def test_infinite_values_bound_nothing():
    infinite = np.array([np.inf, 0.0])
    found = mean_difference([(infinite, infinite), (infinite, -infinite)])
    assert math.isnan(found.estimate)
    assert not found.lower(0.05) <= 0


def test_equal_values_of_both_sides_prove_no_difference():
    assert mean_difference([(np.ones(5), np.ones(4))]).p_value == 1.0
    assert mean_difference([(np.ones(5), np.ones(4))]).lower(0.025) == 0.0
    assert 1e-2 < mean_difference([(np.ones(5), np.zeros(4))]).p_value < 0.05


def test_folds_are_averaged_and_share_their_training():
    random = np.random.default_rng(0)
    folds = [(random.normal(size=20), random.normal(size=30)) for _ in range(4)]
    found = mean_difference(folds)
    one = [mean_difference([fold]) for fold in folds]
    assert found.estimate == pytest.approx(np.mean([each.estimate for each in one]))
    within = sum(each.standard_error**2 for each in one) / 16
    assert found.standard_error**2 == pytest.approx(shared_training(4) * within)


def test_samples_that_trained_no_critic_share_nothing_between_folds():
    folds = [np.random.default_rng(1).normal(size=(3, 20)) for _ in range(5)]
    within = np.var(folds, axis=2, ddof=1) / 20 / 25
    found = mean_contrast(folds, (1, -1, 1), trained=[(False, True, False)] * 5)
    assert found.error_a**2 == pytest.approx(within[:, 0].sum())
    assert found.error_b**2 == pytest.approx(shared_training(5) * within[:, 1].sum() + within[:, 2].sum())


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_critics_of_folds_of_equal_distributions_are_found_different_no_oftener_than_stated(folds):
    """A linear critic along the difference of the other folds' means; the variance within folds alone would err twice as often."""
    random, runs, alpha, n = np.random.default_rng(folds), 600, 0.05, 100

    def found():
        a, b = random.normal(size=(n, 8)), random.normal(size=(n, 8))
        fold = np.arange(n) % folds
        directions = [a[fold != k].mean(0) - b[fold != k].mean(0) for k in range(folds)]
        return mean_difference([(a[fold == k] @ each, b[fold == k] @ each) for k, each in enumerate(directions)])

    results = [found() for _ in range(runs)]
    most = alpha * runs + 3 * math.sqrt(alpha * (1 - alpha) * runs)
    assert sum(each.p_value <= alpha for each in results) <= most
    naive = sum(each.estimate / each.standard_error * math.sqrt(shared_training(folds)) > stats.norm.isf(alpha) for each in results)
    assert naive > most


def test_permutations_agree_with_their_enumeration():
    a, b = np.array([1.0, 2.5, 3.0, 7.0]), np.array([0.0, 2.0, 2.5, 0.5])
    exact = stats.permutation_test(
        (a, b), lambda x, y: x.mean() - y.mean(), permutation_type="independent", alternative="greater", n_resamples=np.inf
    ).pvalue
    assert permutation_p_value(a, b, seed=0) == pytest.approx(exact, abs=0.01)
    assert permutation_p_value(1e200 * a, 1e200 * b, seed=0) == permutation_p_value(a, b, seed=0)


def test_permutations_count_ties():
    assert permutation_p_value(np.full(9, 0.1), np.full(7, 0.1), seed=0) == 1.0
    assert permutation_p_value(np.full(40, 0.3), np.full(30, 0.1), seed=0) == 1e-4


@pytest.mark.parametrize("law", ["normal", "heavy", "rare"])
def test_p_values_of_equal_distributions_are_uniform_or_larger(law):
    random = np.random.default_rng(1)
    draw = {
        "normal": random.standard_normal,
        "heavy": lambda n: random.standard_t(1.5, n),
        "rare": lambda n: (random.random(n) < 0.05).astype(float),
    }[law]
    p_values = np.array([permutation_p_value(draw(20), draw(35), seed=run) for run in range(300)])
    if law == "rare":  # ties make them larger
        assert (p_values <= 0.05).mean() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    else:
        assert stats.kstest(p_values, "uniform").pvalue > 0.01
