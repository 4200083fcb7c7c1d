"""How many wrong bounds are no accident."""

from scipy import stats

_NOISE = 0.999
"""How sure a count has to be that it is no accident."""


def most_by_chance(runs: int, error: float) -> int:
    """How many of so many runs may be wrong, but for one time in a thousand, if each is with probability ``error``."""
    return int(stats.binom.ppf(_NOISE, runs, error))
