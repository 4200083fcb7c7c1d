"""Methods by name, and what all of them owe."""

import numpy as np
import pytest

from wdist.bounds.confidence.asymptotic import welch
from wdist.bounds.confidence.betting import betting
from wdist.bounds.confidence.bounded import empirical_bernstein
from wdist.bounds.confidence.methods import METHODS, check_method, lower_confidence_bound, resolve
from wdist.errors import UsageError


@pytest.mark.parametrize("method", METHODS)
def test_more_confidence_and_fewer_samples_lower_the_bound(method):
    random = np.random.default_rng(3)
    a, b = random.random(400) + 1, random.random(300)

    def bound(n, alpha):
        return lower_confidence_bound(a[:n], b[:n], alpha=alpha, method=method, ranges=(1.0, 1.0))

    assert bound(300, 0.01) < bound(300, 0.05) < bound(300, 0.5) <= a[:300].mean() - b[:300].mean()
    assert bound(20, 0.05) < bound(300, 0.05)


def test_methods_are_chosen_by_name():
    a, b = np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.5])
    assert lower_confidence_bound(a, b, alpha=0.1, method="welch", ranges=(None, None)) == welch(a, b, 0.1)
    found = lower_confidence_bound(a, b, alpha=0.1, method="empirical-bernstein", ranges=(4.0, 3.0))
    assert found == empirical_bernstein(a, b, 0.1, (4.0, 3.0))
    found = lower_confidence_bound(a, b, alpha=0.1, method="betting", ranges=(4.0, 3.0), apart=5.0)
    assert found == betting(a, b, 0.1, (4.0, 3.0), 5.0)


def test_auto_is_betting_where_both_ranges_are_known_and_welch_elsewhere():
    assert resolve("auto", (1.0, 2.0)) == "betting"
    assert resolve("auto", (None, 2.0)) == resolve("auto", (1.0, None)) == resolve("auto", (None, None)) == "welch"
    for method in METHODS:
        assert resolve(method, (1.0, 2.0)) == method
    a, b = np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.5])
    assert lower_confidence_bound(a, b, alpha=0.1, method="auto", ranges=(None, 3.0)) == welch(a, b, 0.1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shift", [-3.0, 0.0, 1e6])
def test_moving_a_side_moves_the_bound(method, shift):
    random = np.random.default_rng(4)
    a, b = random.random(40), random.random(60)
    here, there = (lower_confidence_bound(side, b, alpha=0.05, method=method, ranges=(1.0, 1.0)) for side in (a, a + shift))
    assert there == pytest.approx(here + shift, abs=1e-9 * (1 + abs(shift)))


def test_an_unknown_method_is_refused():
    for refuse in (
        check_method,
        lambda name, ranges: lower_confidence_bound(np.ones(2), np.ones(2), alpha=0.1, method=name, ranges=ranges),
    ):
        with pytest.raises(UsageError, match="auto, welch, empirical-bernstein, betting"):
            refuse("bootstrap", (1.0, 1.0))


@pytest.mark.parametrize("ranges", [(None, None), (1.0, None), (None, 1.0)], ids=str)
@pytest.mark.parametrize("method", ["empirical-bernstein", "betting"])
def test_bounds_for_bounded_values_need_both_ranges(method, ranges):
    with pytest.raises(UsageError, match="use --ci welch"):
        check_method(method, ranges)
    check_method("welch", ranges)
    check_method("auto", ranges)
