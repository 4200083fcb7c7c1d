"""How precisely a GPU multiplies float32 matrices: by TF32, with ten bits of mantissa, or by float32 itself."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def tf32_products() -> Iterator[None]:
    """Many times as fast where a GPU has TF32; for what a later step corrects: gradients, updates, the way back to a constraint."""
    with _products("high"):
        yield


def products_on(device: torch.device) -> AbstractContextManager[None]:
    """Those that training has on a device: by TF32 on a GPU, as they are elsewhere."""
    return tf32_products() if device.type == "cuda" else nullcontext()


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
