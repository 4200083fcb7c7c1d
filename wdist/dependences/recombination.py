r"""Samples of a joint distribution and of the product of its marginals, from the rows of one table.

Independent rows (x_i, y_i) are divided among disjoint groups, so that no row contributes to two of them:

- **training** and **validation** rows stand unchanged on side A, and with the y of another row of their group on side B. The pairs
  (x_i, y_j) have the distribution of the product, but depend on each other and on side A through the rows they share. This does no
  harm, because critics are only fitted or chosen on them.
- **held-out** rows form three equal parts: those of the first stand unchanged on side A; for side B, each row of the second gives x
  and one of the third gives y. Each row is used once, so all samples of both sides are independent, as bounds for populations
  require.

:func:`wdist.data.measure.split` depends only on the count and the seed, so both sides are laid out for the split that an estimate
will make: it holds out these samples, on which no choice depends.

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
    """Rows that give y to them, in each sample another row than x."""
    held_out: np.ndarray
    """Rows used in neither training nor validation, in random order; the estimate holds out samples made of these."""


def recombination(count: int, *, seed: int) -> Recombination:
    """Lays out both sides for an estimate with the same seed.

    The held-out rows lie outside the training split of the whole table, so units of length fitted to that do not depend on them.

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
    """Rows in three equal parts, so that all samples are independent: rows for the joint distribution, and rows that give x and y
    for the product of its marginals."""
    third = len(rows) // 3
    joint, x, y = rows[: 3 * third].reshape(3, third)
    return joint, x, y
