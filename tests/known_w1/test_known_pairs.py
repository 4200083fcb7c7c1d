"""Pairs whose W1 is known: a short training comes near it, and nothing that is stated goes beyond it."""

import math

import pytest

from wdist import estimate
from wdist.critics.settings import CriticSettings
from wdist.data.sources.pairs import absolute_value, cones, funnels, gaussian_scale, gaussian_shift, sphere

# name: pair, steps, share of the truth that these steps reach with every seed and on every processor
PAIRS = {
    "absolute value": (absolute_value, 60, 0.97),
    "three cones": (lambda: cones(3), 1000, 0.8),
    "sphere in 16 dimensions": (lambda: sphere(16), 150, 0.93),
    "Gaussian shift": (lambda: gaussian_shift(10, 2.0), 60, 0.95),
    "Gaussian scale": (lambda: gaussian_scale(4, 3.0), 100, 0.93),
    "funnels": (lambda: funnels(2, 4), 150, 0.7),
}
SETTINGS = CriticSettings(width=64, depth=3, batch_size=128)


pytestmark = pytest.mark.usefixtures("no_transport")
NETWORK = "groupsort-bjorck"


@pytest.mark.parametrize("name", PAIRS)
def test_the_truth_is_nearly_reached_and_not_exceeded(name):
    make, steps, share = PAIRS[name]
    pair = make()
    found = estimate(pair.a, pair.b, critic=NETWORK, settings=SETTINGS, steps=steps, baselines="none", truth=pair.w1)
    population = found.population
    standard_error = (population.estimate - population.lower) / 1.6 if population.lower > 0 else 0.0
    allowed = pair.w1 + 4 * math.hypot(standard_error, pair.w1_error)
    assert population.lower <= pair.w1 + 4 * pair.w1_error
    assert population.estimate <= allowed * (1 + 1e-12)
    assert found.samples.lower <= allowed * (1 + 1e-12)
    assert found.tightness >= share


@pytest.mark.parametrize("name", ["three cones", "sphere in 16 dimensions"])
def test_relu_with_spectral_norm_stays_behind(name):
    """As in the paper: the gradient's norm is lost on the way."""
    make, steps, _ = PAIRS[name]
    pair = make()
    found = estimate(pair.a, pair.b, critic=NETWORK, settings=SETTINGS, steps=steps // 2, baselines=["relu-spectral"])
    assert found.baselines[0].population.estimate < 0.9 * found.population.estimate
