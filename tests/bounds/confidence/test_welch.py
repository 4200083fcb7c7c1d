"""Welch's t: the formula, and how often it is wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from wdist.bounds.confidence.asymptotic import welch


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("counts", [(2, 3), (10, 10), (7, 400)], ids=str)
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-30, 1.0, 1e30, 1e200, 1e300])
def test_welch_is_that_of_scipy(counts, alpha, scale):
    random = np.random.default_rng(0)
    a, b = random.normal(1, 2, counts[0]), random.normal(0, 0.3, counts[1])
    reference = stats.ttest_ind(a, b, equal_var=False, alternative="greater").confidence_interval(1 - alpha).low
    assert welch(a * scale, b * scale, alpha) / scale == pytest.approx(reference, rel=1e-9)


def test_welch_without_variance_is_the_difference():
    assert welch(np.ones(5), np.zeros(4), 0.05) == 1.0
    assert welch(np.array([0.0, 2.0]), np.zeros(4), 0.05) < 1.0


def test_welch_is_wrong_as_often_as_it_says():
    """Exactly so for two normal samples of equal variance and size; 3 standard deviations of a binomial on both sides."""
    random, runs, alpha = np.random.default_rng(1), 3000, 0.1
    wrong = sum(welch(random.normal(1, 1, 12), random.normal(0, 1, 12), alpha) > 1 for _ in range(runs))
    assert abs(wrong - alpha * runs) < 3 * math.sqrt(runs * alpha * (1 - alpha)) + 0.01 * runs
