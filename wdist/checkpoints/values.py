"""Values as JSON and tensors: numbers, texts, tensors, arrays, containers of these, and dataclasses of wdist. Nothing runs code."""

import json
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PACKAGE = "wdist."


def packed(value: Any, tensors: list[Tensor]) -> Any:
    """Converts a value to JSON, and appends copies of its tensors on the CPU to ``tensors``.

    Raises:
        TypeError: the value contains an unsupported type.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray):
        kind = "tensor" if isinstance(value, Tensor) else "array"
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value.detach()
        tensors.append(tensor.cpu().clone(memory_format=torch.contiguous_format))
        return {kind: len(tensors) - 1, "device": str(tensor.device)}
    if type(value) in (list, tuple):
        return {type(value).__name__: [packed(each, tensors) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[packed(key, tensors), packed(each, tensors)] for key, each in value.items()]}
    if is_dataclass(value) and type(value).__module__.startswith(_PACKAGE):
        name = f"{type(value).__module__}:{type(value).__qualname__}"
        return {"class": name, "fields": {each.name: packed(getattr(value, each.name), tensors) for each in fields(value)}}
    raise TypeError(f"{type(value).__name__} cannot be saved")


def unpacked(tree: Any, tensors: list[Tensor]) -> Any:
    """Restores what :func:`packed` wrote; classes are dataclasses of wdist, which check their own fields.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, ImportError: the value is not one that :func:`packed` writes.
    """
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        return tensors[tree["tensor"]].to(tree["device"])
    if "array" in tree:
        return tensors[tree["array"]].numpy()
    if "list" in tree:
        return [unpacked(each, tensors) for each in tree["list"]]
    if "tuple" in tree:
        return tuple(unpacked(each, tensors) for each in tree["tuple"])
    if "dict" in tree:
        return {unpacked(key, tensors): unpacked(each, tensors) for key, each in tree["dict"]}
    return _class(tree["class"])(**{name: unpacked(each, tensors) for name, each in tree["fields"].items()})


def as_text(value: Any) -> str:
    """A value with its tensors as one JSON text.

    Raises:
        TypeError: the value contains a type that :func:`packed` does not support.
    """
    tensors: list[Tensor] = []
    tree = packed(value, tensors)
    numbers = [
        {"dtype": str(each.dtype).removeprefix("torch."), "shape": list(each.shape), "data": each.tolist()} for each in tensors
    ]
    return json.dumps({"value": tree, "tensors": numbers})


def from_text(text: str) -> Any:
    """Restores what :func:`as_text` wrote.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, ImportError: the text is not one that :func:`as_text` writes.
    """
    found = json.loads(text)
    tensors = [torch.tensor(each["data"], dtype=getattr(torch, each["dtype"])).reshape(each["shape"]) for each in found["tensors"]]
    return unpacked(found["value"], tensors)


def _class(path: str) -> Any:
    module, _, name = path.partition(":")
    if not module.startswith(_PACKAGE):
        raise ValueError(f"{path} is not a class of wdist")
    found = getattr(import_module(module), name)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ValueError(f"{path} is not a dataclass")
    return found
