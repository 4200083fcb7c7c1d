"""Activations: they never stretch a distance, and GroupSort is a permutation."""

import math

import mpmath
import pytest
import torch

from wdist.errors import UsageError
from wdist.lipschitz.activations import activation
from wdist.lipschitz.group_sort import group_sort, sort_groups

C = 32
GROUP_SIZES = [1, 2, 4, 8, 16, C]
EXACT = [*(f"group-sort:{k}" for k in GROUP_SIZES), "maxmin", "full-sort", "relu", "abs", "identity", "maxout:2", "maxout:4"]
HOMOGENEOUS = [*EXACT, "leaky-relu:0.1", "leaky-relu:0", "householder"]
NAMES = [*HOMOGENEOUS, "tanh", "sigmoid"]
ISOMETRIES = [*(f"group-sort:{k}" for k in GROUP_SIZES), "maxmin", "full-sort", "abs", "identity", "householder"]
"""Activations whose gradient, where it exists, preserves the Euclidean norm."""


def groups(z, k):
    """Unit j of group g lies at j C / k + g: shape (n, C / k, k)."""
    return z.unflatten(-1, (k, z.shape[-1] // k)).mT


@pytest.fixture
def z(generator):
    values = torch.randn(64, C, generator=generator, dtype=torch.float64)
    values[:8] = values[:8].round()  # ties
    values[8] = 0
    return values


@pytest.mark.parametrize("k", GROUP_SIZES)
def test_evaluation_sorts_each_group_exactly(k, z):
    assert torch.equal(groups(sort_groups(z, k), k), groups(z, k).sort(-1).values)


@pytest.mark.parametrize("k", GROUP_SIZES)
def test_training_differs_from_evaluation_by_rounding_alone(k, z):
    torch.testing.assert_close(group_sort(z, k), sort_groups(z, k), rtol=0, atol=8 * torch.finfo(z.dtype).eps)
    single = z.float()
    torch.testing.assert_close(group_sort(single, k), sort_groups(single, k), rtol=0, atol=16 * torch.finfo(single.dtype).eps)


@pytest.mark.parametrize("k", GROUP_SIZES)
def test_group_sort_permutes_within_groups(k, z):
    assert torch.equal(groups(sort_groups(z, k), k).sort(-1).values, groups(z, k).sort(-1).values)
    torch.testing.assert_close(group_sort(z, k).norm(dim=1), z.norm(dim=1), rtol=1e-14, atol=0)


@pytest.mark.parametrize("k", GROUP_SIZES)
def test_gradient_is_that_of_sorting(k, z):
    """Away from ties, where the gradient is a permutation of the incoming one."""
    z = z[9:].clone().requires_grad_()
    incoming = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    (found,) = torch.autograd.grad(group_sort(z, k), z, incoming)
    (expected,) = torch.autograd.grad(groups(z, k).sort(-1).values.mT.flatten(-2), z, incoming)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(groups(found, k).sort(-1).values, groups(incoming, k).sort(-1).values, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("k", GROUP_SIZES)
def test_gradient_keeps_its_norm_or_loses_some_at_ties(k, z):
    z = z[:9].clone().requires_grad_()
    incoming = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    (found,) = torch.autograd.grad(group_sort(z, k), z, incoming)
    assert bool((found.norm(dim=1) <= incoming.norm(dim=1) * (1 + 1e-14)).all())


@pytest.mark.parametrize("k", [2, 4])
def test_gradient_of_the_sorting_network_by_finite_differences(k, generator):
    z = torch.randn(3, 8, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: group_sort(z, k), (z,))


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_homogeneous(name, z):
    """phi(c z) = c phi(z) for c > 0; exactly for powers of two."""
    this = activation(name)
    for evaluate in (this.train, this.evaluate):
        assert torch.equal(evaluate(4 * z), 4 * evaluate(z))
        torch.testing.assert_close(evaluate(0.3 * z), 0.3 * evaluate(z))


@pytest.mark.parametrize("name", NAMES)
def test_no_distance_is_stretched(name, generator):
    this = activation(name)
    x = torch.randn(500, C, generator=generator, dtype=torch.float64)
    for step in (1e-8, 1e-2, 1.0, 100.0):
        y = x + step * torch.randn(x.shape, generator=generator, dtype=torch.float64)
        moved = (this.evaluate(x) - this.evaluate(y)).norm(dim=1)
        rounding = this.module(C).freeze().rounding(float(x.norm(dim=1).max()), C) * 2 if this.ulps else 0.0
        assert bool((moved <= this.l2 * (x - y).norm(dim=1) * (1 + 1e-14) + rounding).all())


@pytest.mark.parametrize("name", NAMES)
def test_no_distance_is_stretched_in_the_maximum_norm(name, generator):
    this = activation(name)
    x = torch.randn(500, C, generator=generator, dtype=torch.float64)
    for step in (1e-8, 1e-2, 1.0, 100.0):
        y = x + step * torch.randn(x.shape, generator=generator, dtype=torch.float64)
        moved = (this.evaluate(x) - this.evaluate(y)).abs().amax(1)
        assert bool((moved <= this.linf * (x - y).abs().amax(1) * (1 + 1e-14) + 1e-15).all())


@pytest.mark.parametrize("name", NAMES)
def test_its_module_agrees_with_its_frozen_layer(name, z, generator):
    """With angles other than the initial ones, if it has any."""
    module = activation(name).module(C).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    frozen = module.freeze()
    assert frozen.check(C) == activation(name).outputs(C) == frozen(z).shape[1]
    torch.testing.assert_close(module(z), frozen(z), rtol=1e-12, atol=1e-12)
    assert frozen.lipschitz().bound == activation(name).l2
    assert frozen.maximum(math.inf).bound == activation(name).linf


@pytest.mark.parametrize("name", ISOMETRIES)
def test_the_gradient_keeps_its_norm(name, z, generator):
    z = z[9:].clone().requires_grad_()
    incoming = torch.randn(z.shape, generator=generator, dtype=z.dtype)
    (found,) = torch.autograd.grad(activation(name).module(C).double()(z), z, incoming)
    torch.testing.assert_close(found.norm(dim=1), incoming.norm(dim=1), rtol=1e-6, atol=0)


def test_householder_starts_as_maxmin(z):
    started = activation("householder").module(C).double()(z)
    torch.testing.assert_close(started, activation("maxmin").evaluate(z), rtol=1e-6, atol=1e-6)


def test_householder_attains_its_bound_in_the_maximum_norm():
    mirror = activation("householder").module(2).double()
    with torch.no_grad():
        mirror.angle.fill_(math.pi / 8)
    x = torch.tensor([[-2.0, -1.0]], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(mirror, x).reshape(2, 2)
    assert float(jacobian.abs().sum(1).max()) == pytest.approx(math.sqrt(2), rel=1e-6)


def test_maxout_is_the_last_part_of_sorted_groups(z):
    assert torch.equal(activation("maxout:4").evaluate(z), sort_groups(z, 4)[:, -C // 4 :])


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "leaky-relu:0.1"])
def test_rounding_is_within_the_stated_units_in_the_last_place(name):
    functions = {
        "tanh": mpmath.tanh,
        "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
        "leaky-relu:0.1": lambda v: v if v > 0 else v * mpmath.mpf(0.1),
    }
    z = torch.cat([torch.linspace(-40, 40, 401), torch.logspace(-12, 0, 41), -torch.logspace(-12, 0, 41)]).double()
    this = activation(name)
    with mpmath.workdps(40):
        for v, found in zip(z.tolist(), this.evaluate(z.unsqueeze(0))[0].tolist(), strict=True):
            exact = functions[name](mpmath.mpf(v))
            assert abs(mpmath.mpf(found) - exact) <= this.ulps * 2.0**-52 * abs(exact)


@pytest.mark.parametrize("name", EXACT)
def test_evaluation_does_not_round(name, z):
    """Every output is an input up to its sign, or zero, so activations need no allowance for rounding."""
    inputs, outputs = z.abs().sort(-1).values, activation(name).evaluate(z).abs()
    assert bool(((outputs.unsqueeze(-1) == inputs.unsqueeze(-2)).any(-1) | (outputs == 0)).all())


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_an_activation_builds_it_again(name):
    assert activation(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "group-sort",
        "group-sort:",
        "group-sort:0",
        "group-sort:-2",
        "group-sort:two",
        "softplus",
        "relu:2",
        "leaky-relu",
        "leaky-relu:2",
        "leaky-relu:nan",
        "maxout",
        "group-sort:²",
    ],
)
def test_an_unknown_activation_is_refused(name):
    with pytest.raises(UsageError, match="choose one of group-sort:K"):
        activation(name)


def consecutive(k):
    """Positions of units that place our groups, which run across slices, side by side."""
    return torch.arange(C).view(k, C // k).mT.flatten()


@pytest.mark.parametrize("k", GROUP_SIZES)
def test_agrees_with_torchlip(k, z):
    torchlip = pytest.importorskip("deel.torchlip", reason="deel-torchlip is not installed")
    torch.testing.assert_close(sort_groups(z, k)[:, consecutive(k)], torchlip.functional.group_sort(z[:, consecutive(k)], k))


def test_groups_of_two_agree_with_orthogonium(z):
    layers = pytest.importorskip("orthogonium.layers", reason="orthogonium is not installed")
    larger, smaller = layers.MaxMin(axis=1)(z).chunk(2, dim=1)
    assert torch.equal(sort_groups(z, 2), torch.cat([smaller, larger], dim=1))
