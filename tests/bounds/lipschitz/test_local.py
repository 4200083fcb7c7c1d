"""Bounds within balls: exact where nothing bends, global where the ball is large, never below a slope in the ball."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.bounds.lipschitz.networks import largest_jacobian, mlp
from wdist.bounds.lipschitz.local import local_upper
from wdist.bounds.lipschitz.reading import read_network
from wdist.bounds.lipschitz.search import slopes_in_balls
from wdist.ground_metric import L2, LINF


@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
def test_at_a_point_the_bound_is_the_norm_of_the_jacobian(metric):
    module = mlp(4, 8, 8, 3)
    x = torch.randn(4)
    assert local_upper(read_network(module), x, 0.0, metric) == pytest.approx(largest_jacobian(module, x[None], metric), rel=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    radius=st.sampled_from([1e-3, 0.1, 1.0, 100.0]),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Sigmoid, nn.ELU, nn.Softplus, nn.Hardtanh]),
    metric=st.sampled_from([L2, LINF]),
)
def test_no_slope_within_a_ball_exceeds_its_bound(seed, radius, activation, metric):
    module = mlp(3, 6, 6, 2, seed=seed, activation=activation, scale=2.0)
    network = read_network(module)
    x = torch.randn(1, 3, generator=torch.Generator().manual_seed(seed))
    found = slopes_in_balls(module, x, metric, radius=radius, tries=100)
    bound = local_upper(network, x[0], radius, metric)
    assert float(found) <= bound


def test_bounds_grow_with_the_ball():
    network, x = read_network(mlp(3, 8, 8, 1)), torch.randn(3)
    bounds = [local_upper(network, x, radius) for radius in (0.0, 0.01, 0.1, 1.0)]
    assert bounds == sorted(bounds)


def test_a_normalisation_that_cancels_may_have_either_sign():
    """In exact arithmetic the input of the ReLU is positive, so its slope is that of the normalisation; float64 makes it 0."""
    for seed in range(1000):
        mean, variance = torch.rand(2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 1
        bias = mean / (variance + 1e-5).sqrt()
        exact = Fraction(float(bias)) ** 2 * Fraction(float(variance + 1e-5)) - Fraction(float(mean)) ** 2
        if bias - mean * (1 / (variance + 1e-5).sqrt()) < 0 < exact:
            break
    normalisation = nn.BatchNorm1d(1).double()
    normalisation.running_mean.fill_(mean)
    normalisation.running_var.fill_(variance)
    normalisation.bias.data.fill_(bias)
    slope = float((variance + 1e-5) ** -0.5)
    bound = local_upper(read_network(nn.Sequential(normalisation, nn.ReLU()), (1,)), torch.zeros(1), 0.0)
    assert bound == pytest.approx(slope, rel=1e-6)
