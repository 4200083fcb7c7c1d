"""Distributions that are known in full: Gaussian, uniform, one point, sphere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.data.sources.address import Address, suggestion
from wdist.data.sources.source import EndlessSource, SourceInfo
from wdist.errors import SourceError

Draw = Callable[[int, torch.Generator], Tensor]


class Distribution(EndlessSource):
    """Independent draws in float64: what is known of these distributions then holds to its rounding, not to that of float32."""

    def __init__(self, draw: Draw, info: SourceInfo) -> None:
        self.info = info
        self._draw = draw

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        return self._draw(n, generator)


def synthetic_info(address: str, dim: int, bounds: tuple[float, float] | None) -> SourceInfo:
    """The description of a distribution on R^dim."""
    return SourceInfo(
        address=address, kind="synthetic", event_shape=(dim,), count=None, dtype="float64", units="of the definition", bounds=bounds
    )


def normal(n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Standard normal values, shape (n, dim), float64, on the generator's device."""
    return torch.randn(n, dim, generator=generator, device=generator.device, dtype=torch.float64)


def uniform01(n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Uniform values in [0, 1), shape (n, dim), float64, on the generator's device."""
    return torch.rand(n, dim, generator=generator, device=generator.device, dtype=torch.float64)


def directions(n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Uniform points of the unit sphere, shape (n, dim), float64, on the generator's device."""
    z = normal(n, dim, generator)
    return z / torch.linalg.vector_norm(z, dim=1, keepdim=True)


def gaussian(dim: int, shift: float = 0.0, scale: float = 1.0, *, address: str = "") -> Distribution:
    """N(mu, scale^2 I) with \\|mu\\| = ``\\|shift\\|``, spread equally over all coordinates."""
    if scale <= 0:
        raise SourceError(f"{address or 'a Gaussian'} needs a positive scale, not {scale:g}; a single point is synthetic:dirac")
    mean = shift / dim**0.5
    return Distribution(lambda n, generator: normal(n, dim, generator) * scale + mean, synthetic_info(address, dim, None))


def uniform(dim: int, low: float = 0.0, high: float = 1.0, *, address: str = "") -> Distribution:
    """Uniform in the box [low, high]^dim."""
    if not low < high:
        raise SourceError(f"{address or 'a uniform distribution'} needs low < high, not {low:g} and {high:g}; swap or change them")
    info = synthetic_info(address, dim, (low, high))
    return Distribution(lambda n, generator: low + (high - low) * uniform01(n, dim, generator), info)


def dirac(dim: int, at: float = 0.0, *, address: str = "") -> Distribution:
    """All mass in the point (at, ..., at)."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return torch.full((n, dim), at, dtype=torch.float64, device=generator.device)

    return Distribution(draw, synthetic_info(address, dim, (at, at)))


def sphere(dim: int, radius: float = 1.0, *, address: str = "") -> Distribution:
    """Uniform on the sphere of a radius around 0."""
    if radius <= 0:
        raise SourceError(f"{address or 'a sphere'} needs a positive radius, not {radius:g}; a single point is synthetic:dirac")
    info = synthetic_info(address, dim, (-radius, radius))
    return Distribution(lambda n, generator: radius * directions(n, dim, generator), info)


@dataclass(frozen=True, kw_only=True)
class Family:
    """What can stand behind ``synthetic:``."""

    options: tuple[str, ...]
    build: Callable[[Address], EndlessSource]


def _gaussian(address: Address) -> EndlessSource:
    return gaussian(dimension(address), address.number("shift", 0.0), address.number("scale", 1.0), address=address.text)


def _uniform(address: Address) -> EndlessSource:
    return uniform(dimension(address), address.number("low", 0.0), address.number("high", 1.0), address=address.text)


def _dirac(address: Address) -> EndlessSource:
    return dirac(dimension(address), address.number("at", 0.0), address=address.text)


PLAIN: Mapping[str, Family] = {
    "gaussian": Family(options=("dim", "shift", "scale"), build=_gaussian),
    "uniform": Family(options=("dim", "low", "high"), build=_uniform),
    "dirac": Family(options=("dim", "at"), build=_dirac),
}


def dimension(address: Address) -> int:
    """The option ``dim``.

    Raises:
        SourceError: it is missing, or no sensible number.
    """
    dim = address.integer("dim")
    if dim > 10_000_000:
        raise SourceError(f"{address}: dim={dim} is more than can be drawn; choose at most 10000000")
    return dim


def build_synthetic(address: Address, families: Mapping[str, Family]) -> EndlessSource:
    """The distribution that an address names.

    Raises:
        SourceError: the name or an option is unknown or out of its range.
    """
    family = families.get(address.location)
    if family is None:
        raise SourceError(f"{address} is no known distribution; {suggestion(address.location, families, 'there are')}")
    address.only(*family.options)
    return family.build(address)
