"""Layers of a frozen critic: plain numbers that can be evaluated in float64, bounded in two norms and stored."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LayerBound:
    """One factor of a certificate."""

    layer: str
    """For example ``affine 256x784`` or ``group-sort 16``."""
    bound: float
    method: str
    """The proof of the bound, for example ``gram`` or ``permutation``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenLayer(ABC):
    """One layer of a frozen critic."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name under which it is stored: ``affine``, or an activation with its parameter."""

    @abstractmethod
    def __call__(self, h: Tensor) -> Tensor:
        """Outputs, shape (n, outputs), for h, float64, shape (n, inputs)."""

    @abstractmethod
    def lipschitz(self) -> LayerBound:
        """A proved bound from the Euclidean norm to the Euclidean norm."""

    @abstractmethod
    def maximum(self, p: float) -> LayerBound:
        """A proved bound from the p-norm, 1, 2 or infinity, to the maximum norm."""

    @abstractmethod
    def rounding(self, norm: float, units: int) -> float:
        """A bound for the Euclidean distance of computed and exact outputs, for rows of ``units`` entries and at most this norm."""

    @abstractmethod
    def check(self, units: int) -> int:
        """The number of outputs for ``units`` inputs.

        Raises:
            ValueError: the layer does not fit that many inputs, or its numbers are invalid.
        """

    def tensors(self) -> dict[str, Tensor]:
        """Its numbers by name."""
        return {field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)}
