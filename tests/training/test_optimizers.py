"""Optimisers and schedules against their formulas."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from wdist.lipschitz.bjorck import OrthonormalLinear
from wdist.lipschitz.linalg.orthonormalise import polar_express
from wdist.lipschitz.linear import UnconstrainedLinear
from wdist.training.optimizers import LEARNING_RATES, Adam, AggMo, Muon, OrthogonalSGD, make_optimizers, schedule


def test_aggmo_is_the_stated_recursion(generator):
    """v_i <- beta_i v_i - g, theta <- theta + lr / K sum v_i (Lucas et al. 2019, equation 4), written out in numpy."""
    start = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    target = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    parameter = start.clone().requires_grad_()
    optimizer = AggMo([parameter], lr=0.1, betas=(0.0, 0.9, 0.99))
    theta, velocities = start.numpy().copy(), [np.zeros((3, 4)) for _ in range(3)]
    for _ in range(25):
        optimizer.zero_grad()
        (0.5 * (parameter - target).square().sum()).backward()
        optimizer.step()
        gradient = theta - target.numpy()
        velocities = [beta * v - gradient for beta, v in zip((0.0, 0.9, 0.99), velocities, strict=True)]
        theta = theta + 0.1 / 3 * sum(velocities)
    np.testing.assert_allclose(parameter.detach().numpy(), theta, rtol=1e-12, atol=1e-13)


def test_aggmo_without_damping_is_gradient_descent(generator):
    parameter = torch.randn(3, generator=generator).requires_grad_()
    expected = parameter.detach() - 0.1 * torch.ones(3)
    optimizer = AggMo([parameter], lr=0.1, betas=(0.0,))
    parameter.sum().backward()
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), expected)


def test_adam_is_that_of_torch(generator):
    start, target = torch.randn(2, 3, 4, generator=generator)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimizers = Adam([ours], lr=0.1), torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.99))
    for _ in range(25):
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            (parameter - target).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_gradients_are_forgotten_or_set_to_zero():
    parameter = torch.ones(3, requires_grad=True)
    optimizer = Adam([parameter], lr=0.1)
    parameter.sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert torch.equal(parameter.grad, torch.zeros(3))
    optimizer.zero_grad()
    assert parameter.grad is None
    optimizer.step()  # a parameter without a gradient stays
    assert torch.equal(parameter.detach(), torch.ones(3))


def test_training_does_not_import_the_compiler():
    """It takes as long to import as torch itself."""
    program = (
        "import sys, torch; from wdist.training.optimizers import make_optimizers; "
        "network = torch.nn.Linear(3, 2); network(torch.ones(1, 3)).sum().backward(); "
        "[each.step() for name in ('muon', 'orthogonal-sgd', 'adam', 'aggmo') "
        "for each in make_optimizers(network, name=name, learning_rate=0.1)]; "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(20, 20), (8, 40), (40, 8), (1, 9)], ids=str)
def test_muon_moves_all_directions_alike(shape, generator):
    """Singular values of one update lie in lr times the band of three quintics, whatever the gradient's scale."""
    for scale in (1e-6, 1.0, 1e6):
        parameter = torch.zeros(*shape, requires_grad=True)
        optimizer = Muon([parameter], lr=0.05)
        parameter.grad = scale * torch.randn(*shape, generator=generator)
        optimizer.step()
        values = np.linalg.svd(parameter.detach().numpy(), compute_uv=False)
        assert 0.1 * 0.05 <= values.min()
        assert values.max() <= 1.9 * 0.05


def test_muon_moves_against_the_gradient_with_nesterov_momentum(generator):
    """The direction is that of (1 - m) g + m buffer, buffer <- m buffer + (1 - m) g."""
    gradients = torch.randn(2, 1, 6, generator=generator, dtype=torch.float64)
    parameter = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    optimizer = Muon([parameter], lr=1.0, momentum=0.9)
    buffer = torch.zeros(1, 6, dtype=torch.float64)
    for gradient in gradients:
        before = parameter.detach().clone()
        parameter.grad = gradient.clone()
        optimizer.step()
        buffer = 0.9 * buffer + 0.1 * gradient
        direction = 0.1 * gradient + 0.9 * buffer
        moved = parameter.detach() - before
        cosine = float((moved * direction).sum() / moved.norm() / direction.norm())
        assert cosine == pytest.approx(-1, abs=1e-9)


def test_muon_stands_still_without_a_gradient():
    parameter = torch.ones(3, 4, requires_grad=True)
    optimizer = Muon([parameter], lr=1.0)
    parameter.grad = torch.zeros(3, 4)
    optimizer.step()
    assert torch.equal(parameter.detach(), torch.ones(3, 4))


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_every_parameter_has_one_optimiser(name):
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    groups = [group for each in make_optimizers(network, name=name, learning_rate=0.01) for group in each.param_groups]
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(map(id, network.parameters()))
    rates = {parameter.ndim: group["lr"] for group in groups for parameter in group["params"]}
    assert rates[2] == 0.01
    assert rates[1] < 0.01


def test_schedules_are_what_their_names_say():
    at = (0.0, 0.25, 0.5, 0.75, 1.0)
    assert [schedule("constant")(s) for s in at] == [1, 1, 1, 1, 1]
    assert [schedule("linear")(s) for s in at] == [1, 1, 1, 0.5, 0]
    assert [schedule("step")(s) for s in at] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert [schedule("cosine")(s) for s in at] == pytest.approx([1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0])


def test_orthogonal_sgd_moves_by_the_mean_of_polar_factors(generator):
    """m <- 0.8 m + 0.2 U, W <- W - lr (0.8 m + 0.2 U), where U is the polar factor of the gradient, whoever makes it."""
    start, gradient = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    U = polar_express(gradient)
    for polar in (True, False):
        W = start.clone().requires_grad_()
        optimizer = OrthogonalSGD([{"params": [W], "polar": polar}], lr=0.1)
        for _ in range(2):
            W.grad = (U if polar else gradient).clone()
            optimizer.step()
        torch.testing.assert_close(W.detach(), start - 0.1 * ((0.8 * 0.2 + 0.2) + (0.8 * 0.36 + 0.2)) * U)


def test_orthogonal_sgd_asks_orthonormal_layers_for_polar_factors_and_makes_those_of_others(generator):
    layers = [OrthonormalLinear(4, 4, generator=generator), UnconstrainedLinear(4, 1, generator=generator)]
    ours = make_optimizers(nn.Sequential(*layers), name="orthogonal-sgd", learning_rate=0.1)[0]
    assert layers[0].polar_gradient
    assert [(group["polar"], *group["params"]) for group in ours.param_groups] == [
        (True, layers[0].weight),
        (False, layers[1].weight),
    ]
