"""A choice between values that are equal in exact arithmetic."""

import math

import pytest

from wdist.lipschitz.linalg.rounding import best_up_to_rounding


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([1.0, 1.0 + 1e-12, 0.5], 0),
        ([1.0, 1.0 + 1e-6, 0.5], 1),
        ([-1.0 - 1e-12, -1.0], 0),
        ([-2.0, -1.0, 0.0], 2),
        ([0.0, 0.0, 5e-324], 2),
        ([math.inf, math.inf], 0),
        ([3.0], 0),
    ],
)
def test_the_first_of_those_that_rounding_cannot_tell_apart_is_the_best(values, best):
    assert best_up_to_rounding(range(len(values)), lambda i: values[i]) == best
