"""Error rates: how often runs are wrong, against the probability that they state."""

from scipy import stats


class CountsErrors:
    """A row that counts runs and the wrong ones among them."""

    runs: int
    wrong: int
    stated: float
    """Probability with which a run may be wrong."""

    @property
    def share_wrong(self) -> float:
        return self.wrong / self.runs

    @property
    def holds(self) -> bool:
        """Whether chance explains the wrong runs, at 1 in 1,000, if each run is wrong as often as stated."""
        return self.wrong <= most_by_chance(self.runs, self.stated)


def most_by_chance(runs: int, error: float) -> int:
    """Number of wrong runs that is exceeded in one of 1,000 studies by chance, if each run is wrong with probability ``error``."""
    return int(stats.binom.ppf(0.999, runs, error))
