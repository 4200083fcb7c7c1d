"""Cone critics: the lowest cone is found, and freezing keeps the function, whichever way the cones point."""

import pytest
import torch

from wdist.bounds.certificate import certify
from wdist.critics.cones import ConeCritic, negation
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


def test_negation_is_exact():
    h = torch.tensor([[1.5], [-0.0], [1e-320]], dtype=torch.float64)
    assert torch.equal(negation()(h), -h)


def test_nothing_is_to_be_constrained_and_nothing_is_left_to_autograd(generator):
    critic = critic_of(METRICS["l2"], 1, generator)
    before = critic.centres.clone()
    assert critic.constrain_(tightly=True) is None
    assert torch.equal(critic.centres, before)
    assert not any(parameter.requires_grad for parameter in critic.parameters())
