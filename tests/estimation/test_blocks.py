"""The level "block": an ordinary mean of W1 between few samples, and a bound for the populations that is seldom wrong."""

import numpy as np
import pytest
from scipy import stats

from tests.trials import exact_w1, pair_of
from wdist import estimate
from wdist.errors import UsageError
from wdist.estimation.blocks import BlockPlan, block_distances, block_plan, lower_mean, summary
from wdist.estimation.options import EstimateOptions
from wdist.ground_metric import L2, LINF

FAST = {"critic": "mean-difference", "baselines": "none"}


def blocks(x, y, size, groups, *, confidence=0.95, diameter=None, seed=0, metric=L2, deadline=np.inf):
    plan = BlockPlan(size=size, groups=groups, seconds=0.0)
    how = {"confidence": confidence, "diameter": diameter, "seed": seed, "deadline": deadline}
    return block_distances(pair_of(x, y), metric, plan, **how)


def test_there_is_no_mean_of_some_groups_where_time_ends_before_the_others():
    x, y = np.random.default_rng(0).normal(size=(2, 45, 2))
    assert blocks(x, y, 5, 4, deadline=-np.inf) is None
    assert blocks(x, y, 5, 4) is not None


def test_blocks_that_are_equally_far_apart_say_nothing_about_values_that_were_not_drawn():
    x, y = np.ones((41, 2)), np.zeros((41, 2))
    for side, rows in enumerate((x, y)):  # no block holds the only sample that differs
        rows[np.random.default_rng([0, side, 41, 7]).permutation(41)[-1]] = 5.0
    assert blocks(x, y, 5, 4) is None
    assert blocks(x, y, 5, 4, diameter=8.0).upper > 1.5


def allowed(runs, alpha):
    """Wrong bounds that a true share of alpha exceeds in one of a thousand such tests."""
    return int(stats.binom.ppf(0.999, runs, alpha))


@pytest.mark.parametrize(("metric", "p"), [(L2, 2), (LINF, np.inf)], ids=["l2", "linf"])
@pytest.mark.parametrize("dim", [1, 3])
def test_values_are_exact_transport_between_disjoint_blocks(dim, metric, p):
    """By POT, between the rows that the order of the seed assigns to each block."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(45, dim)) * 3, random.normal(size=(41, dim)) + 1
    found = blocks(x, y, 5, 4, metric=metric)
    orders = [np.random.default_rng([0, side, len(rows), 7]).permutation(len(rows)) for side, rows in enumerate((x, y))]
    for number in range(4):
        (a, a2), (b, b2) = (
            np.split(rows[order[10 * number : 10 * (number + 1)]], 2) for rows, order in zip((x, y), orders, strict=True)
        )
        between = (exact_w1(a, b, p) + exact_w1(a2, b2, p)) / 2
        assert found.between_values[number] == pytest.approx(between, rel=1e-7)
        assert found.within_a_values[number] == pytest.approx(exact_w1(a, a2, p), rel=1e-7)
        assert found.within_b_values[number] == pytest.approx(exact_w1(b, b2, p), rel=1e-7)


def test_blocks_of_the_reference_do_not_depend_on_the_other_side():
    random = np.random.default_rng(1)
    x, y, z = random.normal(size=(60, 2)), random.normal(size=(60, 2)), 9 * random.normal(size=(80, 2))
    first, second, other = blocks(x, y, 5, 6), blocks(x, z, 5, 6), blocks(x, y, 5, 6, seed=1)
    assert first.within_a_values == pytest.approx(second.within_a_values, rel=1e-9)
    assert first.within_a_values != pytest.approx(other.within_a_values, rel=1e-3)


@pytest.mark.parametrize(("dim", "size"), [(1, 4), (16, 1)], ids=str)
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_interval_covers_the_mean_distance_and_the_bound_is_seldom_above_w1(dim, size, shift):
    """The truth comes from a large sample of its own; W1 of shifted normal distributions is the shift."""
    random, runs, alpha = np.random.default_rng(2), 150, 0.2
    truth = _mean_distance(dim, size, shift, np.random.default_rng(3))
    missed = above = 0
    for seed in range(runs):
        x, y = random.normal(size=(24 * size, dim)), random.normal(size=(20 * size, dim))
        y[:, 0] += shift
        found = blocks(x, y, size, 10, confidence=1 - alpha, seed=seed)
        missed += not found.lower <= truth <= found.upper
        above += found.population_lower > shift
    assert missed <= allowed(runs, alpha)
    assert missed > 0, "the interval is not needlessly wide"
    assert above <= allowed(runs, alpha)


def _mean_distance(dim, size, shift, random):
    """E W1 between blocks: of numbers by sorting, of single points their distance."""
    x, y = random.normal(size=(200_000, size, dim)), random.normal(size=(200_000, size, dim))
    y[:, :, 0] += shift
    return float(np.linalg.norm(np.sort(x, axis=1) - np.sort(y, axis=1), axis=2).mean())


def test_the_bound_comes_near_w1_where_blocks_are_large():
    random = np.random.default_rng(4)
    found = blocks(random.normal(size=(8000, 1)), random.normal(size=(8000, 1)) + 3, 400, 10)
    assert 2.8 < found.population_lower < 3 < found.lower + 0.1
    assert found.centred == pytest.approx(3, abs=0.15)


def test_bounded_differences_hold_with_rare_values_where_student_does_not():
    """Ones with probability 0.01 against zeros: most samples hold none, and Student's t sees no spread at all."""
    random, runs, alpha, wrong, student = np.random.default_rng(5), 200, 0.1, 0, 0
    for _ in range(runs):
        values = np.zeros((10, 3))
        values[:, 0] = (random.random((10, 2)) < 0.01).mean(1)
        wrong += not _covers(summary(values, 1, confidence=1 - alpha, diameter=1.0, seed=0), 0.01)
        student += not _covers(summary(values, 1, confidence=1 - alpha, diameter=None, seed=0), 0.01)
    assert wrong <= allowed(runs, alpha) < student


def _covers(found, truth):
    return found.lower <= truth <= found.upper


def test_no_sample_moves_a_mean_further_than_its_sensitivity():
    """McDiarmid's inequality rests on it: with the sum of squares that the summary takes, and samples anywhere in [0, 1]."""
    random, size, groups = np.random.default_rng(6), 2, 5
    n = 2 * size * groups
    for _ in range(40):
        x, y = random.random((n, 1)).round(), random.random((n, 1)).round()
        before, other = _means(x, y, size, groups), x.copy()
        other[random.integers(n)] = random.random()
        after = _means(other, y, size, groups)
        assert abs(after[0] - before[0]) <= 1 / n + 1e-9
        for share in (1.0, 0.0, 0.5):
            weights = np.array([1, -share, share - 1])
            assert abs((after - before) @ weights) <= (1 + 2 * share) / n + 1e-9


def _means(x, y, size, groups):
    found = blocks(x + 1e-9 * np.arange(len(x))[:, None], y, size, groups)
    return np.array([found.estimate, found.within_a, found.within_b])


def test_one_sided_bounds_are_symmetric():
    values = np.array([1.0, 2.0, 4.0])
    assert lower_mean(values, 0.5) == pytest.approx(values.mean())
    assert lower_mean(values, 0.1, 2.0) < lower_mean(values, 0.4, 2.0) < values.mean()


@pytest.mark.parametrize(
    ("counts", "dim", "expected"),
    [((19, 100), 2, None), ((20, 100), 2, (1, 10)), ((900, 1000), 64, (45, 10)), ((10**6, 10**5), 2, (512, 17))],
    ids=str,
)
def test_sizes_follow_from_counts(counts, dim, expected):
    plan = block_plan(*counts, dim, seconds=2.0)
    assert (plan and (plan.size, plan.groups)) == expected


def test_large_samples_and_little_time_give_smaller_blocks():
    plan = block_plan(10**6, 10**6, 3072, seconds=2.0)
    assert plan.groups >= 10
    assert plan.size < 512
    assert plan.seconds <= 2
    assert block_plan(10**6, 10**6, 2, seconds=0.01).groups == 10


def test_a_given_size_is_kept_or_refused():
    assert block_plan(400, 500, 2, seconds=2.0, size=50).groups == 4
    assert block_plan(399, 500, 2, seconds=2.0, size=50) is None
    random = np.random.default_rng(7)
    sides = random.normal(size=(90, 2)), random.normal(size=(80, 2))
    assert estimate(*sides, **FAST, blocks=7).block.size == 7
    few = estimate(*sides, **FAST, blocks=11)
    assert few.block is None
    assert any("blocks=11 needs at least 88 samples of each side, not 80" in warning for warning in few.warnings)
    assert estimate(*sides, **FAST, blocks=0).block is None
    with pytest.raises(UsageError, match="up to 4096"):
        EstimateOptions.validated(blocks=5000)


def test_equal_sets_have_no_blocks():
    x = np.random.default_rng(8).normal(size=(90, 2))
    assert estimate(x, x, **FAST).block is None


def test_the_method_is_that_of_the_bounds_for_the_populations():
    random = np.random.default_rng(9)
    bytes_ = [random.integers(0, 256, size=(100, 3), dtype=np.uint8) for _ in range(2)]
    assert estimate(*bytes_, **FAST).block.method == "bounded-differences"
    assert estimate(*bytes_, **FAST, ci="welch").block.method == "student"
