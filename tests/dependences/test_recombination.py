"""Which rows become samples of which side: what bounds for populations rest on."""

import numpy as np
import pytest

from wdist.data.measure import split
from wdist.dependences.recombination import FEWEST_ROWS, disjoint_pairs, recombination
from wdist.errors import SourceError


@pytest.mark.parametrize("count", [FEWEST_ROWS, 61, 100, 999, 5000])
@pytest.mark.parametrize("seed", [0, 3])
def test_held_out_samples_use_each_row_once_and_no_row_that_was_seen(count, seed):
    made = recombination(count, seed=seed)
    n = len(made.joint)
    parts = split(n, seed=seed)
    held = np.concatenate([side[parts.held_out] for side in (made.joint, made.x, made.y)])
    assert len(set(held)) == len(held)
    assert set(held) <= set(made.held_out)
    for part in (parts.train, parts.validation):
        assert not set(made.held_out) & set(np.concatenate([side[part] for side in (made.joint, made.x, made.y)]))
    assert n >= (0.6 if count > 500 else 0.45) * count - 3


@pytest.mark.parametrize("count", [FEWEST_ROWS, 100, 999])
def test_samples_of_the_product_never_take_both_values_from_one_row(count):
    made = recombination(count, seed=0)
    assert (made.x != made.y).all()


@pytest.mark.parametrize("count", [FEWEST_ROWS, 100, 999])
def test_training_and_validation_rows_stay_apart(count):
    """Otherwise the choice of a critic would follow what it has learnt by heart."""
    made = recombination(count, seed=0)
    parts = split(len(made.joint), seed=0)
    rows = [{*side[part]} for part in (parts.train, parts.validation) for side in (made.joint, made.x, made.y)]
    assert not set.union(*rows[:3]) & set.union(*rows[3:])


def test_rows_that_units_of_length_are_fitted_to_are_not_held_out():
    made = recombination(600, seed=4)
    assert not set(made.held_out) & set(split(600, seed=4).train)


def test_too_few_rows_are_refused():
    with pytest.raises(SourceError, match=f"give at least {FEWEST_ROWS}"):
        recombination(FEWEST_ROWS - 1, seed=0)


def test_disjoint_pairs_use_each_row_once():
    parts = disjoint_pairs(np.arange(100)[::-1])
    assert [len(part) for part in parts] == [33, 33, 33]
    assert len(set(np.concatenate(parts))) == 99
