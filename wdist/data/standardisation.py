"""Standardisation by one shift and one positive spread for both sides, which every bound undoes exactly."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Self

import torch
from torch import Tensor

from wdist.data.rows import Rows

_NUMBERS_AT_ONCE = 1 << 19
"""Coordinates per piece of a large set, 4 MB in float64; the allocator would never return some larger pieces."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Standardisation:
    r"""x -> (x - shift) / spread, with W1(X, Y) = spread * W1 of the standardised sets.

    A separate scale for each feature would change the ground metric.
    """

    shift: Tensor
    """float64, shape (dim,), in the units of the data."""
    spread: float
    """Root mean square distance from the shift, in the units of the data; positive."""

    @classmethod
    def fit(cls, a: Tensor | Rows, b: Tensor | Rows) -> Self:
        """Fits training samples of shapes (n, dim) and (m, dim) with equal weight for both sides; a spread of zero becomes 1."""
        # Values up to 1e300 must not overflow: halve before adding, and divide by the largest deviation before squaring.
        shift = _mean(a) / 2 + _mean(b) / 2
        largest = max(float(_of_rows(side, lambda x: (x - shift).abs_().amax(1)).max()) for side in (a, b))
        if largest == 0:
            return cls(shift=shift, spread=1.0)
        square = sum(float(_of_rows(side, lambda x: (x - shift).div_(largest).square_().sum(1)).mean()) for side in (a, b)) / 2
        return cls(shift=shift, spread=largest * square**0.5)

    def apply(self, x: Tensor) -> Tensor:
        """Standardises x, shape (n, dim), in its own precision."""
        return (x - self.shift.to(x)).div_(self.spread)

    def on_cpu(self, x: Tensor) -> Tensor:
        """Standardises x, shape (n, dim), on the CPU."""
        return self.apply(x.cpu())

    def of(self, rows: Tensor | Rows, dtype: torch.dtype = torch.float64) -> Tensor:
        """Standardises all rows piece by piece, without a second copy; shape (n, dim), on the device of the shift."""
        standardised = self.shift.new_empty((_count(rows), len(self.shift)), dtype=dtype)
        start = 0
        for part in _parts(rows):
            standardised[start : start + len(part)] = self.apply(part.to(self.shift.device))
            start += len(part)
        return standardised

    def to(self, device: torch.device) -> Self:
        return type(self)(shift=self.shift.to(device), spread=self.spread)


def _count(x: Tensor | Rows) -> int:
    return len(x) if isinstance(x, Tensor) else x.count


def _parts(x: Tensor | Rows) -> Iterator[Tensor]:
    """All rows in order, float64, a few at a time: x may be large, and results computed from it equally large."""
    dim = x.shape[1] if isinstance(x, Tensor) else x.span(0, 1, None).shape[1]
    size = max(1, _NUMBERS_AT_ONCE // dim)
    if isinstance(x, Tensor):
        yield from (part.double() for part in x.split(size))
    else:
        yield from x.batches(size)


def _mean(x: Tensor | Rows) -> Tensor:
    return reduce(torch.add, (part.sum(0).cpu() for part in _parts(x))) / _count(x)


def _of_rows(x: Tensor | Rows, number: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat([number(part.cpu()) for part in _parts(x)])
