"""Generators: networks that turn latents such as ``normal:64`` or ``uniform:64x1x1`` into samples."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wdist.data.access import Access
from wdist.data.sources.address import Address, suggestion
from wdist.data.sources.arrays import EXACT_INTEGERS, exact_float, too_large, type_name
from wdist.data.sources.network_file import GeneratorNetwork, alternatives, open_network
from wdist.data.sources.source import (
    SELECTION_OPTIONS,
    UNIT_OPTIONS,
    EndlessSource,
    SourceInfo,
    Units,
    channel_order,
    permuted,
    units_of,
)
from wdist.errors import SourceError, first_line

LATENT_KINDS = ("normal", "uniform", "uniform01")
"""Standard normal; uniform in [-1, 1]; uniform in [0, 1]."""
_OWN_OPTIONS = ("factory", "latent", *UNIT_OPTIONS, *SELECTION_OPTIONS)
_PROBE = 16
_SAMPLES_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Latent:
    """Distribution and shape of a generator's input."""

    kind: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{'x'.join(map(str, self.shape))}"

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws latents of shape (n, \\*shape), float32, on the generator's device."""
        shape = (n, *self.shape)
        if self.kind == "normal":
            return torch.randn(shape, generator=generator, device=generator.device)
        values = torch.rand(shape, generator=generator, device=generator.device)
        return values if self.kind == "uniform01" else 2 * values - 1


def parse_latent(text: str, address: str) -> Latent:
    """Parses ``kind:size`` or ``kind:64x1x1``; a size alone means normal."""
    kind, colon, shape = text.partition(":")
    if not colon:
        kind, shape = "normal", text
    if kind not in LATENT_KINDS:
        raise SourceError(f"{address}: latent={text} has an unknown kind; {suggestion(kind, LATENT_KINDS, 'choose one of')}")
    if not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", shape):
        raise SourceError(f"{address}: latent={text} has no size; write for example latent={kind}:64 or latent={kind}:64x1x1")
    sizes = tuple(int(size) for size in shape.split("x"))
    if math.prod(sizes) > 100_000_000:
        raise SourceError(f"{address}: latent={text} is too large for any network; correct the size")
    return Latent(kind=kind, shape=sizes)


class GeneratorSource(EndlessSource):
    """A network in evaluation mode with random latents as input; ``order`` permutes the axes of an output to the event shape."""

    def __init__(
        self, network: GeneratorNetwork, latent: Latent, info: SourceInfo, units: Units, order: tuple[int, ...] | None
    ) -> None:
        self.info, self.latent = info, latent
        self._network, self._units, self._order = network, units, order

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws ``n`` samples; equal generators give equal samples, even if the network draws noise itself."""
        if n == 0:
            return self.draw(1, generator)[:0]
        latents = self.latent.draw(n, generator)
        seed = int(torch.randint(1 << 62, (), generator=generator, device=generator.device))
        samples = run_network(self._network, latents, seed)
        rows = samples.reshape(n, self.info.dim)
        if self._order is not None:
            rows = permuted(rows, tuple(samples.shape[1:]), self._order)
        if rows.dtype == torch.int64 and (largest := float(rows.double().abs().max())) >= EXACT_INTEGERS:
            raise too_large(self.info.address, f"{largest:g}")
        rows = rows.to(exact_float(rows.dtype))
        return rows * self._units.scale + self._units.offset if self._units.words != "as stored" else rows


def open_generator(address: Address, access: Access) -> GeneratorSource:
    """Opens a generator: ``gen.safetensors?factory=package.module:Class&latent=normal:64``, TorchScript, ``.pt2`` or ``.onnx``.

    Options other than ``latent``, ``range``, ``stored`` and ``channels`` are arguments of the factory. A probe checks that the
    network accepts latents of this shape and returns one finite sample per latent.
    """
    wanted = parse_latent(address.options["latent"], address.text) if "latent" in address.options else None
    arguments = {name: value for name, value in address.options.items() if name not in _OWN_OPTIONS}
    network = open_network(address, access, arguments)
    latent, output = _probed(network, wanted, address)
    stored = type_name(output.dtype)
    units = units_of(stored, address)
    notes = (f"{network.what}, fed with {latent}" + ("" if wanted else ", the size that the network takes"),)
    shape = tuple(output.shape[1:])
    order = channel_order(shape, address)
    info = SourceInfo(
        address=address.text,
        kind="generator",
        event_shape=shape if order is None else tuple(shape[axis] for axis in order),
        count=None,
        dtype=stored,
        units=units.words,
        # A declared interval is no guarantee, because only some draws are checked.
        bounds=units.bounds if stored in ("uint8", "bool") else None,
        notes=units.notes + notes,
    )
    return GeneratorSource(network, latent, info, units, order)


@torch.no_grad()
def run_network(network: GeneratorNetwork, latents: Tensor, seed: int) -> Tensor:
    """The network's samples for all latents, in batches that it accepts; ``seed`` determines the noise that it draws itself."""
    batch = network.batch or _SAMPLES_AT_ONCE
    devices = [latents.device] if latents.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        parts = []
        for part in latents.split(batch):
            if network.batch is not None and len(part) < batch:
                full = torch.cat([part, part[:1].expand(batch - len(part), *part.shape[1:])])
                parts.append(_tensor(network.run(full))[: len(part)])
            else:
                parts.append(_tensor(network.run(part)))
    return torch.cat(parts)


def _probed(network: GeneratorNetwork, wanted: Latent | None, address: Address) -> tuple[Latent, Tensor]:
    """The latent that the network accepts, and its output for a few draws of it."""
    shapes = alternatives(wanted.shape) if wanted else network.latent_shapes
    candidates = [Latent(kind=wanted.kind if wanted else "normal", shape=shape) for shape in shapes]
    if not candidates:
        unknown = "the size of the network's latent is unknown"
        raise SourceError(f"{address}: {unknown}; add {address.sign}latent=normal:64, with its size")
    failure: Exception | None = None
    for latent in candidates:
        z = latent.draw(_PROBE, torch.Generator().manual_seed(0))
        try:
            output = run_network(network, z, 0)
        except Exception as error:  # the user's network
            failure = failure or error
            continue
        _check(output, address)
        return latent, output
    assert failure is not None
    seems = "x".join(map(str, network.latent_shapes[0])) if network.latent_shapes else None
    hint = f" (the network seems to take {seems})" if seems else ""
    failed = f"{address}: the network failed on latents {candidates[0]} ({type(failure).__name__}: {first_line(failure)})"
    raise SourceError(f"{failed}; correct its latent=kind:size{hint}") from failure


def _check(output: Tensor, address: Address) -> None:
    if output.ndim < 1 or len(output) != _PROBE:
        raise SourceError(
            f"{address}: the network turned {_PROBE} latents into an output of shape {tuple(output.shape)}; "
            f"change it to return one sample per latent, along the first axis"
        )
    if output.is_complex() or math.prod(output.shape) == 0:
        raise SourceError(f"{address}: the network's output does not hold real numbers; give a network that generates samples")
    if not torch.isfinite(output).all():
        raise SourceError(f"{address}: the network's output holds NaN or infinity; check its weights and its latent")


def _tensor(output: Any) -> Tensor:
    """The samples in a network's output: the tensor itself, or the first tensor of a tuple, a mapping or an output object."""
    if isinstance(output, Tensor):
        return output
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        output = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    values = list(output.values()) if isinstance(output, Mapping) else list(output) if isinstance(output, tuple | list) else []
    for value in values:
        if isinstance(value, Tensor):
            return value
    raise TypeError(f"the network returned a {type(output).__name__} without a tensor")
