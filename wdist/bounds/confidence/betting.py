r"""Betting: valid at every sample size, for bounded values, and nearly as sharp as the normal approximation.

A gambler who believes that the mean exceeds m stakes a share of the capital on each value before it is seen:

.. math:: C_t(m) = \prod_{i \le t} \bigl(1 + \lambda_i (z_i - m)\bigr), \qquad
          \lambda_i = \min\Bigl(\sqrt{\frac{2 \log(1 / \alpha)}{n \hat\sigma_{i-1}^2}},\ \frac{c}{m - \ell_i}\Bigr)

If the mean is m or less, the capital is a nonnegative supermartingale and reaches 1 / alpha with probability at most alpha (Ville).
It falls as m grows, so the bound is the largest m at which the gambler once held 1 / alpha.

Assumed: independent values with one mean, of each of which something is known that it is certainly not below, :math:`\ell_i`; the
bet may rest on what came before. The order of the values is the order in which they are handed in: it must not depend on them.

Departures from the source. It bets on each of two sides at half of the error; we bet on differences, one value of each side at a
time (of the longer side a mean of several), which costs :math:`\sqrt{2 \log(1 / \alpha)}` standard errors of the difference in
place of :math:`\sqrt{2 \log(2 / \alpha)}` of each. And it knows the interval that holds all values, we only its length: then
:math:`\ell_i` is the largest value so far less that length.

References:
    Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting, sections 4 and 5, arXiv:2010.09686.
    Ville (1939), Étude critique de la notion de collectif.
"""

import math

import numpy as np

from wdist.bounds.confidence.units import UNIT_ROUNDOFF, power_of_two

_MOST_AT_STAKE = 0.9
"""c: of the capital, in one bet. The source takes 1/2 or 3/4; more helps where samples are few and the range is wide."""
_PRIOR = 0.1
"""Standard deviation that is assumed before the first value, as a share of the range: it counts as one value."""
_HALVINGS = 40
_NOT_ZERO = 2.0**-200
"""Of a variance, in units of the values."""


def betting(a: np.ndarray, b: np.ndarray, alpha: float, ranges: tuple[float, float], apart: float | None = None) -> float:
    r"""A lower confidence bound for E a - E b.

    Arguments:
        a, b: values of each side, shapes (n,) and (m,), at least one each, in an order that does not depend on them.
        alpha: probability that the bound may be wrong.
        ranges: length of an interval that holds all values of each side; where the interval lies need not be known.
        apart: no value of ``a`` is further from one of ``b`` than this; None for what the ranges say.

    References:
        Waudby-Smith & Ramdas (2024), theorem 3, arXiv:2010.09686.
    """
    groups = min(len(a), len(b))
    z = _means(a, groups) - _means(b, groups)
    sizes = -(-len(a) // groups) + -(-len(b) // groups)
    # By which a difference of means, or a floor under it, may have been rounded.
    doubt = (8 + sizes) * UNIT_ROUNDOFF * (float(np.abs(a).max()) + float(np.abs(b).max()) + sum(ranges))
    # The lowest that a difference can be, from the values before it.
    floors = _highest_before(a, groups) + _highest_before(-b, groups) - sum(ranges)
    certain = float(a.max()) - float(b.min()) - sum(ranges)
    extent = sum(ranges)
    if apart is not None:
        floors, certain, extent = np.maximum(floors, -apart), max(certain, -apart), min(extent, 2 * apart)
    return max(certain, lower_mean(z, floors - doubt, alpha, extent)) - doubt


def lower_mean(z: np.ndarray, floors: np.ndarray, alpha: float, extent: float) -> float:
    """A lower confidence bound for the mean that all values share.

    Arguments:
        z: values, shape (n,), in an order that does not depend on them.
        floors: shape (n,): a value is certainly not below its floor, which may follow from the values before it; minus infinity
            where nothing is known, and then nothing is bet.
        alpha: probability that the bound may be wrong.
        extent: about how far values may be spread: on it depends the sharpness of the bound, not its validity.

    Returns:
        The bound; minus infinity where nothing is known of any value.
    """
    threshold = math.log(1 / alpha)
    unit = power_of_two(z - z[0], np.array(extent))
    z, floors = z / unit, floors / unit
    stakes = math.sqrt(2 * threshold / len(z)) / _deviations_before(z, extent / unit)
    known = np.isfinite(floors)
    if not known.any():
        return -math.inf
    z, floors, stakes = z[known], floors[known], stakes[known]

    def won(m: float) -> bool:
        with np.errstate(divide="ignore"):  # at the floor itself a bet risks nothing
            gains = np.log1p(np.minimum(stakes, _MOST_AT_STAKE / (m - floors)) * (z - m))
        # Of n logarithms and of their sums.
        doubt = (len(z) + 64) * UNIT_ROUNDOFF * (len(z) + float(np.abs(gains).sum()))
        return float(np.cumsum(gains).max()) >= threshold + doubt

    # A mean is not below any floor, and no bet is won on a mean above all values.
    low, high = float(floors.max()), float(z.max())
    if low < high and won(low):
        for _ in range(_HALVINGS):
            middle = low + (high - low) / 2
            low, high = (middle, high) if won(middle) else (low, middle)
    return low * unit


def _means(values: np.ndarray, groups: int) -> np.ndarray:
    """Of consecutive values, in groups whose sizes differ by at most one; shape (groups,)."""
    starts = _starts(len(values), groups)
    return np.add.reduceat(values, starts) / np.diff(starts, append=len(values))


def _highest_before(values: np.ndarray, groups: int) -> np.ndarray:
    """The largest value before each group; minus infinity before the first. Shape (groups,)."""
    highest = np.maximum.accumulate(values)[_starts(len(values), groups)[1:] - 1]
    return np.concatenate([[-math.inf], highest])


def _starts(n: int, groups: int) -> np.ndarray:
    """Where each group begins."""
    return np.arange(groups) * n // groups


def _deviations_before(z: np.ndarray, extent: float) -> np.ndarray:
    """Estimates of the standard deviation, each from the values before it and one that is assumed; shape (n,)."""
    counts = np.arange(1, len(z))
    z = z[:-1] - z[0]  # squares of what is far from 0 would lose the digits in which values differ
    squares = np.maximum(np.cumsum(z**2) - np.cumsum(z) ** 2 / counts, 0.0) if len(z) else z
    return np.sqrt(((_PRIOR * extent) ** 2 + _NOT_ZERO + np.concatenate([[0.0], squares])) / np.arange(1, len(z) + 2))
