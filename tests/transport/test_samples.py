"""Upper bounds for two sample sets: the cost of a coupling, optimal if it says so."""

import numpy as np
import pytest
import scipy.stats
import torch

from tests.transport.rows import rows
from tests.trials import exact_w1
from wdist.ground_metric import L2, METRICS
from wdist.transport.coupling import Effort, Sides
from wdist.transport.samples import affordable, upper_bound

PLENTY = Effort(seconds=60, nbytes=1 << 30)
IN_BLOCKS = Effort(seconds=0.3, nbytes=0)
"""Too little memory for a solution of the whole."""


def bound(x, y, *, effort=PLENTY, prepare=lambda x: x, seed=0, metric=L2):
    return upper_bound(Sides(a=rows(x), b=rows(y), prepare=prepare, metric=metric), effort=effort, seed=seed)


@pytest.mark.parametrize("counts", [(50, 50), (40, 61), (7, 300), (1, 5), (2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["normal", "ties", "offset 1e8"])
def test_in_one_dimension_it_agrees_with_scipy(counts, kind):
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


@pytest.mark.parametrize("counts", [(40, 40), (30, 77), (2, 50)], ids=str)
@pytest.mark.parametrize("dim", [2, 3, 40])
def test_in_more_dimensions_it_agrees_with_pot(counts, dim):
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
def test_it_is_not_below_the_truth_if_standardisation_rounds(dim, step):
    """Sets much closer to each other than their extent: the rounding of the preparation is as large as W1."""
    random = np.random.default_rng(0)
    x = random.normal(size=(40, dim))
    y = x + step * np.abs(random.normal(size=x.shape))
    truth = min(exact_w1(x, y), np.linalg.norm(y - x, axis=1).mean())
    found = bound(x, y, prepare=lambda z: (z - 0.1) / 3)
    assert found.cost * 3 >= truth


@pytest.mark.parametrize("radius", [1e-6, 1e-9, 1e-12])
def test_it_is_optimal_within_tight_clusters(radius):
    """Matrix products do not distinguish such points; W1 is of the order of the radius."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(2, 30))[random.integers(0, 2, 80)]
    x, y = (centres + radius * random.normal(size=centres.shape) for _ in range(2))
    found = bound(x, y)
    assert found.exact
    assert found.cost == pytest.approx(exact_w1(x, y), rel=1e-6 + 1e-14 / radius)


def test_without_an_affordable_coupling_there_is_no_bound():
    random = np.random.default_rng(0)
    assert bound(random.normal(size=(400, 2)), random.normal(size=(400, 2)), effort=Effort(seconds=1e-9, nbytes=0)) is None


def test_the_order_of_the_sides_does_not_matter():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(45, 3)), random.normal(size=(60, 3)) + 1
    assert bound(x, y).cost == pytest.approx(bound(y, x).cost, rel=1e-9)


def test_distances_do_not_come_from_the_matrix_product():
    """|x|^2 + |y|^2 - 2 x y loses half of the digits, so differences give the cost of the plan."""
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
    effort = IN_BLOCKS if kind == "blocks" else PLENTY
    found, truth = bound(x, y, effort=effort, metric=metric), exact_w1(x, y, metric.p)
    assert found.exact == (kind != "blocks")
    assert truth <= found.cost <= truth * (1.2 if kind == "blocks" else 1 + 1e-8)


@pytest.mark.parametrize("counts", [(40, 40), (30, 77)], ids=str)
@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_dual_variables_of_an_optimal_plan_are_feasible_and_attain_its_cost(counts, metric):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(counts[0], 3)), random.normal(size=(counts[1], 3)) + 0.5
    found = bound(x, y, metric=metric)
    u, v = found.potentials
    distances = np.linalg.norm(x[:, None] - y[None], ord=metric.p, axis=2)
    assert (u.numpy()[:, None] + v.numpy() - distances).max() < 1e-12
    assert float(u.mean() + v.mean()) == pytest.approx(found.cost, rel=1e-8)


@pytest.mark.parametrize("counts", [(240, 240), (240, 300), (3000, 4001)], ids=str)
@pytest.mark.parametrize("kind", ["whole", "blocks", "parts", "column generation", "single point", "one dimension"])
def test_every_coupling_carries_its_plan(kind, counts, monkeypatch):
    """Few pairs, which carry the masses of both sides and cost what the coupling says."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(counts[0], 4)), random.normal(size=(counts[1], 4)) + 0.5
    match kind:
        case "single point":
            y = np.repeat(y[:1], counts[1], axis=0)
        case "one dimension":
            x, y = x[:, :1], y[:, :1]
        case "column generation":
            monkeypatch.setattr("wdist.transport.samples._solvable", lambda *arguments: False)
    effort = {"blocks": Effort(seconds=0.5, nbytes=5 << 20), "parts": Effort(seconds=0.5, nbytes=0)}.get(kind, PLENTY)
    found = bound(x, y, effort=effort)
    plan = found.plan
    assert plan.rows.dtype == plan.columns.dtype == np.int64
    assert len(plan.rows) <= 4 * sum(counts)
    assert np.bincount(plan.rows, plan.mass, counts[0]) == pytest.approx(1 / counts[0], rel=1e-9)
    assert np.bincount(plan.columns, plan.mass, counts[1]) == pytest.approx(1 / counts[1], rel=1e-9)
    assert plan.mass @ np.linalg.norm(x[plan.rows] - y[plan.columns], axis=1) == pytest.approx(found.cost, rel=1e-8)


def test_only_a_plan_solved_as_a_whole_has_dual_variables():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 2)), random.normal(size=(300, 2))
    assert bound(x, y).potentials is not None
    assert bound(x, y, effort=IN_BLOCKS).potentials is None
    assert bound(x[:, :1], y[:, :1]).potentials is None


def test_a_solver_that_stops_early_is_not_believed(monkeypatch):
    """If the dual variables do not confirm the plan, the upper bound does not claim to be exact."""
    import ot

    solve = ot.emd

    def wrong(*args, **options):
        matrix, log = solve(*args, **options)
        return matrix, {**log, "u": log["u"] * 0.9, "warning": None}

    monkeypatch.setattr(ot, "emd", wrong)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 2)), random.normal(size=(60, 2)) + 1
    found = bound(x, y)
    assert not found.exact
    assert found.cost >= exact_w1(x, y)


@pytest.mark.parametrize("counts", [(50, 60), (4000, 3000), (10**6, 10**6), (10**9, 10**9)], ids=str)
@pytest.mark.parametrize("seconds", [0.0, 0.01, 20.0])
def test_the_counts_determine_what_is_affordable(counts, seconds):
    effort = Effort(seconds=seconds)
    assert affordable(*counts, 10, effort) == (max(counts) <= {0.0: 0, 0.01: 4000, 20.0: 10**6}[seconds])
