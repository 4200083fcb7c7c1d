"""Activations of one unit at a time: the function's steepest slope is its Lipschitz constant in every norm.

References:
    Nair & Hinton (2010), Rectified linear units improve restricted Boltzmann machines (ReLU).
    Maas, Hannun & Ng (2013), Rectifier nonlinearities improve neural network acoustic models (leaky ReLU).
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, sections 3 and 4.1 (why none of the monotone ones
        keeps the gradient's norm, and that the absolute value does).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from wdist.lipschitz.activation import Activation

_TRANSCENDENTAL_ULPS = 4.0
"""Of torch's float64 tanh and sigmoid: their vectorised exponentials are stated within 1; more is allowed for here."""


def _elementwise(
    name: str, function: Callable[[Tensor], Tensor], slope: float, *, ulps: float = 0.0, at_zero: float = 0.0
) -> Activation:
    reason = f"slope at most {slope:g}"
    return Activation(name=name, train=function, evaluate=function, l2=slope, linf=slope, reason=reason, ulps=ulps, at_zero=at_zero)


def relu() -> Activation:
    """max(z, 0)."""
    return _elementwise("relu", torch.relu, 1.0)


def leaky_relu(slope: float, name: str) -> Activation:
    """z where z > 0, else ``slope`` times z, with a slope in [0, 1]."""
    return _elementwise(name, partial(torch.nn.functional.leaky_relu, negative_slope=slope), 1.0, ulps=1.0)


def absolute_value() -> Activation:
    """|z|, which folds space along the coordinates and keeps the gradient's norm."""
    return _elementwise("abs", torch.abs, 1.0)


def identity() -> Activation:
    """z: the critic becomes linear."""
    return _elementwise("identity", lambda z: z, 1.0)


def tanh() -> Activation:
    """The hyperbolic tangent, of slope 1 at 0 alone."""
    return _elementwise("tanh", torch.tanh, 1.0, ulps=_TRANSCENDENTAL_ULPS)


def sigmoid() -> Activation:
    """1 / (1 + exp(-z)), of slope 1/4 at most, so that every layer of it costs a factor of 4."""
    return _elementwise("sigmoid", torch.sigmoid, 0.25, ulps=_TRANSCENDENTAL_ULPS, at_zero=0.5)
