r"""Envelopes: the maximum or the minimum of several functions of the same sample.

.. math:: f(x) = \max_i \bigl( f_i(x) + c_i \bigr) \quad\text{or}\quad f(x) = \min_i \bigl( f_i(x) + c_i \bigr)

If every f_i is K-Lipschitz, so is f, for any constants.

References:
    McShane (1934), Extension of range of functions (maxima and minima of Lipschitz functions).
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import gamma

_REDUCTIONS: dict[str, Callable[..., Tensor]] = {"maximum": torch.amax, "minimum": torch.amin}


@dataclass(frozen=True, kw_only=True, eq=False)
class Envelope(FrozenLayer):
    """x -> max or min over i of f_i(x) + c_i, one output."""

    how: str
    """``maximum`` or ``minimum``."""
    branches: Sequence[Sequence[FrozenLayer]]
    """The f_i, each a chain of layers with one output."""
    constants: Tensor
    """The c_i, float64, shape (branches,)."""

    @property
    def kind(self) -> str:
        return f"{self.how}:{json.dumps([[layer.kind for layer in chain] for chain in self.branches])}"

    def __call__(self, h: Tensor) -> Tensor:
        values = torch.cat([_through(chain, h) for chain in self.branches], 1) + self.constants
        return _REDUCTIONS[self.how](values, dim=1, keepdim=True)

    def lipschitz(self) -> LayerBound:
        return self._largest([[layer.lipschitz() for layer in chain] for chain in self.branches])

    def maximum(self, p: float) -> LayerBound:
        return self._largest([[layer.maximum(math.inf if i else p) for i, layer in enumerate(chain)] for chain in self.branches])

    def _largest(self, chains: list[list[LayerBound]]) -> LayerBound:
        products = [math.prod(layer.bound for layer in chain) * (1 + gamma(len(chain) + 1)) for chain in chains]
        return LayerBound(layer=f"{self.how} of {len(chains)}", bound=max(products), method="the largest of its branches")

    def rounding(self, norm: float, units: int) -> float:
        """The largest rounding of a branch, carried through its layers, plus that of adding the constants."""
        largest = max(self._branch_rounding(chain, norm, units) for chain in self.branches)
        return largest * (1 + 1e-9) + gamma(len(self.branches) + 2) * float(self.constants.abs().max())

    def _branch_rounding(self, chain: Sequence[FrozenLayer], norm: float, units: int) -> float:
        stretch, error, reach = 1.0, 0.0, norm
        at_origin = torch.zeros(1, units, dtype=torch.float64)
        for layer in chain:
            bound = layer.lipschitz().bound
            error = bound * error + layer.rounding(reach, at_origin.shape[1])
            stretch, at_origin = bound * stretch, layer(at_origin)
            # The bounds limit the distance of an output from the output at the origin.
            reach = (stretch * norm + float(torch.linalg.vector_norm(at_origin)) + error) * (1 + 1e-9)
        return error + gamma(len(self.branches) + 2) * reach

    def check(self, units: int) -> int:
        if self.how not in _REDUCTIONS or not self.branches or self.constants.shape != (len(self.branches),):
            raise ValueError("its envelope does not have one constant per branch")
        for chain in self.branches:
            width = units
            for layer in chain:
                width = layer.check(width)
            if width != 1 or not chain:
                raise ValueError("a branch of its envelope does not have exactly one output")
        return 1

    def tensors(self) -> dict[str, Tensor]:
        inner = {
            f"{branch}.{position}.{name}": tensor
            for branch, chain in enumerate(self.branches)
            for position, layer in enumerate(chain)
            for name, tensor in layer.tensors().items()
        }
        return {"constants": self.constants, **inner}


def _through(chain: Sequence[FrozenLayer], h: Tensor) -> Tensor:
    for layer in chain:
        h = layer(h)
    return h
