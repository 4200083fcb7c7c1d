"""Dependence that a fixed function detects: its interval, and the level of the test."""

import math

import numpy as np
import pytest
from scipy import stats

from wdist.dependences import detection
from wdist.dependences.detection import blocks_of, detect_dependence


@pytest.fixture
def few_orders(monkeypatch):
    """A p-value by fewer permutations has the same level."""
    monkeypatch.setattr(detection, "PERMUTATIONS", 199)


def normal(n, correlation, seed):
    x, z = np.random.default_rng(seed).normal(size=(2, n))
    return x, correlation * x + math.sqrt(1 - correlation**2) * z


def detected(x, y, function=lambda x, y: np.abs(x - y), confidence=0.9, seed=0):
    return detect_dependence(lambda i, j: function(x[i], y[j]), np.arange(len(x)), confidence=confidence, seed=seed)


@pytest.mark.parametrize("n", [12, 60, 900])
def test_the_level_of_the_test_is_what_it_says(n, few_orders):
    """Also for few rows, and for values that are often equal."""
    runs = 100 if n < 900 else 40
    p_values = [detected(*np.round(normal(n, 0.0, seed), 1), seed=seed).p_value for seed in range(runs)]
    for level in (0.05, 0.2):
        assert sum(p <= level for p in p_values) <= stats.binom.ppf(0.999, runs, level)


@pytest.mark.parametrize("n", [60, 900])
def test_the_interval_holds_the_value_of_the_function_as_often_as_it_says(n, few_orders):
    runs, correlation = 120 if n < 900 else 40, -0.6
    truth = (math.sqrt(1 - correlation) - 1) * 2 / math.sqrt(math.pi)
    found = [detected(*normal(n, correlation, seed)) for seed in range(runs)]
    missed = sum(not each.lower <= truth <= each.upper for each in found)
    assert missed <= stats.binom.ppf(0.999, runs, 0.12), "asymptotic"
    assert np.mean([each.estimate for each in found]) == pytest.approx(truth, abs=4 * found[0].standard_error / math.sqrt(runs))


def test_the_interval_allows_for_pairs_where_all_influences_agree(few_orders):
    """Two equally frequent levels, the same on both sides: every row has the same influence, and the value varies nevertheless."""
    runs, n, truth = 150, 80, 0.5
    levels = np.random.default_rng(0).integers(2, size=(runs, n))
    found = [detected(x, x, lambda x, y: np.where(x == y, 0.5, -0.5), seed=seed) for seed, x in enumerate(levels)]
    assert sum(each.lower > truth for each in found) <= stats.binom.ppf(0.999, runs, 0.05)
    assert sum(not each.lower <= truth <= each.upper for each in found) <= stats.binom.ppf(0.999, runs, 0.12), "asymptotic"


def test_functions_of_one_side_alone_find_nothing():
    x, y = normal(50, 0.9, 0)
    found = detected(x, y, lambda x, y: 100 * x - 7 * y**2)
    assert found.estimate == pytest.approx(0.0, abs=1e-10)
    assert found.p_value == 1.0


def test_a_strong_dependence_has_the_smallest_p_value():
    x, y = normal(100, 0.95, 0)
    found = detected(x, y, lambda x, y: -np.abs(x - y))
    assert found.p_value == 1e-4
    assert found.significant
    assert found.lower > 0
    assert found.permuted.mean() == pytest.approx(0.0, abs=0.02)


def test_many_rows_come_in_blocks():
    assert len(blocks_of(np.arange(300))) == 1
    sizes = [len(block) for block in blocks_of(np.arange(20_000))]
    assert detection._SMALLEST_BLOCK - 1 <= min(sizes) <= max(sizes) <= min(sizes) + 1
    assert sum(size**2 for size in sizes) < 3 * detection._EVALUATIONS


def test_a_constant_function_finds_exactly_nothing(few_orders):
    """Not what rounding leaves of it, whose interval might exclude 0."""
    found = detected(*normal(60, 0.5, 0), function=lambda x, y: np.full(len(x), 0.1))
    assert (found.estimate, found.lower, found.upper, found.p_value) == (0, 0, 0, 1)
