"""Activations: their stated properties, and their modules in training and in a frozen critic."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF


class ActivationModule(nn.Module, ABC):
    """An activation behind one layer of a critic in training."""

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Outputs, shape (n, units / divisor), for pre-activations, shape (n, units)."""

    @abstractmethod
    def freeze(self) -> FrozenLayer:
        """The same activation as plain float64 numbers."""


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A function of a whole layer with a known Lipschitz constant."""

    name: str
    """Name with parameter, for example ``group-sort:16``; it suffices to build the activation again."""
    train: Callable[[Tensor], Tensor]
    evaluate: Callable[[Tensor], Tensor]
    """For training, differentiable and fast, and for evaluation, exact within ``ulps`` in floating point."""
    l2: float
    linf: float
    """Lipschitz bounds in the Euclidean and in the maximum norm."""
    reason: str
    """The proof of the bounds in a word."""
    divisor: int = 1
    """Inputs for one output."""
    group: int = 1
    """Must divide the units of the layer before."""
    ulps: float = 0.0
    """Largest error of an output in units of its last place; 0 if evaluation only compares and moves."""
    at_zero: float = 0.0
    """Magnitude of an output where all inputs are 0."""
    trained: "Callable[[int], ActivationModule] | None" = None
    """Makes the module for a number of units if the activation has parameters of its own."""

    def module(self, units: int) -> ActivationModule:
        """The activation behind a layer of ``units`` outputs."""
        return self.trained(units) if self.trained is not None else Stateless(self)

    def outputs(self, units: int) -> int:
        """The number of outputs for ``units`` inputs."""
        return units // self.divisor


class Stateless(ActivationModule):
    """An activation without parameters of its own."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, z: Tensor) -> Tensor:
        return self.activation.train(z)

    def freeze(self) -> FrozenLayer:
        return Activated(activation=self.activation)


@dataclass(frozen=True, kw_only=True)
class Activated(FrozenLayer):
    """An activation in a frozen critic."""

    activation: Activation

    @property
    def kind(self) -> str:
        return self.activation.name

    def __call__(self, h: Tensor) -> Tensor:
        return self.activation.evaluate(h)

    def lipschitz(self) -> LayerBound:
        return LayerBound(layer=self.kind, bound=self.activation.l2, method=self.activation.reason)

    def maximum(self, p: float) -> LayerBound:
        # No p-norm is smaller than the maximum norm.
        return LayerBound(layer=self.kind, bound=self.activation.linf, method=self.activation.reason)

    def rounding(self, norm: float, units: int) -> float:
        """0 for sorting, maxima and signs; otherwise the last places of the outputs: ||phi(h)|| <= ||phi(0)|| + L ||h||."""
        if self.activation.ulps == 0:
            return 0.0
        largest = self.activation.at_zero * math.sqrt(units) + max(self.activation.l2, 1.0) * norm
        return self.activation.ulps * 2 * UNIT_ROUNDOFF * largest * (1 + 1e-9)

    def check(self, units: int) -> int:
        if units % self.activation.group:
            raise ValueError(f"{self.kind} acts on groups of {self.activation.group}, which do not divide {units} units")
        return self.activation.outputs(units)
