"""The upper bound: the cost of a coupling that meets both marginals, optimal where it says so."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
import torch

from tests.trials import exact_w1
from wdist.ground_metric import L2, METRICS
from wdist.measures.rows import ResidentRows
from wdist.primal import Effort, _affordable_blocks, _by_quantiles, _masses, _members, predicted_seconds, upper_bound
from wdist.sources.in_memory import open_values

PLENTY = Effort(seconds=60, nbytes=1 << 30)


def rows(x):
    source = open_values(np.asarray(x, dtype=np.float64))
    return ResidentRows(values=source.read(slice(0, source.count)), info=source.info)


def bound(x, y, *, effort=PLENTY, prepare=lambda x: x, seed=0, metric=L2):
    return upper_bound(rows(x), rows(y), prepare=prepare, effort=effort, seed=seed, metric=metric)


@pytest.mark.parametrize("counts", [(50, 50), (40, 61), (7, 300), (1, 5), (2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["normal", "ties", "offset 1e8"])
def test_in_one_dimension_it_is_that_of_scipy(counts, kind):
    random = np.random.default_rng(0)
    x, y = (random.normal(size=(n, 1)) + shift for n, shift in zip(counts, (0, 0.3), strict=True))
    if kind == "ties":
        x, y = x.round(), y.round()
    if kind == "offset 1e8":
        x, y = x + 1e8, y + 1e8
    found = bound(x, y)
    assert found.exact
    assert found.cost == pytest.approx(
        scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]), rel=2e-9, abs=1e-6 * (kind == "offset 1e8")
    )


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
    assert _by_quantiles(x, y) == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("counts", [(40, 40), (30, 77), (2, 50)], ids=str)
@pytest.mark.parametrize("dim", [2, 3, 40])
def test_elsewhere_it_is_that_of_pot(counts, dim):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(counts[0], dim)), random.normal(size=(counts[1], dim)) + 0.5
    found = bound(x, y)
    assert found.exact
    assert exact_w1(x, y) <= found.cost <= exact_w1(x, y) * (1 + 1e-8)


@pytest.mark.parametrize("swap", [False, True])
def test_one_point_against_many_is_the_mean_distance(swap):
    random = np.random.default_rng(0)
    point, others = np.full((20, 3), 0.7), random.normal(size=(9000, 3))
    found = bound(*((others, point) if swap else (point, others)))
    assert found.exact
    assert "single point" in found.method
    assert found.cost == pytest.approx(np.linalg.norm(others - 0.7, axis=1).mean(), rel=2e-9)
    assert found.cost >= np.linalg.norm(others - 0.7, axis=1).mean()


def test_two_equal_points_are_at_distance_0():
    assert bound(np.ones((20, 2)), np.ones((30, 2))).cost == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("step", [1e-9, 1e-12, 1e-14])
def test_it_is_not_below_the_truth_where_standardising_rounds(dim, step):
    """Sets that lie much nearer to each other than their own extent: what preparing rounds is as large as W1 itself."""
    random = np.random.default_rng(0)
    x = random.normal(size=(40, dim))
    y = x + step * np.abs(random.normal(size=x.shape))
    truth = min(exact_w1(x, y), np.linalg.norm(y - x, axis=1).mean())
    found = bound(x, y, prepare=lambda z: (z - 0.1) / 3)
    assert found.cost * 3 >= truth


@pytest.mark.parametrize("counts", [(120, 120), (100, 161), (37, 400), (130, 55)], ids=str)
def test_blocks_cost_at_least_the_optimum_and_not_much_more(counts):
    random = np.random.default_rng(0)
    x, y = (random.normal(size=(n, 2)) + shift for n, shift in zip(counts, (0, 2), strict=True))
    found = bound(x, y, effort=Effort(seconds=60, nbytes=0))
    assert not found.exact
    assert found.method == "1 blocks of exact transport"
    few = Effort(seconds=2.1 * predicted_seconds(-(-counts[0] // 2), -(-counts[1] // 2)), nbytes=0)
    halves = bound(x, y, effort=few)
    assert not halves.exact
    assert halves.method == "2 blocks of exact transport"
    assert exact_w1(x, y) <= found.cost <= halves.cost < 1.3 * exact_w1(x, y)


@pytest.mark.parametrize("n", [1, 2, 5, 17, 100, 101])
@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 16])
def test_masses_of_blocks_meet_the_marginals_exactly(n, blocks):
    """Each block has mass 1 of its own, and over all blocks each sample its total, in units of 1 / n blocks."""
    total = [Fraction(0)] * n
    for k in range(blocks):
        first, end = _members(n, k, blocks)
        masses = [Fraction(mass).limit_denominator(10 * n) for mass in _masses(n, k, blocks)]
        assert 0 <= first < end <= n
        assert len(masses) == end - first
        assert min(masses) > 0
        assert sum(masses) == 1
        for sample, mass in zip(range(first, end), masses, strict=True):
            total[sample] += mass / blocks
    assert total == [Fraction(1, n)] * n


@pytest.mark.parametrize("radius", [1e-6, 1e-9, 1e-12])
def test_it_is_optimal_within_clusters_that_are_tight(radius):
    """Products of matrices do not tell such points apart; W1 is of the order of the radius."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(2, 30))[random.integers(0, 2, 80)]
    x, y = (centres + radius * random.normal(size=centres.shape) for _ in range(2))
    found = bound(x, y)
    assert found.exact
    assert found.cost == pytest.approx(exact_w1(x, y), rel=1e-6 + 1e-14 / radius)


def test_blocks_follow_from_the_seed():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(150, 2)), random.normal(size=(130, 2))
    effort = Effort(seconds=2.1 * predicted_seconds(75, 65), nbytes=0)
    first, again, other = (bound(x, y, effort=effort, seed=seed).cost for seed in (0, 0, 1))
    assert first == again != other


def test_where_nothing_is_affordable_there_is_no_bound():
    random = np.random.default_rng(0)
    assert bound(random.normal(size=(400, 2)), random.normal(size=(400, 2)), effort=Effort(seconds=1e-9, nbytes=0)) is None


@pytest.mark.parametrize("counts", [(5000, 5000), (20_000, 1_000), (10**6, 10**6)], ids=str)
@pytest.mark.parametrize("seconds", [0.01, 1.0, 30.0, 1000.0])
def test_blocks_are_predicted_to_fit_into_the_time(counts, seconds):
    blocks = _affordable_blocks(*counts, seconds)
    if blocks is not None:
        assert blocks * predicted_seconds(-(-counts[0] // blocks), -(-counts[1] // blocks)) <= seconds


def test_the_order_of_the_sides_does_not_matter():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(45, 3)), random.normal(size=(60, 3)) + 1
    assert bound(x, y).cost == pytest.approx(bound(y, x).cost, rel=1e-9)


def test_distances_are_not_those_of_the_matrix_product():
    """|x|^2 + |y|^2 - 2 x y loses half of the digits; the cost of the plan is computed from differences."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 30))
    y = x + 1e-9
    assert bound(x, y).cost == pytest.approx(1e-9 * 30**0.5, rel=1e-3)
    assert bound(torch.from_numpy(x).float(), torch.from_numpy(y).float()).cost >= 0


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("kind", ["whole", "blocks", "single point", "one dimension"])
def test_every_metric_has_its_own_transport(metric, kind):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(240, 4)), random.normal(size=(300, 4)) * [1, 2, 0.5, 3]
    if kind == "single point":
        y = np.repeat(y[:1], 20, axis=0)
    if kind == "one dimension":
        x, y = x[:, :1], y[:, :1]
    effort = Effort(seconds=predicted_seconds(120, 150) * 2.5, nbytes=1 << 30) if kind == "blocks" else PLENTY
    found, truth = bound(x, y, effort=effort, metric=metric), exact_w1(x, y, metric.p)
    assert found.exact == (kind != "blocks")
    assert truth <= found.cost <= truth * (1.5 if kind == "blocks" else 1 + 1e-8)
