"""ONNX graphs as torch modules compute what onnxruntime computes."""

import numpy as np
import pytest
import torch

from wdist.data.sources.onnx_module import load_onnx
from wdist.errors import SourceError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx.helper")


def saved(path, node, shape, constants, version):
    """A model of one node, from x to y."""
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)] for name, sizes in (("x", [1, *shape]), ("y", None))
    )
    weights = [onnx.numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    graph = helper.make_graph([node], "graph", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8), path)
    return path


CASES = {
    "axes from the end": (("Unsqueeze", ["x", "axes"], ["y"], {}), (4,), {"axes": [-2, -1]}, 18),
    "axes from both ends": (("Unsqueeze", ["x", "axes"], ["y"], {}), (4,), {"axes": [-1, 1]}, 18),
    "unequal parts": (("Split", ["x"], ["other", "y"], {"axis": 1, "num_outputs": 2}), (7,), {}, 18),
    "as many parts as outputs": (("Split", ["x"], ["other", "y"], {"axis": 1}), (8,), {}, 13),
    "no axes": (("ReduceSum", ["x"], ["y"], {"noop_with_empty_axes": 1}), (4,), {}, 18),
    "the last axis": (("ReduceMean", ["x", "axes"], ["y"], {"keepdims": 0}), (3, 4), {"axes": [-1]}, 18),
    "a later axis": (("Flatten", ["x"], ["y"], {"axis": 2}), (3, 4, 5), {}, 18),
    "an axis from the end": (("Flatten", ["x"], ["y"], {"axis": -1}), (3, 4), {}, 18),
    "the first axis": (("Flatten", ["x"], ["y"], {"axis": 0}), (3, 4), {}, 18),
    "a softmax along an axis": (("Softmax", ["x"], ["y"], {"axis": 1}), (3, 4), {}, 13),
    "a softmax of old": (("Softmax", ["x"], ["y"], {}), (3, 4), {}, 11),
    "its logarithm of old": (("LogSoftmax", ["x"], ["y"], {"axis": 2}), (3, 4, 2), {}, 11),
    "axes reversed": (("Transpose", ["x"], ["y"], {}), (3, 4), {}, 18),
    "several values": (("Max", ["x", "low", "high"], ["y"], {}), (3,), {"low": np.float32(-1), "high": np.float32(0.1)}, 18),
    "slopes of channels": (("PRelu", ["x", "slope"], ["y"], {}), (2, 3, 3), {"slope": np.array([[[0.1]], [[0.5]]], "f")}, 18),
    "another shape": (("Reshape", ["x", "shape"], ["y"], {"allowzero": 1}), (4,), {"shape": np.array([1, 2, 2])}, 14),
    "a cast": (("Cast", ["x"], ["y"], {"to": 1}), (3,), {}, 18),
    "padding on one side": (("MaxPool", ["x"], ["y"], {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1]}), (2, 5, 5), {}, 18),
}


@pytest.mark.parametrize("name", CASES)
def test_nodes_compute_what_onnxruntime_computes(name, tmp_path):
    (operator, inputs, outputs, attributes), shape, constants, version = CASES[name]
    path = saved(tmp_path / "net.onnx", helper.make_node(operator, inputs, outputs, **attributes), shape, constants, version)
    x = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    found = load_onnx(path, "net.onnx")[0](torch.from_numpy(x)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


NORM = {name: np.ones(2, "f") for name in ("scale", "shift", "mean", "variance")}
REFUSED = {
    "in evaluation mode": (("BatchNormalization", ["x", *NORM], ["y", "m", "v"], {"training_mode": 1}), (2, 3), NORM, 15),
    "own statistics": (("BatchNormalization", ["x", *NORM], ["y", "m", "v", "n", "w"], {}), (2, 3), NORM, 9),
    "version 6": (("Mul", ["x", "factor"], ["y"], {"axis": 1, "broadcast": 1}), (2, 3), {"factor": np.ones(2, "f")}, 6),
    "random numbers": (("Dropout", ["x", "ratio", "training"], ["y"], {}), (4,), {"ratio": np.float32(0.5), "training": True}, 13),
    "attribute spatial": (("BatchNormalization", ["x", *NORM], ["y"], {"spatial": 0}), (2, 3), NORM, 8),
}


@pytest.mark.parametrize("why", REFUSED)
def test_nodes_that_compute_something_else_than_is_read_are_refused(why, tmp_path):
    (operator, inputs, outputs, attributes), shape, constants, version = REFUSED[why]
    path = saved(tmp_path / "net.onnx", helper.make_node(operator, inputs, outputs, **attributes), shape, constants, version)
    with pytest.raises(SourceError, match=why):
        load_onnx(path, "net.onnx")[0](torch.zeros(1, *shape))


def test_slopes_along_another_axis_are_refused(tmp_path):
    node = helper.make_node("PRelu", ["x", "slope"], ["y"])
    path = saved(tmp_path / "net.onnx", node, (3, 3, 3), {"slope": np.array([0.1, 0.2, 0.3], "f")}, 18)
    with pytest.raises(SourceError, match="another axis than its channels"):
        load_onnx(path, "net.onnx")[0](torch.zeros(1, 3, 3, 3))
