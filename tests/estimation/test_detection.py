"""Detected values: an interval for what the critic itself finds, a p-value that is honest where nothing differs, and the power."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from tests.trials import two_moons
from wdist import estimate
from wdist.bounds.confidence import welch

RUNS = 80


def found(a, b, **options):
    return estimate(a, b, critic="mean-difference", baselines="none", couplings=False, device="cpu", **options)


def most_by_chance(share, runs):
    return share * runs + 3 * math.sqrt(share * (1 - share) * runs)


def test_the_interval_is_two_sided_on_the_held_out_values():
    result = found(*two_moons(300, 240, 3), folds=1)
    held_out, detected = result.critic.held_out, result.detected
    assert detected.estimate == pytest.approx(result.population.estimate, rel=1e-12)
    assert detected.lower == pytest.approx(welch(held_out.a, held_out.b, 0.025), rel=1e-9)
    assert detected.upper == pytest.approx(-welch(held_out.b, held_out.a, 0.025), rel=1e-9)
    assert (detected.n_a, detected.n_b) == (len(held_out.a), len(held_out.b)) == (result.population.n_a, result.population.n_b)
    assert detected.p_value_method == "permutations"


def test_values_of_known_range_are_bet_on_from_both_sides():
    random = np.random.default_rng(0)
    a, b = (torch.from_numpy(random.integers(low, low + 100, (600, 4), dtype=np.uint8)) for low in (0, 60))
    detected = found(a, b).detected
    assert detected.method == "betting"
    assert 0 < detected.lower < detected.estimate < detected.upper
    assert detected.upper < 1, "nearer than the range of the values"


@pytest.mark.parametrize("folds", [1, 5])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_interval_covers_what_the_critic_finds_in_truth(folds, shift):
    """A linear critic's expectation is its value at the mean, so the truth is known for each critic."""
    random = np.random.default_rng(7)
    missed = 0
    for run in range(RUNS):
        a, b = random.normal(size=(180, 4)), random.normal(size=(150, 4))
        b[:, 0] += shift
        result = found(a, b, seed=run, folds=folds)
        centres = torch.zeros(2, 4, dtype=torch.float64)
        centres[1, 0] = shift
        critics = result.critic.folds or (result.critic,)
        values = [each.frozen.potentials(centres) / each.lipschitz_bound for each in critics]
        truth = float(torch.stack([value[0] - value[1] for value in values]).mean())
        missed += not result.detected.lower <= truth <= result.detected.upper
    assert missed <= most_by_chance(0.05, RUNS)


@pytest.mark.parametrize("folds", [1, 4])
def test_equal_distributions_are_found_different_no_oftener_than_stated(folds):
    random = np.random.default_rng(3)
    p_values = [found(*random.standard_t(2.5, size=(2, 90, 2)), seed=run, folds=folds).detected.p_value for run in range(RUNS)]
    assert sum(p <= 0.1 for p in p_values) <= most_by_chance(0.1, RUNS)


def test_what_is_called_detectable_is_found_nine_times_in_ten():
    """On the line the critic finds the whole shift, so a shift of that size is a detected value of that size."""
    random = np.random.default_rng(5)
    shift = (NormalDist().inv_cdf(0.95) + NormalDist().inv_cdf(0.9)) * math.sqrt(2 / 50)
    results = [
        found(random.normal(size=(300, 1)) - shift, random.normal(size=(300, 1)), seed=run, folds=1).detected for run in range(RUNS)
    ]
    assert np.mean([each.detectable for each in results]) == pytest.approx(shift, rel=0.03)
    power = np.mean([each.significant for each in results])
    assert abs(power - 0.9) < 3 * math.sqrt(0.9 * 0.1 / RUNS)


def test_a_critic_that_held_out_samples_chose_shares_the_error():
    a, b = two_moons(120, 120, 2)
    alone = found(a, b, folds=1).detected
    chosen = estimate(a, b, critics="mean-difference,radial", couplings=False, device="cpu")
    same = chosen.critic.name == "mean-difference"
    held_out = chosen.critic.held_out
    assert chosen.detected.lower == pytest.approx(welch(held_out.a, held_out.b, 0.0125), rel=1e-9)
    assert not same or chosen.detected.p_value == min(1.0, 2 * alone.p_value)


def test_the_same_samples_on_both_sides_detect_nothing():
    a, _ = two_moons(60, 60, 2)
    assert found(a, a).detected is None
