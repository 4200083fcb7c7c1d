"""Which stored types are numbers, and how they become tensors."""

import sys

import numpy as np
import torch
from torch import Tensor

from wdist.errors import SourceError

_TENSOR_TYPES = frozenset(
    {
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
    }
)  # fmt: skip
# torch can hold these but hardly compute with them.
_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.float64}
_WIDER_NUMPY = {"uint16": np.int32, "uint32": np.int64, "uint64": np.float64}


def tensor_type(dtype: np.dtype, name: str) -> np.dtype:
    """The native numpy type in which values of a stored type reach a tensor; the narrowest that torch computes with.

    Raises:
        SourceError: values of this type are not real numbers.
    """
    if dtype.kind == "c":
        raise SourceError(f"{name} holds complex numbers ({dtype}); save real and imaginary part as coordinates of their own")
    if dtype.kind in "OSUV" or dtype.kind in "mM" or dtype.kind == "T":
        what = {"O": "Python objects", "V": "records", "m": "time spans", "M": "dates"}.get(dtype.kind, "strings")
        raise SourceError(f"{name} holds {what} ({dtype}), not numbers; save it as a plain numeric array")
    if dtype.name in _WIDER_NUMPY:
        return np.dtype(_WIDER_NUMPY[dtype.name])
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return np.dtype(dtype.name)


def tensor_of(array: np.ndarray, name: str) -> Tensor:
    """A tensor with the values of a numpy array in its native type; memory is shared where that is safe.

    Raises:
        SourceError: the values are not real numbers.
    """
    array = np.ascontiguousarray(array, dtype=tensor_type(array.dtype, name)).reshape(array.shape)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def accepted(tensor: Tensor, name: str) -> Tensor:
    """The tensor on the CPU, without gradient, in a type that torch computes with.

    Raises:
        SourceError: the values are not real numbers, or not laid out densely.
    """
    if tensor.is_sparse or tensor.layout != torch.strided:
        raise SourceError(f"{name} is a sparse tensor; hand over its dense form, x.to_dense()")
    if tensor.is_complex():
        kind = type_name(tensor.dtype)
        raise SourceError(f"{name} holds complex numbers ({kind}); save real and imaginary part as coordinates of their own")
    if tensor.is_quantized or tensor.dtype not in _TENSOR_TYPES | _WIDER.keys():
        raise SourceError(f"{name} is of type {type_name(tensor.dtype)}, which holds no plain numbers; convert it to float32")
    return tensor.detach().to(device="cpu", dtype=_WIDER.get(tensor.dtype, tensor.dtype))


def type_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def little_endian_bytes(tensor: Tensor) -> bytes:
    """The values of a contiguous CPU tensor as bytes, the same on every machine."""
    array = tensor.contiguous().view(torch.uint8).numpy() if tensor.numel() else np.empty(0, dtype=np.uint8)
    if sys.byteorder == "big":
        array = array.reshape(-1, tensor.element_size())[:, ::-1].copy()
    return array.tobytes()
