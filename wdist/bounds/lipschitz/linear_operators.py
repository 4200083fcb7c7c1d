"""ATen operators that are linear maps, or join several values."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from wdist.bounds.lipschitz.graph_reading import UNUSED, Reading, Signal, handles, moved, option
from wdist.bounds.lipschitz.network import Node, dense
from wdist.bounds.lipschitz.operators import Bounded, LinearMap, Shape
from wdist.errors import SourceError
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.linalg.norms import to_maximum_norm_bound
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF
from wdist.lipschitz.linalg.transfer import convolution_norm_bound

aten = torch.ops.aten


@handles(
    "view",
    "_unsafe_view",
    "reshape",
    "permute",
    "transpose",
    "t",
    "unsqueeze",
    "squeeze",
    "flatten",
    "slice",
    "select",
    "flip",
    "roll",
    "pixel_shuffle",
    "pixel_unshuffle",
    "channel_shuffle",
)
def _moves(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, *rest = args
    if not isinstance(x, Signal) or any(isinstance(each, torch.dtype) for each in rest):  # view of another type
        raise reading.refused(str(target))
    name = target._schema.name.removeprefix("aten::").removesuffix("_copy").strip("_")
    return reading.apply(moved(name, x.shape, lambda h: target(h, *rest, **kwargs), shapes), x, shapes)


@handles("clone", "alias", "detach", "contiguous", "lift_fresh", "lift", "positive", "_to_copy")
def _same(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    dtype = kwargs.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise reading.refused("to", " whole numbers")
    return args[0]


@handles("_assert_tensor_metadata")
def _asserted(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    return None


@handles("constant_pad_nd")
def _padded(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, widths, *value = args
    moving = moved("pad", x.shape, lambda h: aten.constant_pad_nd(h, widths, 0.0), shapes)
    if not value or value[0] == 0:
        return reading.apply(moving, x, shapes)
    frame = aten.constant_pad_nd(torch.zeros(x.shape, dtype=torch.float64), widths, float(value[0]))
    return reading.apply(replace(moving, bias=frame), x, shapes)


@handles("split", "split_with_sizes", "unbind", "chunk", "unsafe_split", "unsafe_chunk")
def _split(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, *rest = args

    def part(i: int) -> Callable[[Tensor], Tensor]:
        return lambda h: target(h, *rest, **kwargs)[i]

    parts = [reading.apply(moved("split", x.shape, part(i), shape), x, shape) for i, shape in enumerate(shapes)]
    reading.splits.append([each.position for each in parts])
    return parts


@handles("mm", "matmul", "addmm", "linear")
def _matrix_product(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    name = target._schema.name.removeprefix("aten::")
    if name == "addmm":
        bias, x, weight = args[:3]
        beta, alpha = kwargs.get("beta", 1), kwargs.get("alpha", 1)
        if (beta, alpha) != (1, 1) or isinstance(bias, Signal):
            raise reading.refused(name)
    elif name == "linear":
        x, weight, bias = args[0], args[1].T, option(args, kwargs, 2, "bias")
    else:
        (x, weight), bias = args[:2], None
    if not isinstance(x, Signal) or isinstance(weight, Signal) or weight.ndim != 2:
        raise reading.refused(name, " of two values that depend on the input" if isinstance(weight, Signal) else "")
    return reading.apply(dense(weight.T, bias, x.shape), x, shapes)


@handles("convolution", "_convolution")
def _convolved(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, weight, bias, stride, padding, dilation, transposed, more, groups = args[:9]
    if not isinstance(x, Signal) or isinstance(weight, Signal):
        raise reading.refused("convolution", " with a kernel that depends on the input")
    axes = weight.ndim - 2
    stride, padding, dilation, more = (per_axis(each, axes) for each in (stride, padding, dilation, more))
    weight = weight.double()

    def applied(kernel: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda h: aten.convolution(h, kernel, None, stride, padding, dilation, transposed, more, groups)

    # A transposed convolution is the adjoint of one whose kernel has its axes of channels exchanged.
    spread = _dilated(weight, dilation)

    def norms(metric: GroundMetric) -> tuple[float, str]:
        if metric == L2:
            return convolution_norm_bound(spread, stride=stride, groups=groups), "transfer function, float64"
        rows = _transposed_rows(spread, stride, groups) if transposed else to_maximum_norm_bound(weight.flatten(1), math.inf)
        return rows, "rows, float64"

    sizes = "x".join(map(str, weight.shape[2:]))
    operation = LinearMap(
        name=f"convolution {weight.shape[0]}x{weight.shape[1]}, {sizes}",
        inputs=x.shape,
        outputs=shapes,
        function=applied(weight),
        absolute=applied(weight.abs()),
        norms=norms,
        bias=None if bias is None else bias.double().reshape(1, -1, *[1] * axes),
        terms=weight[0].numel() * (weight.shape[0] if transposed else 1) + 1,
    )
    return reading.apply(operation, x, shapes)


def per_axis(sizes: Sequence[int], axes: int) -> list[int]:
    """A size for each axis, where one may stand for all."""
    return list(sizes) * axes if len(sizes) == 1 else list(sizes)


def _dilated(kernel: Tensor, dilation: Sequence[int]) -> Tensor:
    """The kernel with its taps apart and zeros between them."""
    if all(step == 1 for step in dilation):
        return kernel
    sizes = [1 + step * (size - 1) for size, step in zip(kernel.shape[2:], dilation, strict=True)]
    spread = kernel.new_zeros(*kernel.shape[:2], *sizes)
    spread[(slice(None), slice(None), *(slice(None, None, step) for step in dilation))] = kernel
    return spread


def _transposed_rows(kernel: Tensor, stride: Sequence[int], groups: int) -> float:
    """The largest sum of magnitudes that one output of a transposed convolution receives: taps of one phase from all inputs.

    The kernel has its dilation written out, as taps of different phases may meet in one output otherwise.
    """
    offsets = product(*(range(step) for step in stride))
    phases = [
        part[(slice(None), slice(None), *(slice(first, None, step) for first, step in zip(offset, stride, strict=True)))]
        for offset in offsets
        for part in kernel.chunk(groups, 0)
    ]
    return max(to_maximum_norm_bound(each.transpose(0, 1).flatten(1), math.inf) for each in phases if each.numel())


@handles("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "_batch_norm_no_update")
def _normalised(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, weight, bias, mean, variance = args[:5]
    name = target._schema.name
    training = args[5] if name == "aten::native_batch_norm" else False
    if training or mean is None or variance is None:
        raise reading.refused("batch_norm", " without running statistics, which mixes the samples of a batch")
    epsilon = args[7] if name in ("aten::native_batch_norm", "aten::cudnn_batch_norm") else args[6]
    scale = (1.0 if weight is None else weight.double()) / (variance.double() + epsilon).sqrt()
    at_zero, added = -mean.double() * scale, torch.zeros_like(scale) if bias is None else bias.double()
    shape, relative = (1, -1, *[1] * (len(x.shape) - 2)), 8 * UNIT_ROUNDOFF
    operation = replace(
        _scaled(f"batch norm {len(mean)}", x.shape, scale.reshape(shape), relative=relative),
        bias=(at_zero + added).reshape(shape),
        bias_error=relative * (at_zero.abs() + added.abs()).reshape(shape),  # they may cancel
    )
    return [reading.apply(operation, x, x.shape), UNUSED, UNUSED]


def _scaled(name: str, shape: Shape, factors: Tensor, *, relative: float = 0.0) -> LinearMap:
    """Entries multiplied by constants that broadcast to the shape."""
    factors = factors.double()
    if not bool(torch.isfinite(factors).all()):
        raise SourceError(f"a {name} has factors that are not finite; check the network")
    largest = float(factors.abs().max()) * (1 + 2 * relative)
    return LinearMap(
        name=name,
        inputs=shape,
        outputs=shape,
        function=lambda h: h * factors,
        absolute=lambda h: h * factors.abs(),
        norms=lambda metric: (math.nextafter(largest, math.inf) if relative else largest, "largest factor"),
        relative=relative,
    )


@handles("add", "sub", "rsub")
def _added(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    a, b = args[:2]
    alpha = float(option(args, kwargs, 2, "alpha", 1))
    name = target._schema.name.removeprefix("aten::")
    if name == "rsub":
        a, b = b, a
    sign = alpha if name == "add" else -alpha
    if isinstance(a, Signal) and isinstance(b, Signal):
        second = b if sign == 1 else reading.apply(_scaled("factor", b.shape, torch.tensor(sign)), b, b.shape)
        parts = [broadcast(reading, each, shapes) for each in (a, second)]
        return reading.add(Node(shape=shapes, inputs=tuple(each.position for each in parts), joined="sum"))
    if isinstance(a, Signal):
        whole = broadcast(reading, a, shapes)
        constant = sign * torch.as_tensor(b, dtype=torch.float64)
        return reading.apply(replace(moved("shift", shapes), bias=constant), whole, shapes)
    scaled = b if sign == 1 else reading.apply(_scaled("factor", b.shape, torch.tensor(sign)), b, b.shape)
    whole = broadcast(reading, scaled, shapes)
    return reading.apply(replace(moved("shift", shapes), bias=torch.as_tensor(a, dtype=torch.float64)), whole, shapes)


def broadcast(reading: Reading, x: Signal, shape: Shape) -> Signal:
    """A value repeated to a shape."""
    if x.shape == shape:
        return x
    return reading.apply(_repeated("expand", x.shape, shape, lambda h: h.expand(shape).clone()), x, shape)


def _repeated(name: str, shape: Shape, outputs: Shape, function: Callable[[Tensor], Tensor]) -> LinearMap:
    times = math.prod(outputs) / math.prod(shape)
    return LinearMap(
        name=name,
        inputs=shape,
        outputs=outputs,
        function=function,
        absolute=function,
        norms=lambda metric: (math.nextafter(math.sqrt(times), math.inf) if metric == L2 else 1.0, "repeats entries"),
    )


@handles("expand")
def _expanded(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    return broadcast(reading, args[0], shapes)


@handles("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")
def _upsampled(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, rest = args[0], args[1:]
    if any(n % m for n, m in zip(shapes[2:], x.shape[2:], strict=True)):
        raise reading.refused("upsample", " by a factor that is not whole")
    return reading.apply(_repeated("upsample", x.shape, shapes, lambda h: target(h, *rest, **kwargs)), x, shapes)


@handles("mul", "div", "neg")
def _multiplied(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    name = target._schema.name.removeprefix("aten::")
    x, factor = (args[0], -1.0) if name == "neg" else args[:2]
    if name == "mul" and not isinstance(x, Signal):
        x, factor = factor, x
    if isinstance(factor, Signal) or not isinstance(x, Signal) or kwargs.get("rounding_mode") is not None:
        raise reading.refused(name, " of two values that depend on the input")
    factors = torch.as_tensor(factor, dtype=torch.float64)
    relative = 0.0
    if name == "div":
        factors, relative = 1 / factors, 2 * UNIT_ROUNDOFF
    x = broadcast(reading, x, shapes)
    return reading.apply(_scaled("factor", x.shape, factors, relative=relative), x, shapes)


@handles("mean", "sum")
def _reduced(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, rest = args[0], args[1:]
    kept = {key: value for key, value in kwargs.items() if key != "dtype"}
    count = math.prod(x.shape) // math.prod(shapes) if math.prod(shapes) else 1
    name = target._schema.name.removeprefix("aten::")
    if len(shapes) == 0 or shapes[0] != 1:
        raise reading.refused(name, " over the samples of a batch")
    share = 1.0 if name == "sum" else 1 / count
    return reading.apply(
        LinearMap(
            name=f"{name} of {count}",
            inputs=x.shape,
            outputs=shapes,
            function=lambda h: target(h, *rest, **kept),
            absolute=lambda h: target(h, *rest, **kept),
            norms=lambda metric: (
                math.sqrt(count) * share * (1 + 1e-15) if metric == L2 else count * share * (1 + 1e-15),
                "equal weights",
            ),
            terms=count,
            relative=2 * UNIT_ROUNDOFF,
        ),
        x,
        shapes,
    )


@handles("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _average_pooled(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x, axes = args[0], spatial_axes(target)
    kernel = per_axis(args[1], axes)
    stride = per_axis(option(args, kwargs, 2, "stride") or kernel, axes)
    padding = option(args, kwargs, 3, "padding", [0])
    ceil, padded = option(args, kwargs, 4, "ceil_mode", False), option(args, kwargs, 5, "count_include_pad", True)
    divisor = option(args, kwargs, 6, "divisor_override")
    if ceil or divisor is not None or (any(padding) and not padded):
        raise reading.refused("avg_pool", " with windows of several sizes")
    return _averages(reading, x, shapes, kernel, stride, lambda h: target(h, *args[1:], **kwargs))


def spatial_axes(target: Any) -> int:
    """Axes that an operator such as ``aten.max_pool2d`` pools over, the last ones of its input."""
    return int(target._schema.name.partition("pool")[2][0])


def _averages(
    reading: Reading, x: Signal, shapes: Any, kernel: list[int], stride: list[int], function: Callable[[Tensor], Tensor]
) -> Any:
    count = math.prod(kernel)
    window = torch.full((1, 1, *kernel), 1 / count, dtype=torch.float64)
    operation = LinearMap(
        name=f"average pool {'x'.join(map(str, kernel))}",
        inputs=x.shape,
        outputs=shapes,
        function=function,
        absolute=function,
        norms=lambda metric: (
            (convolution_norm_bound(window, stride=stride) * (1 + 1e-15), "transfer function, float64")
            if metric == L2
            else (1.0 + 1e-15, "equal weights")
        ),
        terms=count,
        relative=2 * UNIT_ROUNDOFF,
    )
    return reading.apply(operation, x, shapes)


@handles("_adaptive_avg_pool2d", "adaptive_avg_pool2d", "adaptive_avg_pool1d", "_adaptive_avg_pool3d")
def _adaptively_pooled(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    x = args[0]
    kernel = windows(reading, x, shapes, target)
    return _averages(reading, x, shapes, kernel, kernel, lambda h: target(h, *args[1:]))


def windows(reading: Reading, x: Signal, outputs: Shape, target: Any) -> list[int]:
    """Sizes of the windows of adaptive pooling, which divide the input."""
    pairs = [(x.shape[axis], outputs[axis]) for axis in range(-spatial_axes(target), 0)]
    if any(size % count for size, count in pairs):
        raise reading.refused(target._schema.name.removeprefix("aten::").strip("_"), " with windows of several sizes")
    return [size // count for size, count in pairs]


@handles("cat", "stack")
def _stacked(reading: Reading, args: Any, kwargs: Any, shapes: Any, target: Any) -> Any:
    parts = list(args[0])
    signals = [part for part in parts if isinstance(part, Signal)]
    if len(signals) < len(parts):
        raise reading.refused("cat", " with a constant")
    if (whole := _permuted(reading, signals)) is not None:
        bounded = Bounded(name=f"sort of {len(signals)}", function=lambda h: h, euclidean=1.0, maximum=1.0, reason="permutation")
        return reading.apply(bounded, whole, shapes)
    axis = option(args, kwargs, 1, "dim", 0)
    join = (lambda h: torch.cat(h, axis)) if len(shapes) == len(signals[0].shape) else (lambda h: torch.stack(h, axis))
    return reading.add(Node(shape=shapes, inputs=tuple(each.position for each in signals), joined="stack", join=join))


def _permuted(reading: Reading, parts: list[Signal]) -> Signal | None:
    """The value that stacked parts are a permutation of: the slices of one value after exchanges of smaller and larger ones."""
    left = [part.position for part in parts]
    while True:
        pair = next(((i, j) for i in left for j in left if i < j and reading.exchanged(i, j)), None)
        if pair is None:
            break
        for position in pair:
            left.remove(position)
        left += reading.nodes[pair[0]].inputs
    if len(left) == 1 < len(parts):
        return Signal(reading, left[0], reading.nodes[left[0]].shape)
    return _split_origin(reading, left)


def _split_origin(reading: Reading, positions: list[int]) -> Signal | None:
    """The value that was split into exactly these parts, in any order."""
    origins = {reading.nodes[position].inputs for position in positions}
    if len(origins) != 1 or len(set(positions)) < len(positions) or len(positions) == 1:
        return None
    (origin,) = origins
    if len(origin) != 1 or sorted(positions) not in reading.splits:
        return None
    return Signal(reading, origin[0], reading.nodes[origin[0]].shape)
