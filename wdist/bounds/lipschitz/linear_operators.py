"""Readers of ATen operators that are linear maps or join several values."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from wdist.bounds.lipschitz.graph_reading import UNUSED, Call, Reading, Signal, handles, moved
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
def _moves(call: Call) -> Any:
    x, *rest = call.args
    if not isinstance(x, Signal) or any(isinstance(each, torch.dtype) for each in rest):  # view of another type
        raise call.reading.refused(str(call.target))
    # The entries of a view are those of a contiguous copy, which every tensor has.
    return call.apply(moved(call.name.removesuffix("_copy").strip("_"), x.shape, lambda h: call.of(h.contiguous()), call.shape))


@handles("clone", "alias", "detach", "contiguous", "lift_fresh", "lift", "positive", "_to_copy")
def _same(call: Call) -> Any:
    dtype = call.kwargs.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise call.reading.refused("to", " whole numbers")
    return call.args[0]


@handles("_assert_tensor_metadata")
def _asserted(call: Call) -> Any:
    return None


@handles("constant_pad_nd")
def _padded(call: Call) -> Any:
    x, widths, *value = call.args
    moving = moved("pad", x.shape, lambda h: aten.constant_pad_nd(h, widths, 0.0), call.shape)
    if not value or value[0] == 0:
        return call.apply(moving)
    frame = aten.constant_pad_nd(torch.zeros(x.shape, dtype=torch.float64), widths, float(value[0]))
    return call.apply(replace(moving, bias=frame))


@handles("split", "split_with_sizes", "unbind", "chunk", "unsafe_split", "unsafe_chunk")
def _split(call: Call) -> Any:
    x = call.args[0]

    def part(i: int) -> Callable[[Tensor], Tensor]:
        return lambda h: call.of(h)[i]

    parts = [call.reading.apply(moved("split", x.shape, part(i), shape), x, shape) for i, shape in enumerate(call.shape)]
    call.reading.splits.append([each.position for each in parts])
    return parts


@handles("mm", "matmul", "addmm", "linear")
def _matrix_product(call: Call) -> Any:
    if call.name == "addmm":
        bias, x, weight = call.args[:3]
        beta, alpha = call.kwargs.get("beta", 1), call.kwargs.get("alpha", 1)
        if (beta, alpha) != (1, 1) or isinstance(bias, Signal):
            raise call.reading.refused(call.name)
    elif call.name == "linear":
        x, weight, bias = call.args[0], call.args[1].T, call.option(2, "bias")
    else:
        (x, weight), bias = call.args[:2], None
    if not isinstance(x, Signal) or isinstance(weight, Signal) or weight.ndim != 2:
        raise call.reading.refused(call.name, " of two values that depend on the input" if isinstance(weight, Signal) else "")
    return call.apply(dense(weight.T, bias, x.shape), x)


@handles("convolution", "_convolution")
def _convolved(call: Call) -> Any:
    x, weight, bias, stride, padding, dilation, transposed, more, groups = call.args[:9]
    if not isinstance(x, Signal) or isinstance(weight, Signal):
        raise call.reading.refused("convolution", " with a kernel that depends on the input")
    axes = weight.ndim - 2
    stride, padding, dilation, more = (per_axis(each, axes) for each in (stride, padding, dilation, more))
    weight = weight.double()

    def applied(kernel: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda h: aten.convolution(h, kernel, None, stride, padding, dilation, transposed, more, groups)

    # A transposed convolution is the adjoint of a convolution whose kernel has its channel axes exchanged.
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
        outputs=call.shape,
        function=applied(weight),
        absolute=applied(weight.abs()),
        norms=norms,
        bias=None if bias is None else bias.double().reshape(1, -1, *[1] * axes),
        terms=weight[0].numel() * (weight.shape[0] if transposed else 1) + 1,
    )
    return call.apply(operation)


def per_axis(sizes: Sequence[int], axes: int) -> list[int]:
    """A size for each axis; a single one is repeated for all axes."""
    return list(sizes) * axes if len(sizes) == 1 else list(sizes)


def _dilated(kernel: Tensor, dilation: Sequence[int]) -> Tensor:
    """The kernel with zeros between its taps, as the dilation implies."""
    if all(step == 1 for step in dilation):
        return kernel
    sizes = [1 + step * (size - 1) for size, step in zip(kernel.shape[2:], dilation, strict=True)]
    spread = kernel.new_zeros(*kernel.shape[:2], *sizes)
    spread[(slice(None), slice(None), *(slice(None, None, step) for step in dilation))] = kernel
    return spread


def _transposed_rows(kernel: Tensor, stride: Sequence[int], groups: int) -> float:
    """The largest sum of magnitudes that one output of a transposed convolution receives: the taps of one phase from all inputs.

    The kernel must have its dilation written out, because otherwise taps of different phases may meet in one output.
    """
    offsets = product(*(range(step) for step in stride))
    phases = [
        part[(slice(None), slice(None), *(slice(first, None, step) for first, step in zip(offset, stride, strict=True)))]
        for offset in offsets
        for part in kernel.chunk(groups, 0)
    ]
    return max(to_maximum_norm_bound(each.transpose(0, 1).flatten(1), math.inf) for each in phases if each.numel())


@handles("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "_batch_norm_no_update")
def _normalised(call: Call) -> Any:
    x, weight, bias, mean, variance = call.args[:5]
    training = call.args[5] if call.name == "native_batch_norm" else False
    if training or mean is None or variance is None:
        raise call.reading.refused("batch_norm", " without running statistics, which mixes the samples of a batch")
    epsilon = call.args[7 if call.name in ("native_batch_norm", "cudnn_batch_norm") else 6]
    scale = (1.0 if weight is None else weight.double()) / (variance.double() + epsilon).sqrt()
    at_zero, added = -mean.double() * scale, torch.zeros_like(scale) if bias is None else bias.double()
    shape, relative = (1, -1, *[1] * (len(x.shape) - 2)), 8 * UNIT_ROUNDOFF
    operation = replace(
        _scaled(f"batch norm {len(mean)}", x.shape, scale.reshape(shape), relative=relative),
        bias=(at_zero + added).reshape(shape),
        bias_error=relative * (at_zero.abs() + added.abs()).reshape(shape),  # they may cancel
    )
    return [call.reading.apply(operation, x, x.shape), UNUSED, UNUSED]


def _scaled(name: str, shape: Shape, factors: Tensor, *, relative: float = 0.0) -> LinearMap:
    """A map that multiplies entries by constants, which broadcast to the shape."""
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
def _added(call: Call) -> Any:
    a, b = call.args[:2]
    if call.name == "rsub":
        a, b = b, a
    sign = float(call.option(2, "alpha", 1)) * (1 if call.name == "add" else -1)
    if isinstance(b, Signal) and sign != 1:
        b = call.reading.apply(_scaled("factor", b.shape, torch.tensor(sign)), b, b.shape)
    if isinstance(a, Signal) and isinstance(b, Signal):
        inputs = tuple(broadcast(call, each).position for each in (a, b))
        return call.reading.add(Node(shape=call.shape, inputs=inputs, joined="sum"))
    x, constant = (a, sign * torch.as_tensor(b, dtype=torch.float64)) if isinstance(a, Signal) else (b, a)
    shift = replace(moved("shift", call.shape), bias=torch.as_tensor(constant, dtype=torch.float64))
    return call.apply(shift, broadcast(call, x))


def broadcast(call: Call, x: Signal) -> Signal:
    """Repeats a value to the shape of the result."""
    if x.shape == call.shape:
        return x
    return call.apply(_repeated("expand", x.shape, call.shape, lambda h: h.expand(call.shape).clone()), x)


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
def _expanded(call: Call) -> Any:
    return broadcast(call, call.args[0])


@handles(
    *(f"{kind}_pad{axes}d" for kind in ("reflection", "replication") for axes in (1, 2, 3)),
    *(f"upsample_nearest{axes}d" for axes in (1, 2, 3)),
    "index",
    "index_select",
    "repeat",
)
def _copied(call: Call) -> Any:
    """Each output is a copy of an input, so A^T A is diagonal and counts the copies of each input."""
    if any(isinstance(each, Signal) for each in torch.utils._pytree.tree_leaves(call.args[1:])) or call.shape[0] != 1:
        raise call.reading.refused(call.name, " with arguments that depend on the input, or on the samples of a batch")
    with torch.enable_grad():
        x = torch.zeros(call.args[0].shape, dtype=torch.float64, requires_grad=True)
        (copies,) = torch.autograd.grad(call.of(x).sum(), x)
    root = math.nextafter(math.sqrt(float(copies.max())), math.inf)
    return _non_negative(call, call.name.replace("_", " "), lambda metric: (root if metric == L2 else 1.0, "copies entries"))


def _non_negative(
    call: Call, name: str, norms: Callable[[GroundMetric], tuple[float, str]], *, terms: int = 1, relative: float = 0.0
) -> Signal:
    """Adds the operator itself as a linear map whose matrix has no negative entry."""
    operation = LinearMap(
        name=name,
        inputs=call.args[0].shape,
        outputs=call.shape,
        function=call.of,
        absolute=call.of,
        norms=norms,
        terms=terms,
        relative=relative,
    )
    return call.apply(operation)


@handles("mul", "div", "neg")
def _multiplied(call: Call) -> Any:
    x, factor = (call.args[0], -1.0) if call.name == "neg" else call.args[:2]
    if call.name == "mul" and not isinstance(x, Signal):
        x, factor = factor, x
    if isinstance(factor, Signal) or not isinstance(x, Signal) or call.kwargs.get("rounding_mode") is not None:
        raise call.reading.refused(call.name, " of two values that depend on the input")
    factors = torch.as_tensor(factor, dtype=torch.float64)
    relative = 0.0
    if call.name == "div":
        factors, relative = 1 / factors, 2 * UNIT_ROUNDOFF
    return call.apply(_scaled("factor", call.shape, factors, relative=relative), broadcast(call, x))


@handles("mean", "sum")
def _reduced(call: Call) -> Any:
    dtype = call.kwargs.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise call.reading.refused(call.name, " of whole numbers")
    call = replace(call, kwargs={key: value for key, value in call.kwargs.items() if key != "dtype"})
    count = math.prod(call.args[0].shape) // math.prod(call.shape) if math.prod(call.shape) else 1
    if len(call.shape) == 0 or call.shape[0] != 1:
        raise call.reading.refused(call.name, " over the samples of a batch")
    share = 1.0 if call.name == "sum" else 1 / count

    def norms(metric: GroundMetric) -> tuple[float, str]:
        return (math.sqrt(count) if metric == L2 else count) * share * (1 + 1e-15), "equal weights"

    return _non_negative(call, f"{call.name} of {count}", norms, terms=count, relative=2 * UNIT_ROUNDOFF)


@handles("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _average_pooled(call: Call) -> Any:
    kernel = per_axis(call.args[1], spatial_axes(call))
    stride = per_axis(call.option(2, "stride") or kernel, len(kernel))
    padding = call.option(3, "padding", [0])
    ceil, padded = call.option(4, "ceil_mode", False), call.option(5, "count_include_pad", True)
    if ceil or call.option(6, "divisor_override") is not None or (any(padding) and not padded):
        raise call.reading.refused("avg_pool", " with windows of several sizes")
    return _averages(call, kernel, stride)


def spatial_axes(call: Call) -> int:
    """Number of axes, the last ones of its input, that an operator such as ``max_pool2d`` pools over."""
    return int(call.name.partition("pool")[2][0])


def _averages(call: Call, kernel: list[int], stride: list[int]) -> Signal:
    count = math.prod(kernel)
    window = torch.full((1, 1, *kernel), 1 / count, dtype=torch.float64)

    def norms(metric: GroundMetric) -> tuple[float, str]:
        if metric == L2:
            return convolution_norm_bound(window, stride=stride) * (1 + 1e-15), "transfer function, float64"
        return 1.0 + 1e-15, "equal weights"

    name = f"average pool {'x'.join(map(str, kernel))}"
    return _non_negative(call, name, norms, terms=count, relative=2 * UNIT_ROUNDOFF)


@handles("_adaptive_avg_pool2d", "adaptive_avg_pool2d", "adaptive_avg_pool1d", "_adaptive_avg_pool3d")
def _adaptively_pooled(call: Call) -> Any:
    kernel = windows(call, call.shape)
    return _averages(call, kernel, kernel)


def windows(call: Call, outputs: Shape) -> list[int]:
    """Sizes of the windows of adaptive pooling, which must divide the input."""
    pairs = [(call.args[0].shape[axis], outputs[axis]) for axis in range(-spatial_axes(call), 0)]
    if any(size % count for size, count in pairs):
        raise call.reading.refused(call.name.strip("_"), " with windows of several sizes")
    return [size // count for size, count in pairs]


@handles("cat", "stack")
def _stacked(call: Call) -> Any:
    parts, reading = list(call.args[0]), call.reading
    signals = [part for part in parts if isinstance(part, Signal)]
    if len(signals) < len(parts):
        raise reading.refused("cat", " with a constant")
    if (whole := _permuted(reading, signals)) is not None:
        bounded = Bounded(name=f"sort of {len(signals)}", function=lambda h: h, euclidean=1.0, maximum=1.0, reason="permutation")
        return call.apply(bounded, whole)
    axis = call.option(1, "dim", 0)
    join = (lambda h: torch.cat(h, axis)) if len(call.shape) == len(signals[0].shape) else (lambda h: torch.stack(h, axis))
    return reading.add(Node(shape=call.shape, inputs=tuple(each.position for each in signals), joined="stack", join=join))


def _permuted(reading: Reading, parts: list[Signal]) -> Signal | None:
    """The value that stacked parts permute: its slices, up to replacing pairs by their minima and maxima; None if there is none."""
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
    """The value that was split into exactly these parts, in any order; None if there is none."""
    origins = {reading.nodes[position].inputs for position in positions}
    if len(origins) != 1 or len(set(positions)) < len(positions) or len(positions) == 1:
        return None
    (origin,) = origins
    if len(origin) != 1 or sorted(positions) not in reading.splits:
        return None
    return Signal(reading, origin[0], reading.nodes[origin[0]].shape)
