"""Clipping: still 1-Lipschitz, only where tails are heavy, and never what a distance rests on."""

import numpy as np
import pytest
import torch

from tests.trials import two_moons
from wdist.bounds.certificate import certify
from wdist.critics.clipping import clipped, clipped_share, ends
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import METRICS
from wdist.training.catalogue import CATALOGUE


def values(draw, n, shift, seed=0):
    random = np.random.default_rng(seed)
    return torch.from_numpy(draw(random, n) + shift), torch.from_numpy(draw(random, n))


def student(random, n):
    return random.standard_t(2.5, n)


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("name", ["mean-difference", "max-sliced", "radial"])
def test_a_clipped_critic_has_its_values_up_to_a_constant_and_its_certificate(name, metric):
    a, b = (torch.from_numpy(side) for side in two_moons(80, 60, 3))
    plain = CATALOGUE[name].critic(a, b, Standardisation.fit(a, b), metric, lipschitz=2.0)
    low, high = ends(plain.potentials(a), plain.potentials(b), 0.1)
    found = clipped(plain, low, high)
    x = torch.cat([a, b])
    expected = plain.potentials(x).clamp(low, high) - low
    assert torch.allclose(found.potentials(x), expected, atol=1e-12)
    assert certify(found, metric).lipschitz_bound == pytest.approx(certify(plain, metric).lipschitz_bound, rel=1e-12)
    assert found.restored(found.description(), found.tensors()).potentials(x).equal(found.potentials(x))


@pytest.mark.parametrize(
    "draw",
    [lambda random, n: random.normal(size=n), lambda random, n: random.random(n), lambda random, n: random.integers(0, 2, n) + 0.0],
    ids=["normal", "uniform", "two values"],
)
@pytest.mark.parametrize("shift", [0.0, 0.2, 3.0])
def test_light_tails_are_left_as_they_are(draw, shift):
    assert not any(clipped_share(*values(draw, n, shift, seed), errors=3.5) for n in (20, 100, 1000) for seed in range(5))


def test_heavy_tails_are_clipped_where_that_raises_the_bound():
    for seed in range(5):
        a, b = values(student, 300, 1.0, seed)
        share = clipped_share(a, b, errors=3.5)
        low, high = ends(a, b, share)
        fresh = values(student, 100_000, 1.0, 1000 + seed)
        found = [side.clamp(low, high) for side in fresh]
        assert share > 0
        assert float(found[0].mean() - found[1].mean()) > 0.7
        assert sum(float(side.var()) for side in found) < 0.6 * sum(float(side.var()) for side in fresh)


def test_with_many_samples_little_is_clipped():
    """The error that clipping saves falls with more samples, and what it gives up does not."""
    shares = [clipped_share(*values(student, n, 1.0), errors=3.5) for n in (300, 300_000)]
    assert shares[1] < shares[0]


def test_what_rests_on_rare_values_is_kept():
    a = torch.zeros(1000, dtype=torch.float64)
    a[:10] = 100.0
    assert clipped_share(a, torch.zeros_like(a), errors=3.5) == 0


def test_equal_values_and_very_few_are_not_clipped():
    x = torch.zeros(50, dtype=torch.float64)
    for a, b in ((x, x), (x[:5], x[:5] + 1), (x[:1], x)):
        assert clipped_share(a, b, errors=2.0) == 0
