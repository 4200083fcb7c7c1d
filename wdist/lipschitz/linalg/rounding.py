"""Rounding: bounds for float64 sums and products, choices that it must not decide, and the precision of float32 products."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch

T = TypeVar("T")
UNIT_ROUNDOFF = torch.finfo(torch.float64).eps / 2
"""u of IEEE float64, round to nearest."""
_TIE = 1e-9  # relative difference of equal values, above that due to rounding and the slack of a certificate


def gamma(k: int) -> float:
    r""":math:`\gamma_k = k u / (1 - k u)`: the relative error of a sum of k products, in any order of summation.

    References:
        Higham (2002), Accuracy and stability of numerical algorithms, section 3.1.
    """
    return k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF)


def best_up_to_rounding(candidates: Sequence[T], value: Callable[[T], float]) -> T:
    """The candidate with the largest value, or the first of several whose values differ by no more than rounding.

    Candidates are often equal in exact arithmetic; rounding depends on the processor, but the choice must not.
    """
    best = candidates[0]
    for each in candidates[1:]:
        if value(each) > value(best) + _TIE * abs(value(best)):
            best = each
    return best


def tf32_products() -> AbstractContextManager[None]:
    """Multiplies by TF32, with ten bits of mantissa, where a GPU has it: for results that a later step corrects."""
    return _products("high")


def float32_products() -> AbstractContextManager[None]:
    """Multiplies in full float32."""
    return _products("highest")


def products_on(device: torch.device) -> AbstractContextManager[None]:
    """The products of training: TF32 on a GPU, unchanged elsewhere."""
    return tf32_products() if device.type == "cuda" else nullcontext()


@contextmanager
def _products(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
