"""Stored layers: the affine layer, and a table that reads every kind of frozen layer back."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from wdist.ground_metric import METRICS
from wdist.lipschitz.activation import Activated
from wdist.lipschitz.activations import Mirrored, activation
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.convolution import Convolution, Patches, PatchWise
from wdist.lipschitz.envelope import Envelope
from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.norms import spectral_norm_bound, to_maximum_norm_bound
from wdist.lipschitz.linalg.rounding import gamma
from wdist.lipschitz.piecewise_linear import PiecewiseLinear


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


def activated(name: str) -> FrozenLayer:
    """The named activation as a frozen layer, if it has no numbers of its own."""
    return Activated(activation=activation(name))


def read_layer(kind: str, tensors: Mapping[str, Tensor]) -> FrozenLayer:
    """The layer that :attr:`FrozenLayer.kind` and :meth:`FrozenLayer.tensors` describe.

    Raises:
        KeyError, TypeError, AttributeError: a number is missing, or the kind is not text.
        ValueError, UsageError: the kind is unknown.
    """
    name, _, details = kind.partition(":")
    if name not in _READERS:
        return activated(kind)
    layer = _READERS[name](details, tensors)
    if layer.kind != kind:
        raise ValueError(f"unknown kind of layer: {kind}")
    return layer


def _read_patchwise(details: str, tensors: Mapping[str, Tensor]) -> PatchWise:
    count, _, inner = details.partition(":")
    return PatchWise(count=int(count), layer=read_layer(inner, tensors))


def _read_envelope(how: str, details: str, tensors: Mapping[str, Tensor]) -> Envelope:
    branches = [
        [read_layer(kind, _inside(tensors, f"{branch}.{position}.")) for position, kind in enumerate(kinds)]
        for branch, kinds in enumerate(json.loads(details))
    ]
    return Envelope(how=how, branches=branches, constants=tensors["constants"])


def _inside(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


_READERS: dict[str, Callable[[str, Mapping[str, Tensor]], FrozenLayer]] = {
    "affine": lambda _, tensors: Affine(weight=tensors["weight"], bias=tensors["bias"]),
    "householder": lambda _, tensors: Mirrored(normal=tensors["normal"]),
    "piecewise-linear": lambda _, tensors: PiecewiseLinear(knots=tensors["knots"], slopes=tensors["slopes"]),
    "cones": lambda norm, tensors: Cones(centres=tensors["centres"], offsets=tensors["offsets"], p=METRICS[norm].p),
    "convolution": lambda patches, tensors: Convolution(
        patches=Patches.parse(patches), weight=tensors["weight"], bias=tensors["bias"]
    ),
    "patchwise": _read_patchwise,
    "maximum": partial(_read_envelope, "maximum"),
    "minimum": partial(_read_envelope, "minimum"),
}
"""Reads each kind of frozen layer except plain activations, from what follows the colon in its kind and from its numbers."""
