"""Envelopes: values, slopes and rounding of maxima and minima, and reading them back."""

import math

import pytest
import torch

from tests.trials import digest, read_critic, write_critic
from wdist.bounds.certificate import certify
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import METRICS
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import Affine
from wdist.lipschitz.frozen_layers import Envelope, activated

DIM = 3
KINDS = ("maximum", "minimum")


@pytest.fixture
def branches(generator):
    """A small network and some cones."""

    def affine(outputs, inputs):
        weight = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        return Affine(
            weight=weight / torch.linalg.matrix_norm(weight, 2), bias=torch.randn(outputs, generator=generator, dtype=torch.float64)
        )

    cones = Cones(
        centres=torch.randn(5, DIM, generator=generator, dtype=torch.float64),
        offsets=torch.randn(5, generator=generator, dtype=torch.float64),
    )
    return [[affine(4, DIM), activated("maxmin"), affine(1, 4)], [cones]]


def made(how, branches):
    return Envelope(how=how, branches=branches, constants=torch.tensor([0.0, -0.7], dtype=torch.float64))


def through(chain, x):
    for layer in chain:
        x = layer(x)
    return x


@pytest.mark.parametrize("how", KINDS)
def test_the_value_is_that_of_the_branches_with_their_constants(how, branches, generator):
    x = torch.randn(50, DIM, generator=generator, dtype=torch.float64)
    values = torch.cat([through(branches[0], x), through(branches[1], x) - 0.7], 1)
    expected = {"maximum": values.amax(1), "minimum": values.amin(1)}[how]
    assert torch.equal(made(how, branches)(x).squeeze(1), expected)


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("how", KINDS)
def test_no_observed_slope_exceeds_the_certificate(how, metric, branches, generator):
    critic = FrozenCritic([made(how, branches)], Standardisation(shift=torch.zeros(DIM, dtype=torch.float64), spread=2.0))
    x, y = torch.randn(2, 4000, DIM, generator=generator, dtype=torch.float64)
    slopes = (critic.potentials(x) - critic.potentials(y)).abs() / metric.norm(x - y)
    K = certify(critic, metric).lipschitz_bound
    assert slopes.max() <= K * (1 + 1e-12)
    assert math.isfinite(K)


@pytest.mark.parametrize("how", KINDS)
def test_its_certificate_is_the_largest_of_its_branches(how, branches):
    flat = Standardisation(shift=torch.zeros(DIM, dtype=torch.float64), spread=1.0)
    apart = [certify(FrozenCritic(chain, flat)).lipschitz_bound for chain in branches]
    assert certify(FrozenCritic([made(how, branches)], flat)).lipschitz_bound == pytest.approx(max(apart), rel=1e-12)


@pytest.mark.parametrize("how", KINDS)
def test_rounding_covers_the_change_by_one_unit_in_the_last_place(how, branches, generator):
    """Compared with the function at samples moved by one unit in the last place, a change that every rounding bound must cover."""
    critic = FrozenCritic([made(how, branches)], Standardisation(shift=torch.zeros(DIM, dtype=torch.float64), spread=1.0))
    x = 1e3 * torch.randn(200, DIM, generator=generator, dtype=torch.float64)
    found = critic.evaluate(x)
    moved = critic.evaluate(torch.nextafter(x, torch.full_like(x, math.inf)))
    differences = torch.from_numpy(found.values - moved.values).abs()
    assert differences.max() <= 2 * found.rounding + moved.rounding + 1e-12
    assert found.rounding < 1e-9


@pytest.mark.parametrize("how", KINDS)
def test_it_is_read_back_as_it_was_saved(how, branches, generator, tmp_path):
    shift = torch.randn(DIM, generator=generator, dtype=torch.float64)
    critic = FrozenCritic([made(how, branches)], Standardisation(shift=shift, spread=1.5))
    path = tmp_path / "critic.safetensors"
    write_critic(path, critic)
    read = read_critic(path)
    x = torch.randn(20, DIM, generator=generator, dtype=torch.float64)
    assert torch.equal(read.potentials(x), critic.potentials(x))
    assert digest(read) == digest(critic)


def test_branches_that_do_not_fit_are_refused(branches):
    with pytest.raises(ValueError, match="one constant per branch"):
        Envelope(how="maximum", branches=branches, constants=torch.zeros(3, dtype=torch.float64)).check(DIM)
    with pytest.raises(ValueError, match="exactly one output"):
        made("maximum", [branches[0][:1], branches[1]]).check(DIM)
