"""Rounded for printing, a bound is still proved."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wdist.bounds.digits import told_apart, without_zeros
from wdist.report import numbers

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100)


@given(FINITE, st.integers(2, 8))
def test_a_printed_lower_bound_is_never_above_the_value(value, digits):
    assert Decimal(numbers.at_least(value, digits)) <= Decimal(value)


@given(FINITE, st.integers(2, 8))
def test_a_printed_upper_bound_is_never_below_the_value(value, digits):
    assert Decimal(numbers.at_most(value, digits)) >= Decimal(value)


@given(st.floats(min_value=1e-30, max_value=1e30), st.integers(2, 8))
def test_rounding_loses_no_more_than_the_last_digit(value, digits):
    shown = Decimal(numbers.nearest(value, digits))
    assert abs(shown - Decimal(value)) <= Decimal(value) * Decimal(10) ** (1 - digits)


@given(st.floats(min_value=1, max_value=100))
def test_a_printed_certificate_is_never_below_the_bound(bound):
    shown = numbers.certificate(bound)
    one, plus, excess = shown.partition("+")
    assert Decimal(one) + (Decimal(excess) if plus else 0) >= Decimal(bound)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (1.0, "1.000"), (123456.7, "123400"), (1e30, "1.000e30"), (1.2345e-7, "1.234e-7"), (-0.5, "-0.5000")],
)
def test_lower_bounds_as_they_are_printed(value, shown):
    assert numbers.at_least(value) == shown


@pytest.mark.parametrize(
    ("n", "shown"), [(0, "0"), (999, "999"), (1000, "1k"), (67_234, "67.2k"), (999_999, "1M"), (1_050_000, "1.05M")]
)
def test_large_numbers_stay_short(n, shown):
    assert numbers.compact(n) == shown
    assert len(shown) <= 5


@pytest.mark.parametrize(("n", "shown"), [(0, "0 steps"), (1, "1 step"), (60_000, "60,000 steps")])
def test_one_of_a_kind_is_singular(n, shown):
    assert numbers.counted_as(n, "step") == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (4200, "1 h 10 min"), (1.08e7, "125 days")],
)
def test_lengths_of_time_in_words(seconds, shown):
    assert numbers.duration(seconds) == shown


@pytest.mark.parametrize(("confidence", "shown"), [(0.95, "95 %"), (0.999, "99.9 %"), (0.99999999, "99.999999 %"), (1.0, "100 %")])
def test_only_certainty_reads_as_100_per_cent(confidence, shown):
    assert numbers.level(confidence) == shown


@given(st.floats(0.5, 1, exclude_max=True))
def test_no_confidence_reads_as_certainty(confidence):
    assert numbers.level(confidence) != "100 %"


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        (0.5410113249877581, 0.06856948045087273, ("0.541011", "0.0685695")),
        (1.0000001, 1.0000002, ("1.0000001", "1.0000002")),
        (1.0, 1.0 + 2**-52, ("1.0000000000000000", "1.0000000000000002")),
    ],
)
def test_a_claim_and_what_is_proved_differ_in_the_digits_shown(one, other, shown):
    assert told_apart(one, other) == shown


@pytest.mark.parametrize(
    ("shown", "short"), [("0.5000", "0.5"), ("10.00", "10"), ("100", "100"), ("1.600e-5", "1.6e-5"), ("0", "0")]
)
def test_a_limit_has_no_more_digits_than_it_was_given(shown, short):
    assert without_zeros(shown) == short
