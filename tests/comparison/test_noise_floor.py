"""Two halves of a reference, and the rate at which their distance falls."""

import numpy as np
import pytest
import torch

from wdist.comparison.noise_floor import LEAST_ROWS, halves, measured_slope
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource
from wdist.ground_metric import ground_metric

L2 = ground_metric("l2")


@pytest.mark.parametrize("count", [LEAST_ROWS, 101, 500])
def test_halves_are_disjoint_of_one_size_and_follow_from_the_seed(count):
    reference = open_source(np.arange(count, dtype=np.float64))
    first, second = halves(reference, seed=3)
    read = [set(side.read(slice(0, side.count)).flatten().tolist()) for side in (first, second)]
    assert not read[0] & read[1]
    assert len(read[0]) == len(read[1]) == count // 2
    again = halves(reference, seed=3)
    assert all((x.index == y.index).all() for x, y in zip((first, second), again, strict=True))
    assert (halves(reference, seed=4)[0].index != first.index).any()


def test_too_few_samples_have_no_halves():
    assert halves(open_source(np.arange(LEAST_ROWS - 1.0)), seed=0) is None


def test_an_endless_reference_is_compared_with_itself():
    reference = open_source("synthetic:gaussian?dim=2")
    first, second = halves(reference, seed=0)
    assert isinstance(first, EndlessSource)
    assert first is second is reference


@pytest.mark.parametrize(("dim", "low", "high"), [(1, 0.35, 0.5), (6, 0.12, 0.28)])
def test_the_slope_is_about_that_of_theory(dim, low, high):
    """About -1/2 on the line and -1/d beyond two dimensions (Fournier & Guillin 2015, theorem 1)."""
    reference = open_source(f"synthetic:uniform?dim={dim}")
    assert low <= measured_slope(reference, reference, metric=L2, seed=0) <= high


def test_equal_points_have_no_slope():
    same = open_source(torch.ones(100, 2))
    assert measured_slope(*halves(same, seed=0), metric=L2, seed=0) is None
