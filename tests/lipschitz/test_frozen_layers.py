"""Layers of a frozen critic: their bounds, their rounding and their stored kinds."""

from fractions import Fraction

import pytest
import torch

from wdist.errors import UsageError
from wdist.lipschitz.frozen_layer import Affine
from wdist.lipschitz.frozen_layers import activated, read_layer


def affine(outputs, inputs, generator, scale=1.0):
    W = scale * torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
    return Affine(weight=W, bias=torch.randn(outputs, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("shape", [(3, 40), (20, 5), (1, 30)], ids=str)
def test_affine_is_within_its_stated_rounding_of_exact_rational_arithmetic(shape, scale, generator):
    layer = affine(*shape, generator, scale)
    h = torch.randn(6, shape[1], generator=generator, dtype=torch.float64)
    found = layer(h)
    for row, values in zip(h.tolist(), found.tolist(), strict=True):
        exact = [
            sum(Fraction(w) * Fraction(x) for w, x in zip(weights, row, strict=True)) + Fraction(b)
            for weights, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
        ]
        squares = sum((e - Fraction(v)) ** 2 for e, v in zip(exact, values, strict=True))
        stated = layer.rounding(float(torch.tensor(row, dtype=torch.float64).norm()), shape[1])
        assert squares <= Fraction(stated) ** 2
        assert stated < 1e-12 * max(scale, 1)


def test_affine_is_bounded_by_its_spectral_norm(generator):
    layer = affine(4, 9, generator)
    bound = layer.lipschitz()
    assert bound.layer == "affine 4x9"
    assert bound.bound == pytest.approx(float(torch.linalg.matrix_norm(layer.weight, 2)), rel=1e-9)


def test_activations_are_bounded_by_1_and_round_nothing():
    layer = activated("group-sort:4")
    assert (layer.lipschitz().bound, layer.lipschitz().method) == (1.0, "permutation")
    assert layer.rounding(1e300, 8) == 0


def test_an_activation_refuses_units_that_its_groups_do_not_divide():
    activated("group-sort:4").check(8)
    activated("relu").check(7)
    with pytest.raises(ValueError, match="divide"):
        activated("group-sort:4").check(6)
    with pytest.raises(UsageError):
        activated("softplus")


@pytest.mark.parametrize("kind", ["affine:2", "householder:", "cones:l2:", "maximum", "patchwise:relu", "softplus"])
def test_an_unknown_kind_is_refused(kind):
    numbers = dict.fromkeys(("weight", "bias", "normal", "centres", "offsets", "constants"), torch.zeros(2, 2, dtype=torch.float64))
    with pytest.raises((KeyError, ValueError, UsageError)):
        read_layer(kind, numbers)
