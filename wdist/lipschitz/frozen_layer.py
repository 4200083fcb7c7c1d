"""Layers of a frozen critic: plain numbers that can be evaluated in float64, bounded in two norms and stored."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from wdist.lipschitz.linalg.norms import spectral_norm_bound, to_maximum_norm_bound
from wdist.lipschitz.linalg.rounding import gamma


@dataclass(frozen=True, kw_only=True)
class LayerBound:
    """One factor of a certificate."""

    layer: str
    """For example ``affine 256x784`` or ``group-sort 16``."""
    bound: float
    method: str
    """The proof of the bound, for example ``gram`` or ``permutation``."""


def owned(tensor: Tensor) -> Tensor:
    """A float64 copy on the CPU, in fresh, aligned memory and row-major order.

    The order in which a matrix product sums depends on strides and on the alignment of memory, so a critic gives the same bits
    before it is saved and after it is loaded only in one layout. The copy also outlives the file or parameter that it comes from.
    """
    return torch.empty(tensor.shape, dtype=torch.float64, device="cpu").copy_(tensor.detach())


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenLayer(ABC):
    """One layer of a frozen critic: a dataclass whose tensors are copied by :func:`owned` when it is made."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                object.__setattr__(self, name, owned(value))  # the dataclasses are frozen

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
        """The number of outputs for ``units`` inputs; ValueError if the layer does not fit them or its numbers are invalid."""

    def tensors(self) -> dict[str, Tensor]:
        """Its numbers by name."""
        return {field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine(FrozenLayer):
    """x -> W x + b."""

    weight: Tensor
    bias: Tensor
    """float64, shapes (outputs, inputs) and (outputs,)."""

    @property
    def kind(self) -> str:
        return "affine"

    def __call__(self, h: Tensor) -> Tensor:
        return torch.addmm(self.bias, h, self.weight.mT)

    def lipschitz(self) -> LayerBound:
        return LayerBound(layer=self._shape, bound=spectral_norm_bound(self.weight), method="gram, float64")

    def maximum(self, p: float) -> LayerBound:
        return LayerBound(layer=self._shape, bound=to_maximum_norm_bound(self.weight, p), method="rows, float64")

    @property
    def _shape(self) -> str:
        rows, columns = self.weight.shape
        return f"affine {rows}x{columns}"

    def rounding(self, norm: float, units: int) -> float:
        frobenius, bias = float(torch.linalg.matrix_norm(self.weight)), float(torch.linalg.vector_norm(self.bias))
        # || |W| |h| || <= ||W||_F ||h||; the margin covers the rounding of the norms themselves.
        return (1 + 1e-9) * gamma(units + 2) * (frobenius * norm + bias)

    def check(self, units: int) -> int:
        if self.weight.ndim != 2 or self.weight.shape[1] != units or self.bias.shape != self.weight.shape[:1]:
            raise ValueError("the shapes of its layers do not match")
        return len(self.weight)
