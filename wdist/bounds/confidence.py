r"""Confidence bounds for means, and lower confidence bounds for the difference of two means, by the name of the method.

All are one-sided: for independent a_1..a_n and b_1..b_m, a lower bound exceeds E a - E b with probability at most alpha. Welch's
and Student's t are asymptotic, and wider for few rare or far values (:mod:`wdist.bounds.mean_difference`); the others hold for
every sample size, for values in intervals of known length.
"""

import math
from collections.abc import Sequence

import numpy as np

from wdist.bounds.betting import betting, power_of_two
from wdist.bounds.mean_difference import mean_contrast, mean_difference
from wdist.errors import UsageError

Ranges = tuple[float | None, float | None]
"""Length of an interval that contains all values of each side; None if unknown."""


def welch(a: np.ndarray, b: np.ndarray, alpha: float) -> float:
    r"""Welch's t: asymptotic, for at least two values of each side with finite variances.

    .. math:: \bar a - \bar b - t_{1 - \alpha, \nu} \sqrt{s_a^2 / n + s_b^2 / m}

    References:
        Welch (1947), The generalization of Student's problem when several different population variances are involved.
    """
    return mean_difference([(a, b)]).lower(alpha)


def student_upper(values: np.ndarray, alpha: float) -> float:
    r"""Student's t: an asymptotic upper confidence bound for the common mean of all values.

    .. math:: \bar z + t_{1 - \alpha, n - 1}\, s / \sqrt n

    Assumes at least two independent values, numerous enough or close enough to normal that their mean is approximately normal.

    References:
        Student (1908), The probable error of a mean.
    """
    return mean_contrast([[values]], [1]).upper(alpha)


def share_upper(count: int, n: int, alpha: float) -> float:
    """An upper confidence bound for a probability, from ``count`` of ``n`` independent trials; valid at every number of them.

    References:
        Clopper & Pearson (1934), The use of confidence or fiducial limits illustrated in the case of the binomial.
    """
    from scipy.special import betaincinv  # imported late, because it takes a quarter of a second

    return 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - alpha))


def empirical_bernstein(a: np.ndarray, b: np.ndarray, alpha: float, ranges: tuple[float, float]) -> float:
    r"""Empirical Bernstein: valid for every sample size, for at least two values of each side in intervals of known length.

    Each side takes half of the error probability, and its mean is bounded to within

    .. math:: \sqrt{2 s^2 \log(2 / \delta) / n} + 7 R \log(2 / \delta) / (3 (n - 1))

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


def bounded_differences(n: int, m: int, diameter: float, alpha: float) -> float:
    r"""McDiarmid's inequality: W1 of two empirical measures is below its mean by more than this with probability at most alpha.

    .. math:: D \sqrt{\tfrac12 \log(1 / \alpha)\, (1 / n + 1 / m)}

    Assumes n and m independent samples, any two of them within the diameter D. Replacing one sample of A changes W1 by at most
    D / n, one of B by at most D / m. The same holds for the mean of W1 over disjoint blocks of equal counts, n and m in total.

    References:
        McDiarmid (1989), On the method of bounded differences, lemma 1.2.
    """
    return diameter * math.sqrt(math.log(1 / alpha) * (1 / n + 1 / m) / 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values for multiple testing, in the given order: the probability of rejecting any true hypothesis is at most alpha.

    References:
        Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


AUTO = "auto"
METHODS = ("welch", "empirical-bernstein", "betting")
"""Methods by name; all but the first need values in a known range."""


def lower_confidence_bound(
    a: np.ndarray, b: np.ndarray, *, alpha: float, method: str, ranges: Ranges, apart: float | None = None
) -> float:
    """A lower confidence bound for E a - E b, wrong with probability at most alpha.

    Arguments:
        a, b: values of each side, shapes (n,) and (m,), at least two each, in any order.
        method: one of :data:`METHODS`, or ``auto``.
        ranges: known range of the values of each side, rounding included.
        apart: largest distance between values of different sides, if known; it sharpens betting.
    """
    method = resolve(method, ranges)
    if ranges[0] is None or ranges[1] is None or method == "welch":
        return welch(a, b, alpha)
    known = ranges[0], ranges[1]
    return betting(a, b, alpha, known, apart) if method == "betting" else empirical_bernstein(a, b, alpha, known)


def confidence_interval(
    a: np.ndarray, b: np.ndarray, *, alpha: float, method: str, ranges: Ranges, apart: float | None = None
) -> tuple[float, float]:
    """A two-sided confidence interval for E a - E b, each end wrong with probability at most alpha / 2.

    The arguments are those of :func:`lower_confidence_bound`.
    """
    lower = lower_confidence_bound(a, b, alpha=alpha / 2, method=method, ranges=ranges, apart=apart)
    upper = -lower_confidence_bound(b, a, alpha=alpha / 2, method=method, ranges=(ranges[1], ranges[0]), apart=apart)
    return lower, upper


def resolve(method: str, ranges: Ranges) -> str:
    """Resolves the name of a method: ``auto`` is betting if both ranges are known, otherwise Welch's t.

    Raises:
        UsageError: the method is unknown, or needs ranges that are unknown.
    """
    if method == AUTO:
        return "welch" if None in ranges else "betting"
    if method not in METHODS:
        raise UsageError(f"--ci {method!r} is unknown; choose one of {AUTO}, {', '.join(METHODS)}")
    if method != "welch" and None in ranges:
        raise UsageError(
            f"--ci {method} needs values in a known range, such as those of uint8 images; "
            "use --ci welch, or state the range of stored values in the addresses, such as ?stored=0:1"
        )
    return method
