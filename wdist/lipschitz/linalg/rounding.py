"""Rounding: how far float64 sums and products can be from exact ones, and how precisely a GPU multiplies float32 matrices."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

UNIT_ROUNDOFF = torch.finfo(torch.float64).eps / 2
"""u of IEEE float64, round to nearest."""


def gamma(k: int) -> float:
    r""":math:`\gamma_k = k u / (1 - k u)`: the relative error of a sum of k products, in any order of summation.

    References:
        Higham (2002), Accuracy and stability of numerical algorithms, section 3.1.
    """
    return k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF)


@contextmanager
def tf32_products() -> Iterator[None]:
    """Multiplies by TF32, with ten bits of mantissa, where a GPU has it: for results that a later step corrects."""
    with _products("high"):
        yield


@contextmanager
def float32_products() -> Iterator[None]:
    """Multiplies in full float32."""
    with _products("highest"):
        yield


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
