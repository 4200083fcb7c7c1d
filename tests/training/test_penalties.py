"""Penalties: nothing for a critic of slope 1, a price above it, and a gradient that lowers the slope."""

import pytest
import torch
from torch import nn

from wdist.training.penalties import PENALTIES, penalty

DIM = 4


def critic(slope, generator):
    """Linear, of a given slope, in float64."""
    layer = nn.Linear(DIM, 1).double()
    with torch.no_grad():
        w = torch.randn(1, DIM, generator=generator, dtype=torch.float64)
        layer.weight.copy_(slope * w / w.norm())
    return nn.Sequential(layer, nn.Flatten(0))


@pytest.fixture
def sides(generator):
    a = torch.randn(64, DIM, generator=generator, dtype=torch.float64)
    return a, a.flip(0) * 0.5 + 1


def price(name, model, sides, batches=3):
    """After a few batches, so that what iterates has settled."""
    this = penalty(name, torch.Generator().manual_seed(0))
    return [this(model, *sides) for _ in range(batches)][-1]


@pytest.mark.parametrize("name", PENALTIES)
def test_slope_1_is_free(name, sides, generator):
    assert float(price(name, critic(1.0, generator), sides).detach()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", PENALTIES)
def test_slopes_above_1_cost_the_more_the_steeper(name, sides, generator):
    prices = [float(price(name, critic(slope, generator), sides).detach()) for slope in (1.5, 3.0, 10.0)]
    assert 0 < prices[0] < prices[1] < prices[2]


@pytest.mark.parametrize("name", PENALTIES)
def test_slopes_below_1_cost_something_on_both_sides_alone(name, sides, generator):
    found = float(price(name, critic(0.5, generator), sides).detach())
    assert found == pytest.approx(10 * 0.25 if name == "gradient-penalty" else 0, rel=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_its_gradient_lowers_the_slope(name, sides, generator):
    model = critic(3.0, generator)
    weight = model[0].weight
    (gradient,) = torch.autograd.grad(price(name, model, sides), weight)
    assert float((gradient * weight.detach()).sum()) > 0


@pytest.mark.parametrize("name", PENALTIES)
def test_its_points_follow_from_the_generator(name, sides, generator):
    model = nn.Sequential(nn.Linear(DIM, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    assert float(price(name, model, sides).detach()) == float(price(name, model, sides).detach())


def test_power_iteration_on_the_jacobian_finds_its_largest_singular_value(sides, generator):
    """Of a map with three outputs, as for a classifier."""
    layer = nn.Linear(DIM, 3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, DIM, generator=generator, dtype=torch.float64) * 2)
    sigma = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
    found = price("spectral-jacobian", layer, sides, batches=60)
    assert float(found.detach()) == pytest.approx(10 * (sigma - 1) ** 2, rel=1e-6)


def test_adversarial_directions_find_the_steep_side_that_samples_miss(generator):
    """f(x) = 5 |x_1|: along other directions it is flat."""

    class Fold(nn.Module):
        def forward(self, x):
            return 5 * x[:, 0].abs()

    a = torch.randn(200, 20, generator=generator, dtype=torch.float64)
    found = float(penalty("adversarial-lipschitz", torch.Generator().manual_seed(0))(Fold(), a, a))
    assert found > 10 * 0.8 * 4
