"""The second promise: population bounds exceed the true W1 no oftener than they say."""

import numpy as np
import pytest
from scipy import stats

from tests.trials import judged, pair_of
from wdist.critics.settings import CriticSettings
from wdist.data.sources.arrays import open_values
from wdist.data.sources.source import Units
from wdist.estimation.evaluation import ErrorBudget

TINY = CriticSettings(width=8, depth=2, group_size=2, batch_size=32)


def allowed(runs, alpha):
    """Wrong bounds that a true share of alpha exceeds in one of a thousand such tests."""
    return int(stats.binom.ppf(0.999, runs, alpha))


def share_wrong(draw, truth, *, errors, runs, name="groupsort-bjorck", steps=15):
    """How many bounds exceed the truth, and how large they are in the mean."""
    lower = []
    for seed in range(runs):
        pair = pair_of(*draw(np.random.default_rng(seed)), seed=seed)
        lower.append(judged(pair, name=name, seed=seed, steps=steps, settings=TINY, errors=errors).population.lower)
    return sum(bound > truth for bound in lower), float(np.mean(lower))


@pytest.mark.parametrize("counts", [(60, 60), (200, 90)], ids=str)
def test_gaussian_shift_with_an_initial_critic_that_is_nearly_optimal(counts):
    """In two dimensions a critic is nearly linear after a few steps: the bound is near the truth, on either side."""

    def draw(random):
        return random.normal([1.0, 0.0], size=(counts[0], 2)), random.normal(size=(counts[1], 2))

    wrong, mean = share_wrong(draw, 1.0, errors=ErrorBudget(confidence=0.8, method="welch"), runs=80)
    assert wrong <= allowed(80, 0.2)
    assert mean > 0.2, "bounds of 0 would pass every test"


def test_the_bound_does_not_profit_from_overfitting():
    """Both sides from one distribution, more steps than samples: the truth is 0, and almost every bound must be 0 as well."""

    def draw(random):
        return random.normal(size=(60, 6)), random.normal(size=(60, 6))

    wrong, _ = share_wrong(draw, 0.0, errors=ErrorBudget(confidence=0.9, method="welch"), runs=50, steps=40)
    assert wrong <= allowed(50, 0.1)


@pytest.mark.parametrize("method", ["empirical-bernstein", "betting"])
@pytest.mark.parametrize("n", [60, 1200])
def test_bounds_for_bounded_values_hold_for_rare_ones(n, method):
    """Bernoulli sides, where a held-out split may show no variance at all: valid at every sample size."""

    def draw(random):
        units = Units(bounds=(0.0, 1.0))
        return [open_values((random.random((n, 1)) < p).astype(np.float64), units) for p in (0.9, 0.2)]

    wrong, mean = share_wrong(draw, 0.7, errors=ErrorBudget(confidence=0.9, method=method), runs=40)
    assert wrong <= allowed(40, 0.1)
    assert mean > (0.2 if n > 60 else 0.0) or method == "empirical-bernstein"


@pytest.mark.parametrize("diameter", [None, 2.0**0.5])
def test_the_interval_for_the_populations_misses_the_truth_no_oftener_than_it_says(diameter):
    """Both ends at once, at half the error each: from one sample set a critic's lower end and the blocks' upper end."""
    from wdist.estimation.population_upper import population_upper_bound
    from wdist.transport.coupling import Effort, Sides

    truth, runs, wrong = 0.5, 60, 0
    units = Units(bounds=None if diameter is None else (0.0, 1.0))
    for seed in range(runs):
        random = np.random.default_rng(seed)
        a, b = random.random((90, 2)), random.random((90, 2))
        a[:, 0], b[:, 0] = 0.5 + a[:, 0] / 2, b[:, 0] / 2
        pair = pair_of(open_values(a, units), open_values(b, units), seed=seed)
        upper = population_upper_bound(
            Sides(a=pair.a.everything, b=pair.b.everything),
            alpha=0.1,
            diameter=diameter,
            effort=Effort(),
            seed=seed,
        )
        method = "welch" if diameter is None else "betting"
        errors = ErrorBudget(confidence=0.8, method=method, lower_bounds=2)
        lower = judged(pair, name="mean-difference", errors=errors).population.lower
        assert lower < upper.value
        wrong += not lower <= truth <= upper.value
    assert wrong <= allowed(runs, 0.2)


def test_bounds_stated_together_share_the_error():
    errors = ErrorBudget(confidence=0.95, method="welch", lower_bounds=5)
    assert errors.alpha == pytest.approx(0.01)
    a, b = np.random.default_rng(0).normal([[[1.0]], [[0.0]]], size=(2, 100, 2))
    alone, together = (
        judged(pair_of(a, b), settings=TINY, errors=ErrorBudget(confidence=0.95, method="welch", lower_bounds=k)).population
        for k in (1, 5)
    )
    assert together.lower < alone.lower
    assert together.estimate == alone.estimate
    assert (together.jointly_with, together.confidence) == (5, 0.95)
