"""Layers of a frozen critic that are not activations, and how each kind is read again."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.lipschitz import cones, conv_frozen, envelope, householder, piecewise_linear
from wdist.lipschitz.activation import Activated
from wdist.lipschitz.activations import activation
from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.induced_norms import to_maximum_norm_bound
from wdist.lipschitz.linalg.rounding import gamma
from wdist.lipschitz.linalg.spectral_norm import spectral_norm_bound


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine(FrozenLayer):
    """x -> W x + b."""

    weight: Tensor
    """float64, shape (outputs, inputs)."""
    bias: Tensor
    """float64, shape (outputs,)."""

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
            raise ValueError("the shapes of its layers do not follow each other")
        return len(self.weight)

    def tensors(self) -> dict[str, Tensor]:
        return {"weight": self.weight, "bias": self.bias}


def activated(name: str) -> FrozenLayer:
    """An activation without numbers of its own, by name.

    Raises:
        UsageError: there is none of that name.
    """
    return Activated(activation=activation(name))


def read_layer(kind: str, tensors: Mapping[str, Tensor]) -> FrozenLayer:
    """A layer from its kind and its numbers, as :attr:`FrozenLayer.kind` and :meth:`FrozenLayer.tensors` gave them.

    Raises:
        KeyError, TypeError: a number is missing, or the kind is no text.
        UsageError: there is no such kind.
    """
    if kind == "affine":
        return Affine(weight=tensors["weight"], bias=tensors["bias"])
    if kind == householder.KIND:
        return householder.Mirrored(normal=tensors["normal"])
    if kind == piecewise_linear.KIND:
        return piecewise_linear.PiecewiseLinear(knots=tensors["knots"], slopes=tensors["slopes"])
    if kind.startswith(f"{conv_frozen.KIND}:"):
        return conv_frozen.read_convolution(kind, tensors)
    if kind.startswith(f"{conv_frozen.PATCHWISE}:"):
        return conv_frozen.read_patchwise(kind, tensors, read_layer)
    if kind.startswith(f"{cones.KIND}:"):
        return cones.read_cones(kind.partition(":")[2], tensors["centres"], tensors["offsets"])
    if kind.partition(":")[0] in envelope.KINDS and ":" in kind:
        return envelope.read_envelope(kind, tensors, read_layer)
    return activated(kind)
