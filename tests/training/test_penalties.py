"""Penalties: nothing for a critic of slope 1, a price above it, and a gradient that lowers the slope."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.trials import exact_w1
from wdist.training.penalties import PENALTIES, penalty, power_price

DIM = 4
OF_EXCESS = [name for name in PENALTIES if name != "unconstrained"]
"""Those of slopes that differ from 1, or exceed it."""


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


@pytest.mark.parametrize("name", OF_EXCESS)
def test_slope_1_is_free(name, sides, generator):
    assert float(price(name, critic(1.0, generator), sides).detach()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", PENALTIES)
def test_slopes_above_1_cost_the_more_the_steeper(name, sides, generator):
    prices = [float(price(name, critic(slope, generator), sides).detach()) for slope in (1.5, 3.0, 10.0)]
    assert 0 < prices[0] < prices[1] < prices[2]


@pytest.mark.parametrize("name", OF_EXCESS)
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
    """Penalty of a map with three outputs, as for a classifier."""
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


@pytest.mark.parametrize("alpha", [1.3, 2.0, 4.0])
def test_the_price_of_a_slope_turns_the_dual_of_w1_into_its_power(alpha):
    """The best multiple of an optimal potential is alpha W1^(alpha - 1), and is worth W1^alpha."""
    random = np.random.default_rng(0)
    W = exact_w1(random.normal(size=(30, 2)) + 0.7, random.normal(size=(20, 2)))
    slopes = torch.linspace(1e-3, 3 * alpha * W ** (alpha - 1), 300_001, dtype=torch.float64)
    worth = slopes * W - power_price(slopes, alpha)
    assert float(worth.max()) == pytest.approx(W**alpha, rel=1e-8)
    assert float(slopes[worth.argmax()]) == pytest.approx(alpha * W ** (alpha - 1), rel=1e-3)


def test_without_a_constraint_a_linear_critic_reaches_the_square_of_w1(generator):
    """Between a set and the same set moved: W1 is the shift, and the critic climbs to a slope of twice as much."""
    a = torch.randn(50, DIM, generator=generator, dtype=torch.float64)
    b, model = a + torch.tensor([0.3, 0.0, 0.4, 0.0], dtype=torch.float64), critic(0.1, generator)
    price = penalty("unconstrained", torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(80):
        optimizer.zero_grad()
        value = model(a).mean() - model(b).mean() - price(model, a, b)
        (-value).backward()
        optimizer.step()
    assert float(value.detach()) == pytest.approx(0.5**2, rel=1e-3)
    assert float(model[0].weight.detach().norm()) == pytest.approx(2 * 0.5, rel=1e-2)
