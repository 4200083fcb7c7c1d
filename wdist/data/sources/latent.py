"""What a generator is fed: ``normal:64``, ``uniform:100``, ``normal:64x1x1``; and how to find that out from a network."""

import math
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wdist.data.sources.address import suggestion
from wdist.errors import SourceError

KINDS = ("normal", "uniform", "uniform01")
"""Standard normal; uniform in [-1, 1]; uniform in [0, 1]."""

_SIZE_NAMES = ("latent_dim", "latent_size", "latent_dims", "z_dim", "dim_z", "zdim", "z_size", "nz", "noise_dim", "noise_size")
_SHAPE_NAMES = ("latent_shape", "z_shape", "noise_shape")


@dataclass(frozen=True, kw_only=True)
class Latent:
    """Law and shape of one latent."""

    kind: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{'x'.join(map(str, self.shape))}"

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Latents of shape (n, \\*shape), float32, on the generator's device."""
        shape = (n, *self.shape)
        if self.kind == "normal":
            return torch.randn(shape, generator=generator, device=generator.device)
        values = torch.rand(shape, generator=generator, device=generator.device)
        return values if self.kind == "uniform01" else 2 * values - 1


def parse_latent(text: str, address: str) -> Latent:
    """Reads ``kind:size`` or ``kind:size x size x ...``; a bare size means normal.

    Raises:
        SourceError: the text is none.
    """
    kind, colon, shape = text.partition(":")
    if not colon:
        kind, shape = "normal", text
    if kind not in KINDS:
        raise SourceError(f"{address}: latent={text} is of no known kind; {suggestion(kind, KINDS, 'choose one of')}")
    if not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", shape):
        raise SourceError(f"{address}: latent={text} has no size; write for example latent={kind}:64 or latent={kind}:64x1x1")
    sizes = tuple(int(size) for size in shape.split("x"))
    if math.prod(sizes) > 100_000_000:
        raise SourceError(f"{address}: latent={text} is larger than any network's; correct the size")
    return Latent(kind=kind, shape=sizes)


def latent_shapes(network: nn.Module) -> tuple[tuple[int, ...], ...]:
    """Shapes that a network's latent may have, likeliest first; empty where the network does not say.

    Looks for an attribute such as ``latent_dim``, then at what the first layer takes in.
    """
    size = next((shape for name in _SHAPE_NAMES if (shape := _sizes(getattr(network, name, None)))), None)
    if size is None:
        size = next((shape for name in _SIZE_NAMES if (shape := _sizes(getattr(network, name, None)))), None)
    if size is None:
        size = _first_layer(network)
    return () if size is None else alternatives(size)


def alternatives(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The shape and, for a vector, the same as channels of one pixel, which transposed convolutions ask for."""
    if len(shape) == 1:
        return shape, (*shape, 1, 1)
    if len(shape) == 3 and shape[1:] == (1, 1):
        return shape, shape[:1]
    return (shape,)


def _sizes(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and value > 0:
        return (value,)
    if isinstance(value, tuple | list | torch.Size) and value and all(isinstance(n, int) and n > 0 for n in value):
        return tuple(value)
    return None


def _first_layer(network: nn.Module) -> tuple[int, ...] | None:
    """What the first weight takes in: its second axis in a linear layer, its first in a transposed convolution."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            return (module.in_features,)
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            return (module.in_channels, *(1 for _ in module.kernel_size))
        name, weight = str(getattr(module, "original_name", "")), getattr(module, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        if name == "Linear":  # a scripted layer has lost its class, and keeps its name
            return (weight.shape[1],)
        if name.startswith("ConvTranspose"):
            return (weight.shape[0], *(1 for _ in weight.shape[2:]))
    return None
