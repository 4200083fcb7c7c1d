"""The certificate: a product of proved bounds, of the frozen object, and never of an estimate from below."""

import math

import pytest
import torch

from wdist.certificate import certify
from wdist.critics.frozen import FrozenCritic
from wdist.errors import CertificateError
from wdist.lipschitz.frozen_layers import Activated, Affine
from wdist.measures.standardisation import Standardisation

STANDARD = Standardisation(shift=torch.zeros(2, dtype=torch.float64), spread=3.0)


def diagonal(*values):
    n = len(values)
    return Affine(weight=torch.diag(torch.tensor(values, dtype=torch.float64)), bias=torch.zeros(n, dtype=torch.float64))


LAST = Affine(weight=torch.tensor([[1.0, 0.0]], dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64))


def test_it_multiplies_the_layers_bounds_from_above():
    certificate = certify(FrozenCritic([diagonal(3, 2), Activated(name="group-sort:2"), diagonal(0.5, 7), LAST], STANDARD))
    assert 21 <= certificate.lipschitz_bound <= 21 * (1 + 1e-9)
    assert [layer.layer for layer in certificate.layers] == ["affine 2x2", "group-sort:2", "affine 2x2", "affine 1x2", "scale"]
    assert certificate.lipschitz_bound >= math.prod(layer.bound for layer in certificate.layers)


def test_the_spread_of_the_data_cancels_and_the_constant_of_the_critic_counts():
    assert certify(FrozenCritic([LAST], STANDARD)).lipschitz_bound == pytest.approx(1, rel=1e-12)
    assert certify(FrozenCritic([LAST], STANDARD, lipschitz=5.0)).lipschitz_bound == pytest.approx(5, rel=1e-12)


def test_a_critic_that_is_constant_has_constant_0():
    assert certify(FrozenCritic([diagonal(0, 0), LAST], STANDARD)).lipschitz_bound == 0


@pytest.mark.parametrize("value", [1e200, float("nan"), float("inf")])
def test_without_a_finite_bound_there_is_no_certificate(value):
    with pytest.raises(CertificateError, match="learning-rate"):
        certify(FrozenCritic([diagonal(value, 1), diagonal(value, 1), LAST], STANDARD))
