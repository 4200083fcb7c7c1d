"""Betting: capital as defined, and bounds that are wrong no more often than they state."""

import math

import numpy as np
import pytest
from scipy import stats

from wdist.bounds.betting import _LARGEST_STAKE, _PRIOR, betting, lower_mean
from wdist.bounds.confidence import empirical_bernstein, welch


def allowed(runs, alpha):
    """The count of wrong bounds that a true error rate of alpha exceeds in one of a thousand such tests."""
    return int(stats.binom.ppf(0.999, runs, alpha))


def wealth(z, floors, alpha, extent, m):
    """The largest capital that a gambler ever holds who bets on one value after the other that the mean exceeds m."""
    capital = most = 1.0
    for i in range(len(z)):
        before = z[:i]
        variance = ((_PRIOR * extent) ** 2 + ((before - before.mean()) ** 2).sum() if i else (_PRIOR * extent) ** 2) / (i + 1)
        stake = math.sqrt(2 * math.log(1 / alpha) / (len(z) * variance))
        if m > floors[i]:
            stake = min(stake, _LARGEST_STAKE / (m - floors[i]))
        capital *= 1 + stake * (z[i] - m)
        most = max(most, capital)
    return most


@pytest.mark.parametrize("alpha", [0.01, 0.1])
@pytest.mark.parametrize("seed", range(10))
def test_the_bound_is_the_largest_mean_that_the_capital_refutes(seed, alpha):
    random = np.random.default_rng(seed)
    z, floor = random.beta(*random.uniform(0.3, 4, 2), int(random.integers(20, 80))), -float(random.random())
    floors = np.full(len(z), floor)
    bound = lower_mean(z, floors, alpha, 1 - floor)
    if bound > floor:
        assert wealth(z, floors, alpha, 1 - floor, bound - 1e-9) >= 1 / alpha
    assert wealth(z, floors, alpha, 1 - floor, max(bound, floor) + 1e-9) <= 1 / alpha


def test_capital_decreases_in_the_mean():
    """Otherwise the bound would not be the end of the set of refuted means."""
    random = np.random.default_rng(0)
    z, floors = random.random(50), -random.random(50)
    capital = [wealth(z, floors, 0.05, 1.5, m) for m in np.linspace(0, 1, 60)]
    assert (np.diff(capital) <= 1e-12).all()


@pytest.mark.parametrize("counts", [(10, 10), (50, 20), (200, 333)], ids=str)
@pytest.mark.parametrize("kind", ["rare", "rare on the other side", "even", "skewed"])
@pytest.mark.parametrize("apart", [None, 1.0])
def test_it_is_wrong_no_more_often_than_it_states(counts, kind, apart):
    random, runs, alpha = np.random.default_rng(5), 300, 0.1
    draws = {
        "rare": (lambda n: (random.random(n) < 0.02) * 1.0, lambda n: np.zeros(n), 0.02),
        "rare on the other side": (lambda n: np.ones(n), lambda n: (random.random(n) < 0.05) * 1.0, 0.95),
        "even": (lambda n: random.random(n), lambda n: random.random(n), 0.0),
        "skewed": (lambda n: random.beta(0.2, 1, n), lambda n: 1 - random.beta(0.2, 1, n), 1 / 6 - 5 / 6),
    }
    draw_a, draw_b, truth = draws[kind]
    bounds = [betting(draw_a(counts[0]), draw_b(counts[1]), alpha, (1.0, 1.0), apart) for _ in range(runs)]
    assert sum(bound > truth for bound in bounds) <= allowed(runs, alpha)


@pytest.mark.parametrize("counts", [(30, 30), (41, 40), (73, 219), (170, 100)], ids=str)
@pytest.mark.parametrize("orders", [(1, 1), (-1, 1)], ids=["both ascending", "one descending"])
def test_sorted_files_do_not_make_it_wrong_more_often(counts, orders):
    """In file order, nearly all bounds would be wrong if one file ascends and the other descends."""
    random, runs, alpha = np.random.default_rng(11), 300, 0.05
    sides = [[np.sort(random.random(n))[::order] for n, order in zip(counts, orders, strict=True)] for _ in range(runs)]
    assert sum(betting(a, b, alpha, (1.0, 1.0), 1.0) > 0 for a, b in sides) <= allowed(runs, alpha)


@pytest.mark.parametrize("counts", [(2000, 2000), (1000, 3000)], ids=str)
def test_it_is_much_closer_to_welch_than_empirical_bernstein(counts):
    random = np.random.default_rng(6)
    a, b = random.random(counts[0]) * 0.5 + 0.5, random.random(counts[1])
    difference = a.mean() - b.mean()
    margins = [
        difference - bound for bound in (welch(a, b, 0.05), betting(a, b, 0.05, (1, 1)), empirical_bernstein(a, b, 0.05, (1, 1)))
    ]
    assert margins[0] < margins[1] < 1.6 * margins[0] < margins[2]


def test_a_known_distance_between_the_sides_sharpens_it():
    random = np.random.default_rng(7)
    a, b = random.normal(5, 1, 100), random.normal(0, 1, 80)
    assert betting(a, b, 0.05, (28.0, 28.0)) < betting(a, b, 0.05, (28.0, 28.0), 28.0)


@pytest.mark.parametrize("a", [[1.0], [1.0, 1.0, 1.0]], ids=str)
@pytest.mark.parametrize("b", [[0.0], [0.0, 0.0]], ids=str)
def test_from_very_few_values_it_still_states_what_is_certain(a, b):
    """The mean is at most a range below the largest value."""
    bound = betting(np.array(a), np.array(b), 0.05, (1.0, 2.0))
    assert 1 - 1 - 2 - 1e-12 <= bound <= 1
    assert betting(np.array(a), np.array(b), 0.05, (0.0, 0.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e290])
def test_it_does_not_depend_on_units(scale):
    random = np.random.default_rng(8)
    a, b = random.random(60), random.random(40)
    assert betting(a * scale, b * scale, 0.1, (scale, scale)) / scale == pytest.approx(betting(a, b, 0.1, (1.0, 1.0)), rel=1e-9)


def test_many_values_are_handled():
    random = np.random.default_rng(9)
    a, b = random.random(100_000), random.random(130_000)
    assert -0.02 < betting(a, b, 0.05, (1.0, 1.0)) < 0.01
