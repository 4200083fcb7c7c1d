"""Expressivity of norm-constrained networks: the identities of appendix A of the paper, by construction, and theorems 1 and 2.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 3, appendices A.2, A.3 and D.
"""

import math
from functools import reduce
from itertools import product

import pytest
import torch

from wdist.lipschitz.activations import activation
from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial, polar_factor

ROOT = math.sqrt(0.5)
M = torch.tensor([[ROOT, ROOT], [ROOT, -ROOT]], dtype=torch.float64)
REACH = 3.0


@pytest.fixture
def x(generator):
    """Pre-activations of eight units between -REACH and REACH, with ties and zeros."""
    values = REACH * (2 * torch.rand(500, 8, generator=generator, dtype=torch.float64) - 1)
    values[:20] = values[:20].round()
    return values


def maxmin(z):
    """Unit j and unit j + C/2 are a group, in ascending order."""
    return activation("maxmin").evaluate(z)


def pair(first, second):
    """The units of one group."""
    return torch.stack([first, second], 1)


def spectral(W):
    return float(torch.linalg.matrix_norm(W, 2))


# Appendix A.2: without a constraint, other activations.


def test_maxmin_of_a_unit_and_zero_is_relu_and_concatenated_relu(x):
    """Equations 5 to 7; our groups ascend, so the maximum comes second."""
    z = x[:, 0]
    after = maxmin(pair(z, torch.zeros_like(z)))
    assert torch.equal(after @ torch.tensor([0.0, 1.0], dtype=torch.float64), z.relu())
    crelu = after @ torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    assert torch.equal(crelu, pair(z.relu(), (-z).relu()))


@pytest.mark.parametrize("slope", [0.01, 0.3])
def test_maxmin_of_a_unit_and_a_share_of_it_is_leaky_relu(x, slope):
    z = x[:, 0]
    assert torch.equal(maxmin(pair(z, slope * z))[:, 1], torch.nn.functional.leaky_relu(z, slope))


@pytest.mark.parametrize("k", [2, 4, 8])
def test_the_last_of_each_sorted_group_is_maxout(x, k):
    groups = 8 // k
    select = torch.eye(8, dtype=torch.float64)[-groups:]
    assert torch.equal(activation(f"group-sort:{k}").evaluate(x) @ select.mT, activation(f"maxout:{k}").evaluate(x))


# Appendix A.3: under the constraint, group sizes and the absolute value.


def chunked(x, distance):
    """FullSort(x + b) - b with one bias for each pair of neighbours, and with the biases of two pairs this far apart."""
    b = distance * torch.arange(4, dtype=torch.float64).repeat_interleave(2)
    return activation("full-sort").evaluate(x + b) - b


def test_full_sort_is_maxmin_once_biases_set_the_pairs_apart(x):
    """In the order of neighbours, which a permutation turns into that of our groups."""
    expected = x.unflatten(1, (4, 2)).sort(2).values.flatten(1)
    torch.testing.assert_close(chunked(x, 2 * REACH), expected, rtol=0, atol=1e-13)
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])
    torch.testing.assert_close(chunked(x, 2 * REACH)[:, order], maxmin(x[:, order]), rtol=0, atol=1e-13)


def test_the_distance_that_the_source_states_for_the_biases_does_not_suffice(x):
    """It asks for sup |x|; values between -sup and sup need twice that."""
    expected = x.unflatten(1, (4, 2)).sort(2).values.flatten(1)
    assert not torch.allclose(chunked(x, REACH), expected)


def bubble_layers(n):
    """Permutation matrices between n layers of MaxMin that together sort n units: odd-even transposition."""
    for step in range(n):
        low = list(range(step % 2, n - 1, 2))
        pairs = [(i, i + 1) for i in low] + ([(0, n - 1)] if step % 2 else [])
        order = [i for i, _ in pairs] + [j for _, j in pairs]  # a group of MaxMin is unit j and unit j + n/2
        yield torch.eye(n, dtype=torch.float64)[order]


@pytest.mark.parametrize("n", [2, 4, 6, 8])
def test_layers_of_maxmin_sort_a_whole_layer_with_permutations_alone(n):
    """By the 0-1 principle, over all sequences of zeros and ones; permutations have norm 1 in every p-norm."""
    layers = list(bubble_layers(n))
    for P in layers:
        assert torch.equal(P @ P.mT, torch.eye(n, dtype=torch.float64))
    values = torch.tensor(list(product((0.0, 1.0), repeat=n)), dtype=torch.float64)
    found = reduce(lambda h, P: maxmin(h @ P.mT) @ P, layers, values)
    assert torch.equal(found, values.sort(1).values)


def test_the_absolute_value_makes_maxmin(x):
    """Two rotations and a bias, all of norm 1.

    The source subtracts (sqrt 2 B, 0) at the end; the identity holds with (B, B) / sqrt 2, which is M (B, 0).
    """
    B = 2 * REACH
    bias = torch.tensor([B, 0.0], dtype=torch.float64)
    two = x[:, :2]
    found = (two @ M.mT + bias).abs() @ M.mT - M @ bias
    expected = pair(two.amax(1), two.amin(1))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    wrong = (two @ M.mT + bias).abs() @ M.mT - torch.tensor([math.sqrt(2) * B, 0.0], dtype=torch.float64)
    assert not torch.allclose(wrong, expected)
    assert spectral(M) == pytest.approx(1)


def test_maxmin_makes_the_absolute_value(x):
    into, out = torch.tensor([[ROOT], [-ROOT]], dtype=torch.float64), torch.tensor([[-ROOT, ROOT]], dtype=torch.float64)
    found = maxmin(x[:, :1] @ into.mT) @ out.mT
    torch.testing.assert_close(found, x[:, :1].abs(), rtol=0, atol=1e-14)
    assert (spectral(into), spectral(out)) == pytest.approx((1, 1))


# Theorems 1 and 2, appendix D.


def network(name, bias, generator, width=8, dim=4):
    """An orthonormal network of two hidden layers and one output."""
    sizes = [(width, dim), (width, width)]
    matrices = [orthonormal_initial(*size, generator, torch.float64) for size in sizes]
    # The output looks along a direction of the inputs, so that the whole has slope 1 where all units are active.
    direction = orthonormal_initial(1, dim, generator, torch.float64)
    matrices.append(direction @ matrices[0].mT @ matrices[1].mT)
    # The larger second one keeps all units active even where the first one, rotated, would not.
    biases = [bias * torch.ones(width, dtype=torch.float64), 10 * bias * torch.ones(width, dtype=torch.float64)]
    phi = activation(name).evaluate

    def f(x):
        h = phi(x @ matrices[0].mT + biases[0])
        return (phi(h @ matrices[1].mT + biases[1]) @ matrices[2].mT).squeeze(1)

    return f


def least_slope_and_bend(f, generator, dim=4):
    """The smallest norm of the gradient at random points, and the largest departure from linearity between pairs of them."""
    x = torch.randn(400, dim, generator=generator, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(f(x).sum(), x)
    x = x.detach()
    y = x.flip(0)
    return float(gradient.norm(dim=1).min()), float((f((x + y) / 2) - (f(x) + f(y)) / 2).abs().max())


@pytest.mark.parametrize("name", ["relu", "leaky-relu:0.3", "tanh", "sigmoid", "identity"])
def test_a_monotone_network_of_slope_one_everywhere_is_linear(name, generator):
    """Theorem 1: whatever the biases, it loses slope or does not bend."""
    for bias in (0.0, 0.3, 3.0, 100.0):
        slope, bend = least_slope_and_bend(network(name, bias, generator), generator)
        assert slope <= 1 + 1e-12
        assert bend < 1e-9 or slope < 0.999


def test_theorem_one_is_not_empty(generator):
    """ReLU networks of slope 1 exist: with all units active; and those that bend lose slope."""
    active, bent = (least_slope_and_bend(network("relu", bias, generator), generator) for bias in (100.0, 0.0))
    assert active == pytest.approx((1, 0), abs=1e-9)
    assert bent[0] < 0.9
    assert bent[1] > 0.05


def test_a_network_that_folds_has_slope_one_everywhere_and_bends(generator):
    """The absolute value of one direction by MaxMin: theorem 1 needs monotone elementwise activations."""
    into = torch.tensor([[ROOT], [-ROOT]], dtype=torch.float64) @ orthonormal_initial(1, 4, generator, torch.float64)

    def f(x):
        return maxmin(x @ into.mT) @ torch.tensor([-ROOT, ROOT], dtype=torch.float64)

    slope, bend = least_slope_and_bend(f, generator)
    assert slope == pytest.approx(1)
    assert bend > 0.5


@pytest.mark.parametrize("idle", [0.0, 0.3, 0.9])
def test_weights_of_a_network_of_slope_one_may_be_made_orthonormal(idle, generator):
    """Theorem 2: singular values below 1 belong to directions that the output does not use; making them 1 changes nothing."""
    Q = orthonormal_initial(3, 3, generator, torch.float64)
    # Units 0 and 2 fold the first direction of Q; units 1 and 3 are a group of their own and fade away, ever more.
    first = torch.stack([ROOT * Q[0], idle * Q[1], -ROOT * Q[0], idle * Q[2] / 2])
    second = torch.diag(torch.tensor([1.0, idle, 1.0, idle / 2], dtype=torch.float64))
    last = torch.tensor([[-ROOT, 0.0, ROOT, 0.0]], dtype=torch.float64)

    def f(x, weights):
        first, second, last = weights
        return (maxmin(maxmin(x @ first.mT) @ second.mT) @ last.mT).squeeze(1)

    weights = [first, second, last]
    assert max(map(spectral, weights)) <= 1 + 1e-12
    slope, bend = least_slope_and_bend(lambda x: f(x, weights), generator, dim=3)
    assert slope == pytest.approx(1)
    assert bend > 0.5
    replaced = [polar_factor(W) if idle else _svd_factor(W) for W in weights]
    for W in replaced:
        assert torch.linalg.svdvals(W) == pytest.approx(torch.ones(min(W.shape), dtype=torch.float64), abs=1e-10)
    x = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(f(x, replaced), f(x, weights), rtol=0, atol=1e-12)


def _svd_factor(W):
    """U V^T, as in the proof, which also completes directions that are lost altogether."""
    U, _, Vh = torch.linalg.svd(W, full_matrices=False)
    return U @ Vh
