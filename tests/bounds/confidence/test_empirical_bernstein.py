"""Empirical Bernstein: the formula, and how often it is wrong."""

import math

import numpy as np
import pytest

from wdist.bounds.confidence.bounded import empirical_bernstein


def test_empirical_bernstein_is_the_stated_formula():
    """Maurer & Pontil (2009), theorem 4, for each mean at alpha / 2."""
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
    """Rare values in bounded intervals: at every sample size the bound exceeds the truth at most as often as it says."""
    random, runs, alpha = np.random.default_rng(2), 400, 0.1
    draws = random.random((runs, 2, n)) < np.array([share, 0.2])[None, :, None]
    wrong = sum(empirical_bernstein(*draw.astype(float), alpha, (1.0, 1.0)) > share - 0.2 for draw in draws)
    assert wrong <= alpha * runs
