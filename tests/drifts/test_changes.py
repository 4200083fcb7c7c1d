"""Changes of a column in familiar values: where it moved to."""

import numpy as np
import pytest

from wdist.drifts.changes import changes_of_numbers, changes_of_shares


@pytest.mark.parametrize(
    ("current", "moved"),
    [
        (lambda x: x + 3.0, None),
        (lambda x: np.where(x > 90, 10 * x, x), "95 % quantile"),
        (lambda x: np.where(x < 8, x - 50, x), "5 % quantile"),
        (lambda x: np.where((x > 40) & (x < 60), 60, x), "median"),
    ],
    ids=["shift", "upper tail", "lower tail", "middle"],
)
def test_numbers_have_their_mean_and_the_quantile_that_moved_most(current, moved):
    x = np.arange(101.0)
    y = current(x)
    mean, quantile = changes_of_numbers(x, y)
    assert (mean.what, mean.reference, mean.current) == ("mean", 50, pytest.approx(y.mean()))
    assert quantile.reference in x
    assert quantile.current in y, "a value that occurs, as dates have to be"
    if moved is None:
        assert quantile.current - quantile.reference == 3
    else:
        assert quantile.what == moved


def test_a_quantile_that_did_not_move_is_left_out():
    (mean,) = changes_of_numbers(np.array([1.0, 1, 1, 2, 2, 2, 2]), np.array([1.0, 1, 1, 1, 2, 2, 2, 2, 2]))
    assert mean.what == "mean"


def test_levels_have_the_shares_that_changed_most():
    before, after = np.array([0.4, 0.3, 0.2, 0.1, 0.0]), np.array([0.4, 0.1, 0.15, 0.1, 0.25])
    found = changes_of_shares(before, after, ["a", "b", "c", "d", "e"])
    assert [(each.what, each.reference, each.current) for each in found] == [
        ("share of e", 0.0, 0.25),
        ("share of b", 0.3, 0.1),
        ("share of c", 0.2, 0.15),
    ]


def test_a_column_of_equal_shares_has_no_changes():
    assert changes_of_shares(np.array([0.5, 0.5]), np.array([0.5, 0.5]), ["a", "b"]) == ()
