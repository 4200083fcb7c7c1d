"""Readers of ATen operators that act on each entry or have a known Lipschitz constant."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from wdist.bounds.lipschitz.activations import GELU, GELU_TANH, GELU_WITHIN, SLOPES, Within, plateaus, rising, two_pieces
from wdist.bounds.lipschitz.graph_reading import UNUSED, Call, Signal, handles
from wdist.bounds.lipschitz.linear_operators import broadcast, per_axis, spatial_axes, windows
from wdist.bounds.lipschitz.network import Node
from wdist.bounds.lipschitz.operators import Bounded, Elementwise
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF

aten = torch.ops.aten


def elementwise(
    call: Call,
    name: str,
    function: Callable[[Tensor], Tensor],
    low: Any,
    high: Any,
    within: Within | None = None,
    *,
    x: Signal | None = None,
) -> Signal:
    """Adds a function of each entry of ``x``, by default the first argument; its slopes lie between ``low`` and ``high``, numbers
    or tensors that broadcast to the shape."""
    x = call.args[0] if x is None else x
    slopes = [torch.as_tensor(slope, dtype=torch.float64) for slope in (low, high)]
    operation = Elementwise(name=name, shape=x.shape, function=function, low=slopes[0], high=slopes[1], within=within)
    return call.reading.apply(operation, x, x.shape)


@handles(*SLOPES)
def _without_parameters(call: Call) -> Any:
    name = call.name.rstrip("_")
    low, high, within = SLOPES[name]
    function = nn.functional.logsigmoid if name == "log_sigmoid_forward" else call.of
    found = elementwise(call, name.removesuffix("_forward"), function, low, high, within)
    return [found, UNUSED] if name == "log_sigmoid_forward" else found


@handles("leaky_relu")
def _leaky(call: Call) -> Any:
    slope = float(call.option(1, "negative_slope", 0.01))
    function = lambda h: nn.functional.leaky_relu(h, slope)  # noqa: E731
    return elementwise(call, f"leaky relu {slope:g}", function, min(slope, 1.0), max(slope, 1.0), two_pieces(slope, 1.0))


@handles("_prelu_kernel", "prelu")
def _prelu(call: Call) -> Any:
    x, weight = call.args
    if isinstance(weight, Signal):
        raise call.reading.refused("prelu")
    slope = weight.double()
    if slope.ndim == 1 and len(x.shape) > 1:
        slope = slope.reshape(1, -1, *[1] * (len(x.shape) - 2))
    one = torch.ones_like(slope)
    function = lambda h: torch.where(h > 0, h, slope * h)  # noqa: E731
    low, high = torch.minimum(slope, one), torch.maximum(slope, one)
    return elementwise(call, "prelu", function, low, high, two_pieces(slope, 1.0))


@handles("elu")
def _elu(call: Call) -> Any:
    alpha, scale, inner = (float(call.option(i, name, 1.0)) for i, name in enumerate(("alpha", "scale", "input_scale"), 1))
    if min(alpha, scale, inner) < 0:
        raise call.reading.refused("elu", " with negative constants")
    steepest = max(scale, alpha * scale * inner * (1.0 if scale == inner == 1 else 1 + 4 * UNIT_ROUNDOFF))
    # Slopes increase if the one just left of 0 is no larger than the one on the right.
    left = scale * alpha * inner
    within = rising(lambda h: torch.where(h < 0, left * torch.exp(inner * h.clamp(max=0)), scale)) if left <= scale else None
    return elementwise(call, "elu", lambda h: aten.elu(h, alpha, scale, inner), 0.0, steepest, within)


@handles("celu")
def _celu(call: Call) -> Any:
    alpha = float(call.option(1, "alpha", 1.0))
    if alpha <= 0:
        raise call.reading.refused("celu", " with a constant that is not positive")
    # No slopes within intervals, because torch's gradient computes 1 / alpha in float32.
    return elementwise(call, "celu", lambda h: nn.functional.celu(h, alpha), 0.0, 1.0)


@handles("gelu")
def _gelu(call: Call) -> Any:
    approximate = call.option(1, "approximate", "none")
    low, high = GELU if approximate == "none" else GELU_TANH
    within = GELU_WITHIN if approximate == "none" else None
    return elementwise(call, "gelu", lambda h: nn.functional.gelu(h, approximate=approximate), low, high, within)


@handles("softplus")
def _softplus(call: Call) -> Any:
    beta, threshold = (float(call.option(i, name, usual)) for i, name, usual in ((1, "beta", 1.0), (2, "threshold", 20.0)))
    if threshold < 20:  # above the threshold torch returns the input, at 20 already 2e-9 below the exact value
        raise call.reading.refused("softplus", " with a jump")
    if beta <= 0:
        raise call.reading.refused("softplus", " with a constant that is not positive")
    function = lambda h: nn.functional.softplus(h, beta, threshold)  # noqa: E731
    within = rising(lambda h: torch.where(beta * h > threshold, 1.0, torch.sigmoid(beta * h)))
    return elementwise(call, "softplus", function, 0.0, 1.0, within)


@handles("hardtanh", "relu6", "clamp", "clamp_min", "clamp_max")
def _clamped(call: Call) -> Any:
    name = call.name.rstrip("_")
    low, high = {
        "hardtanh": (call.option(1, "min_val", -1.0), call.option(2, "max_val", 1.0)),
        "relu6": (0.0, 6.0),
        "clamp_min": (call.option(1, "min"), None),
        "clamp_max": (None, call.option(1, "max")),
    }.get(name, (call.option(1, "min"), call.option(2, "max")))
    if any(isinstance(each, Signal | Tensor) for each in (low, high)):
        raise call.reading.refused(name, " with limits that are tensors")
    bottom, top = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    if bottom > top:
        raise call.reading.refused(name, " with crossed limits")
    return elementwise(call, name, lambda h: h.clamp(bottom, top), 0.0, 1.0, plateaus(bottom, top, 1.0))


@handles("threshold")
def _threshold(call: Call) -> Any:
    limit = float(call.args[1])
    if limit != call.args[2]:
        raise call.reading.refused("threshold", " with a jump")
    return elementwise(call, "threshold", lambda h: h.clamp(min=limit), 0.0, 1.0, plateaus(limit, math.inf, 1.0))


@handles("sort")
def _sorted(call: Call) -> Any:
    x, name = call.args[0], f"sort of {call.args[0].shape[-1]}"
    bounded = Bounded(name=name, function=lambda h: call.of(h)[0], euclidean=1.0, maximum=1.0, reason="permutation")
    return [call.reading.apply(bounded, x, x.shape), UNUSED]


@handles("amax", "amin", "max", "min")
def _largest(call: Call) -> Any:
    x, rest = call.args[0], call.args[1:]
    if rest and isinstance(rest[0], Signal):
        return _extremum(call)
    pair = isinstance(call.shape, list)
    shape = call.shape[0] if pair else call.shape
    if not shape or shape[0] != 1:
        raise call.reading.refused("max", " over the samples of a batch")
    function = (lambda h: call.of(h)[0]) if pair else call.of
    bounded = Bounded(name="maximum", function=function, euclidean=1.0, maximum=1.0, reason="largest of a group")
    found = call.reading.apply(bounded, x, shape)
    if pair and x.shape[rest[0]] == 2 and len(shape) == len(x.shape):
        call.reading.extremes[found.position] = f"{call.name}:{rest[0]}"
    return [found, UNUSED] if pair else found


@handles("maximum", "minimum")
def _extremum(call: Call) -> Any:
    a, b = call.args[:2]
    if isinstance(a, Signal) and isinstance(b, Signal):
        inputs = tuple(broadcast(call, each).position for each in (a, b))
        found = call.reading.add(Node(shape=call.shape, inputs=inputs, joined="extremum"))
        call.reading.extremes[found.position] = call.name[:3]
        return found
    x, constant = (a, b) if isinstance(a, Signal) else (b, a)
    return elementwise(call, call.name, lambda h: call.target(h, constant), 0.0, 1.0, x=broadcast(call, x))


@handles("max_pool2d_with_indices", "max_pool3d_with_indices", "max_pool1d_with_indices", "max_pool2d", "adaptive_max_pool2d")
def _max_pooled(call: Call) -> Any:
    pair = isinstance(call.shape, list)
    shape = call.shape[0] if pair else call.shape
    if "adaptive" in call.name:
        windows(call, shape)
        overlap = 1
    else:
        sizes = (call.args[1], call.option(2, "stride") or call.args[1], call.option(4, "dilation", [1]))
        kernel, stride, dilation = (per_axis(each, spatial_axes(call)) for each in sizes)
        # An entry lies in at most this many windows.
        overlap = math.prod(min(k, -(-(1 + (k - 1) * d) // s)) for k, s, d in zip(kernel, stride, dilation, strict=True))
    function = (lambda h: call.of(h)[0]) if pair else call.of
    euclidean = 1.0 if overlap == 1 else math.nextafter(math.sqrt(overlap), math.inf)
    reason = "largest of a window" if overlap == 1 else f"{overlap} windows share an entry"
    bounded = Bounded(name="max pool", function=function, euclidean=euclidean, maximum=1.0, reason=reason)
    found = call.reading.apply(bounded, call.args[0], shape)
    return [found, UNUSED] if pair else found


@handles("_softmax", "softmax")
def _softmax(call: Call) -> Any:
    """The Jacobian diag(p) - p p^T has absolute row sums 2 p (1 - p) <= 1/2; it is symmetric, so its l2 norm is no larger."""
    function, reason = lambda h: torch.softmax(h, call.args[1]), "rows sum to at most 1/2"
    return call.apply(Bounded(name="softmax", function=function, euclidean=0.5, maximum=0.5, reason=reason))


@handles("_log_softmax", "log_softmax")
def _log_softmax(call: Call) -> Any:
    """The Jacobian I - 1 p^T is a projection of norm sqrt(n) ||p|| <= sqrt(n); its absolute row sums are at most 2."""
    x, axis = call.args[:2]
    root = 1.0 if x.shape[axis] == 1 else math.nextafter(math.sqrt(x.shape[axis]), math.inf)
    function = lambda h: torch.log_softmax(h, axis)  # noqa: E731
    return call.apply(Bounded(name="log softmax", function=function, euclidean=root, maximum=2.0, reason="a projection"))
