"""What training asks of a critic, whatever its construction."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation


class Critic(nn.Module, ABC):
    """A function from standardised samples to potentials, nearly 1-Lipschitz in training and provably so when frozen."""

    constrain_every: int = 1
    """Steps between two calls of :meth:`constrain_`, at first."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Potentials, shape (n,), of standardised samples, shape (n, dim)."""

    @abstractmethod
    def constrain_(self, *, tightly: bool = False) -> Tensor | None:
        """Brings the weights back to their constraint, after a step or, tightly, before an evaluation.

        Returns:
            How far from it the worst layer was, a scalar on the device of the weights; None where that says nothing of how often
            to come back.
        """

    @abstractmethod
    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        """Plain weights in float64 with the constraint met to the last digits.

        Arguments:
            standardisation: what the critic was trained behind.
            lipschitz: K of the frozen function.
        """
