"""Turns modules into functions of a batch of samples in one floating-point type, whatever their code assumes."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
_ROWS, _COMPARED = 256, 8
"""Samples of a trial batch, and how many of them are also evaluated one by one."""


class OneType(TorchDispatchMode):
    """Redirects casts between floating-point types, such as ``x.float()``, to a single type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.changed = False
        """Whether a cast to another type, or an assertion about types, was met."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        dtype = kwargs.get("dtype")
        if func is aten._assert_tensor_metadata.default:
            self.changed = True
            return None
        if func is aten._to_copy.default and dtype not in (None, self.dtype) and dtype.is_floating_point:
            self.changed, kwargs["dtype"] = True, self.dtype
        return func(*args, **kwargs)


class _InOneType(nn.Module):
    """Evaluates a network that casts its values in the type of its input."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        with OneType(x.dtype):
            return self.module(x)


class _OneByOne(nn.Module):
    """Evaluates a network that takes single samples only, or mixes the samples of a batch, one by one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.module(each) for each in x.split(1)])


def in_batches(module: nn.Module, shape: Sequence[int]) -> nn.Module:
    """Wraps a float64 module so that it takes batches of any size as independent samples, in the type of its input.

    Programs of ``torch.export`` may refuse batches, and networks may mix the samples of a batch.
    """
    x = torch.randn(_ROWS, *shape, generator=torch.Generator().manual_seed(0)).double()
    with contextlib.suppress(Exception), torch.no_grad(), OneType(torch.float64) as casts:  # the user's network
        module(x[:1])
    if casts.changed:
        module = _InOneType(module)
    alone = _OneByOne(module)
    try:
        with torch.no_grad():
            together = module(x)
            taken = len(together) == len(x) and torch.allclose(together[:_COMPARED], alone(x[:_COMPARED]), equal_nan=True)
    except Exception:  # the user's network
        taken = False
    return module if taken else alone
