"""Pricing: every violated pair is found or bounded, whatever float32 makes of it, and the dual value is a proved bound."""

import numpy as np
import pytest
import torch

from tests.trials import exact_w1
from wdist.ground_metric import METRICS
from wdist.transport import pricing, screening
from wdist.transport.pricing import Pricing


def normals(n, dim, random):
    return random.normal(size=(n, dim))


def far_from_the_origin(n, dim, random):
    return 1e4 + random.normal(size=(n, dim))


def tight_clusters(n, dim, random):
    return 20 * random.integers(0, 3, (n, 1)) + 1e-4 * random.normal(size=(n, dim))


def whole_numbers(n, dim, random):
    return random.integers(0, 2, (n, dim)) * 1.0


def tiny(n, dim, random):
    return 1e-25 * random.normal(size=(n, dim))


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request, monkeypatch):
    """Type of the products that screen pairs; torch emulates what a processor lacks."""
    monkeypatch.setattr(screening, "multiplies_bfloat16", lambda: request.param == "bfloat16")
    monkeypatch.setattr(screening, "_LARGEST_DISPLACEMENT", np.inf)
    monkeypatch.setattr(screening, "FLAT", 0)
    return request.param


KINDS = (normals, far_from_the_origin, tight_clusters, whole_numbers, tiny)


def problem(kind, dim, metric, seed=0):
    """Points, their distances, and dual variables that are violated here and there."""
    random = np.random.default_rng(seed)
    x, y = kind(700, dim, random), kind(600, dim, random)
    distances = np.linalg.norm(x[:, None] - y[None], ord=metric.p, axis=2)
    v = 0.1 * distances.mean() * random.normal(size=600)
    u = (distances - v).min(1) + 0.01 * distances.mean() * random.normal(size=700) + 3 * distances.max()
    return x, y, distances, u, v - 3 * distances.max()


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("dim", [1, 2, 5, 60])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("crowded", [0, 10**6])
def test_every_violated_pair_is_found_or_bounded(kind, dim, metric, crowded, precision, monkeypatch):
    monkeypatch.setattr(pricing, "_CROWDED", crowded)
    x, y, distances, u, v = problem(kind, dim, metric)
    found = Pricing(torch.from_numpy(x), torch.from_numpy(y), metric).below(u, v)
    reduced = distances - u[:, None] - v
    rounding = 1e-13 * distances.max()
    assert (found.lowest_rows <= np.minimum(reduced.min(1), 0) + rounding).all()
    assert (found.lowest_columns <= np.minimum(reduced.min(0), 0) + rounding).all()
    assert found.costs == pytest.approx(distances[found.rows, found.columns], rel=1e-12)
    assert len(set(zip(found.rows.tolist(), found.columns.tolist(), strict=True))) == len(found.rows)
    listed = np.zeros_like(distances, dtype=bool)
    listed[found.rows, found.columns] = True
    assert not (listed & (reduced > rounding)).any()
    if crowded:
        assert not (~listed & (reduced < -rounding)).any()
        assert found.lowest_rows == pytest.approx(np.minimum(reduced.min(1), 0), abs=1e-11 * distances.max())


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_dual_value_is_never_above_w1(kind, metric):
    x, y, _, u, v = problem(kind, 3, metric)
    found = Pricing(torch.from_numpy(x), torch.from_numpy(y), metric).below(u, v)
    value = found.dual_value(u, v, np.full(700, 1 / 700), np.full(600, 1 / 600))
    assert value <= exact_w1(x, y, metric.p) * (1 + 1e-12)


def test_blocks_that_lie_too_far_apart_are_skipped(monkeypatch):
    """Two distant pairs of clusters: a quarter of the pairs is screened."""
    random = np.random.default_rng(0)
    x, y = (np.repeat([[0.0, 0.0], [90.0, 0.0]], 1024, axis=0) + random.normal(size=(2048, 2)) for _ in range(2))
    screened, negative = [], pricing.negative
    monkeypatch.setattr(pricing, "negative", lambda block: screened.append(block.numel()) or negative(block))
    u, v = np.full(2048, 0.01), np.zeros(2048)
    found = Pricing(torch.from_numpy(x), torch.from_numpy(y), METRICS["l2"]).below(u, v)
    assert sum(screened) <= 2048**2 / 2
    distances = np.linalg.norm(x[:, None] - y[None], axis=2)
    assert len(found.rows) == (distances < 0.01).sum()


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_dual_variables_far_beyond_the_distances_hide_no_violated_pair(metric, precision):
    """A simplex may leave variables of the size of its artificial costs."""
    x, y, distances, u, v = problem(normals, 8, metric)
    u[[3, 200]] = 1e14, -1e14
    found = Pricing(torch.from_numpy(x), torch.from_numpy(y), metric).below(u, v)
    reduced, rounding = distances - u[:, None] - v, 1e-13 * (distances + np.abs(u)[:, None])
    assert (found.lowest_rows <= np.minimum(reduced, 0).min(1) + rounding.max(1)).all()
    assert (found.lowest_columns <= np.minimum(reduced + rounding, 0).min(0)).all()
    value = found.dual_value(u, v, np.full(700, 1 / 700), np.full(600, 1 / 600))
    assert value <= exact_w1(x, y, metric.p) * (1 + 1e-12)
    with pytest.raises(ValueError, match="too large"):
        Pricing(torch.from_numpy(x), torch.from_numpy(y), metric).below(100 * u, v)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_precision_that_screens_pairs_changes_no_result(kind, monkeypatch):
    x, y, _, u, v = problem(kind, 30, METRICS["l2"])
    monkeypatch.setattr(screening, "_LARGEST_DISPLACEMENT", np.inf)
    found = []
    for half in (False, True):
        monkeypatch.setattr(screening, "multiplies_bfloat16", lambda half=half: half)
        found.append(Pricing(torch.from_numpy(x), torch.from_numpy(y), METRICS["l2"]).below(u, v))
    for name in ("rows", "columns", "costs", "reduced"):
        assert np.array_equal(*(getattr(each, name) for each in found))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_number_is_never_above_the_sum_that_stands_for_it(dtype, count):
    random = np.random.default_rng(0)
    values = random.normal(size=2000) * 10.0 ** random.integers(-60, 30, 2000)
    values = torch.from_numpy(np.r_[values, 0.0, 1.0, -1.0, 2.0**-126, -(2.0**-127)])
    parts = screening._sum_above(values, count, dtype).double()
    sums, least = parts.sum(1), 2.0**-126
    assert bool((sums >= values * (1 - torch.sign(values) * 1e-15)).all())
    assert bool((sums - values <= 2 * values.abs() * torch.finfo(dtype).eps ** count + 1.01 * least).all())
    assert bool(((parts == 0) | (parts.abs() >= least)).all())
