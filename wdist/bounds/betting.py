r"""Betting: confidence bounds for bounded values, valid for every sample size and nearly as sharp as the normal approximation.

A gambler who believes that the mean exceeds m stakes a fraction of the capital on each value before seeing it:

.. math:: C_t(m) = \prod_{i \le t} \bigl(1 + \lambda_i (z_i - m)\bigr), \qquad
          \lambda_i = \min\Bigl(\sqrt{\frac{2 \log(1 / \alpha)}{n \hat\sigma_{i-1}^2}},\ \frac{c}{m - \ell_i}\Bigr)

If the mean is m or less, the capital is a nonnegative supermartingale and reaches 1 / alpha with probability at most alpha (Ville).
The capital falls as m grows, so the bound is the largest m for which it ever reached 1 / alpha.

Assumptions: the values are independent, have the same mean, and each has a known floor :math:`\ell_i`; their order does not depend
on them. A bet may use all earlier values. Files may be sorted, by a coordinate or by class, so each side is first put into an order
of its own in which every stretch resembles the whole (:func:`interspersed`).

Departures from the source: it bets on each of two sides with half of the error probability. We bet on differences between one value
of each side (for the longer side, a mean of several), which costs :math:`\sqrt{2 \log(1 / \alpha)}` standard errors of the
difference instead of :math:`\sqrt{2 \log(2 / \alpha)}` of each. It knows the interval that contains all values; we know only its
length, so :math:`\ell_i` is the largest value so far minus that length.

References:
    Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting, theorem 3 and sections 4 and 5,
        arXiv:2010.09686.
    Ville (1939), Étude critique de la notion de collectif.
"""

import math

import numpy as np

GOLDEN, SILVER = (math.sqrt(5) - 1) / 2, math.sqrt(2) - 1
"""Steps of the orders that the sides are put into."""
_UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2
_LARGEST_STAKE = 0.9  # c; the source takes 1/2 or 3/4, but more helps with few samples and a wide range
_PRIOR = 0.1  # standard deviation assumed before the first value, as a fraction of the range; it counts as one value
_HALVINGS = 40
_SMALLEST_VARIANCE = 2.0**-200  # in units of the values


def betting(a: np.ndarray, b: np.ndarray, alpha: float, ranges: tuple[float, float], apart: float | None = None) -> float:
    r"""A lower confidence bound for E a - E b.

    Arguments:
        a, b: values of each side, shapes (n,) and (m,), at least one each, in any order.
        alpha: probability that the bound is wrong.
        ranges: length of an interval that contains all values of each side; its position may be unknown.
        apart: largest distance between values of ``a`` and ``b``; None if only the ranges are known.
    """
    a, b = (interspersed(side, step) for side, step in zip((a, b), (GOLDEN, SILVER), strict=True))
    groups = min(len(a), len(b))
    z = _means(a, groups) - _means(b, groups)
    sizes = -(-len(a) // groups) + -(-len(b) // groups)
    # Rounding of a difference of means, or of its floor.
    doubt = (8 + sizes) * _UNIT_ROUNDOFF * (float(np.abs(a).max()) + float(np.abs(b).max()) + sum(ranges))
    # The smallest possible difference, given the values before it.
    floors = _highest_before(a, groups) + _highest_before(-b, groups) - sum(ranges)
    certain = float(a.max()) - float(b.min()) - sum(ranges)
    extent = sum(ranges)
    if apart is not None:
        floors, certain, extent = np.maximum(floors, -apart), max(certain, -apart), min(extent, 2 * apart)
    return max(certain, lower_mean(z, floors - doubt, alpha, extent)) - doubt


def interspersed(values: np.ndarray, step: float = GOLDEN) -> np.ndarray:
    """The values in an order in which every stretch resembles the whole, even if they are sorted.

    Value k has its place by the fractional part of k ``step``. For an irrational step these parts are spread evenly, and so are the
    pairs for the two steps of :func:`betting` (Weyl's theorem). A random order could be a bad one for a certain number of values.
    """
    return values[np.argsort(np.arange(len(values)) * step % 1, kind="stable")]


def lower_mean(z: np.ndarray, floors: np.ndarray, alpha: float, extent: float) -> float:
    """A lower confidence bound for the common mean of all values.

    Arguments:
        z: values, shape (n,), in an order that does not depend on them.
        floors: shape (n,); no value is below its floor, which may depend on the values before it. Minus infinity if unknown; then
            nothing is bet on the value.
        alpha: probability that the bound is wrong.
        extent: approximate range of the values; it affects the sharpness of the bound, not its validity.

    Returns:
        The bound; minus infinity if no floor is known.
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
            gains = np.log1p(np.minimum(stakes, _LARGEST_STAKE / (m - floors)) * (z - m))
        # Rounding of n logarithms and of their sums.
        doubt = (len(z) + 64) * _UNIT_ROUNDOFF * (len(z) + float(np.abs(gains).sum()))
        return float(np.cumsum(gains).max()) >= threshold + doubt

    # The mean is not below any floor, and no bet against a mean above all values is won.
    low, high = float(floors.max()), float(z.max())
    if low < high and won(low):
        for _ in range(_HALVINGS):
            middle = low + (high - low) / 2
            low, high = (middle, high) if won(middle) else (low, middle)
    return low * unit


def _means(values: np.ndarray, groups: int) -> np.ndarray:
    """Means of groups of consecutive values, whose sizes differ by at most one; shape (groups,)."""
    starts = _starts(len(values), groups)
    return np.add.reduceat(values, starts) / np.diff(starts, append=len(values))


def _highest_before(values: np.ndarray, groups: int) -> np.ndarray:
    """The largest value before each group; minus infinity before the first. Shape (groups,)."""
    highest = np.maximum.accumulate(values)[_starts(len(values), groups)[1:] - 1]
    return np.concatenate([[-math.inf], highest])


def _starts(n: int, groups: int) -> np.ndarray:
    return np.arange(groups) * n // groups


def _deviations_before(z: np.ndarray, extent: float) -> np.ndarray:
    """Estimates of the standard deviation, each from the values before it and the prior; shape (n,)."""
    counts = np.arange(1, len(z))
    z = z[:-1] - z[0]  # squares of large values would lose the digits in which the values differ
    squares = np.maximum(np.cumsum(z**2) - np.cumsum(z) ** 2 / counts, 0.0) if len(z) else z
    return np.sqrt(((_PRIOR * extent) ** 2 + _SMALLEST_VARIANCE + np.concatenate([[0.0], squares])) / np.arange(1, len(z) + 2))


def power_of_two(*values: np.ndarray) -> float:
    """A power of two near the largest magnitude, for dividing values without rounding; 1 if that is 0 or not finite."""
    largest = max(float(np.abs(part).max(initial=0.0)) for part in values)
    return 2.0 ** (math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0
