r"""The level "block": the mean of W1 between m fresh samples of each side, and what it proves about the populations.

This mean has an ordinary confidence interval in every dimension, but it is not W1 of the populations: by convexity it is larger,
because small sets of samples from the same distribution are already some distance apart. The mean distances within each side are
therefore measured as well, and the difference is a lower bound. With P_m and P'_m two sets of m independent samples of P,

.. math:: W_1(P, Q) \ge \mathbb{E}\, W_1(P_m, Q_m) - \min(\mathbb{E}\, W_1(P_m, P'_m), \mathbb{E}\, W_1(Q_m, Q'_m)).

Proof. Draw m independent pairs (x_i, y_i) from an optimal coupling of P and Q, and P_m independently of them. Then
W1(P_m, Q_m) <= W1(P_m, P'_m) + W1(P'_m, Q_m), where P'_m holds the x_i and Q_m the y_i, and the last term is at most the mean of
the |x_i - y_i|, whose expectation is W1(P, Q). The same holds for Q. Hence the mean between the sides minus *any* fixed mixture of
the two means within them is also a lower bound. Three mixtures are tried: all of A, all of B, and half of each, which has the
smallest spread if the sides are alike. Each takes a third of the error (Bonferroni), so the largest bound may be stated.

The samples are divided at random into groups, each with two blocks of A, (A, A'), and two of B, (B, B'). The value of a group
between the sides is the mean of W1(A, B) and W1(A', B'); those within them are W1(A, A') and W1(B, B'). Groups are independent of
each other, so the differences are paired.

References:
    Villani (2009), Optimal transport: old and new, theorem 4.8 (convexity) and chapter 6 (triangle inequality).
    Fatras et al. (2020), Learning with minibatch Wasserstein, arXiv:1910.04091 (means over minibatches, and their bias).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from wdist.bounds.confidence import student_upper
from wdist.bounds.mean_difference import all_equal, normal_quantile
from wdist.checkpoints.checkpoint import now
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows
from wdist.distributed.processes import processes
from wdist.ground_metric import GroundMetric
from wdist.transport.coupling import Effort, Sides, predicted_seconds
from wdist.transport.samples import upper_bound

_SECONDS, _SHARE = 2.0, 1 / 30
"""Predicted seconds that this level may take, and the largest fraction of a time budget."""
_GROUPS = 10
"""Fewest groups if the block size is not given."""
LEAST_GROUPS = 4
"""Fewest groups if the block size is given: Student's t needs several."""
_LARGEST = 512
"""Largest block size chosen automatically, that of a common minibatch; larger blocks are not worth their time."""
_PURPOSE = 7
"""Makes the order of the samples independent of other random choices with the same seed."""
_FLOPS, _OVERHEAD = 5e9, 2e-3
"""Floating-point operations per second for distances, and seconds per transport problem."""
ROUNDED = 1e-6
"""Relative margin for the rounding of costs, which is far smaller."""
STUDENT, BOUNDED = "student", "bounded-differences"
_OF_GROUP = np.array([[0.5, 0, 0], [0.5, 0, 0], [0, 1, 0], [0, 0, 1]])
"""Maps the four distances of a group, the first two between the sides, to its three values."""
_EFFORT = Effort(seconds=1e6)
"""Blocks are small, so their number limits the time."""
_MIXTURES = (1.0, 0.0, 0.5)
"""Weights of the distance within A in the mixture that is subtracted; the rest is that within B. They share the error equally."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Mean of W1 between m fresh samples of each side, in the units of the data: larger than W1 of the populations."""

    size: int
    """Number m of samples in a block."""
    count: int
    """Number of independent groups, each with two blocks of each side."""
    estimate: float
    """Mean of W1 between a block of A and a block of B."""
    lower: float
    """Lower end of a two-sided confidence interval for its expectation."""
    upper: float
    """Upper end."""
    within_a: float
    """Mean of W1 between two blocks of A: about what ``estimate`` would be if B had the distribution of A."""
    within_b: float
    """Mean of W1 between two blocks of B."""
    population_lower: float
    """Lower confidence bound for W1 of the populations, at least 0."""
    confidence: float
    """Confidence of the interval, and of the lower bound; the error is not shared with other levels."""
    method: str
    """``student`` (asymptotic) or ``bounded-differences``."""
    seed: int
    """Seed that divided the samples: the same reference, size and seed give the same blocks of the reference."""
    between_values: tuple[float, ...]
    """Mean distance between the sides in each group."""
    within_a_values: tuple[float, ...]
    """Distance between the two blocks of A in each group."""
    within_b_values: tuple[float, ...]
    """Distance between the two blocks of B in each group."""

    @property
    def centred(self) -> float:
        """The mean between the sides minus half of each mean within one: 0 for equal distributions, in expectation at most W1."""
        return self.estimate - (self.within_a + self.within_b) / 2

    @property
    def centred_values(self) -> tuple[float, ...]:
        """The same in each group."""
        groups = zip(self.between_values, self.within_a_values, self.within_b_values, strict=True)
        return tuple(between - (a + b) / 2 for between, a, b in groups)


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """Size and number of blocks."""

    size: int
    groups: int
    seconds: float
    """Predicted time."""


def block_seconds(limit: float | None) -> float:
    """Predicted seconds that distances between blocks may take: a small fraction of the time limit of the run, if any."""
    return _SECONDS if limit is None else min(_SECONDS, _SHARE * limit)


def block_plan(n: int, m: int, dim: int, *, seconds: float, size: int | None = None) -> BlockPlan | None:
    """Chooses the size and number of blocks from counts alone; None if the samples are too few.

    Arguments:
        n, m: number of samples of each side.
        dim: number of coordinates.
        seconds: predicted time to stay within; a given size may exceed it to reach the fewest groups.
        size: samples per block; None to choose at most 512, for at least 10 groups.
    """
    fewest, least = min(n, m), _GROUPS if size is None else LEAST_GROUPS
    if size is None:
        size = min(_LARGEST, fewest // (2 * _GROUPS))
        while size > 1 and _GROUPS * _group_seconds(size, dim) > seconds:
            size //= 2
    if size < 1 or fewest < 2 * least * size:
        return None
    groups = min(fewest // (2 * size), max(_GROUPS, int(seconds / _group_seconds(size, dim))))
    return BlockPlan(size=size, groups=groups, seconds=groups * _group_seconds(size, dim))


def _group_seconds(size: int, dim: int) -> float:
    return 4 * (predicted_seconds(size, size) + 2 * size * size * dim / _FLOPS + _OVERHEAD)


def rows_for_blocks(pair: Pair) -> tuple[ResidentRows, ResidentRows]:
    """The samples of A and B that blocks are drawn from: all that the metric was not fitted to, or for a stream the held-out
    samples, a random part of it."""
    a, b = (
        rows if isinstance(rows, ResidentRows) else side.held_out
        for rows, side in zip(pair.independent, (pair.a, pair.b), strict=True)
    )
    return a, b


def block_distances(
    pair: Pair,
    metric: GroundMetric,
    plan: BlockPlan,
    *,
    confidence: float,
    diameter: float | None,
    seed: int,
    deadline: float = math.inf,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Blocks | None:
    """Measures W1 between and within blocks of both sides.

    Arguments:
        confidence: of the interval, and of the lower bound for the populations.
        diameter: largest distance between two points of the union of both supports, for bounded differences, which hold for any
            number of samples; None for Student's t, which is asymptotic.
        seed: divides the samples; the division of one side does not depend on the other.
        deadline: clock time of the run by which all groups must be done. Otherwise there is no result: the number of groups must
            not depend on how long they take, because that depends on their values.
        progress: called with the fraction done so far.

    Returns:
        None if a transport problem was not solved exactly, or not in time; or if no diameter is known and all groups are equally
        far apart, which says nothing about values that were not drawn.
    """
    a, b = (_in_random_order(rows, which, seed) for which, rows in enumerate(rows_for_blocks(pair)))

    def of_group(number: int) -> np.ndarray | None:
        if now() > deadline:
            return None
        first, second = (slice(plan.size * k, plan.size * (k + 1)) for k in (2 * number, 2 * number + 1))
        x, x2, y, y2 = a.at(first), a.at(second), b.at(first), b.at(second)
        found = [_w1(*blocks, pair, metric) for blocks in ((x, y), (x2, y2), (x, x2), (y, y2))]
        progress((number + 1) / plan.groups)
        return None if None in found else np.array(found) @ _OF_GROUP

    groups = processes().spread("groups of blocks", [partial(of_group, number) for number in range(plan.groups)])
    if any(each is None for each in groups):
        return None
    values = np.array(groups)
    if diameter is None and all_equal(values[:, 0], float(values.max())):
        return None
    return summary(values * pair.standardisation.spread, plan.size, confidence=confidence, diameter=diameter, seed=seed)


def summary(values: np.ndarray, size: int, *, confidence: float, diameter: float | None, seed: int) -> Blocks:
    """Interval and lower bound from each group's distances between the sides, within A and within B, shape (groups, 3)."""
    alpha, count = 1 - confidence, len(values)
    estimate, within_a, within_b = (float(mean) for mean in values.mean(0))
    low = lower_mean(values[:, 0], alpha / 2, _sensitivity(2.0, diameter, size, count))
    high = -lower_mean(-values[:, 0], alpha / 2, _sensitivity(2.0, diameter, size, count))
    proved = (
        lower_mean(
            values @ np.array([1.0, -share, share - 1.0]),
            alpha / len(_MIXTURES),
            _sensitivity((1 + 2 * share) ** 2 + (3 - 2 * share) ** 2, diameter, size, count),
        )
        for share in _MIXTURES
    )
    rounding = ROUNDED * (estimate + within_a + within_b)
    return Blocks(
        size=size,
        count=count,
        estimate=estimate,
        lower=max(0.0, low - rounding),
        upper=high + rounding,
        within_a=within_a,
        within_b=within_b,
        population_lower=max(0.0, max(proved) - rounding),
        confidence=confidence,
        method=STUDENT if diameter is None else BOUNDED,
        seed=seed,
        between_values=tuple(values[:, 0].tolist()),
        within_a_values=tuple(values[:, 1].tolist()),
        within_b_values=tuple(values[:, 2].tolist()),
    )


def lower_mean(values: np.ndarray, alpha: float, squares: float | None = None) -> float:
    """A lower confidence bound for the mean of values, shape (groups,), at error alpha.

    Arguments:
        squares: sum over all samples of the squared largest change of the mean when that one sample is replaced, for McDiarmid's
            inequality; None for Student's t.
    """
    if squares is None:
        return -student_upper(-values, alpha)
    return float(values.mean()) - math.sqrt(squares * math.log(1 / alpha) / 2)


def mean_interval(values: np.ndarray, alpha: float) -> tuple[float, float]:
    """A two-sided confidence interval for the mean of values, shape (groups,), by Student's t, asymptotic."""
    return lower_mean(values, alpha / 2), -lower_mean(-values, alpha / 2)


def above_reference(found: Blocks, *, share: float, deviations: float) -> tuple[float, tuple[float, float]]:
    r"""Limit given by the reference's distance from itself plus an allowance, and the excess of the distance between the sides.

    .. math:: \mathbb{E}\, W_1(A_m, B_m) - (1 + s)\, \mathbb{E}\, W_1(A_m, A'_m) - z\, \sigma(W_1(A_m, A'_m))

    Arguments:
        found: paired values of all groups.
        share: s.
        deviations: z.

    Returns:
        The estimate of the limit, and a confidence interval for the excess: Student's t for the paired differences of the means,
        whose ends are moved by those of the deviations; asymptotic, however both depend on each other.
    """
    between, within = np.array(found.between_values), np.array(found.within_a_values)
    alpha, means = 1 - found.confidence, (1 + share) * within
    low, high = mean_interval(between - means, alpha)
    least, most = deviation_interval(within, alpha) if deviations else (0.0, 0.0)
    limit = float(means.mean() + deviations * within.std(ddof=1))
    return limit, (low - deviations * most, high - deviations * least)


def deviation_interval(values: np.ndarray, alpha: float) -> tuple[float, float]:
    r"""A two-sided confidence interval for the standard deviation of values, shape (groups,), asymptotic.

    .. math:: \log c s^2 \pm z_{\alpha / 2}\, c \sqrt{\frac{\hat\gamma - (n - 3) / n}{n - 1}}, \qquad
              c = \frac{n}{n - z_{\alpha / 2}}, \quad
              \hat\gamma = \frac{n \sum_i (x_i - m)^4}{\bigl(\sum_i (x_i - \bar x)^2\bigr)^2}

    The centre m is the median, where the source takes a trimmed mean, which needs more than four values.

    References:
        Bonett (2006), Approximate confidence interval for standard deviation of nonnormal distributions.
    """
    n, z = len(values), normal_quantile(1 - alpha / 2)
    deviation = float(values.std(ddof=1))
    if deviation == 0 or n <= z:
        return 0.0, math.inf
    x = (values - values.mean()) / deviation
    kurtosis = n * float(((x - np.median(x)) ** 4).sum()) / (n - 1) ** 2
    c = n / (n - z)
    reach = z * c * math.sqrt(max(0.0, kurtosis - (n - 3) / n) / (n - 1))
    middle = deviation * math.sqrt(c)
    return middle * math.exp(-reach / 2), middle * math.exp(reach / 2)


def growth(found: Blocks, before: np.ndarray, *, tolerance: float) -> tuple[float, float]:
    """Confidence interval for the mean between the sides minus ``1 + tolerance`` times its earlier value, from paired groups.

    Arguments:
        before: earlier values between the same blocks of the reference and blocks of the other side.
    """
    count = min(found.count, len(before))
    return mean_interval(np.array(found.between_values[:count]) - (1 + tolerance) * before[:count], 1 - found.confidence)


def _sensitivity(factor: float, diameter: float | None, size: int, count: int) -> float | None:
    r"""The sum of squares for :func:`lower_mean` over N = 2 * size * count samples of each side.

    Replacing one sample of A changes the mean between the sides by at most D / N, and the mean within A by at most 2 D / N. If
    p times the latter and 1 - p times the mean within B are subtracted, the squares add up to
    ((1 + 2p)^2 + (1 + 2(1 - p))^2) D^2 / N.
    """
    return None if diameter is None else factor * diameter**2 / (2 * size * count)


def _in_random_order(rows: ResidentRows, side: int, seed: int) -> ResidentRows:
    return rows.at(torch.from_numpy(np.random.default_rng([seed, side, rows.count, _PURPOSE]).permutation(rows.count)))


def _w1(x: ResidentRows, y: ResidentRows, pair: Pair, metric: GroundMetric) -> float | None:
    """W1 of two blocks, in standardised units; None if it is only bounded from above."""
    coupling = upper_bound(Sides(a=x, b=y, prepare=pair.standardisation.on_cpu, metric=metric), effort=_EFFORT, seed=0)
    return coupling.cost if coupling is not None and coupling.exact else None
