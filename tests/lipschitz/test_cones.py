"""Cones: values within the stated rounding of the minimum, and slopes within the certificate."""

import math

import mpmath
import pytest
import torch

from tests.trials import digest, read_critic, write_critic
from wdist.bounds.certificate import certify
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import METRICS
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer
from wdist.lipschitz.frozen_layers import read_layer

NORMS = (1.0, 2.0, math.inf)


def drawn(p, count=40, dim=3, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres, offsets = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((count, dim), (count,)))
    return Cones(centres=centres * scale, offsets=offsets * scale, p=p)


def places(cones):
    """Samples at the tips, very close to them, between two of them, among them and far away."""
    generator = torch.Generator().manual_seed(1)
    tips, count = cones.centres[:8], 8
    noise = torch.randn(tips.shape, generator=generator, dtype=torch.float64)
    near = [tips + size * noise for size in (1e-300, 1e-16, 1e-12, 1e-8, 1e-4)]
    return torch.cat([tips, *near, (tips + tips.roll(1, 0)) / 2, noise, 1e6 * noise, torch.zeros(count, tips.shape[1]).double()])


def exact(cones, x):
    """The values in 60 digits, from the definition."""
    order = mpmath.inf if math.isinf(cones.p) else cones.p
    tips = [[mpmath.mpf(v) for v in row] for row in cones.centres.tolist()]
    return [
        min(
            mpmath.norm([mpmath.mpf(v) - w for v, w in zip(row, tip, strict=True)], order) + mpmath.mpf(b)
            for tip, b in zip(tips, cones.offsets.tolist(), strict=True)
        )
        for row in x.tolist()
    ]


def worst(cones, x):
    """The largest error of the computed values, and the stated bound."""
    stated = cones.rounding(float(torch.linalg.vector_norm(x, dim=1).max()) * (1 + 1e-12), x.shape[1])
    with mpmath.workdps(60):
        errors = [abs(mpmath.mpf(v) - e) for v, e in zip(cones(x).squeeze(1).tolist(), exact(cones, x), strict=True)]
        return float(max(errors)), stated


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_values_are_those_of_the_definition_up_to_the_stated_rounding(p, scale):
    cones = drawn(p, scale=scale)
    for part in (places(cones)[:-16] * 1.0, places(cones) * scale):
        error, stated = worst(cones, part)
        assert error <= stated
        assert stated <= 1e-13 * float(part.abs().max() + 10 * scale) * 10


@pytest.mark.parametrize("p", NORMS)
def test_nearly_equal_cones_are_distinguished_to_float64_precision(p):
    """One cone is lowest by 1e-14, or all are equal at every sample: near ties that a matrix product cannot resolve."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(20, 5, generator=generator, dtype=torch.float64) + 1000
    step = 1e-14 * torch.arange(30, dtype=torch.float64)
    same = Cones(centres=x[:1].expand(30, 5).clone(), offsets=step.flip(0), p=p)
    apart = Cones(centres=x[:1] + torch.randn(30, 5, generator=generator, dtype=torch.float64) * 1e-13, offsets=step, p=p)
    for cones in (same, apart):
        error, stated = worst(cones, x)
        assert error <= stated
        assert error <= 1e-12, "differences of nearby samples are exact, so no digits may be lost"
        error, _ = worst(cones, x[:1])
        assert error <= 1e-16


def test_the_lowest_cone_is_found_among_thousands(generator):
    """In parts, so that few distances are in memory at a time."""
    centres = torch.randn(3000, 7, generator=generator, dtype=torch.float64)
    offsets = torch.randn(3000, generator=generator, dtype=torch.float64)
    x = torch.cat([torch.randn(1500, 7, generator=generator, dtype=torch.float64), centres[:500]])
    found = Cones(centres=centres, offsets=offsets)(x)
    brute = torch.stack([(torch.linalg.vector_norm(row - centres, dim=1) + offsets).min() for row in x])
    assert found.shape == (2000, 1)
    torch.testing.assert_close(found.squeeze(1), brute, rtol=0, atol=1e-13)
    assert Cones(centres=centres, offsets=offsets)(x[:0]).shape == (0, 1)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("size", [1e150, 1e200, 1e300])
def test_a_sample_whose_square_overflows_has_a_valid_value_or_infinite_rounding(p, size):
    critic = alone(drawn(p))
    x = torch.full((1, 3), size, dtype=torch.float64)
    found = critic.evaluate(x)
    with mpmath.workdps(400):
        (truth,) = exact(critic.layers[0], x)
        assert math.isinf(found.rounding) or abs(mpmath.mpf(float(found.values[0])) - truth) <= found.rounding


@pytest.mark.parametrize("where", ["all tips are one point", "a sample in the middle of all tips"])
def test_many_ties_change_no_value(where, generator):
    """The tips lie on a sphere and the samples at its centre, or the other way round."""
    sphere = torch.randn(200, 6, generator=generator, dtype=torch.float64)
    sphere = sphere / sphere.norm(dim=1, keepdim=True)
    middle = torch.zeros(200, 6, dtype=torch.float64)
    tips, others = (middle, sphere) if where == "all tips are one point" else (sphere, middle)
    offsets = 1e-13 * torch.rand(200, generator=generator, dtype=torch.float64)
    cones, x = Cones(centres=tips, offsets=offsets), torch.cat([others[:10], tips[:10], sphere[:5] * 0.3])
    error, stated = worst(cones, x)
    assert error <= stated < 1e-13


def alone(*layers: FrozenLayer, dim=3):
    return FrozenCritic(layers, Standardisation(shift=torch.zeros(dim, dtype=torch.float64), spread=1.0))


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("p", NORMS)
def test_the_certificate_is_not_below_any_observed_slope(p, metric, generator):
    """In the norm of the cones and in every other; and some slope attains it up to rounding."""
    cones = drawn(p)
    critic = alone(cones)
    bound = certify(critic, metric).lipschitz_bound
    x = torch.cat([places(cones), 3 * torch.randn(500, 3, generator=generator, dtype=torch.float64)])
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    ways = torch.cat([torch.eye(3, dtype=torch.float64), corners, torch.randn(20, 3, generator=generator, dtype=torch.float64)])
    steepest = 0.0
    for step in (1e-4, 1.0, 1e3):
        for way in ways * step:
            here, there = critic.evaluate(x), critic.evaluate(x + way)
            rise = abs(here.values - there.values) - here.rounding - there.rounding
            reach = metric.norm((x + way) - x).numpy() * (1 + 1e-15)
            assert (rise <= bound * reach).all()
            steepest = max(steepest, float((rise / reach).max()))
    assert steepest >= bound * (1 - 1e-6), "the certificate is the smallest valid one"


def test_the_certificate_holds_for_negated_and_stacked_cones(generator):
    line = Cones(centres=torch.tensor([[0.0], [4.0]], dtype=torch.float64), offsets=torch.tensor([0.0, 1.0], dtype=torch.float64))
    minus = Affine(weight=-torch.ones(1, 1, dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64))
    for layers in ((drawn(2.0), minus), (drawn(2.0), line, minus)):
        critic = alone(*layers)
        assert certify(critic).lipschitz_bound == pytest.approx(1, rel=1e-12)
        x = torch.randn(400, 3, generator=generator, dtype=torch.float64)
        rise = (critic.potentials(x[:200]) - critic.potentials(x[200:])).abs()
        assert bool((rise <= torch.linalg.vector_norm(x[:200] - x[200:], dim=1) * (1 + 1e-12)).all())


@pytest.mark.parametrize("p", NORMS)
def test_they_are_read_back_as_they_were_saved(p, tmp_path):
    critic = alone(drawn(p))
    path = tmp_path / "critic.safetensors"
    write_critic(path, critic)
    loaded = read_critic(path)
    assert loaded.layers[0].p == p
    assert digest(loaded) == digest(critic)
    x = places(critic.layers[0])
    assert torch.equal(loaded.potentials(x), critic.potentials(x))
    assert loaded.parameters == 40 * 3 + 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centres": torch.zeros(4, 2)}, "centres"),
        ({"centres": torch.zeros(0, 3), "offsets": torch.zeros(0)}, "centres"),
        ({"centres": torch.zeros(12)}, "centres"),
        ({"offsets": torch.zeros(5)}, "offsets"),
        ({"offsets": torch.zeros(4, 1)}, "offsets"),
        ({"centres": torch.full((4, 3), math.nan)}, "finite"),
        ({"offsets": torch.full((4,), -math.inf)}, "finite"),
    ],
    ids=["dimension", "none", "flat", "count", "a column", "nan", "infinite"],
)
def test_damaged_ones_are_refused(change, message, tmp_path):
    whole = {"centres": torch.zeros(4, 3), "offsets": torch.zeros(4), **change}
    damaged = Cones(**{name: tensor.double() for name, tensor in whole.items()})
    path = tmp_path / "critic.safetensors"
    write_critic(path, alone(damaged))
    with pytest.raises(ValueError, match=message):
        read_critic(path)


def test_other_norms_and_missing_numbers_are_refused():
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    for kind, tensors in (("cones:l3", {"centres": zeros, "offsets": zeros[:, 0]}), ("cones:l2", {"centres": zeros})):
        with pytest.raises(KeyError):
            read_layer(kind, tensors)
    assert read_layer("cones:linf", {"centres": zeros, "offsets": zeros[:, 0]}).p == math.inf
