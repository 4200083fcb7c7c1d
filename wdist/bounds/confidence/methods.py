r"""Lower confidence bounds for a difference of two means, by name.

All are one-sided: with a_1..a_n and b_1..b_m independent, the bound exceeds E a - E b with probability at most alpha.
"""

import numpy as np

from wdist.bounds.confidence.asymptotic import welch
from wdist.bounds.confidence.betting import betting
from wdist.bounds.confidence.bounded import empirical_bernstein
from wdist.errors import UsageError

Ranges = tuple[float | None, float | None]
"""Length of an interval that holds all values of each side; None where nothing is known."""

AUTO = "auto"
METHODS = {
    "welch": "Welch's t, asymptotic: as good as the normal approximation of the two means",
    "empirical-bernstein": "empirical Bernstein, valid at every sample size; needs a bounded support",
    "betting": "betting, valid at every sample size and sharper than empirical Bernstein; needs a bounded support",
}


def lower_confidence_bound(
    a: np.ndarray, b: np.ndarray, *, alpha: float, method: str, ranges: Ranges, apart: float | None = None
) -> float:
    """A lower confidence bound for E a - E b by the method of that name.

    Arguments:
        a, b: values of each side, shapes (n,) and (m,), at least two each, in an order that does not depend on them.
        alpha: probability that the bound may be wrong.
        method: a name of :data:`METHODS`, or ``auto``.
        ranges: what is known of the values of each side, their rounding included.
        apart: no value of one side is further from one of the other than this, where that is known; betting profits from it.

    Raises:
        UsageError: the method is unknown, or needs a range that is not known.
    """
    method = resolve(method, ranges)
    if ranges[0] is None or ranges[1] is None or method == "welch":
        return welch(a, b, alpha)
    known = (ranges[0], ranges[1])
    return betting(a, b, alpha, known, apart) if method == "betting" else empirical_bernstein(a, b, alpha, known)


def resolve(method: str, ranges: Ranges) -> str:
    """The name of the method that ``method`` stands for: ``auto`` is betting where both ranges are known, else Welch's t.

    Raises:
        UsageError: the method is unknown, or needs a range that is not known.
    """
    check_method(method, ranges)
    if method == AUTO:
        return "welch" if None in ranges else "betting"
    return method


def check_method(method: str, ranges: Ranges) -> None:
    """Refuses a method before anything is trained for it.

    Raises:
        UsageError: the method is unknown, or needs a range that is not known.
    """
    if method not in METHODS and method != AUTO:
        raise UsageError(f"--ci {method!r} is unknown; choose one of {AUTO}, {', '.join(METHODS)}")
    if method in ("empirical-bernstein", "betting") and None in ranges:
        raise UsageError(
            f"--ci {method} needs values that are bounded by their type, such as uint8 images; use --ci welch, "
            "or state the range of stored values in the address"
        )
