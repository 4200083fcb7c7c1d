r"""Drift of single columns: the exact distance on the line, an interval for the distributions, and a permutation test.

On the line, W1 is the area between the two distribution functions, and the slope of an optimal potential is the sign of their
difference. Levels of a category are 1 apart, so W1 is half the sum of the absolute differences of their frequencies.

If rows are independent, the p-value is exact for every sample size: if both tables have the same distribution, every division of
their rows into two is equally likely, and the numbers of rows of one table in some bins are hypergeometric. Interval ends are
asymptotic. The lower one is the value of potentials on rows to which they were not fitted (both halves in turn), minus multiples of
its standard error. The upper one is the distance of the samples, which is too large on average (Jensen), plus multiples of the
standard error of the difference of the means, because no 1-Lipschitz function of a number varies more than the number itself.

References:
    Vallender (1974), Calculation of the Wasserstein distance between probability distributions on the line.
    Pitman (1937), Significance tests which may be applied to samples from any populations.
    Agresti & Coull (1998), Approximate is better than "exact" for interval estimation of binomial proportions.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wdist.bounds.confidence import holm
from wdist.data.sources.column import BOOLEAN, NUMBER
from wdist.drifts.changes import Change, changes_of_numbers, changes_of_shares

_BINS = 256
"""Most bins of a column in its test."""
_PERMUTATIONS, _PERMUTATIONS_OF_COLUMN = 9999, 300
"""Limit on random divisions of the rows: the larger of the first and the second times the number of columns, so that corrected
p-values can reach one per cent."""
ENOUGH, _AT_ONCE = 20, 500
"""Number of divisions with a statistic as large as the observed one that ends the drawing, and how many are drawn at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnSamples:
    """One column of both tables, without missing values."""

    name: str
    reference: np.ndarray
    """Numbers, shape (n,), or positions in ``levels``."""
    current: np.ndarray
    levels: tuple[str, ...] | None = None
    """Levels of a category; None for numbers."""
    type: str = NUMBER
    """Type of the column, as in :class:`~wdist.data.sources.column.Column`."""


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """Distance and test of one column."""

    name: str
    type: str
    """``number``, ``boolean``, ``date`` (in days) or ``category``."""
    distance: float
    """W1 between the two samples of the column, in its units; between 0 and 1 for a category."""
    scaled: float
    """The distance divided by the standard deviation of the reference; for a category, the distance itself."""
    lower: float
    """Lower confidence bound for the distance between the distributions, in the units of the column."""
    upper: float
    """Upper confidence bound."""
    p_value: float
    """P-value of equal distributions, by permutation."""
    adjusted: float
    """The p-value corrected for the number of columns (Holm)."""
    share: float | None = None
    """Share of the column in the cost of the joint transport plan; None without a plan."""
    changes: tuple[Change, ...] = ()
    """What changed: the mean and the quantile that moved most, or the shares that changed most."""


Potential = Callable[[np.ndarray], np.ndarray]


def column_drifts(columns: Sequence[ColumnSamples], *, confidence: float, seed: int) -> tuple[ColumnDrift, ...]:
    """Drift of all columns; their intervals hold together at ``confidence``, asymptotically."""
    alpha = (1 - confidence) / (2 * max(1, len(columns)))
    permutations = max(_PERMUTATIONS, _PERMUTATIONS_OF_COLUMN * len(columns))
    found = [_drift(column, alpha, permutations, np.random.default_rng([seed, i])) for i, column in enumerate(columns)]
    adjusted = holm([each.p_value for each in found])
    return tuple(replace(each, adjusted=p) for each, p in zip(found, adjusted, strict=True))


def _drift(column: ColumnSamples, alpha: float, permutations: int, random: np.random.Generator) -> ColumnDrift:
    a, b = column.reference, column.current
    distance = distance_of(column)
    scale = 1.0 if column.levels is not None else float(a.std()) or float(b.std()) or 1.0
    lower, upper = _interval(column, distance, alpha, random)
    p_value = _p_value(column, permutations, random)
    return ColumnDrift(
        name=column.name,
        type=column.type,
        distance=distance,
        scaled=distance / scale,
        lower=lower,
        upper=upper,
        p_value=p_value,
        adjusted=p_value,
        changes=_changes(column),
    )


def _changes(column: ColumnSamples) -> tuple[Change, ...]:
    a, b = column.reference, column.current
    if column.levels is not None:
        return changes_of_shares(*_shares(a, b, len(column.levels)), column.levels)
    if column.type == BOOLEAN:
        return changes_of_shares(np.array([a.mean()]), np.array([b.mean()]), ["true"])
    return changes_of_numbers(a, b)


def distance_of(column: ColumnSamples) -> float:
    """W1 between the two samples of a column, in its units."""
    if column.levels is not None:
        return float(np.abs(np.subtract(*_shares(column.reference, column.current, len(column.levels)))).sum()) / 2
    from scipy.stats import wasserstein_distance  # imported late, because it takes a quarter of a second

    return float(wasserstein_distance(column.reference, column.current))


def _shares(a: np.ndarray, b: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    one, other = (np.bincount(side, minlength=levels) / len(side) for side in (a, b))
    return one, other


def fitted_potential(a: np.ndarray, b: np.ndarray, levels: int | None) -> Potential:
    """An optimal 1-Lipschitz function between two samples of numbers, or of positions among ``levels`` levels."""
    if levels is not None:
        one, other = _shares(a, b, levels)
        heights = np.sign(one - other) / 2
        return lambda values: heights[values]
    points = np.unique(np.concatenate([a, b]))
    below_a, below_b = (np.searchsorted(np.sort(side), points, side="right") / len(side) for side in (a, b))
    slopes = np.sign(below_b - below_a)[:-1]
    heights = np.concatenate([[0.0], np.cumsum(slopes * np.diff(points))])
    return lambda values: np.interp(values, points, heights)


def _interval(column: ColumnSamples, distance: float, alpha: float, random: np.random.Generator) -> tuple[float, float]:
    """Both confidence bounds for W1 between the distributions, each wrong with probability about ``alpha``."""
    from scipy.special import ndtri  # imported late, because it takes a quarter of a second

    levels = None if column.levels is None else len(column.levels)
    a, b = (random.permutation(side) for side in (column.reference, column.current))
    quantile, value, error = -float(ndtri(alpha)), 0.0, 0.0
    halves = [(side[: len(side) // 2], side[len(side) // 2 :]) for side in (a, b)]
    for held in (0, 1):
        potential = fitted_potential(halves[0][1 - held], halves[1][1 - held], levels)
        values = [potential(side[held]) for side in halves]
        value += (values[0].mean() - values[1].mean()) / 2
        error += _standard_error(*values) / 2  # as if errors of both halves were fully correlated, as they are without a difference
    lower = max(0.0, float(value) - quantile * error)
    # The samples are at least as far apart as the optimal potential of the distributions finds; its error is at most the largest.
    return lower, distance + quantile * _largest_error(column, quantile)


def _standard_error(a: np.ndarray, b: np.ndarray) -> float:
    """Standard error of the difference of two means; that of the values is at least that of any 1-Lipschitz function of them."""
    return math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


def _largest_error(column: ColumnSamples, quantile: float) -> float:
    """Largest standard error of the difference of the means of any potential."""
    a, b, levels, apart = column.reference, column.current, column.levels, 1.0
    if levels is None:
        values = np.unique(np.concatenate([a, b]))
        if len(values) > 2:
            return _standard_error(a, b)
        a, b = a == values[0], b == values[0]
        apart = 1.0 if column.type == BOOLEAN else float(values[-1] - values[0])
    return apart * math.hypot(_error_of_shares(a, quantile), _error_of_shares(b, quantile))


def _error_of_shares(places: np.ndarray, quantile: float) -> float:
    """Largest standard error of the mean of a potential on levels that are 1 apart.

    It is that of the set of levels whose frequency is nearest to one half: all but the most frequent level, if that has more than
    half of the rows; else, a frequency of one half gives a bound. Rows are added to both sides as in the interval of Agresti and
    Coull, because rare levels may not have occurred at all.
    """
    n, added = len(places), quantile**2 / 2
    share = min(0.5, (n - int(np.bincount(places).max()) + added) / (n + 2 * added))
    return math.sqrt(share * (1 - share) / (n - 1))


def _p_value(column: ColumnSamples, permutations: int, random: np.random.Generator) -> float:
    """The p-value: how many random divisions of all rows have at least the observed distance."""
    counts_a, counts_b, widths = _binned(column)
    counts, n, m = counts_a + counts_b, int(counts_a.sum()), int(counts_b.sum())

    def distances(drawn: np.ndarray) -> np.ndarray:
        apart = drawn / n - (counts - drawn) / m
        return np.abs(apart if column.levels is not None else np.cumsum(apart, axis=-1)) @ widths

    least, as_large = distances(counts_a) * (1 - 1e-12), np.empty(0, dtype=bool)
    while len(as_large) < permutations and as_large.sum() < ENOUGH:
        size = min(_AT_ONCE, permutations - len(as_large))
        drawn = random.multivariate_hypergeometric(counts, n, size=size, method="marginals")
        as_large = np.append(as_large, distances(drawn) >= least)
    return sequential_p_value(as_large)


def sequential_p_value(as_large: np.ndarray) -> float:
    """The p-value from random divisions that end with the :data:`ENOUGH`-th whose statistic is at least the observed one.

    It is as valid as with a fixed number of divisions, but large p-values take little time.

    Arguments:
        as_large: whether the statistic of each division is at least the observed one; those after the end do not count.

    References:
        Besag & Clifford (1991), Sequential Monte Carlo p-values.
    """
    ends = np.flatnonzero(as_large)
    return ENOUGH / (ends[ENOUGH - 1] + 1) if len(ends) >= ENOUGH else (1 + len(ends)) / (1 + len(as_large))


def _binned(column: ColumnSamples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of each side in each bin, and the width of each bin; for a category, rows and weight of each level."""
    a, b = column.reference, column.current
    if column.levels is not None:
        counts = [np.bincount(side, minlength=len(column.levels)) for side in (a, b)]
        return counts[0], counts[1], np.full(len(column.levels), 0.5)
    points, places = np.unique(np.concatenate([a, b]), return_inverse=True)
    bins = np.arange(len(points))
    if len(points) > _BINS:  # bins of about as many rows each
        ranks = np.cumsum(np.bincount(places)) - 1
        bins = np.unique(ranks * _BINS // len(places), return_inverse=True)[1]
    first = np.flatnonzero(np.r_[True, np.diff(bins) > 0])
    counts = [np.bincount(bins[part], minlength=len(first)) for part in (places[: len(a)], places[len(a) :])]
    return counts[0], counts[1], np.append(np.diff(points[first]), 0.0)
