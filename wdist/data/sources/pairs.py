r"""Synthetic distributions, and pairs of them whose W1 is known.

In each pair, ``a`` is the side with the larger mean potential: E_a f - E_b f = W1.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.1 and appendix H.1: absolute value, cones,
    sphere.
    Korotin, Kolesov & Burnaev (2022), Kantorovich Strikes Back! Wasserstein GANs are not Optimal Transport?: funnels.
    :mod:`wdist.data.sources.descents`: distances from sets, and networks.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import torch
from torch import Tensor

from wdist.data.sources.address import Address, suggestion
from wdist.data.sources.descents import SHAPES, DescentField, descent_field
from wdist.data.sources.funnels import BOX, FunnelField
from wdist.data.sources.source import EndlessSource, FiniteSource, Source, SourceInfo
from wdist.errors import SourceError

_RAYS_COST = 1 << 25
"""Rays * (funnels + dimension) spent on the true W1 of a funnel pair; this takes less than a second."""
_DESCENTS_COST = 1 << 27
"""Coordinates of the samples that the true W1 of a descent is averaged over."""


class Distribution(EndlessSource):
    """Independent draws in float64, so that known facts hold to its precision and not to that of float32."""

    def __init__(
        self, draw: Callable[[int, torch.Generator], Tensor], address: str, dim: int, bounds: tuple[float, float] | None = None
    ) -> None:
        self.info = SourceInfo(
            address=address,
            kind="synthetic",
            event_shape=(dim,),
            count=None,
            dtype="float64",
            units="of the definition",
            bounds=bounds,
        )
        self._draw = draw

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        return self._draw(n, generator)


def _gaussian(dim: int, shift: float, scale: float, address: str) -> Distribution:
    """N(mu, scale^2 I) with \\|mu\\| = ``\\|shift\\|``, spread equally over all coordinates."""
    if scale <= 0:
        raise SourceError(f"{address} needs a positive scale, not {scale:g}; for a single point write synthetic:dirac")
    mean = shift / dim**0.5
    return Distribution(lambda n, generator: _normal(n, dim, generator) * scale + mean, address, dim)


def _uniform(address: Address) -> Distribution:
    dim, low, high = _dimension(address), address.number("low", 0.0), address.number("high", 1.0)
    if not low < high:
        raise SourceError(f"{address} needs low < high, not {low:g} and {high:g}; swap or change them")

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return low + (high - low) * torch.rand(n, dim, generator=generator, device=generator.device, dtype=torch.float64)

    return Distribution(draw, address.text, dim, (low, high))


def _dirac(dim: int, address: str, at: float = 0.0) -> Distribution:
    """All mass in the point (at, ..., at)."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return torch.full((n, dim), at, dtype=torch.float64, device=generator.device)

    return Distribution(draw, address, dim, (at, at))


def _sphere(dim: int, address: str, radius: float = 1.0) -> Distribution:
    if radius <= 0:
        raise SourceError(f"{address} needs a positive radius, not {radius:g}; for a single point write synthetic:dirac")
    return Distribution(lambda n, generator: radius * _directions(n, dim, generator), address, dim, (-radius, radius))


@dataclass(frozen=True, kw_only=True)
class KnownPair:
    """Two distributions and the Wasserstein-1 distance between them, in the Euclidean metric."""

    name: str
    a: EndlessSource
    b: EndlessSource
    w1: float
    w1_error: float = 0.0
    """Standard error of ``w1`` if it is an average over many draws; 0 for a closed form."""
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
        a=_signs("synthetic:absolute-value?side=a"),
        b=_dirac(1, "synthetic:absolute-value?side=b"),
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
        a=_cone_side(n, "a", f"synthetic:cones?n={n}&side=a"),
        b=_cone_side(n, "b", f"synthetic:cones?n={n}&side=b"),
        w1=1.0,
        potential=potential,
        coupled=lambda count, generator: _draw_cones(count, centres, generator),
    )


def sphere(dim: int) -> KnownPair:
    """The uniform unit sphere of R^dim against the Dirac at 0: W1 = 1, one cone."""
    _check("sphere", "dim", dim)
    return KnownPair(
        name=f"sphere-{dim}",
        a=_sphere(dim, f"synthetic:sphere?dim={dim}&side=a"),
        b=_dirac(dim, f"synthetic:sphere?dim={dim}&side=b"),
        w1=1.0,
        potential=_norm,
        coupled=lambda n, generator: _with_zero(_directions(n, dim, generator)),
    )


def funnels(dim: int, funnels: int, seed: int = 0) -> KnownPair:
    """The uniform box (a) against its points pulled towards the centres of their funnels (b); W1 is an average over rays."""
    _check("funnels", "dim", dim)
    _check("funnels", "funnels", funnels)
    field = FunnelField.random(dim, funnels, seed)
    rays = min(max(_RAYS_COST // (funnels + dim), 1 << 14), 1 << 19)
    w1, w1_error = field.transport_cost(rays, torch.Generator().manual_seed(seed + 1))
    address = f"synthetic:funnels?dim={dim}&funnels={funnels}&seed={seed}"

    def coupled(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        y = field.draw_box(n, generator)
        return y, field.pull(y)

    return KnownPair(
        name=f"funnels-{funnels}-dim-{dim}",
        a=_funnel_side(field, "a", f"{address}&side=a"),
        b=_funnel_side(field, "b", f"{address}&side=b"),
        w1=w1,
        w1_error=w1_error,
        potential=field.potential,
        coupled=coupled,
    )


def descent(shape: str, dim: int, *, pieces: int | None = None, seed: int = 0, base: FiniteSource | None = None) -> KnownPair:
    """Samples (a), normal or rows of ``base``, against the same samples moved down a potential (b), one of :data:`SHAPES`."""
    field = _descent_field(shape, dim, pieces, seed, base)
    rays = min(_DESCENTS_COST // (8 * dim), 1 << 17)
    w1, w1_error = field.transport_cost(rays, torch.Generator().manual_seed(seed + 1))
    origin = f"dim={dim}" if base is None else f"from={quote(base.info.address, safe='/:')}"
    address = f"synthetic:{shape}?{origin}&seed={seed}" + ("" if pieces is None else f"&pieces={pieces}")
    return KnownPair(
        name=f"{shape}-dim-{dim}" if pieces is None else f"{shape}-{pieces}-dim-{dim}",
        a=_descent_side(field, "a", f"{address}&side=a"),
        b=_descent_side(field, "b", f"{address}&side=b"),
        w1=w1,
        w1_error=w1_error,
        potential=field.potential,
        coupled=field.coupled,
    )


def gaussian_shift(dim: int, shift: float) -> KnownPair:
    """N(mu, I) with \\|mu\\| = ``\\|shift\\|`` against N(0, I): W1 = \\|shift\\|, potential linear."""
    _check("gaussians", "dim", dim)
    if not math.isfinite(shift):
        raise SourceError(f"the shift of a Gaussian pair must be finite, not {shift}; choose for example 1")
    sign = math.copysign(1.0, shift)
    return KnownPair(
        name=f"gaussian-shift-{shift:g}-dim-{dim}",
        a=_gaussian(dim, shift, 1.0, f"synthetic:gaussian?dim={dim}&shift={shift:g}"),
        b=_gaussian(dim, 0.0, 1.0, f"synthetic:gaussian?dim={dim}"),
        w1=abs(shift),
        potential=lambda x: sign * x.double().sum(dim=1) / dim**0.5,
        coupled=_coupled_gaussians(dim, shift, 1.0),
    )


def gaussian_scale(dim: int, scale: float) -> KnownPair:
    r"""N(0, scale^2 I) against N(0, I): :math:`W_1 = |scale - 1| \, \mathbb E \|z\|` with
    :math:`\mathbb E \|z\| = \sqrt 2 \, \Gamma((d+1)/2) / \Gamma(d/2)`; one cone with the sign of scale - 1."""
    _check("gaussians", "dim", dim)
    if not (scale > 0 and math.isfinite(scale)):
        raise SourceError(f"the scale of a Gaussian pair must be positive and finite, not {scale}; choose for example 2")
    sign = math.copysign(1.0, scale - 1)
    mean_norm = math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
    return KnownPair(
        name=f"gaussian-scale-{scale:g}-dim-{dim}",
        a=_gaussian(dim, 0.0, scale, f"synthetic:gaussian?dim={dim}&scale={scale:g}"),
        b=_gaussian(dim, 0.0, 1.0, f"synthetic:gaussian?dim={dim}"),
        w1=abs(scale - 1) * mean_norm,
        potential=lambda x: sign * _norm(x),
        coupled=_coupled_gaussians(dim, 0.0, scale),
    )


def _coupled_gaussians(dim: int, shift: float, scale: float) -> Callable[[int, torch.Generator], tuple[Tensor, Tensor]]:
    def coupled(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        y = _normal(n, dim, generator)
        return y * scale + shift / dim**0.5, y

    return coupled


def open_synthetic(address: Address, open_base: Callable[[str], Source]) -> EndlessSource:
    """Opens a plain distribution, or one side of a pair: ``synthetic:cones?n=3&side=a``; ``open_base`` opens ``from=``."""
    if address.location in SHAPES:
        return _open_descent(address, open_base)
    if address.location not in FAMILIES:
        known = (*FAMILIES, *SHAPES)
        raise SourceError(f"{address} is not a known distribution; {suggestion(address.location, known, 'choose one of')}")
    options, build = FAMILIES[address.location]
    address.only(*options)
    return build(address)


def _open_gaussian(address: Address) -> EndlessSource:
    return _gaussian(_dimension(address), address.number("shift", 0.0), address.number("scale", 1.0), address.text)


def _open_sphere(address: Address) -> EndlessSource:
    dim, side = _dimension(address), address.choice("side", ("a", "b"), "a")
    radius = address.number("radius", 1.0)
    return _sphere(dim, address.text, radius) if side == "a" else _dirac(dim, address.text)


def _open_funnels(address: Address) -> EndlessSource:
    field = FunnelField.random(_dimension(address), address.integer("funnels"), address.integer("seed", 0, least=0))
    return _funnel_side(field, _side(address), address.text)


def _open_descent(address: Address, open_base: Callable[[str], Source]) -> EndlessSource:
    address.only("dim", "pieces", "seed", "from", "side")
    base: FiniteSource | None = None
    if "from" in address.options:
        opened = open_base(address.options["from"])
        if not isinstance(opened, FiniteSource):
            raise SourceError(f"{address}: from= needs a finite set of samples; name a file or a folder")
        base = opened
        if "dim" in address.options:
            raise SourceError(f"{address}: the samples of from= fix the dimension; leave dim= out")
    dim = _dimension(address) if base is None else base.info.dim
    pieces = address.integer("pieces") if "pieces" in address.options else None
    field = _descent_field(address.location, dim, pieces, address.integer("seed", 0, least=0), base)
    return _descent_side(field, _side(address), address.text)


FAMILIES: Mapping[str, tuple[tuple[str, ...], Callable[[Address], EndlessSource]]] = {
    "gaussian": (("dim", "shift", "scale"), _open_gaussian),
    "uniform": (("dim", "low", "high"), _uniform),
    "dirac": (("dim", "at"), lambda address: _dirac(_dimension(address), address.text, address.number("at", 0.0))),
    "sphere": (("dim", "radius", "side"), _open_sphere),
    "absolute-value": (("side",), lambda address: _signs(address.text) if _side(address) == "a" else _dirac(1, address.text)),
    "cones": (("n", "side"), lambda address: _cone_side(address.integer("n", 3), _side(address), address.text)),
    "funnels": (("dim", "funnels", "seed", "side"), _open_funnels),
}
"""Names after ``synthetic:``, except those in ``SHAPES``, with their options."""


def _dimension(address: Address) -> int:
    dim = address.integer("dim")
    if dim > 10_000_000:
        raise SourceError(f"{address}: dim={dim} is too large to draw; choose at most 10000000")
    return dim


def _side(address: Address) -> str:
    return address.choice("side", ("a", "b"))


def _check(pair: str, option: str, value: int) -> None:
    if value < 1:
        raise SourceError(f"the pair {pair} needs a {option} of at least 1, not {value}; choose for example 3")


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x.double(), dim=1)


def _with_zero(x: Tensor) -> tuple[Tensor, Tensor]:
    return x, torch.zeros_like(x)


def _normal(n: int, dim: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, dim, generator=generator, device=generator.device, dtype=torch.float64)


def _directions(n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Uniform points of the unit sphere, shape (n, dim)."""
    z = _normal(n, dim, generator)
    return z / torch.linalg.vector_norm(z, dim=1, keepdim=True)


def _signs(address: str) -> Distribution:
    return Distribution(_draw_signs, address, 1, (-1.0, 1.0))


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


def _cone_side(n: int, side: str, address: str) -> Distribution:
    centres = _cone_centres(n)
    position = 0 if side == "a" else 1
    reach = float(n - 1 + (side == "b"))
    return Distribution(lambda count, generator: _draw_cones(count, centres, generator)[position], address, 2, (-reach, reach))


def _funnel_side(field: FunnelField, side: str, address: str) -> Distribution:
    if side == "a":
        return Distribution(field.draw_box, address, field.dim, (-BOX, BOX))
    return Distribution(lambda n, generator: field.pull(field.draw_box(n, generator)), address, field.dim, (-BOX, BOX))


def _descent_field(shape: str, dim: int, pieces: int | None, seed: int, base: FiniteSource | None) -> DescentField:
    if shape not in SHAPES:
        raise SourceError(f"{shape!r} is not a known shape; {suggestion(shape, SHAPES, 'choose one of')}")
    row = SHAPES[shape]
    for option, value, least in (("dimension", dim, row.least_dim), ("number of pieces", pieces, row.least_pieces)):
        if value is not None and value < least:
            raise SourceError(f"the pair {shape} needs a {option} of at least {least}, not {value}; choose for example {least + 2}")
    rows = None if base is None else base.read(slice(0, base.count)).double() * base.info.scale + base.info.offset
    return descent_field(shape, dim, pieces=pieces, seed=seed, base=rows)


def _descent_side(field: DescentField, side: str, address: str) -> Distribution:
    if side == "a":
        return Distribution(field.base, address, field.dim)
    return Distribution(lambda n, generator: field.coupled(n, generator)[1], address, field.dim)
