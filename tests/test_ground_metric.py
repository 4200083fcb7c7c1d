"""Ground metrics: a norm, its dual, and the diameter of a box."""

import pytest
import torch

from wdist.errors import UsageError
from wdist.ground_metric import L1, L2, LINF, METRICS, ground_metric


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_norm_pairs_and_dual_fit_together(metric, generator):
    x, y = torch.randn(2, 30, 7, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(metric.pairwise(x, y).diagonal(), metric.norm(x - y), rtol=1e-12, atol=0)
    dual = torch.linalg.vector_norm(y, ord=metric.dual, dim=1)
    assert bool(((x * y).sum(1).abs() <= metric.norm(x) * dual * (1 + 1e-14)).all())  # Hölder
    assert 1 / metric.p + 1 / metric.dual == 1


@pytest.mark.parametrize(("metric", "diameter"), [(L1, 18.0), (L2, 6.0), (LINF, 2.0)], ids=str)
def test_the_diameter_is_that_of_the_corners(metric, diameter):
    assert metric.diameter(-1, 1, 9) == diameter
    assert float(metric.norm(torch.full((1, 9), 2.0))) == diameter


def test_metrics_are_found_by_name():
    assert ground_metric("l1") is L1
    with pytest.raises(UsageError, match=r"metric 'l3' is unknown; choose one of l2, l1, linf"):
        ground_metric("l3")
