"""Welch's t: asymptotic."""

import math

import numpy as np

from wdist.bounds.confidence.units import power_of_two


def welch(a: np.ndarray, b: np.ndarray, alpha: float) -> float:
    r"""Welch's t: asymptotic, for finite variances.

    .. math:: \bar a - \bar b - t_{1 - \alpha, \nu} \sqrt{s_a^2 / n + s_b^2 / m}

    Arguments:
        a, b: values of each side, shapes (n,) and (m,), at least two each.
        alpha: probability that the bound may be wrong.

    References:
        Welch (1947), The generalization of Student's problem when several different population variances are involved.
    """
    from scipy.special import stdtrit  # here, because it takes a quarter of a second: training begins without it

    unit = power_of_two(a, b)
    a, b = a / unit, b / unit
    variances = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    total = variances.sum()
    difference = float(a.mean() - b.mean())
    if total == 0:
        return difference * unit
    shares = variances / total  # before squaring, which could underflow
    freedom = 1 / float((shares**2 / np.array([len(a) - 1, len(b) - 1])).sum())
    return (difference - float(stdtrit(freedom, 1 - alpha)) * math.sqrt(total)) * unit


# MERGED confidence.student: Student's t for one mean: asymptotic.


def student_upper(values: np.ndarray, alpha: float) -> float:
    r"""An upper confidence bound for the mean that all values share.

    .. math:: \bar z + t_{1 - \alpha, n - 1}\, s / \sqrt n

    Assumed: independent values, as many or as nearly normal as it takes for their mean to be about normal.

    Arguments:
        values: shape (n,), at least two.
        alpha: probability that the bound may be wrong.

    References:
        Student (1908), The probable error of a mean.
    """
    from scipy.special import stdtrit  # here, because it takes a quarter of a second: training begins without it

    unit = power_of_two(values)
    z = values / unit
    return (float(z.mean()) + float(stdtrit(len(z) - 1, 1 - alpha)) * float(z.std(ddof=1)) / math.sqrt(len(z))) * unit
