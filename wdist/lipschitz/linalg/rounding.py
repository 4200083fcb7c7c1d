"""How far floating-point sums and products can be from the exact ones."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")
UNIT_ROUNDOFF = torch.finfo(torch.float64).eps / 2
"""u of IEEE float64, round to nearest."""
_TIE = 1e-9
"""Relative difference that counts as none: above what rounding, and the slack of a certificate, makes of equal values."""


def gamma(k: int) -> float:
    r""":math:`\gamma_k = k u / (1 - k u)`: the relative error of a sum of k products, in any order of summation.

    References:
        Higham (2002), Accuracy and stability of numerical algorithms, section 3.1.
    """
    return k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF)


def best_up_to_rounding(candidates: Sequence[T], value: Callable[[T], float]) -> T:
    """The candidate of the largest value; of those that differ by no more than rounding, the first.

    Values that are equal in exact arithmetic are common: on a shift in many dimensions the best projection is the difference of the
    means. Which of them rounds up depends on the processor, and the choice must not.
    """
    best = candidates[0]
    for each in candidates[1:]:
        if value(each) > value(best) + _TIE * abs(value(best)):
            best = each
    return best
