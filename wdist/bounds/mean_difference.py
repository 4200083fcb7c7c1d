r"""Differences of two means from held-out values: standard errors, with or without folds, and the p-value of "no difference".

With K folds, each value comes from the critic that did not see its sample. Given the critics, the within-fold variances add up to

.. math:: \frac{1}{K^2} \sum_k \left(\frac{s_{a,k}^2}{n_k} + \frac{s_{b,k}^2}{m_k}\right),

but each fold's samples also trained the critics of the others. If both distributions are nearly equal, these samples determine the
critics, and the values on two folds are correlated. For critics that are linear in the means of the folds the correlation is
1 / (K - 1), which doubles the variance. For a critic that jumps, such as the best of many, the factor is about sqrt K. Values of
samples that trained none of the critics have only the within-fold variance.

Means of few rare or far values are not normal, so three corrections widen the bounds where the values show it, and leave those of
normal values as they are:

- A variance that rests on few values is uncertain. The degrees of freedom of n values with kurtosis k are 2 n / (k - 1), if that is
  less than n - 1: for values of which only r differ from the rest, about 2 r.
- The mean of skewed values falls short more often than it exceeds. With the skewness g of the mean, the end on the long side moves
  by g (2 t^2 + 1) / 6 standard errors more.
- Values that are all equal do not show how far away a rare one is. They count as if one of them, but for chance, had been as far
  from the others as any two values seen, or the two means, so their mean has a standard error with two degrees of freedom.

References:
    Nadeau & Bengio (2003), Inference for the generalization error: the correction of a cross-validated variance, here about 2.
    Bayle, Bayle, Janson & Mackey (2020), Cross-validation confidence intervals for test error, arXiv:2007.12671: the within-fold
        variance suffices if a few samples do not change the critics, which excludes equal distributions.
    Johnson (1978), Modified t tests and confidence intervals for asymmetrical populations: the correction by the skewness.
    O'Neill (2014), Some useful moment results in sampling problems: the degrees of freedom of a variance, from the kurtosis.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from wdist.bounds.betting import power_of_two

PERMUTATIONS = 9_999
MOST_PERMUTED = 4_000
"""Most values, both sides together, to permute; above this, the normal approximation is as good."""
_CHUNK = 1 << 21
_EQUAL = 1e-9
"""Values whose range is at most this fraction of all that is seen count as equal: they differ by rounding."""


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """Difference of two means with the standard errors of both sides."""

    estimate: float
    error_a: float
    """Standard error of the mean of A."""
    error_b: float
    freedom: float
    """Welch's degrees of freedom, fewer if few values carry the variance; infinite if no value varies."""
    skewness: float = 0.0
    """Skewness of the estimate: positive if rare values lie far above, which an estimate without them falls short of."""

    @property
    def standard_error(self) -> float:
        return math.hypot(self.error_a, self.error_b)

    def lower(self, alpha: float) -> float:
        """A lower confidence bound by Welch's t, asymptotic."""
        return self.estimate - self._reach(alpha, -self.skewness)

    def upper(self, alpha: float) -> float:
        """An upper confidence bound by Welch's t, asymptotic."""
        return self.estimate + self._reach(alpha, self.skewness)

    def _reach(self, alpha: float, skewness: float) -> float:
        from scipy.special import stdtrit  # imported late: the import takes a quarter of a second

        if not self.standard_error:
            return 0.0
        t = -float(stdtrit(self.freedom, alpha))
        return (t + max(skewness, 0.0) * (2 * t * t + 1) / 6) * self.standard_error

    @property
    def p_value(self) -> float:
        """One-sided p-value of "the mean of A is not larger", asymptotic: the smallest error at which the lower bound reaches 0."""
        from scipy.special import stdtr

        if self.standard_error == 0:
            return 0.0 if self.estimate > 0 else 1.0
        skewness = max(-self.skewness, 0.0)
        t = self.estimate / self.standard_error - skewness / 6
        square = 1 + 4 / 3 * skewness * t  # of the root of t + skewness (2 t^2 + 1) / 6 = estimate / standard error
        return float(stdtr(self.freedom, -2 * t / (1 + math.sqrt(square)))) if square > 0 else 1.0

    @property
    def two_sided_p_value(self) -> float:
        """Two-sided p-value of "the means are equal"."""
        upwards = math.copysign(1.0, self.estimate)
        return min(1.0, 2 * replace(self, estimate=abs(self.estimate), skewness=upwards * self.skewness).p_value)


def shared_training(folds: int) -> float:
    """Factor on the within-fold variance, because the folds trained each other's critics; 1 without folds."""
    return 1.0 if folds == 1 else max(2.0, math.sqrt(folds))


def mean_difference(folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> MeanDifference:
    """The mean over folds of the difference of two means.

    Arguments:
        folds: values of A and B for each fold, at least two each; a single pair without folds.
    """
    return mean_contrast(folds, (1, -1))


def mean_contrast(
    folds: Sequence[Sequence[np.ndarray]], signs: Sequence[int], *, trained: Sequence[Sequence[bool]] | None = None
) -> MeanDifference:
    """The mean over folds of a signed sum of group means; the first group belongs to A and the others to B.

    Arguments:
        folds: values of each independent group for each fold, at least two each.
        signs: of the groups; 0 for a group that has no part in the sum, because its values are 0 by construction.
        trained: whether other samples of each group trained the critics of each fold; None if all did.
    """
    unit, count = power_of_two(*(side for fold in folds for side in fold)), len(folds)
    parts = [[side / unit for side in fold] for fold in folds]
    estimate = sum(sign * float(side.mean()) for fold in parts for sign, side in zip(signs, fold, strict=True)) / count
    sizes = np.array([[len(side) for side in fold] for fold in parts])
    factors = np.where(np.full(sizes.shape, True) if trained is None else trained, shared_training(count), 1.0)
    ranges, squares, thirds, freedoms = np.moveaxis(np.array([[_moments(side) for side in fold] for fold in parts]), 2, 0)
    variances, thirds = factors * squares / sizes, factors**1.5 * np.array(signs) * thirds / sizes**2
    extent = float(ranges.max()) + abs(estimate)
    for group in np.flatnonzero((ranges <= _EQUAL * extent).all(0)):
        variances[:, group], freedoms[:, group] = factors[:, group] * (extent / sizes[:, group]) ** 2 / count, 2 / count
    variances = np.array(signs) ** 2 * variances
    total = float(variances.sum())
    freedom = 1 / float(((variances / total) ** 2 / freedoms).sum()) if total > 0 else math.inf
    error_a, error_b = (math.sqrt(float(part)) / count * unit for part in (variances[:, 0].sum(), variances[:, 1:].sum()))
    skewness = float(thirds.sum()) / total / math.sqrt(total) if total > 0 else 0.0  # a power of the total could underflow
    return MeanDifference(estimate=estimate * unit, error_a=error_a, error_b=error_b, freedom=freedom, skewness=skewness)


def _moments(values: np.ndarray) -> tuple[float, float, float, float]:
    """Range, unbiased variance and third central moment, and the degrees of freedom of that variance."""
    n, centred = len(values), values - values.mean()
    farthest = float(np.abs(centred).max())
    if farthest == 0 or n == 2:
        return float(np.ptp(values)), float(values.var(ddof=1)), 0.0, n - 1.0
    z = centred / farthest  # its powers do not underflow
    squares, cubes, fourths = (float((z**power).sum()) for power in (2, 3, 4))
    kurtosis = n * fourths / squares**2
    freedom = min(n - 1.0, 2 * n / (kurtosis - 1)) if kurtosis > 1 else n - 1.0
    return float(np.ptp(values)), squares * farthest**2 / (n - 1), cubes * farthest**3 * n / ((n - 1) * (n - 2)), freedom


def all_equal(values: np.ndarray, scale: float) -> bool:
    """Whether values differ by rounding at most, compared to other distances between samples."""
    return bool(np.ptp(values) <= _EQUAL * abs(scale))


def permutation_p_value(a: np.ndarray, b: np.ndarray, *, seed: int) -> float:
    r"""One-sided p-value of "both sides have the same distribution" by random permutations of the difference of means.

    .. math:: p = \frac{1 + \#\{\text{permuted difference} \ge \text{observed difference}\}}{1 + 9999}

    Valid for every sample size, for values that are exchangeable if the distributions are equal.

    References:
        Phipson & Smyth (2010), Permutation p-values should never be zero, arXiv:1603.05766.
    """
    values = np.concatenate([a, b])
    values = values / power_of_two(values)
    values = values - values.mean()
    random, n = np.random.default_rng(seed), len(a)
    # Sums of the same values in another order may differ by rounding, but count as equal.
    observed = float(values[:n].sum()) - 1e-12 * float(np.abs(values).sum())
    reached, rows = 0, max(1, _CHUNK // len(values))
    for start in range(0, PERMUTATIONS, rows):
        permuted = random.permuted(np.broadcast_to(values, (min(rows, PERMUTATIONS - start), len(values))), axis=1)
        reached += int((permuted[:, :n].sum(axis=1) >= observed).sum())
    return (1 + reached) / (1 + PERMUTATIONS)


def normal_quantile(probability: float) -> float:
    """The quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(probability)
