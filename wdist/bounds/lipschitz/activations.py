r"""Slopes of activations, over all inputs and within intervals.

The extreme slopes of smooth activations are rounded outwards. The slope of GELU is :math:`\Phi(x) + x \varphi(x)`, with extremes at
:math:`\pm\sqrt 2`; those of SiLU and Mish have extremes where the second derivative vanishes.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF

Within = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps the ends of intervals, entry by entry, to bounds for the smallest and the largest slope within them."""

GELU = (-0.12890415, 1.12890415)
"""Smallest and largest slope of the exact GELU; those of its approximation by tanh differ by at most 0.0001."""
GELU_TANH = (-0.129, 1.129)
SILU = (-0.09983933, 1.09983933)
MISH = (-0.1126, 1.0885)
_SIXTH = float(torch.tensor(1 / 6)) * (1 + 2 * UNIT_ROUNDOFF)  # torch's gradient uses 1/6 in float32, which is larger
_SLACK = 1e-12  # far more than the rounding of a computed slope
_ENDS = 1e-10
"""Margin for slopes computed by formulas that cancel far from 0."""


def two_pieces(left: float | Tensor, right: float | Tensor) -> Within:
    """Slopes of a function with one slope on the left of 0 and another on the right."""

    def within(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        below, above = torch.as_tensor(left, dtype=low.dtype), torch.as_tensor(right, dtype=low.dtype)
        smaller, larger = torch.minimum(below, above), torch.maximum(below, above)
        return (
            torch.where(low > 0, above, torch.where(high < 0, below, smaller)),
            torch.where(low > 0, above, torch.where(high < 0, below, larger)),
        )

    return within


def plateaus(bottom: float, top: float, slope: float) -> Within:
    """Slopes of a function that is constant outside an interval."""

    def within(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        rises = torch.full_like(low, slope)
        none = torch.zeros_like(low)
        inside, outside = (low > bottom) & (high < top), (high < bottom) | (low > top)
        return torch.where(inside, rises, none), torch.where(outside, none, rises)

    return within


def bell(slope: Callable[[Tensor], Tensor]) -> Within:
    """Slopes that decrease with the distance from 0."""

    def within(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        near = torch.where((low <= 0) & (high >= 0), torch.zeros_like(low), torch.minimum(low.abs(), high.abs()))
        far = torch.maximum(low.abs(), high.abs())
        return (slope(far) - _SLACK).clamp(min=0), slope(near) + _SLACK

    return within


def rising(slope: Callable[[Tensor], Tensor]) -> Within:
    """Slopes that increase with the input, as those of a convex function."""

    def within(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return (slope(low) - _SLACK).clamp(min=0), slope(high) + _SLACK

    return within


def humps(slope: Callable[[Tensor], Tensor], at: float, extremes: tuple[float, float]) -> Within:
    """Slopes with their minimum at ``-at`` and their maximum at ``at``, monotone elsewhere."""

    def within(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        ends = slope(low), slope(high)
        least, most = torch.minimum(*ends) - _ENDS, torch.maximum(*ends) + _ENDS
        margin = 1e-6  # the position of an extreme is known to fewer digits than its value
        falls = (low <= margin - at) & (high >= -at - margin)
        peaks = (low <= at + margin) & (high >= at - margin)
        return (
            torch.where(falls, torch.full_like(low, extremes[0]), least),
            torch.where(peaks, torch.full_like(low, extremes[1]), most),
        )

    return within


def _gelu_slope(x: Tensor) -> Tensor:
    return torch.special.ndtr(x) + x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _silu_slope(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


TANH_WITHIN = bell(lambda x: 1 - torch.tanh(x).square())
SIGMOID_WITHIN = bell(lambda x: torch.sigmoid(x) * torch.sigmoid(-x))
GELU_WITHIN = humps(_gelu_slope, math.sqrt(2), GELU)
SILU_WITHIN = humps(_silu_slope, 2.3993572805, SILU)

SLOPES: Mapping[str, tuple[float, float, Within | None]] = {
    "relu": (0.0, 1.0, two_pieces(0.0, 1.0)),
    "abs": (-1.0, 1.0, two_pieces(-1.0, 1.0)),
    "tanh": (0.0, 1.0, TANH_WITHIN),
    "sigmoid": (0.0, 0.25, SIGMOID_WITHIN),
    "silu": (*SILU, SILU_WITHIN),
    "mish": (*MISH, None),
    "hardsigmoid": (0.0, _SIXTH, None),
    "hardswish": (-0.5, 1.5, None),
    "sin": (-1.0, 1.0, None),
    "cos": (-1.0, 1.0, None),
    "atan": (0.0, 1.0, None),
    "asinh": (0.0, 1.0, None),
    "erf": (0.0, 1.1283791671, None),
    "softshrink": (0.0, 1.0, None),
    "log_sigmoid_forward": (0.0, 1.0, None),
}
"""Smallest slope, largest slope, and slopes within intervals, of activations without a parameter that affects these."""
