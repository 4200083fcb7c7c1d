"""Couplings: exact on the line, and proved bounds for the cost of any plan."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.trials import exact_w1
from wdist.ground_metric import L2
from wdist.transport.coupling import Plan, ascending, cost_above, on_the_line


@pytest.mark.parametrize("seed", range(20))
def test_in_one_dimension_it_is_exact_in_rational_arithmetic(seed):
    random = np.random.default_rng(seed)
    n, m = random.integers(1, 40, 2)
    x, y = random.integers(-20, 20, n).astype(float), random.integers(-20, 20, m).astype(float)
    points = sorted({*x.tolist(), *y.tolist()})
    exact = sum(
        abs(Fraction(int((x <= p).sum()), int(n)) - Fraction(int((y <= p).sum()), int(m))) * Fraction(q - p)
        for p, q in pairwise(points)
    )
    plan = on_the_line(x, y)
    assert plan.mass @ np.abs(x[plan.rows] - y[plan.columns]) == pytest.approx(float(exact), rel=1e-14)


def test_any_plan_is_charged_for_the_mass_that_it_misplaces():
    """Plans that move too little, too much, or the wrong samples still cost at least W1."""
    random = np.random.default_rng(0)
    x, y = torch.from_numpy(random.normal(size=(30, 2))), torch.from_numpy(random.normal(size=(40, 2)))
    a, b, truth = np.full(30, 1 / 30), np.full(40, 1 / 40), exact_w1(x.numpy(), y.numpy())
    for entries in (1, 5, 200):
        mass = random.random(entries)
        plan = Plan(rows=random.integers(30, size=entries), columns=random.integers(40, size=entries), mass=mass / mass.sum())
        assert cost_above(x, y, a, b, plan, L2) >= truth
    half = Plan(rows=np.arange(30), columns=np.arange(30), mass=np.full(30, 1 / 60))
    assert cost_above(x, y, a, b, half, L2) >= truth


@pytest.mark.parametrize("numbers", [[], [5], [3, 3, 1, -2, 3], [-(2**63), 2**62, -(2**63)]], ids=str)
def test_distinct_numbers_ascend(numbers):
    assert ascending(np.array(numbers, dtype=np.int64)).tolist() == sorted(set(numbers))
