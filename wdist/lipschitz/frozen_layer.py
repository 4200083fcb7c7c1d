"""Layers of a frozen critic: plain numbers that are evaluated in float64, bounded in two norms and stored."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from wdist.lipschitz.linalg.norms import spectral_norm_bound, to_maximum_norm_bound
from wdist.lipschitz.linalg.rounding import UNDERFLOW, gamma, norm_above, product_above, sum_above


@dataclass(frozen=True, kw_only=True)
class LayerBound:
    """One factor of a certificate."""

    layer: str
    """Name of the layer, for example ``affine 256x784`` or ``group-sort 16``."""
    bound: float
    method: str
    """The proof of the bound, for example ``gram`` or ``permutation``."""


def owned(tensor: Tensor) -> Tensor:
    """A float64 copy on the CPU, in fresh, aligned memory and row-major order.

    The order of summation in a matrix product depends on strides and on the alignment of memory, so a critic gives the same bits
    before saving and after loading only if the layout is the same. The copy also outlives the file or parameter that it comes from.
    """
    return torch.empty(tensor.shape, dtype=torch.float64, device="cpu").copy_(tensor.detach())


def subnormal(x: Tensor) -> Tensor:
    """Marks the nonzero entries of x, float64, that are smaller in magnitude than the smallest normal number."""
    return (x != 0) & (x.abs() < UNDERFLOW)


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenLayer(ABC):
    """One layer of a frozen critic: a dataclass that copies its tensors with :func:`owned` when it is made.

    Subnormal numbers, which some processors treat as 0, become 0 before anything is proved.
    """

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                numbers = owned(value)
                object.__setattr__(self, name, numbers.masked_fill_(subnormal(numbers), 0.0))  # the dataclasses are frozen

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name under which it is stored, such as ``affine`` or an activation with its parameter."""

    @abstractmethod
    def __call__(self, h: Tensor) -> Tensor:
        """Outputs, shape (n, outputs), for h, float64, shape (n, inputs)."""

    def forward(self, h: Tensor) -> Tensor:
        """The same function with operations that autograd and ``torch.export`` support, in the type and on the device of h."""
        return self(h)

    @abstractmethod
    def lipschitz(self) -> LayerBound:
        """A proved bound from the Euclidean norm to the Euclidean norm."""

    @abstractmethod
    def maximum(self, p: float) -> LayerBound:
        """A proved bound from the p-norm, 1, 2 or infinity, to the maximum norm."""

    @abstractmethod
    def rounding(self, norm: float, units: int) -> float:
        """A bound for the Euclidean distance of computed from exact outputs, for rows of ``units`` entries and at most this norm.

        Underflow is included, because later layers may amplify it.
        """

    @abstractmethod
    def check(self, units: int) -> int:
        """The number of outputs for ``units`` inputs; ValueError if the layer does not fit them or holds invalid numbers."""

    def tensors(self) -> dict[str, Tensor]:
        """Its numbers by name."""
        return {field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)}

    def on(self, device: torch.device, dtype: torch.dtype = torch.float64) -> Self:
        """Returns the layer on a device in a given precision."""
        return self.with_tensors({name: tensor.to(device, dtype) for name, tensor in self.tensors().items()})

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """Returns the layer with other tensors under the names of :meth:`tensors`, neither copied nor checked."""
        other = object.__new__(type(self))
        for field in fields(self):
            object.__setattr__(other, field.name, tensors.get(field.name, getattr(self, field.name)))
        return other


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
        return affine_rounding(self.weight, norm_above(self.bias), norm, outputs=len(self.weight))

    def check(self, units: int) -> int:
        if self.weight.ndim != 2 or self.weight.shape[1] != units or self.bias.shape != self.weight.shape[:1]:
            raise ValueError("the shapes of its layers do not match")
        return len(self.weight)


def affine_rounding(W: Tensor, bias: float, norm: float, *, outputs: int) -> float:
    """Rounding of ``outputs`` sums of products with rows of W, for inputs and biases of at most these norms."""
    # || |W| |h| || <= ||W||_F ||h||
    magnitude = sum_above(product_above(norm_above(W.flatten()), norm), bias)
    terms = W.shape[1] + 2
    return sum_above(product_above(gamma(terms), magnitude), product_above(terms, math.sqrt(outputs), UNDERFLOW))
