"""The search for the largest slope: from below, and close to it unless the steep part is tiny."""

import pytest
import torch

from tests.trials import trial, two_moons
from wdist.bounds.lipschitz.search import largest_slope
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import METRICS
from wdist.lipschitz.frozen_layer import Affine
from wdist.lipschitz.frozen_layers import activated


def affine(W, b=None):
    W = torch.tensor(W, dtype=torch.float64)
    return Affine(weight=W, bias=torch.zeros(len(W), dtype=torch.float64) if b is None else torch.tensor(b, dtype=torch.float64))


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_a_linear_critic_has_the_dual_norm_of_its_weights(metric, generator):
    critic = FrozenCritic([affine([[3.0, -4.0]])], Standardisation(shift=torch.ones(2, dtype=torch.float64), spread=7.0))
    found = largest_slope(critic, *torch.randn(2, 5, 2).double(), generator=generator, metric=metric)
    assert found == pytest.approx({"l1": 4, "l2": 5, "linf": 7}[metric.name], rel=1e-12)


def test_a_climb_finds_what_lies_outside_the_samples(generator):
    """max(0, x - 1) + max(0, y - 1) is steepest away from all samples."""
    layers = [affine([[1.0, 0.0], [0.0, 1.0]], [-1.0, -1.0]), activated("relu"), affine([[1.0, 1.0]])]
    critic = FrozenCritic(layers, Standardisation(shift=torch.zeros(2, dtype=torch.float64), spread=1.0))
    a, b = 0.4 * torch.randn(2, 50, 2, generator=generator).double().clamp(-2, 2)
    assert largest_slope(critic, a, b, generator=generator) == pytest.approx(2**0.5, rel=1e-12)


@pytest.mark.parametrize("name", ["groupsort-bjorck", "weight-clipping", "householder-bjorck", "max-sliced"])
@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_it_is_never_above_the_certificate(name, metric, generator):
    a, b = two_moons(80, 80, 3)
    result = trial(a, b, name=name, steps=30, metric=metric)
    found = largest_slope(result.frozen, torch.from_numpy(a), torch.from_numpy(b), generator=generator, metric=metric)
    assert 0.1 * result.lipschitz_bound < found <= result.lipschitz_bound * (1 + 1e-12)
