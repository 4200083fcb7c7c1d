"""A convolution in a frozen critic, one matrix for all patches with a proved norm, and the activation behind it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.lipschitz.conv_patches import Patches
from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.induced_norms import to_maximum_norm_bound
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, gamma
from wdist.lipschitz.linalg.spectral_norm import spectral_norm_bound

KIND = "convolution"
PATCHWISE = "patchwise"


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution(FrozenLayer):
    """x -> W p + b for every patch p of x; outputs pixel by pixel, channels innermost."""

    patches: Patches
    weight: Tensor
    """float64, shape (outputs, size of a patch): channels outermost, then rows, then columns."""
    bias: Tensor
    """float64, shape (outputs,)."""

    @property
    def kind(self) -> str:
        return f"{KIND}:{self.patches}"

    def __call__(self, h: Tensor) -> Tensor:
        return torch.addmm(self.bias, self.patches.cut(h), self.weight.mT).reshape(len(h), -1)

    def lipschitz(self) -> LayerBound:
        """The norm of the matrix times the square root of how many patches share a pixel."""
        overlap = self.patches.overlap
        norm = spectral_norm_bound(self.weight)
        if overlap == 1:
            return LayerBound(layer=self._shape, bound=norm, method="gram, float64; patches apart")
        # Root and product round once each.
        bound = math.nextafter(norm * math.sqrt(overlap) * (1 + 4 * UNIT_ROUNDOFF), math.inf)
        return LayerBound(layer=self._shape, bound=bound, method=f"gram, float64; {overlap} patches share a pixel")

    def maximum(self, p: float) -> LayerBound:
        """The rows of the matrix: no patch has a larger p-norm than its image."""
        return LayerBound(layer=self._shape, bound=to_maximum_norm_bound(self.weight, p), method="rows, float64")

    @property
    def _shape(self) -> str:
        rows, columns = self.weight.shape
        return f"convolution {rows}x{columns} on {self.patches.count} patches"

    def rounding(self, norm: float, units: int) -> float:
        del units  # a patch has fewer
        frobenius, bias = float(torch.linalg.matrix_norm(self.weight)), float(torch.linalg.vector_norm(self.bias))
        # Patch by patch || |W| |p| || <= ||W||_F ||p||; over all patches these add up as squares.
        patches, overlap = math.sqrt(self.patches.count), math.sqrt(self.patches.overlap)
        return (1 + 1e-9) * gamma(self.patches.size + 2) * (frobenius * overlap * norm + patches * bias)

    def check(self, units: int) -> int:
        shapes_follow = self.weight.ndim == 2 and self.weight.shape[1] == self.patches.size and units == self.patches.image.dim
        if not shapes_follow or self.bias.shape != self.weight.shape[:1]:
            raise ValueError("the shapes of its layers do not follow each other")
        return self.patches.count * len(self.weight)

    def tensors(self) -> dict[str, Tensor]:
        return {"weight": self.weight, "bias": self.bias}


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchWise(FrozenLayer):
    """The same layer for the outputs of each patch."""

    count: int
    """Of patches."""
    layer: FrozenLayer

    @property
    def kind(self) -> str:
        return f"{PATCHWISE}:{self.count}:{self.layer.kind}"

    def __call__(self, h: Tensor) -> Tensor:
        return self.layer(h.reshape(len(h) * self.count, -1)).reshape(len(h), -1)

    def lipschitz(self) -> LayerBound:
        return self.layer.lipschitz()  # squares add up patch by patch

    def maximum(self, p: float) -> LayerBound:
        return self.layer.maximum(p)  # no patch has a larger p-norm than the whole

    def rounding(self, norm: float, units: int) -> float:
        return (1 + 1e-9) * math.sqrt(self.count) * self.layer.rounding(norm, units // self.count)

    def check(self, units: int) -> int:
        if self.count < 1 or units % self.count:
            raise ValueError(f"{units} units are not those of {self.count} patches")
        return self.count * self.layer.check(units // self.count)

    def tensors(self) -> dict[str, Tensor]:
        return self.layer.tensors()


def read_patchwise(kind: str, tensors: Mapping[str, Tensor], read: Callable[[str, Mapping[str, Tensor]], FrozenLayer]) -> PatchWise:
    """A layer of each patch from its kind and its numbers.

    Arguments:
        read: reads the layer inside.

    Raises:
        ValueError: the kind says no number of patches.
    """
    _, count, inner = kind.split(":", 2)
    return PatchWise(count=int(count), layer=read(inner, tensors))


def read_convolution(kind: str, tensors: Mapping[str, Tensor]) -> Convolution:
    """A convolution from its kind and its numbers.

    Raises:
        KeyError: a number is missing.
        UsageError: the kind says nothing of patches.
    """
    return Convolution(patches=Patches.parse(kind.partition(":")[2]), weight=tensors["weight"], bias=tensors["bias"])
