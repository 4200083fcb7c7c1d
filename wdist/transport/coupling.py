"""A coupling between two sample sets, and what finding one may take."""

from dataclasses import dataclass

from torch import Tensor

BYTES_PER_PAIR = 64
"""Peak memory of POT's dense solver for one pair of samples: cost, plan and its arcs (measured: 57 at 3000 x 3000)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Coupling:
    """A plan's cost: W1 of the two sample sets is certainly not above it."""

    cost: float
    exact: bool
    """The plan is optimal, so the cost is W1 up to rounding."""
    method: str
    potentials: tuple[Tensor, Tensor] | None = None
    """Dual variables u, shape (n,), and v, shape (m,), of an optimal plan, float64, as the solver had them (in standardised units):
    u_i + v_j <= d(x_i, y_j), and their means add up to W1, up to rounding. None where it was not solved as a whole."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What an upper bound may take."""

    seconds: float = 30.0
    nbytes: int = 2 << 30
    blocks_nbytes: int | None = None
    """What a coupling made of blocks may hold, which loses little by being made of more parts; None for ``nbytes``."""

    @property
    def of_blocks(self) -> int:
        """Bytes that a coupling made of blocks may hold."""
        return self.nbytes if self.blocks_nbytes is None else min(self.nbytes, self.blocks_nbytes)


def predicted_seconds(n: int, m: int) -> float:
    """Of exact transport between n and m samples by POT's network simplex on one core (fitted: 500..5000 in 2..784 dimensions)."""
    return 0.8 * (n * m / 4e6) ** 1.25
