"""Generators: networks that turn latents into samples, drawn without end."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wdist.data.access import Access
from wdist.data.sources.address import Address
from wdist.data.sources.dtypes import type_name
from wdist.data.sources.latent import Latent, alternatives, parse_latent
from wdist.data.sources.network_file import Network, first_line, open_network
from wdist.data.sources.selection import OPTIONS as AXES
from wdist.data.sources.selection import channel_order, permuted
from wdist.data.sources.source import EndlessSource, SourceInfo
from wdist.data.sources.units import OPTIONS as UNITS
from wdist.data.sources.units import Units, units_of
from wdist.errors import SourceError

_OWN_OPTIONS = ("factory", "latent", *UNITS, *AXES)
_PROBE = 16
_SAMPLES_AT_ONCE = 512


class GeneratorSource(EndlessSource):
    """A network in evaluation mode, without gradients, fed with latents of its law."""

    def __init__(self, network: Network, latent: Latent, info: SourceInfo, units: Units, order: tuple[int, ...] | None) -> None:
        """``order``: how the axes of one output are permuted into the event shape; None where they stay."""
        self.info = info
        self.latent = latent
        self._network = network
        self._units = units
        self._order = order

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws ``n`` samples; equal generators give equal samples, even if the network draws noise of its own."""
        if n == 0:
            return self.draw(1, generator)[:0]
        latents = self.latent.draw(n, generator)
        seed = int(torch.randint(1 << 62, (), generator=generator, device=generator.device))
        samples = run_network(self._network, latents, seed)
        rows = samples.reshape(n, self.info.dim)
        if self._order is not None:
            rows = permuted(rows, tuple(samples.shape[1:]), self._order)
        rows = rows if rows.dtype == torch.float64 else rows.to(torch.float32)
        return rows * self._units.scale + self._units.offset if self._units.words != "as stored" else rows


def open_generator(address: Address, access: Access) -> GeneratorSource:
    """A generator from ``gen.safetensors?factory=package.module:Class&latent=normal:64``, TorchScript, ``.pt2`` or ``.onnx``.

    Options other than ``latent``, ``range``, ``stored`` and ``channels`` are arguments of the factory. One probing batch checks
    that latents of this shape are taken and that what comes out is one finite sample a latent.

    Raises:
        TrustRequired: opening it would run code and the user has not allowed that.
        SourceError: it cannot be opened, the latent is unknown, or the probe fails.
    """
    wanted = parse_latent(address.options["latent"], address.text) if "latent" in address.options else None
    arguments = {name: value for name, value in address.options.items() if name not in _OWN_OPTIONS}
    network = open_network(address, access, arguments)
    latent, output = _probed(network, wanted, address)
    stored = type_name(output.dtype)
    units = units_of(stored, address)
    notes = (f"{network.what}, fed with {latent}" + ("" if wanted else ", of the size that the network takes"),)
    shape = tuple(output.shape[1:])
    order = channel_order(shape, address)
    info = SourceInfo(
        address=address.text,
        kind="generator",
        event_shape=shape if order is None else tuple(shape[axis] for axis in order),
        count=None,
        dtype=stored,
        units=units.words,
        # A declared interval is the user's word; nothing holds a network to it, and not all that it draws is looked at.
        bounds=units.bounds if stored in ("uint8", "bool") else None,
        notes=units.notes + notes,
    )
    return GeneratorSource(network, latent, info, units, order)


@torch.no_grad()
def run_network(network: Network, latents: Tensor, seed: int) -> Tensor:
    """The network's samples for all latents, in batches that it takes; noise of its own follows from ``seed``."""
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


def _probed(network: Network, wanted: Latent | None, address: Address) -> tuple[Latent, Tensor]:
    """The latent that the network takes, and its output for a few of them."""
    candidates = [Latent(kind=wanted.kind, shape=shape) for shape in alternatives(wanted.shape)] if wanted else []
    if wanted is None:
        candidates = [Latent(kind="normal", shape=shape) for shape in network.latent_shapes]
    if not candidates:
        sign = "&" if address.options else "?"
        raise SourceError(f"{address}: nothing in the network says what it is fed with; add {sign}latent=normal:64, with its size")
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
    reason = f"{type(failure).__name__}: {first_line(failure)}"
    failed = f"{address}: the network failed on latents {candidates[0]} ({reason})"
    raise SourceError(f"{failed}; give its latent=kind:size{hint}") from failure


def _check(output: Tensor, address: Address) -> None:
    if output.ndim < 1 or len(output) != _PROBE:
        raise SourceError(
            f"{address}: the network turned {_PROBE} latents into an output of shape {tuple(output.shape)}; "
            f"it must give one sample a latent, along the first axis"
        )
    if output.is_complex() or math.prod(output.shape) == 0:
        raise SourceError(f"{address}: the network's output holds no real numbers; give a network that generates samples")
    if not torch.isfinite(output).all():
        raise SourceError(f"{address}: the network's output holds NaN or infinity; check its weights and its latent")


def _tensor(output: Any) -> Tensor:
    """The samples in what a network returns: a tensor, or the first tensor of a tuple, a mapping or an output object."""
    if isinstance(output, Tensor):
        return output
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        output = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    values = list(output.values()) if isinstance(output, Mapping) else list(output) if isinstance(output, tuple | list) else []
    for value in values:
        if isinstance(value, Tensor):
            return value
    raise TypeError(f"the network returned a {type(output).__name__} without a tensor")
