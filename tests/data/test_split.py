"""Splits: disjoint, complete, a function of count and seed alone."""

import numpy as np
import pytest

from wdist.data.measure import split


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


def test_it_is_a_function_of_count_and_seed():
    first, again, other, longer = split(100, seed=0), split(100, seed=0), split(100, seed=1), split(101, seed=0)
    assert np.array_equal(first.held_out, again.held_out)
    assert np.array_equal(first.train, again.train)
    assert not np.array_equal(first.held_out, other.held_out)
    assert not np.array_equal(first.held_out, longer.held_out)


def test_the_parts_are_drawn_uniformly():
    """Every row is held out about as often as any other."""
    times = np.zeros(30)
    for seed in range(600):
        times[split(30, seed=seed).held_out] += 1
    assert abs(times / 600 - 10 / 30).max() < 4.5 * (10 / 30 * 20 / 30 / 600) ** 0.5
