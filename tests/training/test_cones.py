"""Cone critics as a kind: settings that follow from the data, and centres to start from."""

import pytest
import torch

from tests.trials import shape_of
from wdist.critics.settings import CriticSettings
from wdist.training.catalogue import CATALOGUE
from wdist.training.cones import start

CONES = CATALOGUE["cones"]


@pytest.mark.parametrize("dim", [1, 2, 33, 784, 5000])
@pytest.mark.parametrize("samples", [None, 12, 3000, 10**6])
def test_everything_that_concerns_cones_is_settled(dim, samples):
    """Few samples feed few cones, and in more dimensions a step looks at more of them, as far as memory goes."""
    settings = CONES.resolve(CriticSettings(), shape_of(dim, samples=samples)).settings
    for name in CONES.accepts:
        assert getattr(settings, name) is not None
    assert settings.batch_size * dim <= 1 << 24
    assert CONES.resolve(CriticSettings(), shape_of(dim, samples=10)).settings.centres <= settings.centres
    asked = CriticSettings(centres=7, batch_size=11, learning_rate=0.1, schedule="cosine", lipschitz=2.0)
    assert CONES.resolve(asked, shape_of(dim, samples=samples)).settings == asked


def test_centres_are_samples_of_the_side_that_lies_low(generator):
    """In few dimensions in their place, in many drawn towards the mean; the same seed takes the same ones."""
    low = torch.randn(40, 3, generator=generator) + 9

    def centres(participation, seed=0):
        return start(low, 25, torch.Generator().manual_seed(seed), participation=participation)

    near, far = centres(3.0), centres(1000.0)
    assert all(bool((low == centre).all(1).any()) for centre in near)
    assert float(far.norm(dim=1).mean()) < 0.5 * float(near.norm(dim=1).mean())
    assert torch.equal(near, centres(3.0))
    assert not torch.equal(near, centres(3.0, seed=1))
