"""The certificate: a product of proved bounds of the frozen critic."""

import math

import pytest
import torch

from wdist.bounds.certificate import certify
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.errors import CertificateError
from wdist.ground_metric import METRICS
from wdist.lipschitz.frozen_layer import Affine
from wdist.lipschitz.frozen_layers import activated

STANDARD = Standardisation(shift=torch.zeros(2, dtype=torch.float64), spread=3.0)


def diagonal(*values):
    n = len(values)
    return Affine(weight=torch.diag(torch.tensor(values, dtype=torch.float64)), bias=torch.zeros(n, dtype=torch.float64))


LAST = Affine(weight=torch.tensor([[1.0, 0.0]], dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64))


def test_it_multiplies_the_layers_bounds_from_above():
    certificate = certify(FrozenCritic([diagonal(3, 2), activated("group-sort:2"), diagonal(0.5, 7), LAST], STANDARD))
    assert 21 <= certificate.lipschitz_bound <= 21 * (1 + 1e-9)
    assert [layer.layer for layer in certificate.layers] == ["affine 2x2", "group-sort:2", "affine 2x2", "affine 1x2", "scale"]
    assert certificate.lipschitz_bound >= math.prod(layer.bound for layer in certificate.layers)


def test_the_spread_of_the_data_cancels_and_the_lipschitz_setting_counts():
    assert certify(FrozenCritic([LAST], STANDARD)).lipschitz_bound == pytest.approx(1, rel=1e-12)
    assert certify(FrozenCritic([LAST], STANDARD, lipschitz=5.0)).lipschitz_bound == pytest.approx(5, rel=1e-12)


def test_a_constant_critic_has_a_certificate_that_values_may_be_divided_by():
    assert 0 < certify(FrozenCritic([diagonal(0, 0), LAST], STANDARD)).lipschitz_bound < 1e-90


@pytest.mark.parametrize("value", [1e200, float("nan"), float("inf")])
def test_without_a_finite_bound_there_is_no_certificate(value):
    with pytest.raises(CertificateError, match="learning_rate"):
        certify(FrozenCritic([diagonal(value, 1), diagonal(value, 1), LAST], STANDARD))


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_smaller_of_two_proofs_counts_in_every_metric(metric, generator):
    """Euclidean norms throughout, or the metric's norm to the maximum norm and then maximum norms."""
    W, V = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((6, 2), (1, 6)))
    critic = FrozenCritic(
        [Affine(weight=W, bias=torch.zeros(6)), activated("relu"), Affine(weight=V, bias=torch.zeros(1))],
        STANDARD,
    )
    to_euclidean = {"l1": 1, "l2": 1, "linf": math.sqrt(2)}[metric.name]
    euclidean = to_euclidean * float(torch.linalg.matrix_norm(W, 2) * V.norm())
    maximum = float(torch.linalg.vector_norm(W, ord=metric.dual, dim=1).max() * V.abs().sum())
    assert certify(critic, metric).lipschitz_bound == pytest.approx(min(euclidean, maximum), rel=1e-9)
    assert certify(critic, metric).lipschitz_bound >= min(euclidean, maximum) * (1 - 1e-15)
    assert certify(critic, metric).metric is metric


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_no_pair_of_points_contradicts_the_certificate_in_its_metric(metric, generator):
    for _ in range(20):
        shapes = ((6, 2), (4, 6), (1, 4))
        first, second, last = (
            Affine(
                weight=torch.randn(*shape, generator=generator, dtype=torch.float64),
                bias=torch.randn(shape[0], generator=generator, dtype=torch.float64),
            )
            for shape in shapes
        )
        critic = FrozenCritic([first, activated("group-sort:3"), second, activated("abs"), last], STANDARD)
        x = torch.randn(400, 2, generator=generator, dtype=torch.float64) * 3
        y = (
            x
            + torch.randn(400, 2, generator=generator, dtype=torch.float64)
            * torch.logspace(-3, 1, 400, dtype=torch.float64)[:, None]
        )
        slope = (critic.potentials(x) - critic.potentials(y)).abs() / metric.norm(x - y)
        assert float(slope.max()) <= certify(critic, metric).lipschitz_bound * (1 + 1e-9)


def test_a_network_of_rows_of_norm_1_is_certified_by_its_rows():
    """Theorem 3; Euclidean norms would lose a factor for every layer."""
    spread_out = Affine(weight=torch.full((4, 4), 0.25, dtype=torch.float64), bias=torch.zeros(4, dtype=torch.float64))
    same = Affine(weight=torch.tensor([[1.0, 0, 0, 0]] * 4, dtype=torch.float64), bias=torch.zeros(4, dtype=torch.float64))
    first = Affine(weight=torch.tensor([[0.6, 0.8]] * 4, dtype=torch.float64), bias=torch.zeros(4, dtype=torch.float64))
    last = Affine(weight=torch.tensor([[0, 1.0, 0, 0]], dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64))
    critic = FrozenCritic([first, activated("full-sort"), same, activated("full-sort"), spread_out, last], STANDARD)
    certificate = certify(critic)
    assert certificate.lipschitz_bound == pytest.approx(1, rel=1e-12)
    assert certificate.layers[0].method == "rows, float64"
