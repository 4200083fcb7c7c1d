"""The c-transform: worth W1 on the samples that it is made from, and a true bound on all others."""

import numpy as np
import pytest
import torch

from tests.trials import exact_w1, two_moons
from wdist.bounds.certificate import certify
from wdist.bounds.dual import evaluate, lower_bound
from wdist.bounds.lipschitz.search import largest_slope
from wdist.critics import c_transform
from wdist.critics.c_transform import better_extension, exact_potentials, set_apart
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import L2, METRICS
from wdist.training.catalogue import CATALOGUE

KINDS = (CATALOGUE["c-transform"], CATALOGUE["c-transform-entropic"])


def sides(n=60, m=45, dim=3):
    return tuple(torch.from_numpy(side) * 7 + 100 for side in two_moons(n, m, dim))


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_on_its_own_samples_nothing_is_missing(metric):
    a, b = sides()
    standardisation = Standardisation.fit(a, b)
    u, v = exact_potentials(standardisation.apply(a), standardisation.apply(b), metric)
    critic = c_transform.c_transform((a, b), (u, v), standardisation, metric)
    bound = certify(critic, metric).lipschitz_bound
    assert bound == pytest.approx(1.0, rel=1e-12)
    truth = exact_w1(a.numpy(), b.numpy(), metric.p)
    lower = lower_bound(evaluate(critic, [a]), evaluate(critic, [b]), bound)
    assert truth * (1 - 1e-9) <= lower <= truth


@pytest.mark.parametrize("kind", ["wrong", "infeasible", "far off"])
def test_whatever_the_variables_are_the_bound_is_true(kind):
    a, b = sides()
    standardisation = Standardisation.fit(a, b)
    u, v = exact_potentials(standardisation.apply(a), standardisation.apply(b), L2)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=len(u)))
    u = {"wrong": noise, "infeasible": u + noise.abs(), "far off": u + 1e9}[kind]
    critic = c_transform.c_transform((a, b), (u, v), standardisation, L2)
    lower = lower_bound(evaluate(critic, [a]), evaluate(critic, [b]), certify(critic).lipschitz_bound)
    assert lower <= exact_w1(a.numpy(), b.numpy())
    assert kind != "far off" or lower > 0.99 * exact_w1(a.numpy(), b.numpy())


@pytest.mark.parametrize("swap", [False, True])
def test_the_better_form_is_taken(swap, generator):
    """One point against a sphere around it: one cone on it is optimal everywhere, and cones on the other side are not."""
    x = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    x, y = x / x.norm(dim=1, keepdim=True), torch.zeros(1, 3, dtype=torch.float64)
    fresh = torch.randn(100, 3, generator=generator, dtype=torch.float64)
    fresh = fresh / fresh.norm(dim=1, keepdim=True)
    points, judged_on = ((y, x), (y, fresh)) if swap else ((x, y), (fresh, y))
    h_a, h_b = judged_on
    for layer in better_extension(points, exact_potentials(*points, L2), L2, judged_on=judged_on):
        h_a, h_b = layer(h_a), layer(h_b)
    assert float(h_a.mean() - h_b.mean()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_a_fitted_one_is_certified_and_worth_something(kind, metric, generator):
    a, b = sides(300, 240)
    critic = kind.critic(a, b, Standardisation.fit(a, b), metric)
    bound = certify(critic, metric).lipschitz_bound
    assert bound == pytest.approx(1, rel=1e-12)
    assert largest_slope(critic, a[:50], b[:50], metric=metric, generator=generator) <= bound
    truth = exact_w1(a.numpy(), b.numpy(), metric.p)
    assert 0.6 * truth < lower_bound(evaluate(critic, [a]), evaluate(critic, [b]), bound) <= truth


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("counts", [(1, 1), (1, 20), (2, 3)], ids=str)
def test_few_samples_and_equal_ones_are_no_obstacle(kind, counts):
    a, b = (torch.ones(n, 2, dtype=torch.float64) for n in counts)
    for other in (b, b + 1):
        critic = kind.critic(a, other, Standardisation.fit(a, other), L2)
        value = float(critic.potentials(a).mean() - critic.potentials(other).mean())
        assert value == pytest.approx(0 if other is b else 2**0.5, abs=1e-12)


@pytest.mark.parametrize("counts", [(1, 2), (100, 7), (1000, 3000)], ids=str)
def test_samples_are_set_apart_to_choose_the_form_by(counts):
    a, b = (torch.arange(float(n)).unsqueeze(1) for n in counts)
    points, others = set_apart(a, b, 500)
    for n, chosen, rest in zip(counts, points, others, strict=True):
        assert 1 <= len(chosen) <= min(500, max(1, n * 3 // 4))
        if n > 1:
            assert torch.cat([chosen, rest]).flatten().sort().values.equal(torch.arange(float(n)))
