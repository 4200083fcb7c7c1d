"""McDiarmid's inequality for W1 between two empirical measures: valid at every sample size, for a bounded support."""

import math


def bounded_differences(n: int, m: int, diameter: float, alpha: float) -> float:
    r"""By how much W1 between two empirical measures falls below its expectation with probability at most alpha.

    .. math:: D \sqrt{\tfrac12 \log(1 / \alpha)\, (1 / n + 1 / m)}

    Assumed: n and m independent samples within a distance D of each other, whatever side they are of. Replacing one sample of A
    changes W1 by at most D / n, one of B by at most D / m. The same holds for the mean of W1 over disjoint blocks of equal counts,
    n and m in all.

    Arguments:
        n, m: samples of each side.
        diameter: D, the largest distance between any two samples of one side.
        alpha: probability that it may fall by more.

    References:
        McDiarmid (1989), On the method of bounded differences, lemma 1.2.
    """
    return diameter * math.sqrt(math.log(1 / alpha) * (1 / n + 1 / m) / 2)
