"""What every kind of linear layer owes: to train under its constraint, and to freeze to a plain float64 matrix."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial


@dataclass(frozen=True, kw_only=True)
class ConstraintOptions:
    """What the constraints may be told; each takes what concerns it."""

    order: int = 1
    """Of Björck iterations, 1 to 4."""
    iterations: int | None = None
    """Björck iterations in each forward pass (unrolled) or retractions at a time; None for as many as the constraint prefers."""
    beta: float | None = None
    """Weight of the correction in equation 8 of the paper; None for what the constraint prefers, 1/2 for Björck."""
    scaling: str = "spectral"
    """What the unrolled iterations divide by first: ``norms`` (equations 9-11 of the paper) or ``spectral``, which is faster."""
    first: bool = False
    """The layer takes the samples themselves, and so their metric."""
    p: float = 2.0
    """Of that metric: 1, 2 or infinity."""
    clip: float = 0.01
    """Largest magnitude of a weight of a layer of 512 inputs; others in inverse proportion to their inputs."""


class LipschitzLinear(nn.Module, ABC):
    """h -> W h + b with a constraint on W.

    Arguments:
        inputs, outputs: sizes.
        generator: of the initial weight, on the CPU.
        options: of the constraint.
    """

    constraint: ClassVar[str]
    """Its name."""
    title: ClassVar[str]
    """In a few words, for tables."""
    takes: ClassVar[frozenset[str]] = frozenset()
    """Which of the settings ``bjorck_order``, ``bjorck_iterations`` and ``beta`` make a difference."""
    bounded: ClassVar[bool] = True
    """The frozen weight has norm 1, in the norms that the constraint is about."""
    optimizer: ClassVar[str] = "adam"
    learning_rate: ClassVar[float] = 0.003
    """What suits the constraint where the user names nothing."""
    iterations: ClassVar[int] = 1
    beta: ClassVar[float] = 0.5
    """Of its Björck steps, where the options say nothing."""
    constrain_every: ClassVar[int] = 1
    """Steps between two calls of :meth:`constrain_`."""
    side_by_side: ClassVar[bool] = False
    """It computes as well with the weights and biases of several layers along a leading axis, each with samples of its own."""

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.options = options or ConstraintOptions()
        self.weight = nn.Parameter(self._initial(generator))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def _initial(self, generator: torch.Generator) -> Tensor:
        return orthonormal_initial(self.outputs, self.inputs, generator)

    @abstractmethod
    def training_weight(self) -> Tensor:
        """W as the forward pass uses it, shape (outputs, inputs), differentiable in the parameters."""

    def forward(self, h: Tensor) -> Tensor:
        W = self.training_weight()
        if W.ndim == 2:
            return nn.functional.linear(h, W, self.bias)
        return torch.baddbmm(self.bias.unsqueeze(-2), h, W.mT)

    def constrain_(self, *, tightly: bool = False) -> Tensor | None:
        """Brings the parameters back to their constraint, after a step or, tightly, before an evaluation.

        Returns:
            How far from it they were, a scalar on their device, where the constraint may be met less often as that is small.
        """
        del tightly
        return None

    @abstractmethod
    def plain_weight(self) -> Tensor:
        """W in float64 on the CPU with the constraint met to the last digits."""
