"""A GPU that is only pretended: tensors that say they are on ``cuda:0`` while their numbers lie in this machine's memory.

Whatever a GPU would refuse is refused: operations between devices, ``.numpy()``, a generator of another device. Everything else is
computed, so whole estimates run, and their digits can be compared with the CPU's. Reads that make the host wait are counted.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map_only

from wdist.lipschitz.linalg.orthonormalise import _probes

GPU = torch.device("cuda", 0)
_READS = ("__float__", "__int__", "__bool__", "__index__", "item", "tolist")


class OnGpu(Tensor):
    """A tensor on the pretended GPU."""

    numbers: Tensor
    waits: ClassVar[Counter[str]] = Counter()

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "OnGpu":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device="cpu",
        )
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, given: Any = (), options: Any = None) -> Any:
        options = dict(options or {})
        moves = operation is torch.ops.aten.copy_.default
        tensors = [each for each in tree_iter((given, options)) if isinstance(each, Tensor)]
        if not moves and operation not in _INDEXED and any(type(each) is not cls and each.ndim for each in tensors):
            raise RuntimeError(f"{operation}: expected all tensors to be on the same device, but found cuda:0 and cpu")
        if operation is torch.ops.aten.nonzero.default:
            cls.waits["nonzero"] += 1
        found = operation(*tree_map_only(cls, _numbers, given), **tree_map_only(cls, _numbers, options))
        written = [each for argument, each in zip(operation._schema.arguments, given, strict=False) if _mutated(argument)]
        written += [options[a.name] for a in operation._schema.arguments if a.name in options and _mutated(a)]
        if written and len(operation._schema.returns) <= 1:
            return written[0] if operation._schema.returns else None
        return tree_map_only(Tensor, cls, found)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __array__(self, *arguments: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


_INDEXED = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
    torch.ops.aten.index_put.default,
    torch.ops.aten._index_put_impl_.default,
)
"""Operations that take positions on the CPU, too."""


def _mutated(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _numbers(tensor: OnGpu) -> Tensor:
    return tensor.numbers


class _Generator(torch.Generator):
    """A random generator that says where it is."""

    place: torch.device

    def __new__(cls, device: Any = "cpu") -> Any:
        made = super().__new__(cls)
        made.place = GPU if torch.device(device).type == "cuda" else torch.device("cpu")
        return made

    def __init__(self, device: Any = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.place


class _Placed(TorchFunctionMode):
    """Places new tensors on the pretended GPU, and moves them there and back."""

    def __torch_function__(self, function: Any, types: Any, given: Any = (), options: Any = None) -> Any:
        options = dict(options or {})
        options.pop("pin_memory", None)
        name = getattr(function, "__name__", "")
        if name in _READS and isinstance(given[0], OnGpu):
            OnGpu.waits["read"] += 1
            return function(given[0].numbers, *given[1:], **options)
        if function is Tensor.data.__set__ and isinstance(given[0], OnGpu):  # type: ignore[attr-defined]
            given[0].numbers = given[1].numbers
            return None
        if name in ("to", "cuda", "cpu"):
            return _moved(function, name, given, options)
        device = options.get("device")
        placed = device is not None and torch.device(device).type == "cuda"
        if (generator := options.get("generator")) is not None:
            on = next((each.device for each in given if isinstance(each, Tensor)), torch.device(device or "cpu"))
            if generator.device.type != on.type:
                raise RuntimeError(f"{name}: expected a generator on {on.type}, but found one on {generator.device.type}")
        if device is not None and given and isinstance(given[0], OnGpu):  # one like it, elsewhere
            given = (given[0].numbers, *given[1:])
        if not placed:
            return function(*given, **options)
        trained = bool(options.pop("requires_grad", False))
        made = function(*given, **{**options, "device": "cpu"})
        return OnGpu(made).requires_grad_(trained) if isinstance(made, Tensor) else made


def _moved(function: Any, name: str, given: Any, options: dict[str, Any]) -> Any:
    tensor, *rest = given
    places = [each for each in (*rest, options.get("device")) if isinstance(each, str | torch.device)]
    places += [each.device for each in rest if isinstance(each, Tensor)]
    to = {"cpu": "cpu", "cuda": "cuda"}.get(name) or (torch.device(places[0]).type if places else tensor.device.type)
    types = [each for each in (*rest, options.get("dtype")) if isinstance(each, torch.dtype)]
    types += [each.dtype for each in rest if isinstance(each, Tensor)]
    dtype = types[0] if types else tensor.dtype
    if to == tensor.device.type:
        return function(tensor, dtype) if dtype != tensor.dtype else tensor
    if to == "cpu" or not (options.get("non_blocking") or tensor.ndim == 0):
        OnGpu.waits[f"to {to}"] += 1
    return _Move.apply(tensor, to, dtype)


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, to: str, dtype: torch.dtype) -> Tensor:
        ctx.back = tensor.device.type, tensor.dtype
        if to == "cpu":
            return tensor.numbers.to(dtype, copy=True)
        return OnGpu(tensor.detach().to(dtype, copy=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Move.apply(gradients[0], *ctx.back), None, None


class _Event:
    def record(self, stream: Any = None) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass


@contextmanager
def pretended_gpu() -> Iterator[Counter[str]]:
    """Makes ``cuda`` available, and gives the counts of the reads that would wait for it."""
    OnGpu.waits = Counter()
    patches: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "mem_get_info": lambda device=None: (1 << 34, 1 << 34),
        "get_device_name": lambda device=None: "pretended GPU",
        "set_device": lambda device: None,
        "reset_peak_memory_stats": lambda device=None: None,
        "max_memory_allocated": lambda device=None: 1 << 20,
        "synchronize": lambda device=None: None,
        "current_stream": lambda device=None: None,
        "Event": _Event,
    }
    _probes.cache_clear()
    future = torch.__future__
    before = future.get_overwrite_module_params_on_conversion()
    future.set_overwrite_module_params_on_conversion(True)
    try:
        with mock.patch.multiple(torch.cuda, **patches), mock.patch.object(torch, "Generator", _Generator), _Placed():
            yield OnGpu.waits
    finally:
        future.set_overwrite_module_params_on_conversion(before)
        _probes.cache_clear()
