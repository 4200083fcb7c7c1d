"""Empirical Bernstein: valid at every sample size."""

import math

import numpy as np

from wdist.confidence.units import power_of_two


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
