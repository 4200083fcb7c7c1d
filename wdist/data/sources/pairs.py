r"""Pairs of distributions whose W1 is known.

Of each pair, ``a`` is the side on which the potential is larger: E_a f - E_b f = W1.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.1 and appendix H.1: absolute value, cones,
    sphere.
    Korotin, Kolesov & Burnaev (2022), Kantorovich Strikes Back! Wasserstein GANs are not Optimal Transport?: funnels.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.funnels import BOX, FunnelField
from wdist.data.sources.source import EndlessSource
from wdist.data.sources.synthetic import (
    PLAIN,
    Distribution,
    Family,
    build_synthetic,
    dimension,
    dirac,
    directions,
    gaussian,
    synthetic_info,
)
from wdist.data.sources.synthetic import sphere as sphere_distribution
from wdist.errors import SourceError

_RAYS_COST = 1 << 25
"""Rays * (funnels + dimension) that the truth of a funnel pair may take: less than a second."""


@dataclass(frozen=True, kw_only=True)
class KnownPair:
    """Two distributions and the Wasserstein-1 distance between them, in the Euclidean metric."""

    name: str
    a: EndlessSource
    b: EndlessSource
    w1: float
    w1_error: float = 0.0
    """Standard error of ``w1`` where it is an average over many draws; 0 for a closed form."""
    potential: Callable[[Tensor], Tensor] | None = None
    """An optimal 1-Lipschitz f, from (n, dim) to (n,) in float64: E_a f - E_b f = w1."""
    coupled: Callable[[int, torch.Generator], tuple[Tensor, Tensor]] | None = None
    """Draws from an optimal coupling: (n, generator) to (x of a, y of b); row by row f(x) - f(y) = \\|x - y\\|."""

    def __str__(self) -> str:
        return self.name


def absolute_value() -> KnownPair:
    """(delta_-1 + delta_1) / 2 against the Dirac at 0: W1 = 1, potential \\|x\\|."""
    return KnownPair(
        name="absolute-value",
        a=_signs(),
        b=dirac(1, address="synthetic:absolute-value?side=b"),
        w1=1.0,
        potential=_norm,
        coupled=lambda n, generator: _with_zero(_draw_signs(n, generator)),
    )


def cones(n: int = 3) -> KnownPair:
    """``n`` points, spaced 2 apart on a line of the plane, against circles of radius 1 around them: W1 = 1, ``n`` cones."""
    centres = _cone_centres(n)

    def potential(x: Tensor) -> Tensor:
        distances = torch.cdist(x.double(), centres.to(x.device), compute_mode="donot_use_mm_for_euclid_dist")
        return -distances.amin(dim=1)

    return KnownPair(
        name=f"cones-{n}",
        a=_cone_side(n, "a"),
        b=_cone_side(n, "b"),
        w1=1.0,
        potential=potential,
        coupled=lambda count, generator: _draw_cones(count, centres, generator),
    )


def sphere(dim: int) -> KnownPair:
    """The uniform unit sphere of R^dim against the Dirac at 0: W1 = 1, one cone."""
    _check("sphere", "dim", dim)
    return KnownPair(
        name=f"sphere-{dim}",
        a=sphere_distribution(dim, address=f"synthetic:sphere?dim={dim}&side=a"),
        b=dirac(dim, address=f"synthetic:sphere?dim={dim}&side=b"),
        w1=1.0,
        potential=_norm,
        coupled=lambda n, generator: _with_zero(directions(n, dim, generator)),
    )


def funnels(dim: int, funnels: int, seed: int = 0) -> KnownPair:
    """The uniform box (a) against its points pulled towards the centres of their funnels (b); the truth by averaging over rays."""
    _check("funnels", "dim", dim)
    _check("funnels", "funnels", funnels)
    field = FunnelField.random(dim, funnels, seed)
    rays = min(max(_RAYS_COST // (funnels + dim), 1 << 14), 1 << 19)
    w1, w1_error = field.transport_cost(rays, torch.Generator().manual_seed(seed + 1))

    def coupled(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        y = field.draw_box(n, generator)
        return y, field.pull(y)

    return KnownPair(
        name=f"funnels-{funnels}-dim-{dim}",
        a=_funnel_side(field, seed, "a"),
        b=_funnel_side(field, seed, "b"),
        w1=w1,
        w1_error=w1_error,
        potential=field.potential,
        coupled=coupled,
    )


def gaussian_shift(dim: int, shift: float) -> KnownPair:
    """N(mu, I) with \\|mu\\| = ``shift`` against N(0, I): W1 = \\|shift\\|, potential linear."""
    _check("gaussians", "dim", dim)
    if not math.isfinite(shift):
        raise SourceError(f"the shift of a Gaussian pair must be finite, not {shift}; choose for example 1")
    sign = math.copysign(1.0, shift)
    offset = shift / dim**0.5

    def coupled(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        y = torch.randn(n, dim, generator=generator, device=generator.device, dtype=torch.float64)
        return y + offset, y

    return KnownPair(
        name=f"gaussian-shift-{shift:g}-dim-{dim}",
        a=gaussian(dim, shift, address=f"synthetic:gaussian?dim={dim}&shift={shift:g}"),
        b=gaussian(dim, address=f"synthetic:gaussian?dim={dim}"),
        w1=abs(shift),
        potential=lambda x: sign * x.double().sum(dim=1) / dim**0.5,
        coupled=coupled,
    )


def gaussian_scale(dim: int, scale: float) -> KnownPair:
    r"""N(0, scale^2 I) against N(0, I): :math:`W_1 = |scale - 1| \, \mathbb E \|z\|` with
    :math:`\mathbb E \|z\| = \sqrt 2 \, \Gamma((d+1)/2) / \Gamma(d/2)`; one cone, its sign that of scale - 1."""
    _check("gaussians", "dim", dim)
    if not (scale > 0 and math.isfinite(scale)):
        raise SourceError(f"the scale of a Gaussian pair must be positive and finite, not {scale}; choose for example 2")
    sign = math.copysign(1.0, scale - 1)
    mean_norm = math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))

    def coupled(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        y = torch.randn(n, dim, generator=generator, device=generator.device, dtype=torch.float64)
        return y * scale, y

    return KnownPair(
        name=f"gaussian-scale-{scale:g}-dim-{dim}",
        a=gaussian(dim, 0.0, scale, address=f"synthetic:gaussian?dim={dim}&scale={scale:g}"),
        b=gaussian(dim, address=f"synthetic:gaussian?dim={dim}"),
        w1=abs(scale - 1) * mean_norm,
        potential=lambda x: sign * _norm(x),
        coupled=coupled,
    )


def open_synthetic(address: Address) -> EndlessSource:
    """A plain distribution, or one side of a pair: ``synthetic:cones?n=3&side=a``.

    Raises:
        SourceError: the name or an option is unknown or out of its range.
    """
    return build_synthetic(address, FAMILIES)


def _open_absolute_value(address: Address) -> EndlessSource:
    return _signs(address.text) if _side(address) == "a" else dirac(1, address=address.text)


def _open_cones(address: Address) -> EndlessSource:
    return _cone_side(address.integer("n", 3), _side(address), address.text)


def _open_sphere(address: Address) -> EndlessSource:
    dim, side = dimension(address), address.choice("side", ("a", "b"), "a")
    radius = address.number("radius", 1.0)
    return sphere_distribution(dim, radius, address=address.text) if side == "a" else dirac(dim, address=address.text)


def _open_funnels(address: Address) -> EndlessSource:
    seed = address.integer("seed", 0, least=0)
    field = FunnelField.random(dimension(address), address.integer("funnels"), seed)
    return _funnel_side(field, seed, _side(address), address.text)


FAMILIES: Mapping[str, Family] = {
    **PLAIN,
    "sphere": Family(options=("dim", "radius", "side"), build=_open_sphere),
    "absolute-value": Family(options=("side",), build=_open_absolute_value),
    "cones": Family(options=("n", "side"), build=_open_cones),
    "funnels": Family(options=("dim", "funnels", "seed", "side"), build=_open_funnels),
}
"""All that can stand behind ``synthetic:``."""


def _side(address: Address) -> str:
    return address.choice("side", ("a", "b"))


def _check(pair: str, option: str, value: int) -> None:
    if value < 1:
        raise SourceError(f"the pair {pair} needs a {option} of at least 1, not {value}; choose for example 3")


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x.double(), dim=1)


def _with_zero(x: Tensor) -> tuple[Tensor, Tensor]:
    return x, torch.zeros_like(x)


def _signs(address: str = "synthetic:absolute-value?side=a") -> EndlessSource:
    return Distribution(_draw_signs, synthetic_info(address, 1, (-1.0, 1.0)))


def _draw_signs(n: int, generator: torch.Generator) -> Tensor:
    return 2 * torch.randint(0, 2, (n, 1), generator=generator, device=generator.device).double() - 1


def _cone_centres(n: int) -> Tensor:
    """(-(n-1), 0), (-(n-3), 0), ..., (n-1, 0): shape (n, 2), float64."""
    _check("cones", "n", n)
    line = 2 * torch.arange(n, dtype=torch.float64) - (n - 1)
    return torch.stack([line, torch.zeros_like(line)], dim=1)


def _draw_cones(count: int, centres: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Centres and points of the circles around them, each of shape (count, 2)."""
    which = torch.randint(0, len(centres), (count,), generator=generator, device=generator.device)
    points = centres.to(generator.device)[which]
    angle = 2 * torch.pi * torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)
    return points, points + torch.stack([angle.cos(), angle.sin()], dim=1)


def _cone_side(n: int, side: str, address: str | None = None) -> EndlessSource:
    centres = _cone_centres(n)
    position = 0 if side == "a" else 1
    reach = float(n - 1 + (side == "b"))
    info = synthetic_info(address or f"synthetic:cones?n={n}&side={side}", 2, (-reach, reach))
    return Distribution(lambda count, generator: _draw_cones(count, centres, generator)[position], info)


def _funnel_side(field: FunnelField, seed: int, side: str, address: str | None = None) -> EndlessSource:
    name = address or f"synthetic:funnels?dim={field.dim}&funnels={field.funnels}&seed={seed}&side={side}"
    info = synthetic_info(name, field.dim, (-BOX, BOX))
    if side == "a":
        return Distribution(field.draw_box, info)
    return Distribution(lambda n, generator: field.pull(field.draw_box(n, generator)), info)
