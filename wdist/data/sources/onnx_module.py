"""ONNX graphs as torch modules, for analyses that need the operations and not just the outputs.

References:
    The ONNX operator schemas, https://onnx.ai/onnx/operators/.
"""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wdist.errors import SourceError

Attributes = Mapping[str, Any]
Function = Callable[[Sequence[Any], Attributes], Any]
"""Maps the inputs of an operator and its attributes to its output, or to several."""

_OLDEST = 7
"""First operator version that is read: earlier ones extend shapes differently, and normalise batches by their own statistics."""
_ALONG_AN_AXIS = 13
"""First operator version in which a softmax runs along one axis only; earlier ones include all axes behind it."""


@dataclass(frozen=True)
class Operator:
    """An operator that is read."""

    run: Function
    attributes: Set[str] = frozenset()
    """Attributes that it reads, or that do not change the values that it computes; others are refused."""


class OnnxModule(nn.Module):
    """Runs the nodes of an ONNX graph with one input and one output; weights are parameters, so that types can change."""

    def __init__(self, graph: Any, name: str, version: int) -> None:
        super().__init__()
        from onnx import numpy_helper

        self._constants: dict[str, int] = {}
        self.tensors = nn.ParameterList()
        self._whole: dict[str, Tensor] = {}
        for each in graph.initializer:
            self._keep(each.name, torch.from_numpy(np.array(numpy_helper.to_array(each))))
        inputs = [each.name for each in graph.input if each.name not in self._constants and each.name not in self._whole]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise SourceError(f"{name} has {len(inputs)} inputs and {len(graph.output)} outputs, not one of each")
        self._input, self._output = inputs[0], graph.output[0].name
        self._nodes = []
        for node in graph.node:
            values = {each.name: _attribute(each, numpy_helper) for each in node.attribute}
            if node.op_type == "Split":
                values.setdefault("num_outputs", len(node.output))
            elif node.op_type in ("Softmax", "LogSoftmax") and version < _ALONG_AN_AXIS:
                values = {"axis": 1, **values, "flat": True}
            if node.op_type == "Constant":
                self._keep(node.output[0], torch.as_tensor(next(iter(values.values()))))
            elif node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
                raise SourceError(
                    f"{name} contains the ONNX operator {node.op_type}, which wdist lipschitz does not read; "
                    "give the network as a .pt2 file of torch.export"
                )
            elif unread := sorted(values.keys() - OPERATORS[node.op_type].attributes):
                raise SourceError(
                    f"{name} contains the ONNX operator {node.op_type} with the attribute {unread[0]}, which wdist lipschitz does "
                    "not read; give the network as a .pt2 file of torch.export"
                )
            elif node.op_type == "BatchNormalization" and (values.get("training_mode") or any(list(node.output)[1:])):
                raise SourceError(f"{name} normalises batches by their own statistics; export it in evaluation mode")
            else:
                self._nodes.append((node.op_type, list(node.input), list(node.output), values))

    def _keep(self, name: str, value: Tensor) -> None:
        if value.is_floating_point():
            self._constants[name] = len(self.tensors)
            self.tensors.append(nn.Parameter(value, requires_grad=False))
        else:
            self._whole[name] = value  # shapes and axes

    def forward(self, x: Tensor) -> Tensor:
        """The output for a batch."""
        known: dict[str, Any] = {"": None, **self._whole, self._input: x}
        known |= {name: self.tensors[position] for name, position in self._constants.items()}
        for operator, inputs, outputs, attributes in self._nodes:
            found = OPERATORS[operator].run([known[name] for name in inputs], attributes)
            parts = found if isinstance(found, list | tuple) else [found]
            known.update(zip(outputs, parts, strict=False))
        return known[self._output]


def load_onnx(path: Path, name: str) -> tuple[OnnxModule, tuple[int, ...] | None]:
    """The graph of an ONNX file as a module, and the shape of one sample if the file tells."""
    import onnx

    model = onnx.load(str(path))
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    version = min(versions, default=_ALONG_AN_AXIS)
    if version < _OLDEST:
        raise SourceError(
            f"{name} has ONNX operators of version {version}, and wdist lipschitz reads version {_OLDEST} and later; convert it "
            "with onnx.version_converter"
        )
    module = OnnxModule(model.graph, name, version)
    (given,) = (each for each in model.graph.input if each.name == module._input)
    sizes = [dim.dim_value for dim in given.type.tensor_type.shape.dim][1:]
    return module, tuple(sizes) if sizes and min(sizes) > 0 else None


def _attribute(attribute: Any, numpy_helper: Any) -> Any:
    from onnx import helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    return np.array(numpy_helper.to_array(value)) if type(value).__name__ == "TensorProto" else value


def _whole(value: Any) -> list[int]:
    return [int(each) for each in value.tolist()] if isinstance(value, Tensor) else [int(each) for each in value]


def _axes(inputs: Sequence[Any], attributes: Attributes) -> list[int] | None:
    """The axes, which are an attribute of older operators and an input of newer ones."""
    if "axes" in attributes:
        return list(attributes["axes"])
    return _whole(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else None


def _gemm(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    a, b = inputs[:2]
    a = a.T if attributes.get("transA") else a
    b = b.T if attributes.get("transB") else b
    product = a @ b
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    product = product if alpha == 1 else product * alpha
    bias = inputs[2] if len(inputs) > 2 else None
    return product if bias is None else product + (bias if beta == 1 else bias * beta)


def _pads(attributes: Attributes, axes: int) -> tuple[list[int], list[int]]:
    pads = list(attributes.get("pads", [0] * (2 * axes)))
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise SourceError("an ONNX operator pads automatically, which wdist lipschitz does not read; export explicit pads")
    return pads[:axes], pads[axes:]


def _padded(x: Tensor, attributes: Attributes, axes: int, value: float = 0.0) -> tuple[Tensor, list[int]]:
    """The input, padded here if the padding differs from side to side, and the padding that is left to the operator."""
    before, after = _pads(attributes, axes)
    if before == after:
        return x, before
    sides = [side for pair in reversed(list(zip(before, after, strict=True))) for side in pair]
    return F.pad(x, sides, value=value), [0] * axes


def _conv(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    axes = inputs[1].ndim - 2
    x, padding = _padded(inputs[0], attributes, axes)
    bias = inputs[2] if len(inputs) > 2 else None
    stride, dilation = attributes.get("strides", [1] * axes), attributes.get("dilations", [1] * axes)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    return convolve(x, inputs[1], bias, tuple(stride), tuple(padding), tuple(dilation), attributes.get("group", 1))


def _conv_transpose(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    axes = inputs[1].ndim - 2
    before, after = _pads(attributes, axes)
    if before != after or "output_shape" in attributes:
        raise SourceError("an ONNX ConvTranspose pads its sides differently, which wdist lipschitz does not read")
    bias = inputs[2] if len(inputs) > 2 else None
    stride, dilation = attributes.get("strides", [1] * axes), attributes.get("dilations", [1] * axes)
    more = attributes.get("output_padding", [0] * axes)
    convolve: Callable[..., Tensor] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
    return convolve(inputs[0], inputs[1], bias, stride, before, more, attributes.get("group", 1), dilation)


def _pool(pool: Sequence[Callable[..., Tensor]], value: float) -> Function:
    def run(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
        kernel = list(attributes["kernel_shape"])
        if attributes.get("ceil_mode") or any(step != 1 for step in attributes.get("dilations", [1])):
            raise SourceError("an ONNX pool rounds up or is dilated, which wdist lipschitz does not read")
        x, padding = _padded(inputs[0], attributes, len(kernel), value)
        if value == 0.0 and (any(padding) or x is not inputs[0]) and not attributes.get("count_include_pad"):
            raise SourceError("an ONNX AveragePool leaves out its padding, which wdist lipschitz does not read")
        return pool[len(kernel) - 1](x, kernel, attributes.get("strides", [1] * len(kernel)), padding)

    return run


def _clip(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    low, high = (inputs[i] if len(inputs) > i else None for i in (1, 2))
    bottom = attributes.get("min", -np.inf) if low is None else float(low)
    top = attributes.get("max", np.inf) if high is None else float(high)
    return inputs[0].clamp(bottom, top)


def _batch_norm(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, scale, bias, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, attributes.get("epsilon", 1e-5))


def _reshape(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, sizes = inputs[0], _whole(inputs[1])
    same = not attributes.get("allowzero")
    return x.reshape([x.shape[i] if size == 0 and same else size for i, size in enumerate(sizes)])


def _squeeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    axes = _axes(inputs, attributes)
    return inputs[0].squeeze(tuple(range(inputs[0].ndim)) if axes is None else tuple(axes))


def _unsqueeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, axes = inputs[0], _axes(inputs, attributes) or []
    for axis in sorted(axis % (inputs[0].ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _reduced(function: Callable[..., Tensor]) -> Function:
    def run(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
        axes = _axes(inputs, attributes)
        if not axes and attributes.get("noop_with_empty_axes"):
            return inputs[0]
        return function(inputs[0], axes or list(range(inputs[0].ndim)), bool(attributes.get("keepdims", 1)))

    return run


def _leaky(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    return F.leaky_relu(inputs[0], attributes.get("alpha", 0.01))


def _prelu(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, slope = inputs
    if slope.numel() > 1 and (1,) * (x.ndim - slope.ndim) + slope.shape != (1, slope.numel(), *(1,) * (x.ndim - 2)):
        raise SourceError("an ONNX PRelu has slopes along another axis than its channels, which wdist lipschitz does not read")
    return F.prelu(x, slope.flatten())


def _matrix(x: Tensor, axis: int) -> Tensor:
    """All axes before one as rows, the others as columns."""
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _softmax(function: Callable[[Tensor, int], Tensor]) -> Function:
    def run(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
        x, axis = inputs[0], attributes.get("axis", -1)
        return function(_matrix(x, axis), 1).reshape(x.shape) if attributes.get("flat") else function(x, axis)

    return run


def _split(inputs: Sequence[Any], attributes: Attributes) -> Sequence[Tensor]:
    axis = attributes.get("axis", 0)
    sizes = _whole(inputs[1]) if len(inputs) > 1 else attributes.get("split")
    return inputs[0].split(-(-inputs[0].shape[axis] // attributes["num_outputs"]) if sizes is None else list(sizes), axis)


def _cast(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    from onnx import TensorProto

    if attributes["to"] not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        raise SourceError("an ONNX operator casts to whole numbers, which wdist lipschitz does not read; leave it out")
    x = inputs[0]
    return x if x.is_floating_point() else x.double()  # the network is a function of exact numbers


def _dropout(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    if len(inputs) > 2 and inputs[2] is not None and bool(inputs[2].any()):
        raise SourceError("an ONNX Dropout draws random numbers; export the network in evaluation mode")
    return inputs[0]


def _one(function: Callable[..., Tensor], inputs: int = 1) -> Function:
    return lambda values, attributes: function(*values[:inputs])


_WINDOWS = {"auto_pad", "dilations", "kernel_shape", "pads", "strides"}
_REDUCED = {"axes", "keepdims", "noop_with_empty_axes"}
OPERATORS = {
    "Gemm": Operator(_gemm, {"alpha", "beta", "transA", "transB"}),
    "MatMul": Operator(_one(torch.matmul, 2)),
    "Add": Operator(_one(torch.add, 2)),
    "Sub": Operator(_one(torch.sub, 2)),
    "Mul": Operator(_one(torch.mul, 2)),
    "Div": Operator(_one(torch.div, 2)),
    "Neg": Operator(_one(torch.neg)),
    "Conv": Operator(_conv, {*_WINDOWS, "group"}),
    "ConvTranspose": Operator(_conv_transpose, {*_WINDOWS, "group", "output_padding", "output_shape"}),
    "BatchNormalization": Operator(_batch_norm, {"epsilon", "momentum", "training_mode"}),
    "Relu": Operator(_one(torch.relu)),
    "LeakyRelu": Operator(_leaky, {"alpha"}),
    "PRelu": Operator(_prelu),
    "Elu": Operator(lambda values, attributes: F.elu(values[0], attributes.get("alpha", 1.0)), {"alpha"}),
    "Tanh": Operator(_one(torch.tanh)),
    "Sigmoid": Operator(_one(torch.sigmoid)),
    "Softplus": Operator(_one(F.softplus)),
    "Gelu": Operator(
        lambda values, attributes: F.gelu(values[0], approximate=attributes.get("approximate", "none")), {"approximate"}
    ),
    "Erf": Operator(_one(torch.erf)),
    "Mish": Operator(_one(F.mish)),
    "HardSwish": Operator(_one(F.hardswish)),
    "Clip": Operator(_clip, {"min", "max"}),
    "Abs": Operator(_one(torch.abs)),
    "Max": Operator(lambda values, attributes: reduce(torch.maximum, values)),
    "Min": Operator(lambda values, attributes: reduce(torch.minimum, values)),
    "MaxPool": Operator(_pool((F.max_pool1d, F.max_pool2d, F.max_pool3d), -np.inf), {*_WINDOWS, "ceil_mode", "storage_order"}),
    "AveragePool": Operator(_pool((F.avg_pool1d, F.avg_pool2d, F.avg_pool3d), 0.0), {*_WINDOWS, "ceil_mode", "count_include_pad"}),
    "GlobalAveragePool": Operator(lambda values, attributes: values[0].mean(tuple(range(2, values[0].ndim)), keepdim=True)),
    "GlobalMaxPool": Operator(lambda values, attributes: values[0].amax(tuple(range(2, values[0].ndim)), keepdim=True)),
    "Softmax": Operator(_softmax(torch.softmax), {"axis", "flat"}),
    "LogSoftmax": Operator(_softmax(torch.log_softmax), {"axis", "flat"}),
    "Flatten": Operator(lambda values, attributes: _matrix(values[0], attributes.get("axis", 1)), {"axis"}),
    "Reshape": Operator(_reshape, {"allowzero"}),
    "Transpose": Operator(
        lambda values, attributes: values[0].permute(attributes.get("perm", tuple(reversed(range(values[0].ndim))))), {"perm"}
    ),
    "Squeeze": Operator(_squeeze, {"axes"}),
    "Unsqueeze": Operator(_unsqueeze, {"axes"}),
    "Concat": Operator(lambda values, attributes: torch.cat(list(values), attributes["axis"]), {"axis"}),
    "Split": Operator(_split, {"axis", "num_outputs", "split"}),
    "ReduceMean": Operator(_reduced(torch.mean), _REDUCED),
    "ReduceSum": Operator(_reduced(torch.sum), _REDUCED),
    "ReduceMax": Operator(_reduced(torch.amax), _REDUCED),
    "Cast": Operator(_cast, {"round_mode", "saturate", "to"}),
    "Identity": Operator(_one(lambda x: x)),
    "Dropout": Operator(_dropout, {"ratio", "seed"}),
}
"""Operators by name."""
