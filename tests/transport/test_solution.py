"""``wdist.transport``: the plan, the bounds and the dual variables of transport between any weighted samples."""

import numpy as np
import ot
import pytest
import torch

import wdist
import wdist.transport.solution
from wdist.ground_metric import METRICS


def distances(x, y, metric="l2"):
    return np.linalg.norm(x[:, None] - y[None], ord=METRICS[metric].p, axis=2)


def sides(n, m, dim, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, dim)), 3 * random.normal(size=(m, dim)) + 7


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("counts", [(1, 1), (1, 9), (40, 70), (70, 70)], ids=str)
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_it_agrees_with_pot(counts, dim, weighted, metric):
    x, y = sides(*counts, dim)
    random = np.random.default_rng(1)
    weights = tuple(random.random(n) + 0.1 for n in counts) if weighted else None
    a, b = (each / each.sum() for each in weights or (np.ones(n) for n in counts))
    found, costs = wdist.transport(x, y, weights=weights, metric=metric, tol=0.0), distances(x, y, metric)
    truth = ot.emd2(a, b, costs)
    assert found.exact
    assert found.lower <= truth * (1 + 1e-12)
    assert truth * (1 - 1e-12) <= found.upper
    assert found.lower == pytest.approx(truth, rel=1e-7)
    assert found.cost == found.upper == pytest.approx(truth, rel=1e-7)
    plan, (u, v) = found.plan, found.potentials
    assert np.bincount(plan.rows, plan.mass, counts[0]) == pytest.approx(a, rel=1e-9)
    assert np.bincount(plan.columns, plan.mass, counts[1]) == pytest.approx(b, rel=1e-9)
    assert plan.mass @ costs[plan.rows, plan.columns] == pytest.approx(truth, rel=1e-7)
    assert (u.numpy()[:, None] + v.numpy() - costs).max() < 1e-9 * costs.max()
    assert u.numpy() @ a + v.numpy() @ b == pytest.approx(truth, rel=1e-7)


def test_several_thousand_samples_are_within_the_tolerance_and_both_bounds_are_told():
    x, y = sides(2500, 2100, 3)
    told = []
    found = wdist.transport(torch.from_numpy(x).float(), y.astype(np.float32), tol=1e-3, bounded=lambda *both: told.append(both))
    assert 0 < found.relative_gap <= 1e-3
    assert told[-1][0] == pytest.approx(found.lower, rel=1e-6)
    assert told[-1][1] == pytest.approx(found.upper, rel=1e-6)


def test_samples_without_weight_take_no_part():
    x, y = sides(30, 20, 2)
    weights = np.ones(30)
    weights[[3, 7]] = 0
    x[3] = 1e100  # however far it lies
    some = wdist.transport(np.delete(x, [3, 7], axis=0), y)
    found = wdist.transport(x, y, weights=(weights, None))
    assert found.cost == pytest.approx(some.cost, rel=1e-9)
    assert not np.isin([3, 7], found.plan.rows).any()
    assert torch.isnan(found.potentials[0][[3, 7]]).all()


@pytest.mark.parametrize("weight", [5e-324, 1.0, 1.7e308])
def test_weights_of_any_magnitude_are_shares(weight):
    x, y = sides(30, 20, 2)
    found = wdist.transport(x, y, weights=(np.full(30, weight), None))
    assert found.cost == pytest.approx(wdist.transport(x, y).cost, rel=1e-9)


def test_addresses_are_opened():
    found = wdist.transport("samples/digits-low.h5?limit=50", "samples/digits-high.h5?limit=40")
    assert len(found.potentials[0]) == 50
    assert 0 < found.lower <= found.upper


def test_ctrl_c_keeps_the_last_round():
    def stop(lower, upper):
        raise KeyboardInterrupt

    x, y = sides(2500, 2100, 3)
    found = wdist.transport(x, y, tol=0.0, bounded=stop)
    assert found.interrupted
    assert 0 < found.lower < found.upper


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": (np.ones(3), None)}, "one weight for each sample"),
        ({"weights": (-np.ones(5), None)}, "not negative"),
        ({"tol": 1.0}, "tol must be"),
        ({"metric": "l3"}, "unknown"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(wdist.WdistError, match=message):
        wdist.transport(np.zeros((5, 2)), np.ones((4, 2)), **options)


def test_bad_samples_are_refused(monkeypatch):
    for x, message in (
        (np.zeros((5, 3)), "the same shape"),
        (np.full((5, 2), np.nan), "nan"),
        ("synthetic:gaussian?dim=2", "without end"),
        (2**53 + np.arange(10).reshape(5, 2), "float64 cannot distinguish"),
    ):
        with pytest.raises(wdist.WdistError, match=message):
            wdist.transport(x, np.ones((4, 2)))
    monkeypatch.setattr(wdist.transport.solution, "planned_memory", lambda: 0)
    with pytest.raises(wdist.WdistError, match="memory"):
        wdist.transport(np.zeros((5, 2)), np.ones((4, 2)))


def test_a_result_names_the_units_of_its_distance():
    """uint8 is scaled to [0, 1], here as everywhere; a side that is not looks like another scaling of the same data."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 4), dtype=np.uint8)
    same = wdist.transport(pixels, pixels / 255)
    assert same.upper == pytest.approx(0, abs=1e-6)
    assert not same.warnings
    assert "uint8 scaled to [0, 1]" in str(same)
    found = wdist.transport(pixels, pixels.astype(np.float64))
    assert "two scalings of the same data" in found.warnings[0]
    assert "two scalings" in found.to_dict()["warnings"][0]


def test_samples_that_are_dropped_have_no_weight():
    """Rows of the plan count all samples, so those with NaN keep their numbers."""
    found = wdist.transport([0.0, np.nan, 3.0], [5.0, np.inf, 6.0, 8.0], drop_nonfinite=True)
    assert found.upper == pytest.approx((5 + 6 + 8) / 3 - 3 / 2)
    assert sorted(set(found.plan.rows)) == [0, 2]
    assert sorted(set(found.plan.columns)) == [0, 2, 3]
    assert torch.isnan(found.potentials[0]).tolist() == [False, True, False]
    weighted = wdist.transport([0.0, np.nan, 3.0], [5.0], weights=([1.0, 2.0, 3.0], None), drop_nonfinite=True)
    assert weighted.upper == pytest.approx((5 + 3 * 2) / 4)
    with pytest.raises(wdist.WdistError, match="no finite sample of x has weight"):
        wdist.transport([np.nan, 1.0], [5.0], weights=([1.0, 0.0], None), drop_nonfinite=True)
