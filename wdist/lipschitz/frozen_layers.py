"""Layers of a frozen critic: plain numbers that can be evaluated in float64, bounded and stored."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.linalg.rounding import gamma
from wdist.linalg.spectral_norm import spectral_norm_bound
from wdist.lipschitz.activations import activation
from wdist.result import LayerBound


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """x -> W x + b."""

    weight: Tensor
    """float64, shape (outputs, inputs)."""
    bias: Tensor
    """float64, shape (outputs,)."""

    def __call__(self, h: Tensor) -> Tensor:
        return torch.addmm(self.bias, h, self.weight.mT)

    def lipschitz(self) -> LayerBound:
        rows, columns = self.weight.shape
        return LayerBound(layer=f"affine {rows}x{columns}", bound=spectral_norm_bound(self.weight), method="gram, float64")

    def rounding(self, norm: float) -> float:
        """How far the computed output may be from W h + b of the same h, when the norm of h is at most ``norm``."""
        inputs = self.weight.shape[1]
        frobenius, bias = float(torch.linalg.matrix_norm(self.weight)), float(torch.linalg.vector_norm(self.bias))
        # || |W| |h| || <= ||W||_F ||h||; the margin covers the rounding of the norms themselves.
        return (1 + 1e-9) * gamma(inputs + 2) * (frobenius * norm + bias)


@dataclass(frozen=True, kw_only=True)
class Activated:
    """An activation, by name."""

    name: str

    def __call__(self, h: Tensor) -> Tensor:
        return activation(self.name).evaluate(h)

    def lipschitz(self) -> LayerBound:
        this = activation(self.name)
        return LayerBound(layer=this.name, bound=this.bound, method=this.reason)

    def rounding(self, norm: float) -> float:
        """0: sorting, maxima and signs round nothing."""
        del norm
        return 0.0

    def check(self, units: int) -> None:
        """Whether the activation can follow a layer of ``units`` outputs.

        Raises:
            UsageError: there is no such activation.
            ValueError: its groups do not divide the units.
        """
        kind, _, group_size = activation(self.name).name.partition(":")
        if kind == "group-sort" and units % int(group_size):
            raise ValueError(f"groups of {group_size} do not divide {units} units")


FrozenLayer = Affine | Activated
