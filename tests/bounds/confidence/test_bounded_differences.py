"""McDiarmid's inequality for W1 of samples: the formula, and that it holds where it is nearly attained."""

import math

import numpy as np
import pytest

from wdist.bounds.confidence.bounded import bounded_differences


def test_it_is_the_stated_formula():
    assert bounded_differences(50, 200, 3.0, 0.1) == pytest.approx(3 * math.sqrt(math.log(10) / 2 * (1 / 50 + 1 / 200)), rel=1e-14)


@pytest.mark.parametrize("n", [3, 30])
def test_w1_of_samples_falls_no_further_below_its_mean(n):
    """Bernoulli sides far apart: W1 is the difference of the shares, as far from normal as values in an interval can be."""
    random = np.random.default_rng(0)
    a, b = random.binomial(n, 0.5, 20_000) / n, np.zeros(20_000)
    margin = bounded_differences(n, n, 1.0, 0.1)
    assert (np.abs(a - b) < 0.5 - margin).mean() <= 0.1
