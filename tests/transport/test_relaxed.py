"""Semi-relaxed transport: both bounds against convex programming, and in its limits."""

import numpy as np
import pytest
import torch

from tests.divergences import exact_divergence
from tests.trials import exact_w1
from wdist.bounds.certificate import certify
from wdist.bounds.divergence import best_factor, largest_factor, samples_lower
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import L1, L2, LINF
from wdist.transport.coupling import Plan
from wdist.transport.relaxed import extensions, relaxed_cost_above, relaxed_transport

NAMES = {L1: "cityblock", L2: "euclidean", LINF: "chebyshev"}


def bounds(a, b, scale, metric=L2):
    x, y = (torch.from_numpy(np.asarray(side, dtype=np.float64)) for side in (a, b))
    found = relaxed_transport(x, y, metric, scale=scale, seed=0)
    unit, lowers = Standardisation(shift=torch.zeros(x.shape[1], dtype=torch.float64), spread=1.0), []
    for critic in (FrozenCritic(layers, unit) for layers in extensions(x, y, found.potentials, metric)):
        of_a, of_b = critic.evaluate(x), critic.evaluate(y)
        largest = largest_factor(scale, certify(critic, metric).lipschitz_bound)
        lowers.append(samples_lower(of_a, of_b, best_factor(of_a.values, of_b.values, largest)))
    return max(lowers), relaxed_cost_above(x, y, found.plan, metric, scale=scale)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 50.0])
@pytest.mark.parametrize("metric", NAMES, ids=NAMES.get)
def test_both_bounds_enclose_the_exact_value_closely(metric, scale):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(4, 2)) + 1, random.normal(size=(5, 2))
    truth = exact_divergence(a, b, scale, NAMES[metric])
    lower, upper = bounds(a, b, scale, metric)
    assert lower <= truth * (1 + 1e-5)
    assert truth * (1 - 1e-5) <= upper
    assert upper - lower <= 1e-3 * upper


@pytest.mark.parametrize(("n", "m"), [(150, 220), (300, 80)])
def test_between_more_samples_the_gap_stays_small(n, m):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(n, 4)) + 0.5, random.normal(size=(m, 4))
    for scale in (0.3, 3.0):
        lower, upper = bounds(a, b, scale)
        assert 0 < lower <= upper
        assert upper - lower <= 2e-3 * upper


def test_small_lambda_gives_lambda_times_w1():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(40, 2)) + 1, random.normal(size=(30, 2))
    lower, upper = bounds(a, b, 1e-4)
    assert lower == pytest.approx(1e-4 * exact_w1(a, b), rel=2e-3)
    assert upper == pytest.approx(1e-4 * exact_w1(a, b), rel=2e-3)
    assert lower <= upper


def test_large_lambda_gives_the_divergence_itself():
    """A holds a quarter of B's samples: the divergence of its empirical measure is log 4."""
    b = np.random.default_rng(0).normal(size=(80, 2))
    lower, upper = bounds(b[:20], b, 1e4)
    assert lower == pytest.approx(np.log(4), rel=1e-3)
    assert upper == pytest.approx(np.log(4), rel=1e-3)
    assert lower <= np.log(4) <= upper


def test_repeated_and_coinciding_points_are_fine():
    a, b = np.zeros((6, 2)), np.repeat([[0.0, 0.0], [1.0, 0.0]], 3, axis=0)
    lower, upper = bounds(a, b, 2.0)
    truth = exact_divergence(np.zeros((1, 2)), np.array([[0.0, 0.0], [1.0, 0.0]]), 2.0)
    assert lower <= truth * (1 + 1e-5)
    assert truth <= upper * (1 + 1e-5)
    assert bounds(a, a, 2.0)[0] == 0.0
    assert bounds(a, a, 2.0)[1] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("change", ["lighter", "one arc less", "to one point", "no mass", "too much"])
def test_any_plan_proves_an_upper_bound(change):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(4, 2)) + 1, random.normal(size=(5, 2))
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    plan = relaxed_transport(x, y, L2, scale=2.0, seed=0).plan
    rows, columns, mass = plan.rows, plan.columns, plan.mass
    if change == "one arc less":
        rows, columns, mass = rows[1:], columns[1:], mass[1:]
    elif change == "to one point":
        columns = np.zeros_like(columns)
    else:
        mass = mass * {"lighter": 0.9, "no mass": 1e-300, "too much": 1e308}[change]
    upper = relaxed_cost_above(x, y, Plan(rows=rows, columns=columns, mass=mass), L2, scale=2.0)
    assert upper >= exact_divergence(a, b, 2.0) * (1 - 1e-5)
