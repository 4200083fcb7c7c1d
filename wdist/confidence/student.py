"""Student's t for one mean: asymptotic."""

import math

import numpy as np

from wdist.confidence.units import power_of_two


def student_upper(values: np.ndarray, alpha: float) -> float:
    r"""An upper confidence bound for the mean that all values share.

    .. math:: \bar z + t_{1 - \alpha, n - 1}\, s / \sqrt n

    Assumed: independent values, as many or as nearly normal as it takes for their mean to be about normal.

    Arguments:
        values: shape (n,), at least two.
        alpha: probability that the bound may be wrong.

    References:
        Student (1908), The probable error of a mean.
    """
    from scipy.special import stdtrit  # here, because it takes a quarter of a second: training begins without it

    unit = power_of_two(values)
    z = values / unit
    return (float(z.mean()) + float(stdtrit(len(z) - 1, 1 - alpha)) * float(z.std(ddof=1)) / math.sqrt(len(z))) * unit
