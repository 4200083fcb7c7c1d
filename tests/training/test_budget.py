"""Budgets: steps or seconds."""

import time

import pytest

from wdist.errors import UsageError
from wdist.training.budget import Budget


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("45s", 45), ("2m", 120), ("1.5h", 5400), (" 3 m ", 180), (".5s", 0.5), ("1.s", 1)]
)
def test_lengths_of_time_are_read(text, seconds):
    assert Budget.parse(text) == Budget(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "-3s", "3 days", "1e3", "0", "0s", "nan", "inf", "3s4", "1:30"])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"write it as 45s|must be a positive length"):
        Budget.parse(text)


def test_a_budget_is_one_of_the_two():
    for wrong in ({}, {"steps": 1, "seconds": 1.0}):
        with pytest.raises(UsageError, match="either"):
            Budget(**wrong)
    for wrong in ({"steps": 0}, {"steps": -1}, {"seconds": 0.0}, {"seconds": float("inf")}, {"seconds": float("nan")}):
        with pytest.raises(UsageError):
            Budget(**wrong)


def test_it_reads_back_in_words():
    assert str(Budget(steps=1200)) == "1,200 steps"
    assert str(Budget(seconds=30)) == "30 s"


def test_a_clock_tells_the_share_that_is_spent():
    clock = Budget(steps=200).start()
    assert [clock.fraction(step) for step in (0, 50, 200, 300)] == [0, 0.25, 1, 1]
    clock = Budget(seconds=0.02).start()
    assert clock.fraction(10**9) < 1
    time.sleep(0.03)
    assert clock.fraction(0) == 1
    assert clock.seconds >= 0.03
