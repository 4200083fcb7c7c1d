r"""Drift of the dependence between columns, whether or not the columns themselves drifted.

Each number is replaced by its rank in its own table, and each level of a category by an indicator, so that only the dependence is
left. The correlations r of two tables are compared by

.. math:: z = \frac{r_A - r_B}{\sqrt{v_A / n + v_B / m}}, \qquad
          v = \operatorname{mean}_i \bigl(x_i y_i - \tfrac{r}{2} (x_i^2 + y_i^2)\bigr)^2

with standardised x and y; v is the variance of the influence function of a correlation and needs no normal distribution. The
p-value of a pair is the fraction of random divisions of the rows in which any pair has a |z| at least as large, so it is corrected
for the number of pairs, and exact if both tables have the same distribution. For large tables, a random part of the rows is tested.
Changes of dependence that leave all rank correlations unchanged are left to the joint distance.

References:
    Spearman (1904), The proof and measurement of association between two things.
    Devlin, Gnanadesikan & Kettenring (1975), Robust estimation and outlier detection with correlation coefficients.
    Westfall & Young (1993), Resampling-based multiple testing, the single-step maxT procedure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wdist.drifts.columns import ENOUGH, ColumnSamples, sequential_p_value

_FEWEST = 10
"""Fewest rows of a level in each table for its correlations to be tested."""
_DIVISIONS = 499
_MOST_ROWS, _MOST_VALUES = 2000, 100_000
"""Most rows of each table that are tested, or more if they hold at most so many values, for a test within seconds. The statistic is
computed from the rows that are divided: if a few rows of a column are unlike the others, its distribution depends on the number of
rows."""
_AS_LARGE = 1 - 1e-9


@dataclass(frozen=True, kw_only=True)
class PairDrift:
    """Change of the dependence between two columns."""

    columns: tuple[str, str]
    levels: tuple[str | None, str | None]
    """Levels of categories with the most significant change of correlation; None for numbers."""
    reference: float
    """Rank correlation in the reference, from -1 to 1; of the indicators of the levels for categories."""
    current: float
    """Rank correlation in the current table."""
    adjusted: float
    """P-value of equal distributions, corrected for the number of pairs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Coordinates:
    """Columns of numbers and indicators of levels for all rows, those of the reference first."""

    owners: np.ndarray
    """Position of the column of each coordinate, shape (k,)."""
    levels: tuple[str | None, ...]
    places: np.ndarray
    """Position of each value among the distinct ones of its coordinate, shape (k, n + m)."""

    @property
    def different(self) -> np.ndarray:
        """Marks pairs of coordinates of different columns, each pair once, shape (k, k)."""
        return self.owners[:, None] < self.owners

    def of(self, rows: np.ndarray) -> "_Coordinates":
        """The coordinates of only these rows."""
        places = [np.unique(places[rows], return_inverse=True)[1] for places in self.places]
        return replace(self, places=np.stack(places))

    def correlations(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rank correlations among some rows, and the variance of each, shape (k, k)."""
        n, rows = len(rows), np.sort(rows)  # values are read in the order in which they are held
        x = np.stack([_midranks(places[rows]) for places in self.places])
        x -= x.mean(1, keepdims=True)
        spread = x.std(1, keepdims=True)
        x /= np.where(spread > 0, spread, 1.0)
        squares = x * x
        r, both, skewed = (left @ right.T / n for left, right in ((x, x), (squares, squares), (squares * x, x)))
        own = (both.diagonal()[:, None] + both.diagonal()) / 4 + both / 2
        return r, np.maximum(both - r * (skewed + skewed.T) + r**2 * own, 0.0) / n


def pair_drifts(columns: Sequence[ColumnSamples], *, seed: int) -> tuple[PairDrift, ...]:
    """Drift of all pairs of columns, the most significant first; the arrays of all columns belong to the same rows."""
    coordinates = _coordinates(columns)
    if len(set(coordinates.owners)) < 2:
        return ()
    n, total = len(columns[0].reference), coordinates.places.shape[1]
    sides = np.arange(n), np.arange(n, total)
    (r_a, _), (r_b, _) = (coordinates.correlations(side) for side in sides)
    random, most = np.random.default_rng([seed, n, 5]), max(_MOST_ROWS, _MOST_VALUES // len(coordinates.places))
    some = [random.permutation(side)[:most] for side in sides]
    tested, count = coordinates.of(np.concatenate(some)), len(some[0])
    z = _changes(tested, np.arange(sum(map(len, some))), count)
    largest = _largest_by_chance(tested, count, random, observed=z[coordinates.different].max())
    pairs = []
    for i, j in sorted({(i, j) for i in coordinates.owners for j in coordinates.owners if i < j}):
        block = np.where((coordinates.owners[:, None] == i) & (coordinates.owners == j), z, -1.0)
        at = np.unravel_index(block.argmax(), block.shape)
        pair = PairDrift(
            columns=(columns[i].name, columns[j].name),
            levels=(coordinates.levels[at[0]], coordinates.levels[at[1]]),
            reference=float(r_a[at]),
            current=float(r_b[at]),
            adjusted=sequential_p_value(largest >= z[at] * _AS_LARGE),
        )
        pairs.append((-z[at], pair))
    return tuple(pair for _, pair in sorted(pairs, key=lambda each: each[0]))


def _changes(coordinates: _Coordinates, rows: np.ndarray, count: int) -> np.ndarray:
    """|z| of each pair of coordinates between the first ``count`` rows and the others, shape (k, k); 0 if undefined."""
    (r_a, variance_a), (r_b, variance_b) = (coordinates.correlations(side) for side in (rows[:count], rows[count:]))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(r_a - r_b) / np.sqrt(variance_a + variance_b)
    return np.where(np.isfinite(z), z, 0.0)


def _largest_by_chance(coordinates: _Coordinates, count: int, random: np.random.Generator, *, observed: float) -> np.ndarray:
    """The largest |z| of all pairs in each of some random divisions of the rows, until enough are as large as ``observed``."""
    largest: list[float] = []
    while len(largest) < _DIVISIONS and sum(each >= observed * _AS_LARGE for each in largest) < ENOUGH:
        divided = random.permutation(coordinates.places.shape[1])
        largest.append(_changes(coordinates, divided, count)[coordinates.different].max())
    return np.array(largest)


def _coordinates(columns: Sequence[ColumnSamples]) -> _Coordinates:
    """A coordinate for each column of numbers and each level that is not rare."""
    owners: list[int] = []
    levels: list[str | None] = []
    places: list[np.ndarray] = []
    for i, column in enumerate(columns):
        values = np.concatenate([column.reference, column.current])
        if column.levels is None:
            owners, levels = [*owners, i], [*levels, None]
            places.append(np.unique(values, return_inverse=True)[1])
            continue
        counts = [np.bincount(side, minlength=len(column.levels)) for side in (column.reference, column.current)]
        kept = np.flatnonzero(np.minimum(*counts) >= _FEWEST)
        kept = kept[1:] if len(column.levels) == 2 else kept  # the second indicator would be redundant
        owners += [i] * len(kept)
        levels += [column.levels[level] for level in kept]
        places += [(values == level).astype(np.int64) for level in kept]
    stacked = np.stack(places) if places else np.empty((0, 0), dtype=np.int64)
    return _Coordinates(owners=np.array(owners, dtype=int), levels=tuple(levels), places=stacked)


def _midranks(places: np.ndarray) -> np.ndarray:
    """Ranks of values given by their positions among distinct ones; equal values share the mean of theirs."""
    counts = np.bincount(places)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
