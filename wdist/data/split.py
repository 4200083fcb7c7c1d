"""Which samples train, which choose, and which judge: decided before anything is fitted."""

from dataclasses import dataclass

import numpy as np

VALIDATION_SHARE = 1 / 6
HELD_OUT_SHARE = 1 / 6
ENOUGH_HELD_OUT = 30
"""Samples of a side below which the normal approximation of its mean is not to be trusted; up to a third of few samples judge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Three disjoint sets of row numbers that together are all; each is sorted."""

    train: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


def split(count: int, *, seed: int, most_held: int | None = None) -> Split:
    """A random split, a function of the count and the seed alone, so that two identical sets are split alike.

    Arguments:
        count: number of rows.
        seed: of the permutation.
        most_held: at most so many rows each for validation and held-out (a stream keeps them in memory); the rest trains.
    """
    order = np.random.default_rng([seed, count]).permutation(count)
    limit = count if most_held is None else most_held
    validation = min(max(1, round(count * VALIDATION_SHARE)), limit)
    held_out = min(max(round(count * HELD_OUT_SHARE), min(ENOUGH_HELD_OUT, count // 3), 1), limit)
    cuts = (held_out, held_out + validation)
    held, chosen, rest = (np.sort(part) for part in np.split(order, cuts))
    return Split(train=rest, validation=chosen, held_out=held)
