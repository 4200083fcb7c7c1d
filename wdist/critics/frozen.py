"""Frozen critics: plain float64 numbers that are certified, evaluated and saved as one object."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.critics.settings import LARGEST_LIPSCHITZ, LEAST_LIPSCHITZ
from wdist.data.standardisation import Standardisation
from wdist.errors import UsageError
from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound, owned, subnormal
from wdist.lipschitz.frozen_layers import read_layer
from wdist.lipschitz.linalg.rounding import UNDERFLOW, gamma, norm_above, product_above, sum_above


@dataclass(frozen=True, kw_only=True)
class Potentials:
    """Values of a critic, with a bound for their rounding."""

    values: np.ndarray
    """float64, shape (n,)."""
    rounding: float
    """Largest possible difference between a value and that of the exact function."""


class FrozenCritic:
    """x -> K * spread * network((x - shift) / spread), evaluated in float64.

    It owns its numbers, all in one memory layout (:func:`wdist.lipschitz.frozen_layer.owned`), so that a critic gives the same bits
    before saving and after loading, on the same machine with the same number of threads.

    Arguments:
        layers: of the network; the last has one output.
        standardisation: the shift and the spread, which are part of the function.
        lipschitz: K, the requested Lipschitz constant; potentials are in K times the units of the data.
        multipliers: may prove a smaller Lipschitz bound than the layers (:mod:`wdist.bounds.lipschitz.critics`), float64; they
            do not affect values, and need not be valid.

    References:
        Higham (2002), Accuracy and stability of numerical algorithms, chapter 3 (the rounding analysis).
    """

    def __init__(
        self,
        layers: Sequence[FrozenLayer],
        standardisation: Standardisation,
        *,
        lipschitz: float = 1.0,
        multipliers: Tensor | None = None,
    ) -> None:
        self.layers = tuple(layers)
        self.standardisation = replace(standardisation, shift=owned(standardisation.shift))
        self.lipschitz = lipschitz
        self.multipliers = None if multipliers is None else _normal(owned(multipliers))
        self._copies: dict[torch.device, tuple[FrozenLayer, ...]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenCritic.restored, (self.description(), self.tensors())  # the form in which proofs store it

    @property
    def dim(self) -> int:
        """Number of coordinates of a sample."""
        return len(self.standardisation.shift)

    @property
    def parameters(self) -> int:
        """Number of parameters: weights, biases, and those of trained activations."""
        return sum(tensor.numel() for layer in self.layers for tensor in layer.tensors().values())

    @cached_property
    def bounds(self) -> tuple[LayerBound, ...]:
        """Lipschitz bound of each layer, followed by that of the final scaling."""
        scaling = LayerBound(layer="scale", bound=self.lipschitz, method="as stated")
        return (*(layer.lipschitz() for layer in self.layers), scaling)

    def potentials(self, x: Tensor) -> Tensor:
        """Values at x, shape (n, dim), in the units of the data; a float64 tensor of shape (n,) on the CPU."""
        return torch.from_numpy(self.evaluate(x).values)

    def evaluate(self, x: Tensor) -> Potentials:
        """Values at x with a bound for their rounding.

        Arguments:
            x: shape (n, dim), in the units of the data; taken as exact. If a GPU holds it, the GPU evaluates it: the bound allows
                any order of summation, and float64 on GPUs follows IEEE.
        """
        if x.device.type != "cuda" or not 1 / _LARGEST_SPREAD <= self.standardisation.spread <= _LARGEST_SPREAD:
            x = x.cpu()
        h = self.standardisation.apply(x.double().contiguous())
        error = sum_above(product_above(gamma(3), norm_above(h)), self.dim * UNDERFLOW)
        h, error = through(self.layers, self.bounds, h, error, on_device=self._on(x.device))
        norm = norm_above(h)
        factor = self.standardisation.spread * self.lipschitz
        error = sum_above(error, product_above(gamma(3), norm))
        rounding = sum_above(product_above(error, math.nextafter(factor, math.inf)), product_above(_SMALLEST, norm + 1))
        values = (h.squeeze(-1) * factor).cpu().numpy()
        return Potentials(values=values, rounding=rounding if np.isfinite(values).all() else math.inf)

    def _on(self, device: torch.device) -> tuple[FrozenLayer, ...]:
        """The layers on a device; their numbers are copied there once."""
        if device.type == "cpu":
            return self.layers
        if device not in self._copies:
            self._copies[device] = tuple(layer.on(device) for layer in self.layers)
        return self._copies[device]

    def tensors(self) -> dict[str, Tensor]:
        """All numbers by the names under which they are stored."""
        more = {} if self.multipliers is None else {_MULTIPLIERS: self.multipliers}
        return {"shift": self.standardisation.shift, **stored_layers(self.layers), **more}

    def description(self) -> str:
        """Everything but the tensors, as JSON."""
        kinds = [layer.kind for layer in self.layers]
        return json.dumps({"layers": kinds, "spread": self.standardisation.spread, "lipschitz": self.lipschitz})

    @classmethod
    def restored(cls, description: str, tensors: Mapping[str, Tensor]) -> "FrozenCritic":
        """Restores the critic that :meth:`description` and :meth:`tensors` describe.

        Raises:
            ValueError: they do not describe a critic.
        """
        try:
            return cls._restored(json.loads(description), tensors)
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError, UsageError) as error:
            raise ValueError(f"a damaged critic: {error}") from error

    @classmethod
    def _restored(cls, facts: Any, tensors: Mapping[str, Tensor]) -> "FrozenCritic":
        layers = restored_layers(facts["layers"], tensors)
        standardisation = Standardisation(shift=tensors["shift"], spread=float(facts["spread"]))
        lipschitz = float(facts["lipschitz"])
        if not LEAST_LIPSCHITZ <= lipschitz <= LARGEST_LIPSCHITZ:
            raise ValueError(f"its stated Lipschitz constant is {lipschitz}")
        _check_shapes(layers, standardisation)
        critic = cls(layers, standardisation, lipschitz=lipschitz, multipliers=tensors.get(_MULTIPLIERS))
        if idle := sorted(tensors.keys() - critic.tensors().keys()):
            raise ValueError(f"nothing uses its tensor {idle[0]}")
        return critic


_MULTIPLIERS = "multipliers"
"""Name of the tensor of multipliers."""


def _normal(x: Tensor) -> Tensor:
    """Sets numbers to 0 that some processors treat as 0."""
    return x.masked_fill_(subnormal(x), 0.0)


def through(
    layers: Sequence[FrozenLayer],
    bounds: Sequence[LayerBound],
    h: Tensor,
    error: float,
    *,
    on_device: Sequence[FrozenLayer] | None = None,
) -> tuple[Tensor, float]:
    """Outputs of a chain of layers for h, and a bound for their rounding.

    Arguments:
        layers: of the chain.
        bounds: their Euclidean Lipschitz bounds, at least as many.
        h: inputs, float64, shape (n, dim); no row is farther than ``error`` from the exact input.
        error: a Euclidean distance, like the returned bound.
        on_device: the layers on the device of h, if that is not the CPU.
    """
    for layer, placed, bound in zip(layers, on_device or layers, bounds, strict=False):
        error = sum_above(product_above(bound.bound, error), layer.rounding(norm_above(h), h.shape[1]))
        h = placed(h)
    return h, error


def stored_layers(layers: Sequence[FrozenLayer]) -> dict[str, Tensor]:
    """The numbers of a chain of layers, by the names under which they are stored."""
    return {f"layers.{i}.{name}": tensor for i, layer in enumerate(layers) for name, tensor in layer.tensors().items()}


def restored_layers(kinds: Sequence[str], tensors: Mapping[str, Tensor]) -> list[FrozenLayer]:
    """Restores layers of these kinds from the tensors of :func:`stored_layers`.

    Raises:
        ValueError: a tensor is empty or of another type than float64, or holds nan, infinity or, except for the shift of a critic,
            subnormal numbers; a kind is unknown.
        KeyError, TypeError, AttributeError, UsageError: see :func:`wdist.lipschitz.frozen_layers.read_layer`.
    """
    _check_numbers(tensors)
    return [read_layer(kind, _of_layer(tensors, i)) for i, kind in enumerate(kinds)]


def _of_layer(tensors: Mapping[str, Tensor], position: int) -> dict[str, Tensor]:
    """The numbers of one layer, by their own names."""
    prefix = f"layers.{position}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


_LARGEST_SPREAD = 1e300
"""Between the reciprocal of this spread and the spread itself, a GPU divides with at most three roundings: it multiplies by the
reciprocal."""
_SMALLEST = 2.0**-1074
"""Largest rounding error of a product that underflows."""


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    """Checks that all stored numbers are float64 in the form that :class:`FrozenLayer` keeps.

    Raises:
        ValueError: a tensor is empty or of another type, or holds nan, infinity or, except for the shift, subnormal numbers.
    """
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float64 or not tensor.numel():
            raise ValueError(f"{name} holds no float64 numbers")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds values that are not finite")
        if name != "shift" and bool(subnormal(tensor).any()):
            raise ValueError(f"{name} holds numbers closer to 0 than float64 represents precisely")


def _check_shapes(layers: Sequence[FrozenLayer], standardisation: Standardisation) -> None:
    """Checks that shapes fit together; otherwise a shift or a bias for each row could broadcast and depend on a sample's position.

    Raises:
        ValueError: shapes do not fit together, the critic does not have exactly one output, or the spread is not positive.
    """
    if standardisation.shift.ndim != 1 or not 0 < standardisation.spread < float("inf"):
        raise ValueError("its standardisation is invalid")
    size = len(standardisation.shift)
    for layer in layers:
        size = layer.check(size)
    if size != 1:
        raise ValueError(f"it has {size} outputs")
