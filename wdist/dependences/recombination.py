r"""Samples of a joint distribution and of the product of its margins, from the rows of one table.

Independent rows (x_i, y_i) are divided among disjoint groups, so that no row has a part in two of them:

- **training** and **validation** rows stand as they are on side A, and with the y of another row of their group on side B. The
  pairs (x_i, y_j) have the distribution of the product, but depend on each other and on side A, through the rows they share. That
  is no harm where a critic is fitted or chosen.
- **held-out** rows come in three equal parts: the first stand as they are on side A; of the others, row by row in pairs, one gives
  x and one gives y to side B. Each row is used once, so all samples of both sides are independent, as bounds for populations
  require.

:func:`wdist.data.measure.split` depends on nothing but the count and the seed, so both sides are laid out for the split that an
estimate will make: its held-out samples are these, and no choice depends on them.

References:
    Ozair et al. (2019), Wasserstein dependency measure for representation learning, arXiv:1903.11780.
"""

from dataclasses import dataclass

import numpy as np

from wdist.data.measure import split
from wdist.data.survey import MINIMUM_ROWS
from wdist.errors import SourceError

FEWEST_ROWS = 3 * MINIMUM_ROWS


@dataclass(frozen=True, kw_only=True, eq=False)
class Recombination:
    """Row numbers of both sides of an estimate, in the order of its samples."""

    joint: np.ndarray
    """Rows of the samples of A, shape (n,)."""
    x: np.ndarray
    """Rows that give x to the samples of B, shape (n,)."""
    y: np.ndarray
    """Rows that give y to them; never the same as for x."""
    held_out: np.ndarray
    """Rows used in neither training nor validation, in random order; the estimate holds out samples made of these."""


def recombination(count: int, *, seed: int) -> Recombination:
    """Lays out both sides for an estimate with the same seed.

    Whatever was fitted to the training rows of the whole table, as units of length are, does not depend on held-out rows.

    Raises:
        SourceError: there are too few rows.
    """
    if count < FEWEST_ROWS:
        raise SourceError(f"the table holds {count} usable rows; give at least {FEWEST_ROWS} for a measure of dependence")
    table, random = split(count, seed=seed), np.random.default_rng([seed, count, 3])
    seen, unseen = random.permutation(table.train), random.permutation(np.concatenate([table.validation, table.held_out]))
    n = next(n for n in range(count, 0, -1) if _fits(n, seed, len(seen), len(unseen)))
    parts = split(n, seed=seed)
    joint, x, y = (np.empty(n, dtype=np.int64) for _ in range(3))
    start = 0
    for part in (parts.train, parts.validation):
        rows = seen[start : start + len(part)]
        joint[part], x[part], y[part] = rows, rows, np.roll(rows, 1)
        start += len(part)
    held = len(parts.held_out)
    joint[parts.held_out], x[parts.held_out], y[parts.held_out] = unseen[: 3 * held].reshape(3, held)
    return Recombination(joint=joint, x=x, y=y, held_out=unseen)


def _fits(n: int, seed: int, seen: int, unseen: int) -> bool:
    held = len(split(n, seed=seed).held_out)
    return n - held <= seen and 3 * held <= unseen


def disjoint_pairs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in three equal parts, of which all samples are independent: those that stand for the joint distribution, and those that
    give x and y to the product of its margins."""
    third = len(rows) // 3
    joint, x, y = rows[: 3 * third].reshape(3, third)
    return joint, x, y
