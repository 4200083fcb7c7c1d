"""Bounds from above against the exact constant of small networks, and against each other."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.bounds.lipschitz.networks import ORDER, largest_jacobian, mlp
from wdist.bounds.lipschitz.reading import read_network
from wdist.bounds.lipschitz.upper import AVERAGED, PRODUCT, SEMIDEFINITE, lipschitz_upper
from wdist.errors import WdistError
from wdist.ground_metric import L2, LINF, GroundMetric


@torch.no_grad()
def of_all_patterns(module: nn.Sequential, metric: GroundMetric) -> float:
    """The largest norm over all patterns of slopes of a network with one hidden layer."""
    first, _, last = module
    patterns = itertools.product((0.0, 1.0), repeat=len(first.weight))
    return max(
        float(torch.linalg.matrix_norm(last.weight @ torch.diag(torch.tensor(d).double()) @ first.weight, ORDER[metric.name]))
        for d in patterns
    )


@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_one_hidden_layer_lies_between_its_patterns_and_the_product(metric, seed):
    """All patterns of slopes 0 and 1 occur in one dimension more than there are units, so their maximum is the constant."""
    module = mlp(6, 5, 2, seed=seed)
    upper = lipschitz_upper(read_network(module), metric)
    exact = of_all_patterns(module, metric)
    assert exact <= upper.bound <= upper.bounds[PRODUCT]
    if metric == L2:
        assert upper.bounds[SEMIDEFINITE] <= 1.2 * exact
    assert largest_jacobian(module, torch.randn(50, 6), metric) <= exact * (1 + 1e-12)


@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
def test_linear_networks_are_exact(metric):
    module = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3), nn.Dropout(), nn.Linear(3, 4)).double()
    upper = lipschitz_upper(read_network(module), metric)
    W = (module[3].weight @ module[1].weight @ module[0].weight).detach()
    exact = float(torch.linalg.matrix_norm(W, ORDER[metric.name]))
    assert upper.bound == pytest.approx(exact, rel=1e-10)
    assert upper.bound >= exact * (1 - 1e-14)


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=3, max_size=6),
    seed=st.integers(0, 10_000),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus, nn.Hardswish, nn.PReLU]),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
)
def test_bounds_are_ordered(widths, seed, activation, scale):
    """Product >= averaged and semidefinite >= every Jacobian seen, in both norms."""
    module = mlp(*widths, seed=seed, activation=activation, scale=scale)
    network = read_network(module)
    for metric in (L2, LINF):
        upper = lipschitz_upper(network, metric)
        seen = largest_jacobian(module, torch.randn(20, widths[0]), metric) * (1 - 1e-12)
        assert all(seen <= bound for bound in upper.bounds.values())
        assert upper.bounds[AVERAGED] <= upper.bounds[PRODUCT] * (1 + 1e-9)
        assert upper.bound == min(upper.bounds.values())


def test_the_semidefinite_bound_is_far_below_the_product_of_a_deep_network():
    upper = lipschitz_upper(read_network(mlp(*[20] * 10, 1)))
    assert upper.method == SEMIDEFINITE
    assert upper.bounds[SEMIDEFINITE] < 0.05 * upper.bounds[PRODUCT]
    assert upper.bounds[SEMIDEFINITE] < 0.5 * upper.bounds[AVERAGED]


def test_differences_of_outputs_are_bounded_as_one_function():
    """The difference of two equal logits is constant, however steep each of them is."""
    module = mlp(3, 8, 2)
    with torch.no_grad():
        module[2].weight[1] = module[2].weight[0]
    upper = lipschitz_upper(read_network(module).followed_by(torch.tensor([[1.0, -1.0]])))
    assert upper.bound < 1e-12


@pytest.mark.parametrize("scale", [1e-120, 1e120])
def test_extreme_weights_have_bounds(scale):
    module = mlp(4, 4, 4, 1)
    with torch.no_grad():
        module[0].weight.mul_(scale)
    upper, plain = lipschitz_upper(read_network(module)), lipschitz_upper(read_network(mlp(4, 4, 4, 1)))
    assert upper.bound == pytest.approx(plain.bound * scale, rel=1e-3)


def test_weights_too_large_for_float64_are_refused():
    module = mlp(4, 4, 4, 1)
    with torch.no_grad():
        for layer in (module[0], module[2], module[4]):
            layer.weight.mul_(1e150)
    with pytest.raises(WdistError, match="no finite Lipschitz bound"):
        lipschitz_upper(read_network(module))


def test_zero_networks_are_constant():
    module = mlp(4, 4, 1)
    with torch.no_grad():
        module[2].weight.zero_()
    assert lipschitz_upper(read_network(module)).bound < 1e-300


def test_fifty_layers():
    upper = lipschitz_upper(read_network(mlp(*[8] * 50, 1)))
    assert 0 < upper.bounds[SEMIDEFINITE] < 1e-3 * upper.bounds[PRODUCT]


def test_wide_networks_need_no_matrices_of_their_width_squared():
    """Flattening after an activation, two activations in a row, and a narrow layer between two wide ones."""
    layers = (nn.Linear(2, 20_000), nn.ReLU(), nn.Unflatten(1, (2, 10_000)), nn.Flatten(), nn.Linear(20_000, 2), nn.Tanh())
    module = nn.Sequential(*layers, nn.Linear(2, 20_000), nn.ReLU(), nn.Sigmoid(), nn.Linear(20_000, 1))
    upper = lipschitz_upper(read_network(module))
    assert largest_jacobian(module.double(), torch.randn(3, 2), L2) <= upper.bound <= upper.bounds[PRODUCT]


def test_moves_between_layers_do_not_change_the_bounds():
    module = mlp(4, 12, 12, 2)
    moved = nn.Sequential(module[0], module[1], nn.Unflatten(1, (3, 4)), nn.Flatten(), *module[2:])
    plain, other = (lipschitz_upper(read_network(each)) for each in (module, moved))
    assert other.bounds == pytest.approx(plain.bounds, rel=1e-6)
