"""Splits: disjoint, complete, a function of count and seed alone."""

import numpy as np
import pytest

from wdist.data import measure
from wdist.data.measure import held_out_rows, split


@pytest.fixture(params=[1 << 24, 10], ids=["listed", "many"])
def order(request, monkeypatch):
    """Rows whose order is drawn whole, and those that are too many for it."""
    monkeypatch.setattr(measure, "_MOST_LISTED", request.param)


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("most_held", [None, 3, 10**6])
@pytest.mark.parametrize("count", [20, 21, 50, 1000, 12_345])
def test_three_parts_are_disjoint_and_together_all(count, most_held):
    parts = split(count, seed=4, most_held=most_held)
    together = np.concatenate([parts.train, parts.validation, parts.held_out])
    assert sorted(together.tolist()) == list(range(count))
    for part in (parts.train, parts.validation, parts.held_out):
        assert len(part)
        assert bool((np.diff(part) > 0).all())
    if most_held is not None:
        assert max(len(parts.validation), len(parts.held_out)) <= most_held
    else:
        assert len(parts.validation) == round(count / 6)
        assert len(parts.held_out) == max(round(count / 6), min(30, count // 3))


@pytest.mark.usefixtures("order")
def test_the_rows_held_out_follow_from_their_number():
    parts = split(1000, seed=4, most_held=70)
    assert np.array_equal(held_out_rows(1000, 70, seed=4), parts.held_out)


def test_of_very_many_rows_few_are_drawn_without_a_list_of_all():
    parts = split(10**12, seed=0, most_held=1000)
    assert len(np.unique(parts.excluded)) == 2000
    assert abs(parts.excluded.mean() / 10**12 - 0.5) < 4 * (1 / 12 / 2000) ** 0.5


@pytest.mark.usefixtures("order")
def test_it_is_a_function_of_count_and_seed():
    first, again, other, longer = split(100, seed=0), split(100, seed=0), split(100, seed=1), split(101, seed=0)
    assert np.array_equal(first.held_out, again.held_out)
    assert np.array_equal(first.train, again.train)
    assert not np.array_equal(first.held_out, other.held_out)
    assert not np.array_equal(first.held_out, longer.held_out)


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("part", ["held_out", "validation"])
def test_the_parts_are_drawn_uniformly(part):
    """Every row is held out about as often as any other, and chosen for validation as often."""
    times, sizes = np.zeros(30), {"held_out": 10, "validation": 5}
    for seed in range(600):
        times[getattr(split(30, seed=seed), part)] += 1
    share = sizes[part] / 30
    assert abs(times / 600 - share).max() < 4.5 * (share * (1 - share) / 600) ** 0.5
