"""The interface of a critic in training."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation


class Critic(nn.Module, ABC):
    """A function from standardised samples to potentials, nearly 1-Lipschitz in training and provably bounded once frozen."""

    constrain_every: int = 1
    """Initial number of steps between two calls of :meth:`constrain_`."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Potentials, shape (n,), of standardised samples, shape (n, dim)."""

    @abstractmethod
    def constrain_(self, *, tightly: bool = False) -> Tensor | None:
        """Returns the weights to their constraint, after a step or, tightly, before an evaluation.

        Returns:
            The defect of the worst layer, a scalar on the device of the weights; None if it does not determine how often to return.
        """

    @abstractmethod
    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        """Returns a frozen critic with plain float64 weights that meet the constraint to the last digits.

        Arguments:
            standardisation: of the samples in training; becomes part of the critic.
            lipschitz: K, the Lipschitz constant of the frozen function.
        """
