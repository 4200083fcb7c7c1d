"""Elliptic cones: values within the stated rounding of the definition, and slopes within the certificate."""

import mpmath
import pytest
import torch

from wdist.bounds.certificate import certify
from wdist.critics.elliptic_cones import EllipticConeCritic
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import METRICS
from wdist.lipschitz.elliptic_cones import EllipticCones
from wdist.lipschitz.frozen_layers import read_layer

AS_IT_IS = Standardisation(shift=torch.zeros(4, dtype=torch.float64), spread=1.0)


def drawn(generator, scale=1.0, cones=5, rows=3, dim=4):
    shapes = ((cones, rows, dim), (cones, rows), (cones,))
    matrices, points, offsets = (scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return EllipticCones(matrices=matrices, points=points, offsets=offsets)


def exact(cones, row):
    """The value in 60 digits, from the definition."""
    with mpmath.workdps(60):
        heights = [
            mpmath.norm(mpmath.matrix(matrix.tolist()) * mpmath.matrix(row.tolist()) - mpmath.matrix(point.tolist()))
            + mpmath.mpf(float(offset))
            for matrix, point, offset in zip(cones.matrices, cones.points, cones.offsets, strict=True)
        ]
        return min(heights)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_values_are_those_of_the_definition_up_to_the_stated_rounding(scale, generator):
    cones = drawn(generator, scale)
    x = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    tips = torch.linalg.lstsq(cones.matrices, cones.points).solution  # where the digits of a distance cancel
    for row in torch.cat([x, 1e6 * x[:3], tips]):
        stated = cones.rounding(float(torch.linalg.vector_norm(row)), 4)
        with mpmath.workdps(60):
            assert abs(mpmath.mpf(float(cones(row.unsqueeze(0)))) - exact(cones, row)) <= stated
    assert cones.rounding(1.0, 4) < 1e-12 * scale


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_no_pair_of_points_is_steeper_than_the_certificate(metric, generator):
    frozen = FrozenCritic([drawn(generator)], AS_IT_IS)
    x = torch.randn(400, 4, generator=generator, dtype=torch.float64)
    y = x + 1e-3 * torch.randn(400, 4, generator=generator, dtype=torch.float64)
    slopes = (frozen.potentials(x) - frozen.potentials(y)).abs() / metric.norm(x - y)
    assert 0.3 < float(slopes.max()) / certify(frozen, metric).lipschitz_bound <= 1


def test_the_bound_is_the_largest_singular_value(generator):
    cones = drawn(generator)
    largest = float(torch.linalg.matrix_norm(cones.matrices, 2).max())
    assert cones.lipschitz().bound == pytest.approx(largest, rel=1e-9)
    assert cones.lipschitz().bound >= largest * (1 - 1e-15)


def test_a_projection_gives_the_distance_from_a_subspace(generator):
    normals = torch.linalg.qr(torch.randn(4, 2, generator=generator, dtype=torch.float64))[0].mT
    cone = EllipticCones(matrices=normals.unsqueeze(0), points=torch.zeros(1, 2), offsets=torch.zeros(1))
    x = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    nearest = x - x @ normals.mT @ normals
    torch.testing.assert_close(cone(x).squeeze(1), torch.linalg.vector_norm(x - nearest, dim=1))


def test_stored_numbers_give_the_same_layer(generator):
    cones = drawn(generator)
    again = read_layer(cones.kind, cones.tensors())
    x = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    assert torch.equal(again(x), cones(x))
    assert again.check(4) == 1
    with pytest.raises(ValueError, match="dimension"):
        again.check(5)
    with pytest.raises(ValueError, match="points"):
        EllipticCones(matrices=cones.matrices, points=cones.points[:2], offsets=cones.offsets).check(4)


@pytest.mark.parametrize("sign", [1, -1])
def test_training_clips_singular_values_and_freezing_keeps_the_function(sign, generator):
    critic = EllipticConeCritic(torch.randn(6, 4, generator=generator), sign=sign)
    with torch.no_grad():
        critic.matrices.add_(0.4 * torch.randn(6, 4, 4, generator=generator))
        before = torch.linalg.svdvals(critic.matrices)
        critic.constrain_()
    torch.testing.assert_close(torch.linalg.svdvals(critic.matrices), before.clamp(max=1), rtol=1e-4, atol=1e-5)
    frozen = critic.freeze(AS_IT_IS)
    x = 2 * torch.randn(50, 4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(frozen.potentials(x), critic.eval()(x.float()).double(), rtol=1e-4, atol=1e-5)
    assert certify(frozen).lipschitz_bound <= 1 + 1e-9


def test_the_soft_minimum_lies_below_the_minimum_and_only_in_training(generator):
    critic = EllipticConeCritic(torch.randn(6, 4, generator=generator), sign=1)
    x = torch.randn(50, 4, generator=generator)
    critic.temperature = 0.1
    with torch.no_grad():
        soft, hard = critic.train()(x), critic.eval()(x)
    assert bool((soft <= hard + 1e-6).all())
    assert bool((soft < hard - 0.01).any())
