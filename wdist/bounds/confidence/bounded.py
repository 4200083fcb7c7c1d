"""Empirical Bernstein: valid at every sample size."""

import math

import numpy as np

from wdist.bounds.confidence.units import power_of_two


def empirical_bernstein(a: np.ndarray, b: np.ndarray, alpha: float, ranges: tuple[float, float]) -> float:
    r"""Empirical Bernstein: for values in known intervals, valid at every sample size.

    For each side, at half of the error, the mean is within

    .. math:: \sqrt{2 s^2 \log(2 / \delta) / n} + 7 R \log(2 / \delta) / (3 (n - 1))

    Arguments:
        a, b: values of each side, shapes (n,) and (m,), at least two each.
        alpha: probability that the bound may be wrong.
        ranges: length of an interval that holds all values of each side.

    References:
        Maurer & Pontil (2009), Empirical Bernstein bounds and sample variance penalization, theorem 4, arXiv:0907.3740.
    """
    unit = power_of_two(a, b)
    a, b = a / unit, b / unit
    bound = float(a.mean() - b.mean())
    log = math.log(2 / (alpha / 2))
    for values, extent in zip((a, b), ranges, strict=True):
        n = len(values)
        bound -= math.sqrt(2 * float(values.var(ddof=1)) * log / n) + 7 * (extent / unit) * log / (3 * (n - 1))
    return bound * unit


# MERGED confidence.bounded_differences: McDiarmid's inequality for W1 between two empirical measures: valid at every sample size, for a bounded support.


def bounded_differences(n: int, m: int, diameter: float, alpha: float) -> float:
    r"""By how much W1 between two empirical measures falls below its expectation with probability at most alpha.

    .. math:: D \sqrt{\tfrac12 \log(1 / \alpha)\, (1 / n + 1 / m)}

    Assumed: n and m independent samples within a distance D of each other, whatever side they are of. Replacing one sample of A
    changes W1 by at most D / n, one of B by at most D / m. The same holds for the mean of W1 over disjoint blocks of equal counts,
    n and m in all.

    Arguments:
        n, m: samples of each side.
        diameter: D, the largest distance between any two samples of one side.
        alpha: probability that it may fall by more.

    References:
        McDiarmid (1989), On the method of bounded differences, lemma 1.2.
    """
    return diameter * math.sqrt(math.log(1 / alpha) * (1 / n + 1 / m) / 2)
