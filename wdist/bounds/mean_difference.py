r"""Differences of two means from held-out values: standard errors, with or without folds, and the p-value of "no difference".

With K folds, each value comes from the critic that did not see its sample. Given the critics, the within-fold variances add up to

.. math:: \frac{1}{K^2} \sum_k \left(\frac{s_{a,k}^2}{n_k} + \frac{s_{b,k}^2}{m_k}\right),

but each fold's samples also trained the critics of the others. If both distributions are nearly equal, these samples determine the
critics, and the values on two folds are correlated. For critics that are linear in the means of the folds the correlation is
1 / (K - 1), which doubles the variance. For a critic that jumps, such as the best of many, the factor is about sqrt K. Values of
samples that trained none of the critics have only the within-fold variance.

References:
    Nadeau & Bengio (2003), Inference for the generalization error: the correction of a cross-validated variance, here about 2.
    Bayle, Bayle, Janson & Mackey (2020), Cross-validation confidence intervals for test error, arXiv:2007.12671: the within-fold
        variance suffices if a few samples do not change the critics, which excludes equal distributions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from wdist.bounds.betting import power_of_two

PERMUTATIONS = 9_999
MOST_PERMUTED = 4_000
"""Most values, both sides together, to permute; above this, the normal approximation is as good."""
_CHUNK = 1 << 21


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """Difference of two means with the standard errors of both sides."""

    estimate: float
    error_a: float
    """Standard error of the mean of A."""
    error_b: float
    freedom: float
    """Welch's degrees of freedom; infinite if no value varies."""

    @property
    def standard_error(self) -> float:
        return math.hypot(self.error_a, self.error_b)

    def lower(self, alpha: float) -> float:
        """A lower confidence bound by Welch's t, asymptotic."""
        return self.estimate - self._reach(alpha)

    def upper(self, alpha: float) -> float:
        """An upper confidence bound by Welch's t, asymptotic."""
        return self.estimate + self._reach(alpha)

    def _reach(self, alpha: float) -> float:
        from scipy.special import stdtrit  # imported late: the import takes a quarter of a second

        return float(stdtrit(self.freedom, 1 - alpha)) * self.standard_error if self.standard_error else 0.0

    @property
    def p_value(self) -> float:
        """One-sided p-value of "the mean of A is not larger" by Welch's t, asymptotic."""
        from scipy.special import stdtr

        if self.standard_error == 0:
            return 0.0 if self.estimate > 0 else 1.0
        return float(stdtr(self.freedom, -self.estimate / self.standard_error))


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
        signs: of the groups.
        trained: whether other samples of each group trained the critics of each fold; None if all did.
    """
    unit = power_of_two(*(side for fold in folds for side in fold))
    means = [sum(sign * float((side / unit).mean()) for sign, side in zip(signs, fold, strict=True)) for fold in folds]
    factors = np.where(True if trained is None else trained, shared_training(len(folds)), 1.0)
    variances = factors * np.array([[(side / unit).var(ddof=1) / len(side) for side in fold] for fold in folds])
    total = float(variances.sum())
    freedoms = np.array([[len(side) - 1 for side in fold] for fold in folds])
    freedom = 1 / float(((variances / total) ** 2 / freedoms).sum()) if total > 0 else math.inf
    parts = variances[:, 0].sum(), variances[:, 1:].sum()
    error_a, error_b = (math.sqrt(float(part)) / len(folds) * unit for part in parts)
    return MeanDifference(estimate=sum(means) / len(folds) * unit, error_a=error_a, error_b=error_b, freedom=freedom)


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
