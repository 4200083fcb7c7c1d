"""Certificates by stored multipliers: smaller than the product, never below a slope, and never believed."""

import math
from itertools import pairwise

import pytest
import torch

from wdist.bounds.certificate import certify
from wdist.bounds.lipschitz.critics import semidefinite_constant, with_multipliers
from wdist.bounds.lipschitz.search import largest_slope
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import METRICS
from wdist.lipschitz.frozen_layer import Affine
from wdist.lipschitz.frozen_layers import activated


def network(activation="relu", *, lipschitz=1.0, dim=4, width=12):
    random = torch.Generator().manual_seed(0)
    sizes = [dim, width, width, 1]
    layers = []
    for before, after in pairwise(sizes):
        W, b = (torch.randn(*size, generator=random).double() for size in ((after, before), (after,)))
        layers += [Affine(weight=W, bias=b), activated(activation)]
    return FrozenCritic(layers[:-1], Standardisation(shift=torch.ones(dim, dtype=torch.float64), spread=3.0), lipschitz=lipschitz)


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("activation", ["relu", "leaky-relu:0.1", "tanh", "sigmoid", "abs"])
def test_the_bound_lies_between_the_slopes_and_the_product(activation, metric, generator):
    plain = network(activation, lipschitz=2.0)
    critic = with_multipliers(plain)
    found = certify(critic, metric).lipschitz_bound
    assert found <= certify(plain, metric).lipschitz_bound
    a, b = torch.randn(2, 50, 4, generator=generator).double()
    assert largest_slope(critic, a, b, generator=generator, metric=metric) <= found
    if metric.name == "l2":
        assert found < 0.8 * certify(plain).lipschitz_bound


def test_values_are_those_of_the_plain_critic():
    x = torch.randn(20, 4)
    assert torch.equal(with_multipliers(network()).potentials(x), network().potentials(x))


def test_a_stored_critic_is_certified_alike():
    critic = with_multipliers(network())
    again = FrozenCritic.restored(critic.description(), critic.tensors())
    assert certify(again) == certify(critic)
    assert certify(again).layers[0].method == "semidefinite, float64"


@pytest.mark.parametrize("forged", ["rho", "t", "scale", "nan", "short", "zero"])
def test_forged_multipliers_prove_nothing(forged):
    plain, critic = network(), with_multipliers(network())
    numbers = critic.multipliers.clone()
    match forged:
        case "rho":
            numbers[0] *= 0.9
        case "t":
            numbers[4:] *= 0.9
        case "scale":
            numbers[1] /= 2
        case "nan":
            numbers[5] = math.nan
        case "short":
            numbers = numbers[:7]
        case "zero":
            numbers[:] = 0
    other = FrozenCritic(plain.layers, plain.standardisation, multipliers=numbers)
    assert semidefinite_constant(other) is None
    assert certify(other).lipschitz_bound >= certify(critic).lipschitz_bound * (1 - 1e-12)


def test_critics_that_sort_stay_as_they_are():
    layers = network().layers
    critic = FrozenCritic([layers[0], activated("maxmin"), *layers[2:]], network().standardisation)
    assert with_multipliers(critic) is critic
