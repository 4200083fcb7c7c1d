"""Split of the samples into training, validation and held-out parts, decided before anything is fitted."""

from dataclasses import dataclass

import numpy as np

VALIDATION_SHARE = 1 / 6
HELD_OUT_SHARE = 1 / 6
ENOUGH_HELD_OUT = 30
"""Fewest held-out samples of a side for a reliable normal approximation of their mean; they are at most a third of all samples."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Three disjoint sorted sets of row numbers that cover all rows."""

    train: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


def split(count: int, *, seed: int, most_held: int | None = None) -> Split:
    """Draws a random split of ``count`` rows, which depends only on count and seed, so that identical sets are split alike.

    Validation and held-out parts have at most ``most_held`` rows each, because a stream keeps them in memory.
    """
    order = np.random.default_rng([seed, count]).permutation(count)
    limit = count if most_held is None else most_held
    validation = min(max(1, round(count * VALIDATION_SHARE)), limit)
    held_out = min(max(round(count * HELD_OUT_SHARE), min(ENOUGH_HELD_OUT, count // 3), 1), limit)
    cuts = (held_out, held_out + validation)
    held, chosen, rest = (np.sort(part) for part in np.split(order, cuts))
    return Split(train=rest, validation=chosen, held_out=held)
