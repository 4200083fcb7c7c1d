"""Bounds of the regularised divergence from values: certain for samples, as often right as they say for populations."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.divergences import exact_divergence, shifted_gaussians
from wdist.bounds.divergence import (
    ClippedPotential,
    best_factor,
    divergence_value,
    fitted_potential,
    held_out_divergence,
    largest_factor,
    log_mean_exp,
    samples_lower,
)
from wdist.bounds.dual import PROOF
from wdist.critics.frozen import Potentials


def potentials(values, rounding=0.0):
    return Potentials(values=np.asarray(values, dtype=np.float64), rounding=rounding)


def normal(n, *, shift, seed):
    random = np.random.default_rng(seed)
    return random.normal(size=n) + shift, random.normal(size=n)


@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("seed", range(5))
def test_no_multiple_of_a_lipschitz_function_proves_more_than_convex_programming(scale, seed):
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(4, 2)) + 1, random.normal(size=(5, 2))
    truth = exact_divergence(a, b, scale)
    for centre in random.normal(size=(5, 2)):
        values = [potentials(np.linalg.norm(side - centre, axis=1)) for side in (a, b)]
        factor = best_factor(values[0].values, values[1].values, largest_factor(scale, 1.0))
        assert samples_lower(*values, factor) <= truth * (1 + 1e-5)


def test_rounding_and_its_margin_are_subtracted():
    a, b = normal(50, shift=1.0, seed=0)
    value = divergence_value(a, b)
    exact = samples_lower(potentials(a), potentials(b), 1.0, margin=PROOF)
    assert value - 1e-13 < exact < value
    doubted = samples_lower(potentials(a, 1e-3), potentials(b, 1e-3), 1.0, margin=PROOF)
    assert doubted == pytest.approx(value - 2e-3, rel=1e-6)
    assert samples_lower(potentials(a, 1e-3), potentials(b, 1e-3), 1.0) < doubted, "what is claimed is proved"
    assert samples_lower(potentials(a, math.inf), potentials(b), 1.0) == 0.0


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6])
@pytest.mark.parametrize("factor", [1e-6, 1.0, 300.0])
def test_values_far_from_zero_neither_overflow_nor_raise_the_bound(offset, factor):
    a, b = normal(50, shift=1.0, seed=0)
    plain = samples_lower(potentials(a), potentials(b), factor)
    moved = samples_lower(potentials(a + offset), potentials(b + offset), factor)
    assert 0 <= moved <= plain + 1e-9 * factor * abs(offset)
    assert moved == pytest.approx(plain, abs=1e-8 * factor * max(1, abs(offset)))


def test_the_best_factor_maximises_the_value():
    a, b = normal(200, shift=0.7, seed=1)
    best = best_factor(a, b, 50.0)
    value = divergence_value(best * a, best * b)
    assert all(value >= divergence_value(s * a, s * b) for s in np.linspace(0, 50, 101))
    assert 0.3 < best < 1.5, "between normal distributions it is about the distance of the means"
    assert best_factor(a, b, 0.1) == 0.1
    assert best_factor(b, a, 50.0) == 0.0


def test_small_factors_give_the_difference_of_the_means():
    a, b = normal(200, shift=0.7, seed=1)
    assert divergence_value(1e-6 * a, 1e-6 * b) / 1e-6 == pytest.approx(a.mean() - b.mean(), rel=1e-4)


def test_the_logarithm_of_a_mean_does_not_overflow():
    assert log_mean_exp(np.array([1000.0, 1000.0])) == pytest.approx(1000.0)
    assert log_mean_exp(np.array([-1e5, 0.0])) == pytest.approx(-math.log(2))


def proved(random, *, shift, scale, n, alpha, method, prior=None):
    """A bound for normal distributions by the potential x, fitted on one set and judged on another."""
    a, b, x, y = (random.normal(size=n) + mean for mean in (shift, 0.0, shift, 0.0))
    potential = prior or fitted_potential(a, b, largest_factor(scale, 1.0), alpha=alpha, counts=(n, n)).potential
    return held_out_divergence(potentials(x), potentials(y), potential, alpha=alpha, method=method)


@pytest.mark.parametrize("method", ["betting", "empirical-bernstein", "welch"])
@pytest.mark.parametrize(("shift", "scale", "n"), [(1.0, 0.3, 60), (1.0, 3.0, 400), (3.0, 2.0, 100)])
def test_held_out_bounds_exceed_the_divergence_of_normal_distributions_no_oftener_than_they_say(shift, scale, n, method):
    truth, runs, alpha = shifted_gaussians(scale, shift), 100, 0.1
    lowers = [
        proved(np.random.default_rng(seed), shift=shift, scale=scale, n=n, alpha=alpha, method=method).lower for seed in range(runs)
    ]
    assert sum(lower > truth for lower in lowers) <= stats.binom.ppf(0.999, runs, alpha)
    assert np.mean(lowers) > 0.3 * truth or method == "empirical-bernstein", "bounds of 0 would pass every test"


@pytest.mark.parametrize("shift", [-0.5, 2.0])
def test_a_wrong_constant_costs_sharpness_and_no_truth(shift):
    """The tangent lies below the logarithm wherever it touches."""
    prior = ClippedPotential(factor=1.0, low=-2.0, high=3.0, shift=shift)
    runs = [
        proved(np.random.default_rng(seed), shift=1.0, scale=1.0, n=200, alpha=0.1, method="betting", prior=prior)
        for seed in range(60)
    ]
    assert sum(each.lower > 0.5 for each in runs) <= stats.binom.ppf(0.999, 60, 0.1)
    assert np.mean([each.estimate for each in runs]) < 0.5


@pytest.mark.parametrize("n", [40, 400])
def test_rare_large_values_that_held_out_samples_miss_are_counted(n):
    """B is 5 with probability 1 %, where A always is: the logarithm of a mean of held-out values would promise far too much."""
    truth, runs = -math.log(0.01 + 0.99 * math.exp(-5)), 200
    potential = ClippedPotential(factor=1.0, low=0.0, high=5.0, shift=math.log(0.01 * math.exp(5) + 0.99))
    wrong, naive = 0, 0
    for seed in range(runs):
        b = 5.0 * (np.random.default_rng(seed).random(n) < 0.01)
        found = held_out_divergence(potentials(np.full(n, 5.0)), potentials(b), potential, alpha=0.1, method="betting")
        wrong += found.lower > truth
        naive += 5 - log_mean_exp(b) > 1.2 * truth
    assert wrong <= stats.binom.ppf(0.999, runs, 0.1)
    assert naive > 0.2 * runs or n > 40, "the case is hard"


def test_far_apart_sides_prove_about_the_logarithm_of_the_number_of_samples():
    """A limit that no method exceeds by much (McAllester & Stratos), and that a cap on the potential attains."""
    for n in (50, 100, 10_000):
        a, b = normal(n, shift=1000.0, seed=0)
        fitted = fitted_potential(a, b, 1000.0, alpha=0.05, counts=(n, n))
        found = held_out_divergence(potentials(a), potentials(b), fitted.potential, alpha=0.05, method="betting")
        assert math.log(n) - 2.5 < found.lower < math.log(n)


def test_equal_sides_prove_nothing():
    x = np.random.default_rng(0).normal(size=300)
    fitted = fitted_potential(x, x, 5.0, alpha=0.05, counts=(300, 300))
    assert held_out_divergence(potentials(x), potentials(x), fitted.potential, alpha=0.05, method="betting").lower == 0.0
