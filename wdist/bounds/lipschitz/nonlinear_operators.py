"""ATen operators that act on each entry, or have a known Lipschitz constant."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from wdist.bounds.lipschitz.activations import GELU, GELU_TANH, GELU_WITHIN, SMOOTH, Within, plateaus, rising, two_pieces
from wdist.bounds.lipschitz.graph_reading import UNUSED, Reading, Signal, handles, option
from wdist.bounds.lipschitz.linear_operators import broadcast, per_axis, spatial_axes, windows
from wdist.bounds.lipschitz.network import Node
from wdist.bounds.lipschitz.operators import Bounded, Elementwise
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF

aten = torch.ops.aten


def elementwise(
    reading: Reading,
    x: Signal,
    name: str,
    function: Callable[[Tensor], Tensor],
    low: Any,
    high: Any,
    within: Within | None = None,
) -> Any:
    """Adds a function of each entry with slopes between two numbers, or tensors that broadcast to the shape."""
    slopes = [torch.as_tensor(slope, dtype=torch.float64) for slope in (low, high)]
    return reading.apply(
        Elementwise(name=name, shape=x.shape, function=function, low=slopes[0], high=slopes[1], within=within), x, x.shape
    )


@handles("relu")
def _relu(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    return elementwise(reading, args[0], "relu", torch.relu, 0.0, 1.0, two_pieces(0.0, 1.0))


@handles("abs")
def _absolute(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    return elementwise(reading, args[0], "abs", torch.abs, -1.0, 1.0, two_pieces(-1.0, 1.0))


@handles("leaky_relu")
def _leaky(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    slope = float(option(args, kwargs, 1, "negative_slope", 0.01))
    function = lambda h: nn.functional.leaky_relu(h, slope)  # noqa: E731
    return elementwise(
        reading, args[0], f"leaky relu {slope:g}", function, min(slope, 1.0), max(slope, 1.0), two_pieces(slope, 1.0)
    )


@handles("_prelu_kernel", "prelu")
def _prelu(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, weight = args
    if isinstance(weight, Signal):
        raise reading.refused("prelu")
    slope = weight.double()
    if slope.ndim == 1 and len(x.shape) > 1:
        slope = slope.reshape(1, -1, *[1] * (len(x.shape) - 2))
    one = torch.ones_like(slope)
    function = lambda h: torch.where(h > 0, h, slope * h)  # noqa: E731
    low, high = torch.minimum(slope, one), torch.maximum(slope, one)
    return elementwise(reading, x, "prelu", function, low, high, two_pieces(slope, 1.0))


@handles("elu")
def _elu(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    alpha, scale, inner = (float(option(args, kwargs, i, name, 1.0)) for i, name in enumerate(("alpha", "scale", "input_scale"), 1))
    if min(alpha, scale, inner) < 0:
        raise reading.refused("elu", " with negative constants")
    steepest = max(scale, alpha * scale * inner * (1.0 if scale == inner == 1 else 1 + 4 * UNIT_ROUNDOFF))
    # The slopes rise, if that on the left of 0 is no larger than that on the right.
    left = scale * alpha * inner
    within = rising(lambda h: torch.where(h < 0, left * torch.exp(inner * h.clamp(max=0)), scale)) if left <= scale else None
    return elementwise(reading, args[0], "elu", lambda h: aten.elu(h, alpha, scale, inner), 0.0, steepest, within)


@handles("gelu")
def _gelu(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    approximate = option(args, kwargs, 1, "approximate", "none")
    low, high = GELU if approximate == "none" else GELU_TANH
    within = GELU_WITHIN if approximate == "none" else None
    return elementwise(reading, args[0], "gelu", lambda h: nn.functional.gelu(h, approximate=approximate), low, high, within)


@handles("softplus")
def _softplus(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    beta, threshold = (float(option(args, kwargs, i, name, usual)) for i, name, usual in ((1, "beta", 1.0), (2, "threshold", 20.0)))
    if threshold < 20:  # from there on torch returns its input, 2e-9 below the exact value
        raise reading.refused("softplus", " with a jump")
    function = lambda h: nn.functional.softplus(h, beta, threshold)  # noqa: E731
    within = rising(lambda h: torch.where(beta * h > threshold, 1.0, torch.sigmoid(beta * h)))
    return elementwise(reading, args[0], "softplus", function, 0.0, 1.0, within)


@handles("hardtanh", "relu6", "clamp", "clamp_min", "clamp_max")
def _clamped(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    name = target._schema.name.removeprefix("aten::").rstrip("_")
    low, high = {
        "hardtanh": (option(args, kwargs, 1, "min_val", -1.0), option(args, kwargs, 2, "max_val", 1.0)),
        "relu6": (0.0, 6.0),
        "clamp_min": (option(args, kwargs, 1, "min"), None),
        "clamp_max": (None, option(args, kwargs, 1, "max")),
    }.get(name, (option(args, kwargs, 1, "min"), option(args, kwargs, 2, "max")))
    if any(isinstance(each, Signal | Tensor) for each in (low, high)):
        raise reading.refused(name, " with limits that are tensors")
    bottom, top = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    if bottom > top:
        raise reading.refused(name, " with crossed limits")
    return elementwise(reading, args[0], name, lambda h: h.clamp(bottom, top), 0.0, 1.0, plateaus(bottom, top, 1.0))


@handles("threshold")
def _threshold(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, limit, value = args[:3]
    if limit != value:
        raise reading.refused("threshold", " with a jump")
    return elementwise(
        reading, x, "threshold", lambda h: h.clamp(min=float(limit)), 0.0, 1.0, plateaus(float(limit), math.inf, 1.0)
    )


@handles("hardsigmoid")
def _hardsigmoid(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    sixth = math.nextafter(1 / 6, 1)
    return elementwise(reading, args[0], "hardsigmoid", nn.functional.hardsigmoid, 0.0, sixth)


@handles(*SMOOTH)
def _smooth(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    name = target._schema.name.removeprefix("aten::").rstrip("_")
    low, high, within = SMOOTH[name]
    function = nn.functional.logsigmoid if name == "log_sigmoid_forward" else lambda h: target(h, *args[1:], **kwargs)
    found = elementwise(reading, args[0], name.removesuffix("_forward"), function, low, high, within)
    return [found, UNUSED] if name == "log_sigmoid_forward" else found


@handles("sort")
def _sorted(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, rest = args[0], args[1:]
    function = lambda h: target(h, *rest, **kwargs)[0]  # noqa: E731
    bounded = Bounded(name=f"sort of {x.shape[-1]}", function=function, euclidean=1.0, maximum=1.0, reason="permutation")
    return [reading.apply(bounded, x, x.shape), UNUSED]


@handles("amax", "amin", "max", "min")
def _largest(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, rest = args[0], args[1:]
    if rest and isinstance(rest[0], Signal):
        return _extremum(reading, args, kwargs, shapes, target)
    pair = isinstance(shapes, list)
    shape = shapes[0] if pair else shapes
    if not shape or shape[0] != 1:
        raise reading.refused("max", " over the samples of a batch")
    function = (lambda h: target(h, *rest, **kwargs)[0]) if pair else (lambda h: target(h, *rest, **kwargs))
    bounded = Bounded(name="maximum", function=function, euclidean=1.0, maximum=1.0, reason="largest of a group")
    found = reading.apply(bounded, x, shape)
    if pair and x.shape[rest[0]] == 2 and len(shape) == len(x.shape):
        reading.extremes[found.position] = f"{target._schema.name.removeprefix('aten::')}:{rest[0]}"
    return [found, UNUSED] if pair else found


@handles("maximum", "minimum")
def _extremum(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    a, b = args[:2]
    name = target._schema.name.removeprefix("aten::")
    if isinstance(a, Signal) and isinstance(b, Signal):
        parts = [broadcast(reading, each, shapes) for each in (a, b)]
        found = reading.add(Node(shape=shapes, inputs=tuple(each.position for each in parts), joined="extremum"))
        reading.extremes[found.position] = name[:3]
        return found
    x, constant = (a, b) if isinstance(a, Signal) else (b, a)
    x = broadcast(reading, x, shapes)
    return elementwise(reading, x, name, lambda h: target(h, constant), 0.0, 1.0)


@handles("max_pool2d_with_indices", "max_pool3d_with_indices", "max_pool1d_with_indices", "max_pool2d", "adaptive_max_pool2d")
def _max_pooled(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, pair = args[0], isinstance(shapes, list)
    shape = shapes[0] if pair else shapes
    if "adaptive" in target._schema.name:
        windows(reading, x, shape, target)
        overlap = 1
    else:
        sizes = (args[1], option(args, kwargs, 2, "stride") or args[1], option(args, kwargs, 4, "dilation", [1]))
        kernel, stride, dilation = (per_axis(each, spatial_axes(target)) for each in sizes)
        # An entry lies in at most this many windows.
        overlap = math.prod(min(k, -(-(1 + (k - 1) * d) // s)) for k, s, d in zip(kernel, stride, dilation, strict=True))
    function = (lambda h: target(h, *args[1:], **kwargs)[0]) if pair else (lambda h: target(h, *args[1:], **kwargs))
    euclidean = 1.0 if overlap == 1 else math.nextafter(math.sqrt(overlap), math.inf)
    reason = "largest of a window" if overlap == 1 else f"{overlap} windows share an entry"
    bounded = Bounded(name="max pool", function=function, euclidean=euclidean, maximum=1.0, reason=reason)
    found = reading.apply(bounded, x, shape)
    return [found, UNUSED] if pair else found


@handles("_softmax", "softmax")
def _softmax(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    """Its Jacobian diag(p) - p p^T has row sums 2 p (1 - p) <= 1/2, and no larger norm."""
    bounded = Bounded(
        name="softmax", function=lambda h: torch.softmax(h, args[1]), euclidean=0.5, maximum=0.5, reason="rows sum to at most 1/2"
    )
    return reading.apply(bounded, args[0], shapes)


@handles("_log_softmax", "log_softmax")
def _log_softmax(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    """Its Jacobian I - 1 p^T is a projection, of norm sqrt(n) ||p|| <= sqrt(n); its rows have sums of at most 2."""
    classes = args[0].shape[args[1]]
    root = 1.0 if classes == 1 else math.nextafter(math.sqrt(classes), math.inf)
    bounded = Bounded(
        name="log softmax", function=lambda h: torch.log_softmax(h, args[1]), euclidean=root, maximum=2.0, reason="a projection"
    )
    return reading.apply(bounded, args[0], shapes)
