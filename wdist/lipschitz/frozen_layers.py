"""Frozen layers: piecewise linear functions, envelopes, and a table that restores every stored layer."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce

import torch
from torch import Tensor

from wdist.ground_metric import METRICS
from wdist.lipschitz.activations import Activated, Mirrored, activation
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.convolution import Convolution, Patches, PatchWise
from wdist.lipschitz.elliptic_cones import EllipticCones
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import UNDERFLOW, gamma, norm_above, product_above, sum_above

_REDUCTIONS: dict[str, Callable[..., Tensor]] = {"maximum": torch.amax, "minimum": torch.amin}


@dataclass(frozen=True, kw_only=True, eq=False)
class PiecewiseLinear(FrozenLayer):
    r"""A piecewise linear function of one number, defined by its knots and slopes, and 0 at the first knot.

    .. math:: f(t) = \int_{t_0}^t s(u)\, du

    Its Lipschitz constant is therefore the largest slope, however the values at the knots are rounded.
    """

    knots: Tensor
    """float64, shape (k,), ascending, k >= 1."""
    slopes: Tensor
    """float64, shape (k + 1,): before the first knot, between neighbours, and after the last."""

    kind = "piecewise-linear"

    @cached_property
    def _values(self) -> Tensor:
        rises = self.slopes[1:-1] * self.knots.diff()
        return torch.cat([rises.new_zeros(1), rises.cumsum(0)])

    def __call__(self, h: Tensor) -> Tensor:
        interval = torch.searchsorted(self.knots, h)
        knot = (interval - 1).clamp(min=0)
        return self._values[knot] + self.slopes[interval] * (h - self.knots[knot])

    def lipschitz(self) -> LayerBound:
        name = f"{self.kind}, {len(self.knots)} knots"
        return LayerBound(layer=name, bound=float(self.slopes.abs().max()), method="largest slope")

    def maximum(self, p: float) -> LayerBound:
        return self.lipschitz()  # all norms of one number are equal

    def rounding(self, norm: float, units: int) -> float:
        """Rounding of at most a sum over all knots, each rise at most slope times length, and one more product and sum."""
        terms = len(self.knots) + 8
        reach = sum_above(float(self.knots[-1] - self.knots[0]), 2 * norm, 2 * float(self.knots.abs().max()))
        return sum_above(product_above(gamma(terms), float(self.slopes.abs().max()), reach), terms * UNDERFLOW)

    def check(self, units: int) -> int:
        if units != 1 or self.knots.ndim != 1 or not len(self.knots) or self.slopes.shape != (len(self.knots) + 1,):
            raise ValueError("the shapes of its piecewise linear layer do not match")
        if not bool((self.knots.diff() >= 0).all()):
            raise ValueError("the knots of its piecewise linear layer are not in ascending order")
        return 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Envelope(FrozenLayer):
    r"""The maximum or minimum of several functions, one output; if every f_i is K-Lipschitz, so is f, for any constants.

    .. math:: f(x) = \max_i \bigl( f_i(x) + c_i \bigr) \quad\text{or}\quad f(x) = \min_i \bigl( f_i(x) + c_i \bigr)

    References:
        McShane (1934), Extension of range of functions (maxima and minima of Lipschitz functions).
    """

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
        return self._reduced([reduce(lambda z, layer: layer(z), chain, h) for chain in self.branches])

    def forward(self, h: Tensor) -> Tensor:
        return self._reduced([reduce(lambda z, layer: layer.forward(z), chain, h) for chain in self.branches])

    def _reduced(self, values: list[Tensor]) -> Tensor:
        return _REDUCTIONS[self.how](torch.cat(values, 1) + self.constants, dim=1, keepdim=True)

    def lipschitz(self) -> LayerBound:
        return self._largest([[layer.lipschitz() for layer in chain] for chain in self.branches])

    def maximum(self, p: float) -> LayerBound:
        return self._largest([[layer.maximum(math.inf if i else p) for i, layer in enumerate(chain)] for chain in self.branches])

    def _largest(self, chains: list[list[LayerBound]]) -> LayerBound:
        products = [product_above(*(layer.bound for layer in chain)) for chain in chains]
        return LayerBound(layer=f"{self.how} of {len(chains)}", bound=max(products), method="the largest of its branches")

    def rounding(self, norm: float, units: int) -> float:
        """The largest rounding of a branch, propagated through its layers, plus that of adding the constants."""
        largest = max(self._branch_rounding(chain, norm, units) for chain in self.branches)
        return sum_above(largest, product_above(gamma(len(self.branches) + 2), float(self.constants.abs().max())))

    def _branch_rounding(self, chain: Sequence[FrozenLayer], norm: float, units: int) -> float:
        stretch, error, reach = 1.0, 0.0, norm
        at_origin = torch.zeros(1, units, dtype=torch.float64)
        for layer in chain:
            bound = layer.lipschitz().bound
            error = sum_above(product_above(bound, error), layer.rounding(reach, at_origin.shape[1]))
            stretch, at_origin = product_above(bound, stretch), layer(at_origin)
            # The bounds limit the distance of an output from the output at the origin; both are off by the error.
            reach = sum_above(product_above(stretch, norm), norm_above(at_origin), 2 * error)
        return sum_above(error, product_above(gamma(len(self.branches) + 2), reach))

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

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "Envelope":
        branches = [
            [layer.with_tensors(_inside(tensors, f"{branch}.{position}.")) for position, layer in enumerate(chain)]
            for branch, chain in enumerate(self.branches)
        ]
        other = super().with_tensors({"constants": tensors["constants"]})
        object.__setattr__(other, "branches", branches)
        return other


def activated(name: str) -> FrozenLayer:
    """The named activation, one without its own parameters, as a frozen layer."""
    return Activated(activation=activation(name))


def read_layer(kind: str, tensors: Mapping[str, Tensor], *, depth: int = 0) -> FrozenLayer:
    """Restores the layer that :attr:`FrozenLayer.kind` and :meth:`FrozenLayer.tensors` describe, nested in ``depth`` others.

    Raises:
        KeyError, TypeError, AttributeError: a number is missing, or the kind is not text.
        ValueError, UsageError: the kind is unknown, or layers are nested too deeply.
    """
    name, _, details = kind.partition(":")
    if name in _READERS:
        layer = _READERS[name](details, tensors)
    elif name in _NESTED:
        if depth >= _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} of its layers are nested")
        layer = _NESTED[name](details, tensors, depth + 1)
    else:
        layer = activated(kind)
    if layer.kind != kind:
        raise ValueError(f"unknown kind of layer: {kind}")
    return layer


def _read_patchwise(details: str, tensors: Mapping[str, Tensor], depth: int) -> PatchWise:
    count, _, inner = details.partition(":")
    return PatchWise(count=int(count), layer=read_layer(inner, tensors, depth=depth))


def _read_envelope(how: str, details: str, tensors: Mapping[str, Tensor], depth: int) -> Envelope:
    branches = [
        [read_layer(kind, _inside(tensors, f"{branch}.{position}."), depth=depth) for position, kind in enumerate(kinds)]
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
    "elliptic-cones": lambda _, tensors: EllipticCones(
        matrices=tensors["matrices"], points=tensors["points"], offsets=tensors["offsets"]
    ),
    "convolution": lambda patches, tensors: Convolution(
        patches=Patches.parse(patches), weight=tensors["weight"], bias=tensors["bias"]
    ),
}
"""Readers of frozen layers except plain activations, from the text after the colon in the kind and from the numbers."""
_NESTED: dict[str, Callable[[str, Mapping[str, Tensor], int], FrozenLayer]] = {
    "patchwise": _read_patchwise,
    "maximum": partial(_read_envelope, "maximum"),
    "minimum": partial(_read_envelope, "minimum"),
}
"""Readers of layers made of other layers, which also take the depth of nesting."""
_DEEPEST = 8
"""Deepest nesting of layers; wdist itself nests two."""
