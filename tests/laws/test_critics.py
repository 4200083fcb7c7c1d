"""Every critic of the catalogue has a certificate that no pair of points contradicts."""

import math
from dataclasses import replace

import pytest
import torch

from tests.trials import SMALL, TRAINED, digest, network, read_critic, trial, two_moons, write_critic
from wdist.bounds.certificate import certify
from wdist.data.standardisation import Standardisation
from wdist.training.catalogue import CATALOGUE

DIM = 5


@pytest.fixture(scope="module", params=CATALOGUE, ids=str)
def result(request):
    """Each critic, frozen after a few steps of training."""
    a, b = two_moons(200, 160, DIM)
    return trial(a, b, name=request.param, steps=40)


def value(critic, x):
    """The critic's function, differentiable."""
    h = critic.standardisation.apply(x)
    for layer in critic.layers:
        h = layer(h)
    return h.squeeze(-1) * critic.standardisation.spread * critic.lipschitz


def pairs(critic):
    """Near and far pairs of points, within the data and far outside."""
    generator = torch.Generator().manual_seed(3)
    x = torch.cat([torch.randn(300, DIM, generator=generator, dtype=torch.float64) * scale for scale in (0.1, 1, 3, 100)])
    steps = torch.tensor([1e-3, 0.1, 1.0, 10.0], dtype=torch.float64).repeat(len(x) // 4, 1).flatten().unsqueeze(1)
    return x, x + steps * torch.randn(x.shape, generator=generator, dtype=torch.float64)


def largest_excess(critic, x, y, bound):
    """Largest |f(x) - f(y)| over K |x - y|, less the rounding that evaluation states."""
    of_x, of_y = critic.evaluate(x), critic.evaluate(y)
    difference = abs(of_x.values - of_y.values) - of_x.rounding - of_y.rounding
    return float((difference - bound * torch.linalg.vector_norm(x - y, dim=1).numpy() * (1 + 1e-15)).max())


def test_certificate_dominates_every_observed_slope(result):
    """|f(x) - f(y)| <= K |x - y| for all pairs."""
    assert largest_excess(result.frozen, *pairs(result.frozen), result.lipschitz_bound) <= 0


def test_certificate_dominates_the_slopes_that_gradient_ascent_finds(result):
    critic, bound = result.frozen, result.lipschitz_bound
    x, y = (side.clone().requires_grad_() for side in pairs(critic))
    ascent = torch.optim.Adam([x, y], lr=0.05)
    for _ in range(60):
        slope = (value(critic, x) - value(critic, y)).abs() / torch.linalg.vector_norm(x - y, dim=1).clamp(min=1e-3)
        ascent.zero_grad()
        (-slope.sum()).backward()
        ascent.step()
        assert largest_excess(critic, x.detach(), y.detach(), bound) <= 0
    assert float(slope.detach().max()) > 0.1 * bound, "the search found nothing steep, so it tested nothing"


def test_certificate_dominates_the_gradient_everywhere(result):
    x, _ = pairs(result.frozen)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(value(result.frozen, x).sum(), x)
    assert float(torch.linalg.vector_norm(gradient, dim=1).max()) <= result.lipschitz_bound * (1 + 1e-12)


def test_frozen_weights_meet_their_constraint_so_that_nothing_is_given_away(result):
    if result.bound_by_construction:
        # Rows of norm 1 may have a Euclidean norm below 1; then that counts, and nothing is given away either.
        assert (0.1 if result.name == "linf-groupsort" else 1 - 1e-9) <= result.lipschitz_bound <= 1 + 1e-9
    assert math.prod(layer.bound for layer in result.layers) <= result.lipschitz_bound
    if result.layers[0].method.startswith("semidefinite"):
        assert not result.bound_by_construction
        assert len(result.layers) == 2
        return
    # Affine layers, activations between them, and the scaling.
    assert len(result.layers) == (2 * 3 - 1 if result.name in TRAINED else len(result.frozen.layers)) + 1


def test_what_is_no_bound_is_told_beside_what_is(result):
    """A critic without a constraint: its dual value, the same over the certificate, and a slope that the certificate exceeds."""
    if result.bound_by_construction:
        assert (result.raw_value, result.largest_slope) == (None, None)
    else:
        assert result.raw_value == pytest.approx(result.population.estimate * result.lipschitz_bound, rel=1e-9)
        assert 0 < result.largest_slope <= result.lipschitz_bound
    assert result.title


def test_certificate_is_of_the_object_that_was_evaluated(result):
    assert certify(result.frozen).lipschitz_bound == result.lipschitz_bound


@pytest.mark.parametrize("name", TRAINED)
def test_freezing_keeps_the_function_that_was_trained(name, generator):
    """To float32, once the constraint is met."""
    critic = network(name, DIM, SMALL, generator)
    for _ in range(5):
        critic.constrain_(tightly=True)
    critic.eval()
    x = torch.randn(50, DIM, generator=generator)
    frozen = critic.freeze(Standardisation(shift=torch.zeros(DIM, dtype=torch.float64), spread=1.0))
    with torch.no_grad():
        torch.testing.assert_close(critic(x).double(), frozen.potentials(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_weights_follow_from_the_seed(name):
    """Two builds from one seed are one critic; another seed gives another."""
    standardisation = Standardisation(shift=torch.zeros(DIM, dtype=torch.float64), spread=1.0)
    digests = [digest(network(name, DIM, SMALL, torch.Generator().manual_seed(seed)).freeze(standardisation)) for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("lipschitz", [0.25, 3.0])
def test_a_critic_with_another_constant_proves_the_same(name, lipschitz):
    """Bounds are divided by K, so K is a matter of the saved function alone."""
    a, b = two_moons(80, 80, 3)
    settings = replace(SMALL, lipschitz=lipschitz)
    plain, scaled = trial(a, b, name=name), trial(a, b, name=name, settings=settings)
    assert scaled.lipschitz_bound == pytest.approx(lipschitz * plain.lipschitz_bound, rel=1e-9)
    assert scaled.raw_value == (plain.raw_value and pytest.approx(plain.raw_value, rel=1e-9))
    assert scaled.samples.lower == pytest.approx(plain.samples.lower, rel=1e-9)
    assert scaled.population.lower == pytest.approx(plain.population.lower, rel=1e-9)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(scaled.frozen.potentials(x), lipschitz * plain.frozen.potentials(x), rtol=1e-9, atol=1e-9)


def test_a_saved_critic_is_the_same_function(result, tmp_path):
    path = tmp_path / "critic.safetensors"
    write_critic(path, result.frozen)
    loaded = read_critic(path)
    x, _ = pairs(result.frozen)
    assert (loaded.evaluate(x).values == result.frozen.evaluate(x).values).all()
    assert digest(loaded) == digest(result.frozen)
