"""What others would say, and the simplest critics, where the answer is known."""

import numpy as np
import pytest

from wdist.studies.bench.contrast import linear_share, minibatch_w1, single_cone_share, sinkhorn_divergence


@pytest.fixture
def shifted():
    random = np.random.default_rng(0)
    b = random.normal(size=(500, 3))
    return b + np.array([2.0, 0.0, 0.0]), b


def test_minibatches_overshoot_and_agree_where_one_side_is_a_point(shifted):
    a, b = shifted
    assert minibatch_w1(a, b, seed=0) > 2.0
    assert minibatch_w1(a, b, seed=0) == minibatch_w1(a, b, seed=0)
    assert minibatch_w1(np.ones((100, 1)), np.zeros((90, 1)), seed=1) == pytest.approx(1.0)


def test_the_sinkhorn_divergence_of_equal_sets_is_0_and_of_a_shift_near_it(shifted):
    a, b = shifted
    assert sinkhorn_divergence(b[:300], b[:300], seed=0) == pytest.approx(0.0, abs=0.05)
    assert sinkhorn_divergence(a, b, seed=0) == pytest.approx(2.0, abs=0.4)
    assert sinkhorn_divergence(np.zeros((5, 2)), np.zeros((5, 2)), seed=0) == 0.0


def test_a_shift_is_all_that_a_linear_critic_sees(shifted):
    a, b = shifted
    assert linear_share(a, b, b + np.array([2.0, 0.0, 0.0]), b) == pytest.approx(1.0, abs=0.01)
    assert linear_share(b, b, a, b) == 0.0


@pytest.mark.parametrize("outer_first", [True, False])
def test_a_scaling_is_all_that_a_single_cone_sees_whichever_side_is_the_wider(outer_first):
    random = np.random.default_rng(0)
    y = random.normal(size=(4000, 20))
    sides = (2 * y, y) if outer_first else (y, 2 * y)
    assert single_cone_share(*sides, *sides) == pytest.approx(1.0, abs=0.01)
