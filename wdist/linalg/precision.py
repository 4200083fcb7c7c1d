"""How precisely a GPU multiplies float32 matrices: by TF32, with ten bits of mantissa, or by float32 itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tf32_products() -> Iterator[None]:
    """Many times as fast where a GPU has TF32; for what a later step corrects: gradients, updates, the way back to a constraint."""
    with _products("high"):
        yield


@contextmanager
def float32_products() -> Iterator[None]:
    """In full, whatever is set around."""
    with _products("highest"):
        yield


@contextmanager
def _products(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
