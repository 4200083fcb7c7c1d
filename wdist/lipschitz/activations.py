"""Activations by name: their properties, and their modules in training and in a frozen critic.

The steepest slope of an elementwise function is its Lipschitz constant in every p-norm.

References:
    Nair & Hinton (2010), Rectified linear units improve restricted Boltzmann machines (ReLU).
    Maas, Hannun & Ng (2013), Rectifier nonlinearities improve neural network acoustic models (leaky ReLU).
    Goodfellow, Warde-Farley, Mirza, Courville & Bengio (2013), Maxout networks, arXiv:1302.4389.
    Singla, Singla & Feizi (2022), Improved deterministic l2 robustness on CIFAR-10 and CIFAR-100, arXiv:2108.04062 (Householder).
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, sections 3 and 4.1 (the absolute value
        preserves the norm of the gradient, no monotone elementwise function does).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from wdist.errors import UsageError
from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.group_sort import group_sort, sort_groups
from wdist.lipschitz.linalg.rounding import UNDERFLOW, UNIT_ROUNDOFF, gamma, product_above, sum_above

_TRANSCENDENTAL_ULPS = 4.0  # for torch's float64 tanh and sigmoid, whose vectorised exponentials claim an error within 1
_MAXMIN_ANGLE = 3 * math.pi / 4  # v = (-1, 1) / sqrt 2 exchanges a pair if its first unit is larger
_MAXIMUM_NORM_BOUND = 1.4142135623730952  # just above sqrt 2, the largest row sum |cos| + |sin| of a mirror


class ActivationModule(nn.Module, ABC):
    """An activation after one layer of a critic in training."""

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Outputs, shape (n, units / divisor), for pre-activations, shape (n, units)."""

    @abstractmethod
    def freeze(self) -> FrozenLayer:
        """The same activation as plain float64 numbers."""


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A function of a whole layer with a known Lipschitz constant."""

    name: str
    """Name with parameter, for example ``group-sort:16``, from which the activation can be built again."""
    train: Callable[[Tensor], Tensor]
    evaluate: Callable[[Tensor], Tensor]
    """The function for training, differentiable and fast, and for evaluation, within ``ulps`` of the exact value."""
    reason: str
    """Proof of the bounds in a few words."""
    l2: float = 1.0
    linf: float = 1.0
    """Lipschitz bounds in the Euclidean and in the maximum norm."""
    divisor: int = 1
    """Number of inputs per output."""
    group: int = 1
    """Group size, which must divide the units of the previous layer."""
    ulps: float = 0.0
    """Largest error of an output in units in the last place; 0 if evaluation only compares and moves."""
    at_zero: float = 0.0
    """Magnitude of an output if all inputs are 0."""
    slopes: tuple[float, float] | None = None
    """Smallest and largest slope of an elementwise function; None for other functions."""
    trained: "Callable[[int], ActivationModule] | None" = None
    """Makes the module for a number of units if the activation has its own parameters."""

    def module(self, units: int) -> ActivationModule:
        return self.trained(units) if self.trained is not None else Stateless(self)

    def outputs(self, units: int) -> int:
        """The number of outputs for ``units`` inputs."""
        return units // self.divisor


class Stateless(ActivationModule):
    """An activation without its own parameters."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, z: Tensor) -> Tensor:
        return self.activation.train(z)

    def freeze(self) -> FrozenLayer:
        return Activated(activation=self.activation)


@dataclass(frozen=True, kw_only=True)
class Activated(FrozenLayer):
    """An activation in a frozen critic."""

    activation: Activation

    @property
    def kind(self) -> str:
        return self.activation.name

    def __call__(self, h: Tensor) -> Tensor:
        return self.activation.evaluate(h)

    def lipschitz(self) -> LayerBound:
        return LayerBound(layer=self.kind, bound=self.activation.l2, method=self.activation.reason)

    def maximum(self, p: float) -> LayerBound:
        # No p-norm is smaller than the maximum norm.
        return LayerBound(layer=self.kind, bound=self.activation.linf, method=self.activation.reason)

    def rounding(self, norm: float, units: int) -> float:
        """0 for sorting, maxima and signs; otherwise ``ulps`` of the outputs, with ||phi(h)|| <= ||phi(0)|| + L ||h||."""
        if self.activation.ulps == 0:
            return 0.0
        root = math.sqrt(units) * (1 + 1e-9)
        largest = sum_above(product_above(self.activation.at_zero, root), product_above(max(self.activation.l2, 1.0), norm))
        return sum_above(product_above(self.activation.ulps * 2 * UNIT_ROUNDOFF, largest), 2 * root * UNDERFLOW)

    def check(self, units: int) -> int:
        if units % self.activation.group:
            raise ValueError(f"{self.kind} acts on groups of {self.activation.group}, which do not divide {units} units")
        return self.activation.outputs(units)


def group_sort_activation(group_size: int | None, name: str | None = None) -> Activation:
    """GroupSort with groups of ``group_size`` units, which must divide the units of the layer, or with a single group."""
    return Activation(
        name=name or f"group-sort:{group_size}",
        train=lambda z: group_sort(z, group_size or z.shape[-1]),
        evaluate=lambda z: sort_groups(z, group_size or z.shape[-1]),
        reason="permutation",
        group=group_size or 1,
    )


def _elementwise(
    name: str,
    function: Callable[[Tensor], Tensor],
    slope: float = 1.0,
    *,
    least: float = 0.0,
    ulps: float = 0.0,
    at_zero: float = 0.0,
) -> Activation:
    return Activation(
        name=name,
        train=function,
        evaluate=function,
        l2=slope,
        linf=slope,
        reason=f"slope at most {slope:g}",
        ulps=ulps,
        at_zero=at_zero,
        slopes=(least, slope),
    )


def _leaky_relu(parameter: str) -> Activation:
    """z if z > 0, otherwise z times a slope in [0, 1]."""
    slope = float(parameter)
    if not 0 <= slope <= 1:
        raise ValueError(f"slope {slope} is outside [0, 1]")
    function = partial(torch.nn.functional.leaky_relu, negative_slope=slope)
    return _elementwise(f"leaky-relu:{parameter}", function, least=slope, ulps=1.0)


def _maxout(group_size: int) -> Activation:
    """The largest unit of each group, with groups as in GroupSort: |max x - max y| <= max |x - y| <= ||x - y||_2 in each group."""

    def largest(z: Tensor) -> Tensor:
        return z.unflatten(-1, (group_size, -1)).amax(-2)

    return Activation(
        name=f"maxout:{group_size}",
        train=largest,
        evaluate=largest,
        reason="largest of a group",
        divisor=group_size,
        group=group_size,
    )


def _group_size(parameter: str) -> int:
    if not (parameter.isascii() and parameter.isdecimal() and int(parameter) >= 1):
        raise ValueError(f"{parameter!r} is not a number of units")
    return int(parameter)


def mirror(z: Tensor, v: Tensor) -> Tensor:
    """Mirrors units j and j + C/2 of z, shape (n, C), if they lie beyond the line orthogonal to v, shape (C/2, 2), nonzero."""
    first, second = z.chunk(2, -1)
    beyond = 2 * (first * v[:, 0] + second * v[:, 1]).clamp(max=0) / v.square().sum(1)
    return torch.cat([first - beyond * v[:, 0], second - beyond * v[:, 1]], -1)


class Householder(ActivationModule):
    r"""Reflects each pair of units that lies on one side of a line through 0, at a trained angle; the angles start as MaxMin.

    .. math:: \sigma_v(z) = z - 2 \min(v^\top z, 0)\, v / (v^\top v)

    The function is continuous and an isometry on either side of the line, so it preserves the Euclidean norm of the gradient.
    """

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
    """A Householder activation in a frozen critic; a reflection is an isometry for any length of its normal."""

    normal: Tensor
    """float64, shape (units / 2, 2)."""

    kind = "householder"

    def __call__(self, h: Tensor) -> Tensor:
        return mirror(h, self.normal)

    def lipschitz(self) -> LayerBound:
        return LayerBound(layer=self.kind, bound=1.0, method="mirrors")

    def maximum(self, p: float) -> LayerBound:
        return LayerBound(layer=self.kind, bound=_MAXIMUM_NORM_BOUND, method="mirrors")

    def rounding(self, norm: float, units: int) -> float:
        # The mirrored part is at most 2 ||h||; its factors round at most twelve times, the difference once. What underflows in an
        # inner product is multiplied by at most 16, since no normal is shorter than 1/2.
        # Nothing overflows on the way if 64 times the norm does not.
        return sum_above(product_above(norm, 64.0, gamma(32) / 64), 64 * math.sqrt(units) * UNDERFLOW)

    def check(self, units: int) -> int:
        if self.normal.shape != (units // 2, 2) or units % 2:
            raise ValueError("the number of mirrors does not match the units of its activation")
        squares = self.normal.square().sum(1)
        if not bool(((squares > 0.25) & (squares < 4)).all()):
            raise ValueError("a mirror of its activation has no direction")
        return units


def householder() -> Activation:
    """Householder activation with one reflection for each pair of units."""

    def as_maxmin(z: Tensor) -> Tensor:
        return mirror(z, _normals(z.new_full((z.shape[-1] // 2,), _MAXMIN_ANGLE)))

    return Activation(
        name="householder",
        train=as_maxmin,
        evaluate=as_maxmin,
        linf=_MAXIMUM_NORM_BOUND,
        reason="mirrors",
        group=2,
        ulps=32.0,
        trained=Householder,
    )


ACTIVATIONS: dict[str, Callable[[str], Activation]] = {
    "group-sort:K": lambda size: group_sort_activation(_group_size(size)),
    "maxmin": lambda _: group_sort_activation(2, name="maxmin"),
    "full-sort": lambda _: group_sort_activation(None, name="full-sort"),
    "relu": lambda _: _elementwise("relu", torch.relu),
    "leaky-relu:0.1": _leaky_relu,
    "abs": lambda _: _elementwise("abs", torch.abs, least=-1.0),
    "maxout:K": lambda size: _maxout(_group_size(size)),
    "householder": lambda _: householder(),
    "tanh": lambda _: _elementwise("tanh", torch.tanh, ulps=_TRANSCENDENTAL_ULPS),
    # The slope is at most 1/4, so every layer costs a factor of 4.
    "sigmoid": lambda _: _elementwise("sigmoid", torch.sigmoid, 0.25, ulps=_TRANSCENDENTAL_ULPS, at_zero=0.5),
    "identity": lambda _: _elementwise("identity", lambda z: z, least=1.0),
}
"""Makers of activations from a parameter, by the name that help texts show; K is a number of units."""


def activation(name: str) -> Activation:
    """The activation with a name such as ``group-sort:16``, ``leaky-relu:0.1`` or ``abs``; UsageError if the name is unknown."""
    kind, colon, parameter = name.partition(":")
    for shown, make in ACTIVATIONS.items():
        if (kind, colon) == shown.partition(":")[:2]:
            try:
                return make(parameter)
            except ValueError:
                break
    raise UsageError(f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
