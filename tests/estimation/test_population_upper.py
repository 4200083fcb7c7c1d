"""The upper end for the distributions: planned from counts, and wrong no oftener than it says."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.transport.rows import rows
from tests.trials import exact_w1
from wdist import estimate, gate
from wdist.estimation.population_upper import (
    BETTING,
    Support,
    _Block,
    population_upper_bound,
    population_upper_planned,
    upper_from_costs,
)
from wdist.ground_metric import L2, LINF
from wdist.transport.coupling import Coupling, Effort, Execution, Sides
from wdist.transport.samples import upper_bound

PLENTY = Effort(seconds=60, nbytes=1 << 30)


def upper(x, y, *, alpha=0.05, diameter=None, effort=PLENTY, seed=0, metric=L2, whole=None, deadline=math.inf):
    sides, execution = Sides(a=rows(x), b=rows(y), metric=metric), Execution(deadline=deadline)
    return population_upper_bound(sides, alpha=alpha, diameter=diameter, effort=effort, seed=seed, whole=whole, execution=execution)


@pytest.mark.parametrize("diameter", [None, 20.0])
def test_there_is_none_once_the_deadline_has_passed(diameter):
    x, y = np.random.default_rng(0).normal(size=(2, 40, 2))
    assert upper(x, y, diameter=diameter, deadline=-math.inf) is None
    assert upper(x, y, diameter=diameter, deadline=1e300).value == upper(x, y, diameter=diameter).value


def allowed(runs, alpha):
    """Wrong bounds that a true share of alpha exceeds in one of a thousand such tests."""
    return int(stats.binom.ppf(0.999, runs, alpha))


@pytest.mark.parametrize("dim", [1, 2, 10])
@pytest.mark.parametrize("counts", [(8, 8), (40, 40), (90, 50)], ids=str)
def test_of_unbounded_sides_it_is_seldom_wrong(dim, counts):
    random, runs, wrong = np.random.default_rng(0), 150, 0
    for seed in range(runs):
        x, y = (random.normal(size=(n, dim)) for n in counts)
        x[:, 0] += 1
        found = upper(x, y, alpha=0.2, seed=seed)
        wrong += found.value < 1
    assert wrong <= allowed(runs, 0.2)
    assert found.method.startswith(f"W1 of {4 if dim == 10 or min(counts) == 8 else 8} independent blocks, Student's t, asymptotic")


@pytest.mark.parametrize("dim", [2, 10])
@pytest.mark.parametrize("counts", [(40, 40), (90, 50)], ids=str)
@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
def test_the_spread_of_dual_variables_is_seldom_too_small_and_on_average_tighter_than_blocks(dim, counts, metric):
    random, runs, wrong, gained = np.random.default_rng(0), 120, 0, 0.0
    for seed in range(runs):
        x, y = (random.normal(size=(n, dim)) for n in counts)
        x[:, 0] += 3
        whole = upper_bound(Sides(a=rows(x), b=rows(y), metric=metric), effort=PLENTY, seed=0)
        found = upper(x, y, alpha=0.2, metric=metric, whole=whole)
        wrong += found.value < 3
        gained += upper(x, y, alpha=0.2, metric=metric, seed=seed).value - found.value
    assert wrong <= allowed(runs, 0.2)
    assert gained > 0
    assert found.method == "W1 of all samples, spread of its dual variables, asymptotic"
    assert found.value > whole.cost


@pytest.mark.parametrize("n", [3, 30, 200])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_of_bounded_sides_it_holds_at_every_sample_size(n, share):
    """Ones and zeros: no spread is seen where the rare one is not drawn, and still the bound does not fall below."""
    random, runs = np.random.default_rng(1), 120
    bounds = [
        upper((random.random((n, 1)) < share) * 1.0, np.zeros((n, 1)), alpha=0.2, diameter=1.0, seed=seed) for seed in range(runs)
    ]
    assert sum(found.value < share for found in bounds) <= allowed(runs, 0.2)


@pytest.mark.parametrize("of_all", [False, True])
def test_of_unbounded_sides_it_states_nothing_if_nothing_varies(of_all):
    """A value of 1000 in one of a thousand samples that none of them shows: W1 is 1 more than the samples say, or anything else."""
    for x, y in ((np.zeros((90, 2)), np.zeros((70, 2))), (np.ones((90, 2)), np.zeros((70, 2)))):
        whole = upper_bound(Sides(a=rows(x), b=rows(y)), effort=PLENTY, seed=0) if of_all else None
        assert upper(x, y, whole=whole).value == math.inf
        assert upper(x, y, diameter=2.0).value < math.inf


@pytest.mark.parametrize(("n", "share"), [(100, 0.02), (400, 0.01), (1000, 0.003)])
def test_of_unbounded_sides_it_is_seldom_wrong_for_rare_values(n, share):
    """A mean cost of a few ones among zeros is far from normal: Student's t alone was wrong in up to a fifth of such runs."""
    random, runs = np.random.default_rng(6), 150
    bounds = [upper((random.random((n, 1)) < share) * 1.0, np.zeros((n, 1)), seed=seed) for seed in range(runs)]
    assert sum(found.value < share for found in bounds) <= allowed(runs, 0.05)


def test_an_estimate_says_why_it_states_nothing():
    """The same rows in another order, of which no block shows the only one that differs."""
    x, y = np.zeros((2, 163, 2))
    random = np.random.default_rng(1)
    for side in (x, y):
        side[random.permutation(163)[-1]] = 1.0
    found = estimate(x, y, critic="mean-difference", baselines="none", seed=1)
    assert found.population.upper is None
    assert any("nothing about values that were not drawn, so there is no upper bound" in each for each in found.warnings)
    judged = gate(x, y, maximum=0.5, critic="mean-difference", baselines="none", seed=1)
    assert judged.answer == "inconclusive"
    assert "equal distances say nothing about values that were not drawn" in judged.verdict.what_would_decide


def test_large_samples_bring_both_kinds_near_the_truth():
    random = np.random.default_rng(2)
    x, y = random.random((20_000, 1)) / 2 + 0.5, random.random((20_000, 1)) / 2
    for diameter in (None, 1.0):
        assert 0.5 < upper(x, y, diameter=diameter).value < 0.54


def test_mcdiarmid_takes_the_coupling_that_is_there():
    random = np.random.default_rng(3)
    x, y = random.random((30, 2)), random.random((30, 2))
    whole = Coupling(cost=exact_w1(x, y), exact=True, method="known")
    diameter = math.sqrt(2)
    assert upper(x, y, diameter=diameter, whole=whole).value == pytest.approx(upper(x, y, diameter=diameter).value, rel=1e-6)
    known = upper(x, y, diameter=diameter, whole=Coupling(cost=0.0, exact=True, method="wrong")).value
    assert known < upper(x, y, diameter=diameter).value


def test_other_metrics_have_their_own():
    random = np.random.default_rng(4)
    x, y = random.normal(size=(200, 3)) + np.ones(3), random.normal(size=(200, 3))
    assert 1 < upper(x, y, metric=LINF).value < 3**0.5 < upper(x, y).value


@pytest.mark.parametrize("counts", [(7, 100), (8, 100), (16, 16), (10**5, 10**5), (10**9, 10**9)], ids=str)
@pytest.mark.parametrize("dim", [2, 784])
def test_it_is_planned_from_counts_alone(counts, dim):
    effort = Effort(seconds=10.0)
    assert population_upper_planned(*counts, dim, effort=effort, bounded=False) == (8 <= min(counts) < 10**9)
    assert population_upper_planned(*counts, dim, effort=effort, bounded=True) == (counts[0] < 10**9)
    assert not population_upper_planned(*counts, dim, effort=Effort(seconds=0.0), bounded=True)


@pytest.mark.parametrize("counts", [(7, 30), (8, 30), (40, 9)], ids=str)
@pytest.mark.parametrize("diameter", [None, 50.0])
def test_a_bound_is_stated_where_it_was_planned(counts, diameter):
    random = np.random.default_rng(5)
    for effort in (PLENTY, Effort(seconds=0.0), Effort(seconds=0.001)):
        planned = population_upper_planned(*counts, 2, effort=effort, bounded=diameter is not None)
        found = upper(*(random.normal(size=(n, 2)) for n in counts), diameter=diameter, effort=effort)
        assert planned == (found is not None)


def test_blocks_are_disjoint_and_follow_the_order():
    import torch

    values = torch.arange(23.0).unsqueeze(1)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    blocks = [_Block(rows=rows(values), order=order, number=number, of=4) for number in range(4)]
    held = [torch.cat(list(block.batches(2))).flatten() for block in blocks]
    assert torch.cat(held).equal(order[:20].double())
    inner = torch.tensor([4, 2, 0, 1, 3])
    assert blocks[2].span(1, 4, inner).flatten().equal(held[2][inner[1:4]])


def test_the_blocks_follow_from_the_seed():
    random = np.random.default_rng(6)
    x, y = random.normal(size=(64, 2)), random.normal(size=(64, 2))
    first, again, other = (upper(x, y, seed=seed).value for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("order", [1, -1], ids=["ascending", "descending"])
def test_costs_of_blocks_of_sorted_files_are_bounded_by_less_than_their_mean_seldom(order):
    """In file order, whole blocks that cost nothing and come first would let every bound fall below the mean of all."""
    support, counts = Support(n=2000, m=2000, diameter=1.0), range(20, 320, 2)
    bounds = [upper_from_costs(np.repeat([0.0, 1.0], count // 2)[::order], BETTING, 0.05, support) for count in counts]
    assert sum(bound < 0.5 for bound in bounds) <= allowed(len(counts), 0.05)
