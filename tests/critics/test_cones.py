"""Cone critics: the lowest cone is found, and freezing keeps the function, whichever way the cones point."""

import pytest
import torch

from wdist.bounds.certificate import certify
from wdist.critics.cones import RECIPE, ConeCritic, upside_down
from wdist.critics.settings import CriticSettings
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import METRICS

SHIFTED = Standardisation(shift=torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64), spread=4.0)


def critic_of(metric, sign, generator, count=30, dim=3):
    critic = ConeCritic(torch.randn(count, dim, generator=generator), sign=sign, metric=metric)
    critic.offsets.copy_(torch.randn(count, generator=generator))
    return critic


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_lowest_cone_is_that_of_all_distances(metric, generator):
    """More samples than one part takes, in float32: values to its digits, and no cone that is higher than they tell apart."""
    critic = critic_of(metric, 1, generator, count=700)
    x = torch.cat([2 * torch.randn(500, 3, generator=generator), critic.centres[:100]])
    values, own = critic.lowest(x)
    heights = torch.cdist(x.double(), critic.centres.double(), p=metric.p) + critic.offsets.double()
    torch.testing.assert_close(values.double(), heights.amin(1), rtol=0, atol=2e-3)
    assert float((heights.gather(1, own.unsqueeze(1)).squeeze(1) - heights.amin(1)).max()) < 2e-3
    away = heights.amin(1) > critic.offsets.double()[own] + 0.1
    torch.testing.assert_close(values.double()[away], heights.amin(1)[away], rtol=0, atol=2e-5)


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("lipschitz", [1.0, 2.5])
def test_freezing_keeps_the_function_that_was_trained(metric, sign, lipschitz, generator):
    critic = critic_of(metric, sign, generator)
    x = 3 * torch.randn(200, 3, generator=generator, dtype=torch.float64)
    frozen = critic.freeze(SHIFTED, lipschitz=lipschitz)
    with torch.no_grad():
        trained = critic(SHIFTED.apply(x).float()).double() * SHIFTED.spread * lipschitz
    torch.testing.assert_close(frozen.potentials(x), trained, rtol=1e-4, atol=1e-3)
    heights = torch.cdist(SHIFTED.apply(x), critic.centres.double(), p=metric.p) + critic.offsets.double()
    expected = sign * heights.amin(1) * SHIFTED.spread * lipschitz
    torch.testing.assert_close(frozen.potentials(x), expected, rtol=1e-12, atol=1e-12)
    assert certify(frozen, metric).lipschitz_bound == pytest.approx(lipschitz, rel=1e-12)


def test_upside_down_is_exactly_that():
    h = torch.tensor([[1.5], [-0.0], [1e-320]], dtype=torch.float64)
    assert torch.equal(upside_down()(h), -h)


def test_nothing_is_to_be_constrained_and_nothing_is_left_to_autograd(generator):
    critic = critic_of(METRICS["l2"], 1, generator)
    before = critic.centres.clone()
    assert critic.constrain_(tightly=True) is None
    assert torch.equal(critic.centres, before)
    assert not any(parameter.requires_grad for parameter in critic.parameters())


@pytest.mark.parametrize("dim", [1, 2, 33, 784, 5000])
@pytest.mark.parametrize("samples", [None, 12, 3000, 10**6])
def test_everything_that_concerns_cones_is_settled(dim, samples):
    """Few samples feed few cones, and in more dimensions they are looked at more at a time, as far as memory goes."""
    settings = RECIPE.settle(CriticSettings(), dim=dim, samples=samples)
    for name in ("centres", "batch_size", "learning_rate", "schedule", "lipschitz"):
        assert getattr(settings, name) is not None
    assert settings.batch_size * dim <= 1 << 24
    fewer = RECIPE.settle(CriticSettings(), dim=dim, samples=10)
    assert fewer.centres <= settings.centres
    asked = CriticSettings(centres=7, batch_size=11, learning_rate=0.1, schedule="cosine", lipschitz=2.0)
    assert RECIPE.settle(asked, dim=dim, samples=samples) == asked


@pytest.mark.parametrize("sign", [1, -1])
def test_centres_are_samples_of_the_side_that_is_to_lie_low(sign, generator):
    """In few dimensions at their place, in many on the way to the middle; the same seed takes the same ones."""
    a, b = torch.randn(50, 3, generator=generator), torch.randn(40, 3, generator=generator) + 9
    settings = RECIPE.settle(CriticSettings(centres=25), dim=3, samples=40)

    def build(participation, seed=0):
        return RECIPE.signed(sign).build(a, b, settings, torch.Generator().manual_seed(seed), participation=participation)

    near, far = build(3.0), build(1000.0)
    low = b if sign > 0 else a
    assert near.sign == sign
    assert all(bool((low == centre).all(1).any()) for centre in near.centres)
    assert not near.offsets.any()
    assert float(far.centres.norm(dim=1).mean()) < 0.5 * float(near.centres.norm(dim=1).mean())
    assert torch.equal(near.centres, build(3.0).centres)
    assert not torch.equal(near.centres, build(3.0, seed=1).centres)
