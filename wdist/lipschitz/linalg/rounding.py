"""Rounding: bounds for float64 sums and products, choices that do not depend on rounding, and the precision of fast products."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
UNIT_ROUNDOFF = torch.finfo(torch.float64).eps / 2
"""u of IEEE float64, round to nearest."""
UNDERFLOW = 2.0**-1022
"""Largest error of a product or quotient that underflows, even where subnormal results are flushed to zero."""
LARGEST_SQUARED = 1e150
"""Norm below which no square overflows."""
_VANISHED = 1e-138  # a norm whose squares all underflow is smaller than this, and even than the rounding of a norm of this size
_TIE = 1e-9  # relative difference at which values count as equal, above that due to rounding and the slack of a certificate


def gamma(k: int) -> float:
    r""":math:`\gamma_k = k u / (1 - k u)`: the relative error of a sum of k products, in any order of summation.

    References:
        Higham (2002), Accuracy and stability of numerical algorithms, section 3.1.
    """
    return k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF)


def sum_above(*terms: float) -> float:
    """An upper bound for the sum of non-negative numbers; infinity if one of them is nan."""
    total = 0.0
    for term in terms:
        total = _above(total + term) if total and term else total + term
    return math.inf if math.isnan(total) else total


def product_above(*factors: float) -> float:
    """An upper bound for the product of non-negative numbers, however small the intermediate products.

    0 if a factor is 0 and all are finite; infinity if one of them is nan.
    """
    if not all(map(math.isfinite, factors)):
        return math.inf
    product = factors[0]
    for factor in factors[1:]:
        product = _above(product * factor) if product and factor else 0.0
    return product


def _above(value: float) -> float:
    return math.nextafter(value, math.inf)


def norm_above(x: Tensor) -> float:
    """An upper bound for the Euclidean norms of the rows of x, or of x itself if it is a vector; infinity if one is nan."""
    largest = float(torch.linalg.vector_norm(x, dim=-1).max()) * (1 + _TIE + gamma(x.shape[-1])) + _VANISHED
    return largest if math.isfinite(largest) else math.inf


def best_up_to_rounding(candidates: Sequence[T], value: Callable[[T], float]) -> T:
    """The candidate with the largest value, or the first of several whose values differ by no more than rounding.

    Candidates are often equal in exact arithmetic. Rounding depends on the processor, but the choice must not.
    """
    best = candidates[0]
    for each in candidates[1:]:
        if value(each) > value(best) + _TIE * abs(value(best)):
            best = each
    return best


def tf32_products() -> AbstractContextManager[None]:
    """Multiplies in TF32, with ten bits of mantissa, if the GPU supports it; for results that a later step corrects."""
    return _products("tf32")


def float32_products() -> AbstractContextManager[None]:
    """Multiplies in full float32."""
    return _products("ieee")


def products_on(device: torch.device) -> AbstractContextManager[None]:
    """The products of training: TF32 on a GPU, unchanged elsewhere."""
    return tf32_products() if device.type == "cuda" else nullcontext()


@contextmanager
def _products(precision: str) -> Iterator[None]:
    # One backend at a time: torch refuses to report the precision of all backends once a caller has set that of one.
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = precision
    try:
        yield
    finally:
        for backend, own in zip(backends, before, strict=True):
            backend.fp32_precision = own


@cache
def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 and accumulates in float32: it claims to, and sums with cancellation confirm it."""
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if not (known.get("avx512_bf16") or known.get("amx_bf16")) or not torch.backends.mkldnn.is_available():
        return False
    random = torch.Generator().manual_seed(0)
    p, q, small = (torch.randn(256, 512, generator=random).bfloat16() for _ in range(3))
    left, right = torch.cat([p, small, p], 1), torch.cat([q, q / 256, -q], 1)
    exact, terms = left.double() @ right.double().mT, left.double().abs() @ right.double().abs().mT
    error = ((left @ right.mT).double() - exact).abs() - exact.abs() * 2.0**-8
    return bool((error <= 2 * left.shape[1] * 2.0**-24 * terms).all())
