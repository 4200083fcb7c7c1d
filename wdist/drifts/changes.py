"""Changes of a column in values that a reader knows: its mean and a quantile, or the shares of its levels.

W1 says how far a column moved; these say where to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_QUANTILES = {"5 % quantile": 0.05, "25 % quantile": 0.25, "median": 0.5, "75 % quantile": 0.75, "95 % quantile": 0.95}
_MOST_LEVELS = 3
SHARE = "share of "
"""Begins the name of a share."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One value of a column in both tables."""

    what: str
    """``mean``, ``median``, another quantile such as ``95 % quantile``, or ``share of LEVEL``."""
    reference: float
    """Its value in the reference: in the units of the column, for a date in days since 1970, for a share as a fraction."""
    current: float
    """Its value in the current table."""


def changes_of_numbers(reference: np.ndarray, current: np.ndarray) -> tuple[Change, ...]:
    """The means, and the quantile that moved most, if any did."""
    mean = Change(what="mean", reference=float(reference.mean()), current=float(current.mean()))
    quantiles = (
        Change(
            what=name,
            reference=float(np.quantile(reference, level, method="inverted_cdf")),
            current=float(np.quantile(current, level, method="inverted_cdf")),
        )
        for name, level in _QUANTILES.items()
    )
    moved = max(quantiles, key=_size)
    return (mean, moved) if _size(moved) else (mean,)


def changes_of_shares(reference: np.ndarray, current: np.ndarray, levels: Sequence[str]) -> tuple[Change, ...]:
    """The levels whose shares changed most, at most three, the largest change first.

    Arguments:
        reference: shares of the levels, shape (k,).
        current: the same in the current table.
        levels: k names.
    """
    changes = (
        Change(what=f"{SHARE}{level}", reference=float(before), current=float(after))
        for level, before, after in zip(levels, reference, current, strict=True)
    )
    return tuple(sorted((each for each in changes if _size(each)), key=_size, reverse=True)[:_MOST_LEVELS])


def _size(change: Change) -> float:
    return abs(change.current - change.reference)
