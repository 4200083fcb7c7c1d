"""Confidence sequences: they cover the running average at all times together, whatever its course."""

import math

import numpy as np
import pytest

from wdist.bounds.sequences import AsymptoticSequence, BernsteinSequence

ALPHA = 0.1
BATCHES = [40, *(int(40 * 1.3**k) for k in range(12))]
SEQUENCES = {"asymptotic": lambda: AsymptoticSequence(alpha=ALPHA), "bernstein": lambda: BernsteinSequence(alpha=ALPHA, reach=2.0)}
EACH = pytest.mark.parametrize("name", SEQUENCES)


def looks(sequence, draw, mean_of=lambda sequence: 0.3):
    """The interval and the running average of the means after each batch; a mean may depend on the batches before it."""
    means = 0.0
    for size in BATCHES:
        mean = mean_of(sequence)
        sequence.update(mean + draw(size))
        means += size * mean
        yield (*sequence.interval, means / sequence.count)


def following(sequence):
    """A mean that follows the past, as that of a critic that learns does."""
    return 0.5 * math.tanh(5 * sequence.estimate) if sequence.count else 0.0


@EACH
@pytest.mark.parametrize("mean_of", [lambda sequence: 0.3, following], ids=["constant", "following"])
@pytest.mark.parametrize("law", ["uniform", "skewed"])
def test_the_running_average_is_missed_at_any_time_no_oftener_than_stated(name, mean_of, law):
    random, runs = np.random.default_rng(0), 400
    draw = {"uniform": lambda n: random.uniform(-1, 1, n), "skewed": lambda n: random.beta(0.5, 2, n) - 0.2}[law]
    missed = sum(
        any(not lower <= truth <= upper for lower, upper, truth in looks(SEQUENCES[name](), draw, mean_of)) for _ in range(runs)
    )
    assert missed <= ALPHA * runs + 3 * math.sqrt(ALPHA * (1 - ALPHA) * runs)


@pytest.mark.parametrize("share", [0.05, 0.01, 0.002])
def test_rare_values_are_not_missed_oftener_because_none_or_few_were_seen(share):
    """A mean of -share and 1 - share; batches without a rare value are equal, up to rounding, and bound nothing."""
    random, runs = np.random.default_rng(3), 300
    draw = lambda n: (random.random(n) < share) - share  # noqa: E731
    courses = (looks(AsymptoticSequence(alpha=ALPHA), draw, lambda _: 0.0) for _ in range(runs))
    missed = sum(any(not lower <= truth <= upper for lower, upper, truth in course) for course in courses)
    assert missed <= ALPHA * runs + 3 * math.sqrt(ALPHA * (1 - ALPHA) * runs)


def test_a_fixed_size_interval_looked_at_after_each_batch_would_be_wrong_too_often():
    """The same course with Welch's quantile at each look: so the law above can fail."""
    random = np.random.default_rng(0)

    def ever_missed():
        values = random.uniform(-1, 1, sum(BATCHES))
        counts = np.cumsum(BATCHES)
        errors = np.array([abs(values[:n].mean()) / (values[:n].std() / math.sqrt(n)) for n in counts])
        return (errors > 1.645).any()

    assert sum(ever_missed() for _ in range(400)) > 80


@EACH
def test_intervals_narrow_as_the_square_root(name):
    random = np.random.default_rng(1)
    sequence = SEQUENCES[name]()
    widths = {}
    for n in (1_000, 99_000, 9_900_000):
        sequence.update(random.uniform(-1, 1, n))
        lower, upper = sequence.interval
        widths[sequence.count] = (upper - lower) * math.sqrt(sequence.count)
    assert max(widths.values()) < 2.2 * min(widths.values())
    assert widths[100_000] / 2 / math.sqrt(1 / 3) < 6, "at most three times Welch's"


@EACH
def test_scales_and_signs_carry_over(name):
    random = np.random.default_rng(2)
    values = [random.uniform(-1, 1, n) for n in BATCHES]

    def interval(factor):
        sequence = SEQUENCES[name]()
        if name == "bernstein":
            sequence.reach *= abs(factor)
        for part in values:
            sequence.update(factor * part)
        return sequence.interval

    lower, upper = interval(1.0)
    assert interval(1e100) == pytest.approx((1e100 * lower, 1e100 * upper), rel=1e-9)
    assert interval(-1.0) == pytest.approx((-upper, -lower), rel=1e-9)


@EACH
def test_before_anything_varies_nothing_is_claimed(name):
    sequence = SEQUENCES[name]()
    assert sequence.interval == (-math.inf, math.inf)
    sequence.update(np.full(50, 0.25))
    lower, upper = sequence.interval
    assert lower <= 0.25 <= upper
    assert upper - lower > 0.1
