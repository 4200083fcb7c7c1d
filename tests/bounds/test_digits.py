"""Digits of bounds: whatever is shown is still proved, however close to its limit."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wdist.bounds.digits import at_least, at_most, exactly, per_cent

positive = st.floats(1e-300, 1e300)


@given(positive, st.integers(1, 12))
def test_lower_bounds_are_rounded_down_and_upper_bounds_up(value, digits):
    low, high = Decimal(at_least(value, digits)), Decimal(at_most(value, digits))
    assert low <= Decimal(value) <= high
    assert high - low <= Decimal(value) * Decimal(10) ** (1 - digits)


@given(positive, positive)
def test_a_bound_stays_on_its_side_of_a_limit(bound, limit):
    assume(bound != limit)
    if bound > limit:
        assert limit < float(at_least(bound, above=limit)) <= bound
    else:
        assert bound <= float(at_most(bound, within=limit)) <= limit


@given(st.floats(allow_nan=False))
def test_a_limit_reads_back_as_the_same_number(value):
    assert float(exactly(value)) == value


@pytest.mark.parametrize(
    ("confidence", "words"),
    [(0.95, "95 %"), (0.999, "99.9 %"), (1 - 1e-9, "99.9999999 %"), (1.0, "100 %"), (2 / 3, "66.6667 %")],
    ids=str,
)
def test_a_confidence_level_below_1_never_reads_as_100_per_cent(confidence, words):
    assert per_cent(confidence) == words
