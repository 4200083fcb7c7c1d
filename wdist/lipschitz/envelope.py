r"""Several functions of the same sample put together: their maximum, their minimum or their mean.

.. math:: f(x) = \max_i \bigl( f_i(x) + c_i \bigr)

and likewise with min and mean: if each of the f_i is K-Lipschitz, so is f, whatever the constants.

References:
    McShane (1934), Extension of range of functions (maxima and minima of Lipschitz functions).
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import gamma

KINDS = ("maximum", "minimum", "mean")


@dataclass(frozen=True, kw_only=True, eq=False)
class Envelope(FrozenLayer):
    """x -> max, min or mean over i of f_i(x) + c_i, one output."""

    how: str
    """One of :data:`KINDS`."""
    branches: Sequence[Sequence[FrozenLayer]]
    """The f_i, each a chain of layers with one output."""
    constants: Tensor
    """The c_i, float64, shape (branches,)."""

    _REDUCTIONS: ClassVar[dict[str, Callable[..., Tensor]]] = {"maximum": torch.amax, "minimum": torch.amin, "mean": torch.mean}

    @property
    def kind(self) -> str:
        return f"{self.how}:{json.dumps([[layer.kind for layer in chain] for chain in self.branches])}"

    def __call__(self, h: Tensor) -> Tensor:
        values = torch.cat([_through(chain, h) for chain in self.branches], 1) + self.constants
        return self._REDUCTIONS[self.how](values, dim=1, keepdim=True)

    def lipschitz(self) -> LayerBound:
        return self._largest([[layer.lipschitz() for layer in chain] for chain in self.branches])

    def maximum(self, p: float) -> LayerBound:
        return self._largest([[layer.maximum(math.inf if i else p) for i, layer in enumerate(chain)] for chain in self.branches])

    def _largest(self, chains: list[list[LayerBound]]) -> LayerBound:
        products = [math.prod(layer.bound for layer in chain) * (1 + gamma(len(chain) + 1)) for chain in chains]
        return LayerBound(layer=f"{self.how} of {len(chains)}", bound=max(products), method="the largest of its branches")

    def rounding(self, norm: float, units: int) -> float:
        """The largest of the branches', each carried through its layers, and that of the constants and of a mean."""
        largest = max(self._branch_rounding(chain, norm, units) for chain in self.branches)
        return largest * (1 + 1e-9) + gamma(len(self.branches) + 2) * float(self.constants.abs().max())

    def _branch_rounding(self, chain: Sequence[FrozenLayer], norm: float, units: int) -> float:
        stretch, error, reach = 1.0, 0.0, norm
        at_origin = torch.zeros(1, units, dtype=torch.float64)
        for layer in chain:
            bound = layer.lipschitz().bound
            error = bound * error + layer.rounding(reach, at_origin.shape[1])
            stretch, at_origin = bound * stretch, layer(at_origin)
            # No output is further from that at the origin than the bounds allow.
            reach = (stretch * norm + float(torch.linalg.vector_norm(at_origin)) + error) * (1 + 1e-9)
        return error + gamma(len(self.branches) + 2) * reach

    def check(self, units: int) -> int:
        if self.how not in KINDS or not self.branches or self.constants.shape != (len(self.branches),):
            raise ValueError("its branches and their constants are not as many")
        for chain in self.branches:
            width = units
            for layer in chain:
                width = layer.check(width)
            if width != 1 or not chain:
                raise ValueError("a branch has not one output")
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


def read_envelope(kind: str, tensors: Mapping[str, Tensor], read: Callable[[str, Mapping[str, Tensor]], FrozenLayer]) -> Envelope:
    """An envelope from its kind and its numbers.

    Arguments:
        kind: as :attr:`Envelope.kind` gave it.
        tensors: as :meth:`Envelope.tensors` gave them.
        read: reads one layer of a branch.

    Raises:
        ValueError: the kind is none.
    """
    how, _, inner = kind.partition(":")
    branches = [
        [read(each, _of(tensors, f"{branch}.{position}.")) for position, each in enumerate(kinds)]
        for branch, kinds in enumerate(json.loads(inner))
    ]
    return Envelope(how=how, branches=branches, constants=tensors["constants"])


def _of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
