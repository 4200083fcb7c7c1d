"""What is shown of a bound is still proved, however near the limit that it is held against."""

from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from wdist.bounds.digits import at_least, at_most, exactly

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
