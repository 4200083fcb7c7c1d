"""Student's t for one mean: the formula, and that it is exact for normal values."""

import numpy as np
import pytest
from scipy import stats

from wdist.bounds.confidence.asymptotic import student_upper


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_it_is_that_of_scipy(scale):
    values = np.random.default_rng(0).normal(1, 2, 9)
    reference = stats.ttest_1samp(values, 0, alternative="less").confidence_interval(0.95).high
    assert student_upper(values * scale, 0.05) / scale == pytest.approx(reference, rel=1e-12)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_from_normal_values_it_is_wrong_as_often_as_it_says(n):
    draws = np.random.default_rng(1).normal(size=(4000, n))
    wrong = sum(student_upper(values, 0.1) < 0 for values in draws)
    assert abs(wrong - 400) < 4 * (4000 * 0.1 * 0.9) ** 0.5


def test_equal_values_have_themselves_for_a_bound():
    assert student_upper(np.full(5, 3.0), 0.05) == 3.0
    assert student_upper(np.zeros(5), 0.05) == 0.0
