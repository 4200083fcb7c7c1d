r"""Lower confidence bounds for a difference of two means, each naming what it assumes.

All are one-sided: with a_1..a_n and b_1..b_m independent, the bound exceeds E a - E b with probability at most alpha.
"""

import math

import numpy as np
from scipy import stats

from wdist.errors import UsageError

METHODS = {
    "welch": "Welch's t, asymptotic: as good as the normal approximation of the two means",
    "empirical-bernstein": "empirical Bernstein, valid at every sample size; needs a bounded support",
}


def welch(a: np.ndarray, b: np.ndarray, alpha: float) -> float:
    r"""Welch's t: asymptotic, for finite variances.

    .. math:: \bar a - \bar b - t_{1 - \alpha, \nu} \sqrt{s_a^2 / n + s_b^2 / m}

    Arguments:
        a, b: values of each side, shapes (n,) and (m,), at least two each.
        alpha: probability that the bound may be wrong.

    References:
        Welch (1947), The generalization of Student's problem when several different population variances are involved.
    """
    unit = _unit(a, b)
    a, b = a / unit, b / unit
    variances = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    total = variances.sum()
    difference = float(a.mean() - b.mean())
    if total == 0:
        return difference * unit
    shares = variances / total  # before squaring, which could underflow
    freedom = 1 / float((shares**2 / np.array([len(a) - 1, len(b) - 1])).sum())
    return (difference - float(stats.t.ppf(1 - alpha, freedom)) * math.sqrt(total)) * unit


def _unit(a: np.ndarray, b: np.ndarray) -> float:
    """A power of two near the largest value: in such units squares neither overflow nor vanish, and nothing is rounded."""
    largest = max(float(np.abs(a).max()), float(np.abs(b).max()))
    return 2.0 ** (math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0


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
    unit = _unit(a, b)
    a, b = a / unit, b / unit
    bound = float(a.mean() - b.mean())
    log = math.log(2 / (alpha / 2))
    for values, extent in zip((a, b), ranges, strict=True):
        n = len(values)
        bound -= math.sqrt(2 * float(values.var(ddof=1)) * log / n) + 7 * (extent / unit) * log / (3 * (n - 1))
    return bound * unit


def lower_confidence_bound(
    a: np.ndarray, b: np.ndarray, *, alpha: float, method: str, ranges: tuple[float | None, float | None]
) -> float:
    """A lower confidence bound for E a - E b by the method of that name.

    Arguments:
        ranges: as for :func:`empirical_bernstein`; None where nothing is known.

    Raises:
        UsageError: the method is unknown, or needs a range that is not known.
    """
    check_method(method, ranges)
    if method == "empirical-bernstein" and ranges[0] is not None and ranges[1] is not None:
        return empirical_bernstein(a, b, alpha, (ranges[0], ranges[1]))
    return welch(a, b, alpha)


def check_method(method: str, ranges: tuple[float | None, float | None]) -> None:
    """Refuses a method before anything is trained for it.

    Raises:
        UsageError: the method is unknown, or needs a range that is not known.
    """
    if method not in METHODS:
        raise UsageError(f"--ci {method!r} is unknown; choose one of {', '.join(METHODS)}")
    if method == "empirical-bernstein" and None in ranges:
        raise UsageError(
            "--ci empirical-bernstein needs values that are bounded by their type, such as uint8 images; use --ci welch, "
            "or state the range of stored values in the address"
        )
