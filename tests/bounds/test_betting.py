"""Betting: the wealth that the docstring defines, and bounds that are wrong no oftener than they say."""

import math

import numpy as np
import pytest
from scipy import stats

from wdist.bounds.betting import _LARGEST_STAKE, _PRIOR, betting, lower_mean
from wdist.bounds.confidence import empirical_bernstein, welch


def allowed(runs, alpha):
    """Wrong bounds that a true share of alpha exceeds in one of a thousand such tests."""
    return int(stats.binom.ppf(0.999, runs, alpha))


def wealth(z, floors, alpha, extent, m):
    """The largest capital that a gambler ever holds who bets that the mean exceeds m, one value after the other."""
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
def test_the_bound_is_where_the_largest_capital_was_enough(seed, alpha):
    random = np.random.default_rng(seed)
    z, floor = random.beta(*random.uniform(0.3, 4, 2), int(random.integers(20, 80))), -float(random.random())
    floors = np.full(len(z), floor)
    bound = lower_mean(z, floors, alpha, 1 - floor)
    if bound > floor:
        assert wealth(z, floors, alpha, 1 - floor, bound - 1e-9) >= 1 / alpha
    assert wealth(z, floors, alpha, 1 - floor, max(bound, floor) + 1e-9) <= 1 / alpha


def test_capital_falls_as_the_mean_that_is_bet_against_rises():
    """Else the bound would not be where the set of all refuted means ends."""
    random = np.random.default_rng(0)
    z, floors = random.random(50), -random.random(50)
    capital = [wealth(z, floors, 0.05, 1.5, m) for m in np.linspace(0, 1, 60)]
    assert (np.diff(capital) <= 1e-12).all()


@pytest.mark.parametrize("counts", [(10, 10), (50, 20), (200, 333)], ids=str)
@pytest.mark.parametrize("kind", ["rare", "rare on the other side", "even", "skewed"])
@pytest.mark.parametrize("apart", [None, 1.0])
def test_it_is_wrong_no_oftener_than_it_says(counts, kind, apart):
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


@pytest.mark.parametrize("counts", [(2000, 2000), (1000, 3000)], ids=str)
def test_it_is_much_nearer_to_welch_than_empirical_bernstein_is(counts):
    random = np.random.default_rng(6)
    a, b = random.random(counts[0]) * 0.5 + 0.5, random.random(counts[1])
    difference = a.mean() - b.mean()
    margins = [
        difference - bound for bound in (welch(a, b, 0.05), betting(a, b, 0.05, (1, 1)), empirical_bernstein(a, b, 0.05, (1, 1)))
    ]
    assert margins[0] < margins[1] < 1.6 * margins[0] < margins[2]


def test_to_know_how_far_the_sides_are_apart_helps():
    random = np.random.default_rng(7)
    a, b = random.normal(5, 1, 100), random.normal(0, 1, 80)
    assert betting(a, b, 0.05, (28.0, 28.0)) < betting(a, b, 0.05, (28.0, 28.0), 28.0)


@pytest.mark.parametrize("a", [[1.0], [1.0, 1.0, 1.0]], ids=str)
@pytest.mark.parametrize("b", [[0.0], [0.0, 0.0]], ids=str)
def test_from_next_to_nothing_it_still_says_what_is_certain(a, b):
    """The largest value is at most a range above the mean."""
    bound = betting(np.array(a), np.array(b), 0.05, (1.0, 2.0))
    assert 1 - 1 - 2 - 1e-12 <= bound <= 1
    assert betting(np.array(a), np.array(b), 0.05, (0.0, 0.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e290])
def test_it_knows_no_units(scale):
    random = np.random.default_rng(8)
    a, b = random.random(60), random.random(40)
    assert betting(a * scale, b * scale, 0.1, (scale, scale)) / scale == pytest.approx(betting(a, b, 0.1, (1.0, 1.0)), rel=1e-9)


def test_many_values_are_no_burden():
    random = np.random.default_rng(9)
    a, b = random.random(100_000), random.random(130_000)
    assert -0.02 < betting(a, b, 0.05, (1.0, 1.0)) < 0.01
