"""GroupSort: sorting for every group size, with the right first and second derivatives."""

from itertools import product

import pytest
import torch

from wdist.lipschitz.activations import activation
from wdist.lipschitz.group_sort import comparators, group_sort, sort_groups

SIZES = [2, 3, 4, 5, 7, 8, 9, 12, 15, 16]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11])
def test_the_network_sorts_every_sequence_of_zeros_and_ones(n):
    """By the 0-1 principle (Knuth, The art of computer programming 3, theorem 5.3.4 Z) it then sorts every sequence."""
    for values in product((0, 1), repeat=n):
        held = list(values)
        for low, high in comparators(n):
            held[low], held[high] = min(held[low], held[high]), max(held[low], held[high])
        assert held == sorted(values)


@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("rows", [0, 1, 37])
def test_training_sorts_as_evaluation_does(k, rows, generator):
    z = torch.randn(rows, 5 * k, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(group_sort(z, k), sort_groups(z, k), rtol=0, atol=1e-14)
    strided = torch.randn(5 * k, rows, generator=generator, dtype=torch.float64).mT
    torch.testing.assert_close(group_sort(strided, k), sort_groups(strided, k), rtol=0, atol=1e-14)


@pytest.mark.parametrize("k", SIZES)
def test_the_gradient_returns_to_where_the_values_came_from(k, generator):
    z = torch.randn(11, 5 * k, generator=generator, dtype=torch.float64, requires_grad=True)
    incoming = torch.randn(11, 5 * k, generator=generator, dtype=torch.float64)
    (found,) = torch.autograd.grad(group_sort(z, k), z, incoming)
    (expected,) = torch.autograd.grad(z.unflatten(-1, (k, -1)).sort(-2).values.flatten(-2), z, incoming)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("k", [3, 4, 9, 20])
def test_second_derivatives_agree_with_finite_differences(k, generator):
    """Gradient penalties need them; 20 is the whole layer."""
    z = torch.randn(3, 20 if k in (4, 20) else 2 * k, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: group_sort(x, k), z)
    assert torch.autograd.gradgradcheck(lambda x: group_sort(x, k).square(), z)


def test_the_whole_layer_is_sorted_with_the_gradient_of_sorting(generator):
    z = torch.randn(9, 24, generator=generator, requires_grad=True)
    incoming = torch.randn(9, 24, generator=generator)
    ascending = activation("full-sort").train(z)
    assert torch.equal(ascending, z.sort(-1).values)
    (found,) = torch.autograd.grad(ascending, z, incoming)
    (expected,) = torch.autograd.grad(z.sort(-1).values, z, incoming)
    assert torch.equal(found, expected)
