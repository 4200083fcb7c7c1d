r"""Householder activations: each pair of units is mirrored if it lies on one side of a learnt line through 0.

.. math:: \sigma_v(z) = z - 2 \min(v^\top z, 0)\, v / (v^\top v)

The function is continuous and an isometry on either side, so it preserves the Euclidean norm of the gradient. In MaxMin every line
is the diagonal.

References:
    Singla, Singla & Feizi (2022), Improved deterministic l2 robustness on CIFAR-10 and CIFAR-100, arXiv:2108.04062.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.lipschitz.activation import Activation, ActivationModule
from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import gamma

_MAXMIN_ANGLE = 3 * math.pi / 4  # v = (-1, 1) / sqrt 2 exchanges a pair if its first unit is larger
_MAXIMUM_NORM_BOUND = 1.4142135623730952  # just above sqrt 2, the largest row sum |cos| + |sin| of a mirror


def mirror(z: Tensor, v: Tensor) -> Tensor:
    """Mirrors units j and j + C/2 of z, shape (n, C), if they lie beyond the line orthogonal to v, shape (C/2, 2), nonzero."""
    first, second = z.chunk(2, -1)
    beyond = 2 * (first * v[:, 0] + second * v[:, 1]).clamp(max=0) / v.square().sum(1)
    return torch.cat([first - beyond * v[:, 0], second - beyond * v[:, 1]], -1)


class Householder(ActivationModule):
    """Mirrors with trained angles; they start as MaxMin."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.angle = nn.Parameter(torch.full((units // 2,), _MAXMIN_ANGLE))

    def forward(self, z: Tensor) -> Tensor:
        return mirror(z, _normals(self.angle))

    def freeze(self) -> FrozenLayer:
        return Mirrored(normal=_normals(self.angle.detach().double().cpu()))


def _normals(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Mirrored(FrozenLayer):
    """A Householder activation in a frozen critic; a mirror is an isometry for any length of its normal."""

    normal: Tensor
    """float64, shape (units / 2, 2)."""

    @property
    def kind(self) -> str:
        return "householder"

    def __call__(self, h: Tensor) -> Tensor:
        return mirror(h, self.normal)

    def lipschitz(self) -> LayerBound:
        return LayerBound(layer=self.kind, bound=1.0, method="mirrors")

    def maximum(self, p: float) -> LayerBound:
        del p
        return LayerBound(layer=self.kind, bound=_MAXIMUM_NORM_BOUND, method="mirrors")

    def rounding(self, norm: float, units: int) -> float:
        del units
        return gamma(32) * norm  # the mirrored part is at most 2 ||h||; its factors round at most twelve times, the difference once

    def check(self, units: int) -> int:
        if self.normal.shape != (units // 2, 2) or units % 2:
            raise ValueError("the number of mirrors does not match the units of its activation")
        squares = self.normal.square().sum(1)
        if not bool(((squares > 0.25) & (squares < 4)).all()):
            raise ValueError("a mirror of its activation has no direction")
        return units


def householder() -> Activation:
    """One mirror for each pair of units."""

    def as_maxmin(z: Tensor) -> Tensor:
        return mirror(z, _normals(z.new_full((z.shape[-1] // 2,), _MAXMIN_ANGLE)))

    return Activation(
        name="householder",
        train=as_maxmin,
        evaluate=as_maxmin,
        l2=1.0,
        linf=_MAXIMUM_NORM_BOUND,
        reason="mirrors",
        group=2,
        ulps=32.0,
        trained=Householder,
    )
