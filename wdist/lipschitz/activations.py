"""Activations by name: the table, and the activations that need no file of their own, elementwise ones and maxout.

The steepest slope of an elementwise function is its Lipschitz constant in every norm.

References:
    Nair & Hinton (2010), Rectified linear units improve restricted Boltzmann machines (ReLU).
    Maas, Hannun & Ng (2013), Rectifier nonlinearities improve neural network acoustic models (leaky ReLU).
    Goodfellow, Warde-Farley, Mirza, Courville & Bengio (2013), Maxout networks, arXiv:1302.4389.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, sections 3 and 4.1 (the absolute value
        preserves the norm of the gradient, no monotone elementwise function does).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from wdist.errors import UsageError
from wdist.lipschitz.activation import Activation
from wdist.lipschitz.group_sort import full_sort_activation, group_sort_activation
from wdist.lipschitz.householder import householder

_TRANSCENDENTAL_ULPS = 4.0  # for torch's float64 tanh and sigmoid, whose vectorised exponentials are stated to be within 1


def _elementwise(
    name: str, function: Callable[[Tensor], Tensor], slope: float = 1.0, *, ulps: float = 0.0, at_zero: float = 0.0
) -> Activation:
    reason = f"slope at most {slope:g}"
    return Activation(name=name, train=function, evaluate=function, l2=slope, linf=slope, reason=reason, ulps=ulps, at_zero=at_zero)


def _leaky_relu(parameter: str) -> Activation:
    """z where z > 0, else a slope in [0, 1] times z."""
    slope = float(parameter)
    if not 0 <= slope <= 1:
        raise ValueError(f"slope {slope} is outside [0, 1]")
    function = partial(torch.nn.functional.leaky_relu, negative_slope=slope)
    return _elementwise(f"leaky-relu:{parameter}", function, ulps=1.0)


def _maxout(group_size: int) -> Activation:
    """The largest unit of each group, as in GroupSort: |max x - max y| <= max |x - y| <= ||x - y||_2 within each group."""

    def largest(z: Tensor) -> Tensor:
        return z.unflatten(-1, (group_size, -1)).amax(-2)

    return Activation(
        name=f"maxout:{group_size}",
        train=largest,
        evaluate=largest,
        l2=1.0,
        linf=1.0,
        reason="largest of a group",
        divisor=group_size,
        group=group_size,
    )


def _group_size(parameter: str) -> int:
    if not (parameter.isascii() and parameter.isdecimal() and int(parameter) >= 1):
        raise ValueError(f"{parameter!r} is not a number of units")
    return int(parameter)


ACTIVATIONS: dict[str, Callable[[str], Activation]] = {
    "group-sort:K": lambda size: group_sort_activation(_group_size(size)),
    "maxmin": lambda _: group_sort_activation(2, name="maxmin"),
    "full-sort": lambda _: full_sort_activation(),
    "relu": lambda _: _elementwise("relu", torch.relu),
    "leaky-relu:0.1": _leaky_relu,
    "abs": lambda _: _elementwise("abs", torch.abs),
    "maxout:K": lambda size: _maxout(_group_size(size)),
    "householder": lambda _: householder(),
    "tanh": lambda _: _elementwise("tanh", torch.tanh, ulps=_TRANSCENDENTAL_ULPS),
    # A slope of 1/4: every layer costs a factor of 4.
    "sigmoid": lambda _: _elementwise("sigmoid", torch.sigmoid, 0.25, ulps=_TRANSCENDENTAL_ULPS, at_zero=0.5),
    "identity": lambda _: _elementwise("identity", lambda z: z),
}
"""Makers of activations from a parameter, by name as help texts show it; K is a number of units."""


def activation(name: str) -> Activation:
    """The activation with a name such as ``group-sort:16``, ``leaky-relu:0.1`` or ``abs``.

    Raises:
        UsageError: the name is unknown.
    """
    kind, colon, parameter = name.partition(":")
    for shown, make in ACTIVATIONS.items():
        if (kind, colon) == shown.partition(":")[:2]:
            try:
                return make(parameter)
            except ValueError:
                break
    raise UsageError(f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
