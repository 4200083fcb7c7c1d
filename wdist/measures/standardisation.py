"""One shift and one positive spread for both sides: what conditions the training, and is undone exactly in every bound."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Standardisation:
    r"""x -> (x - shift) / spread, with W1(X, Y) = spread * W1 of the standardised sets.

    A scale for each feature would change the ground metric and is not offered.
    """

    shift: Tensor
    """float64, shape (dim,), in the units of the data."""
    spread: float
    """Root mean square distance from the shift, in the units of the data; positive."""

    @classmethod
    def fit(cls, a: Tensor, b: Tensor) -> Self:
        """From training samples alone, shapes (n, dim) and (m, dim); both sides weigh the same.

        A spread of zero (all samples in one point) becomes 1.
        """
        a, b = a.double(), b.double()
        # Halved before they are added, and divided by the largest deviation before they are squared: 1e300 must not overflow.
        shift = a.mean(0) / 2 + b.mean(0) / 2
        largest = max(float(_of_rows(side, lambda x: (x - shift).abs().amax(1)).max()) for side in (a, b))
        if largest == 0:
            return cls(shift=shift, spread=1.0)
        square = sum(float(_of_rows(side, lambda x: ((x - shift) / largest).square().sum(1)).mean()) for side in (a, b)) / 2
        return cls(shift=shift, spread=largest * square**0.5)

    def apply(self, x: Tensor) -> Tensor:
        """Standardises x, shape (n, dim), in its own precision."""
        return (x - self.shift.to(x)) / self.spread

    def to(self, device: torch.device) -> Self:
        """The same, with the shift on another device."""
        return type(self)(shift=self.shift.to(device), spread=self.spread)


def _of_rows(x: Tensor, number: Callable[[Tensor], Tensor]) -> Tensor:
    """One number of each row, some rows at a time: x may be large, and what the number comes from as large again."""
    return torch.cat([number(rows) for rows in x.split(_ROWS_AT_ONCE)])
