r"""Pairs from any potential of unit slope: samples, and the same samples moved down the potential.

Let f be 1-Lipschitz and fall with slope 1 from x to x - d(x). For any distribution of x and any share s in [0, 1] of the way, the
coupling (x, x - s d(x)) costs E s ||d(x)||. The mean of f falls by the same amount, so no coupling is cheaper, and this is W1.

The distance from a closed set falls with slope 1 towards the nearest point, and a network with orthonormal weights and MaxMin does
so within each of its linear regions. Neither is an envelope of a few cones.

References:
    Villani (2009), Optimal transport: old and new, theorem 5.10 (the potential proves the coupling optimal, and conversely).
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4 (gradients of norm 1 everywhere).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from wdist.data.sources.source import random_stream

_STREAM = 0x64657363656E74
_PIECES_OF_CURVE, _WAVES = 64, 4
"""Segments of a closed curve, and the number of waves that add up to it."""
_MOST_NORMALS, _MOST_EDGES = 64, 64
_MOST_UNITS, _LAYERS = 128, 3
_FARTHEST = 1.0
"""Longest descent of a network, in standard deviations of a coordinate."""
_NUMBERS_AT_ONCE = 1 << 22


class Potential(ABC):
    """A 1-Lipschitz function, and from each point a path along which it falls with slope 1."""

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Values at x, float64, shape (n, dim); shape (n,)."""

    @abstractmethod
    def descent(self, x: Tensor) -> Tensor:
        """The descent d of each x, shape (n, dim): f(x - s d) = f(x) - s ||d|| for all s in [0, 1]."""


class DistanceFrom(Potential):
    """Distance from a closed set, which falls on the way to the nearest point."""

    def value(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(self.descent(x), dim=1)


@dataclass(frozen=True, kw_only=True)
class Subspaces(DistanceFrom):
    """Affine subspaces through ``points``, shape (pieces, dim), with orthonormal ``normals``, shape (pieces, normals, dim)."""

    points: Tensor
    normals: Tensor

    def descent(self, x: Tensor) -> Tensor:
        across = [(x - point) @ normals.mT for point, normals in zip(self.points, self.normals, strict=True)]
        squares = torch.stack([part.square().sum(1) for part in across], 1)
        return _nearest(x, squares, lambda j, some: across[j][some] @ self.normals[j])


@dataclass(frozen=True, kw_only=True)
class Spheres(DistanceFrom):
    """Spheres around ``centres``, shape (pieces, dim), with ``radii``, shape (pieces,)."""

    centres: Tensor
    radii: Tensor

    def descent(self, x: Tensor) -> Tensor:
        distances = torch.cdist(x, self.centres, compute_mode="donot_use_mm_for_euclid_dist")

        def towards(j: int, some: Tensor) -> Tensor:
            return (x[some] - self.centres[j]) * (1 - self.radii[j] / distances[some, j]).unsqueeze(1)

        return _nearest(x, (distances - self.radii).abs(), towards)


@dataclass(frozen=True, kw_only=True)
class Boxes(DistanceFrom):
    """Boxes of any orientation: centre + sum of z_i e_i with ``|z_i| <= h_i``; with a single edge, segments."""

    centres: Tensor
    """Shape (pieces, dim)."""
    edges: Tensor
    """Orthonormal directions e_i, shape (pieces, edges, dim)."""
    halves: Tensor
    """Half lengths h_i, shape (pieces, edges)."""

    def descent(self, x: Tensor) -> Tensor:
        along = torch.einsum("nd,ked->nke", x, self.edges) - torch.einsum("kd,ked->ke", self.centres, self.edges)
        within = along.clamp(-self.halves, self.halves)
        # By Pythagoras; rounding matters only if two pieces are equally near.
        squares = torch.cdist(x, self.centres).square() - along.square().sum(2) + (along - within).square().sum(2)
        return _nearest(x, squares, lambda j, some: x[some] - self.centres[j] - within[some, j] @ self.edges[j])


@dataclass(frozen=True, kw_only=True)
class Union(DistanceFrom):
    """The union of several sets."""

    sets: Sequence[DistanceFrom]

    def descent(self, x: Tensor) -> Tensor:
        ways = [each.descent(x) for each in self.sets]
        return _nearest(x, torch.stack([way.square().sum(1) for way in ways], 1), lambda j, some: ways[j][some])


def _nearest(x: Tensor, nearness: Tensor, way: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Descents to the nearest of several pieces.

    Arguments:
        x: shape (n, dim).
        nearness: shape (n, pieces); smallest for the nearest piece.
        way: from (number of a piece, some rows) to the descents of these rows to that piece.
    """
    ways, own = torch.zeros_like(x), nearness.argmin(1)
    for j in own.unique().tolist():
        (some,) = torch.nonzero(own == j, as_tuple=True)
        ways[some] = way(j, some)
    return ways


@dataclass(frozen=True, kw_only=True)
class MaxMinNetwork(Potential):
    """Layers of orthonormal rows with MaxMin between them: the gradient has norm 1 in the interior of every linear region."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    """The last layer has one output."""

    def value(self, x: Tensor) -> Tensor:
        return self._forward(x)[0]

    def descent(self, x: Tensor) -> Tensor:
        """The descent against the gradient, up to the border of the linear region."""
        _, gaps = self._forward(x)
        slope = self.weights[-1].expand(len(x), -1)
        for weight, gap in zip(reversed(self.weights[:-1]), reversed(gaps), strict=True):
            slope = _exchanged(slope, gap) @ weight
        reach, rate = torch.full_like(x[:, 0], _FARTHEST), slope
        for weight, gap in zip(self.weights[:-1], gaps, strict=True):
            rate = rate @ weight.mT
            first, second = rate.chunk(2, 1)
            border = gap / (first - second)  # length of the descent at which the gap closes
            reach = torch.minimum(reach, torch.where(border > 0, border, torch.inf).amin(1))
            rate = _exchanged(rate, gap)
        return slope * reach.unsqueeze(1)

    def _forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Values, and for each hidden layer the differences of the units that are compared."""
        gaps: list[Tensor] = []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            h = x @ weight.mT + bias
            first, second = h.chunk(2, 1)
            gaps.append(first - second)
            x = _exchanged(h, gaps[-1])
        return (x @ self.weights[-1].mT + self.biases[-1]).squeeze(1), gaps


def _exchanged(h: Tensor, gap: Tensor) -> Tensor:
    """Exchanges the two units of each pair where ``gap`` is negative: a permutation, and its own inverse."""
    first, second = h.chunk(2, 1)
    return torch.cat([torch.where(gap < 0, second, first), torch.where(gap < 0, first, second)], 1)


@dataclass(frozen=True, kw_only=True)
class DescentField:
    """A potential scaled to a distribution, and that distribution."""

    base: Callable[[int, torch.Generator], Tensor]
    """Draws x: from (n, generator) to (n, dim), float64."""
    unscaled: Potential
    """For samples of mean 0 and variance 1 in each coordinate."""
    dim: int
    shift: Tensor
    """Mean of x, shape (dim,)."""
    spread: float = 1.0
    """Root mean square standard deviation of the coordinates of x."""

    def potential(self, x: Tensor) -> Tensor:
        """The potential at x, shape (n, dim); shape (n,), float64."""
        return self._in_parts(lambda part: self.unscaled.value(part) * self.spread, x)

    def coupled(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows of an optimal coupling: x and the same point moved down a uniform share of its descent."""
        x = self.base(n, generator)
        share = torch.rand(n, 1, generator=generator, device=generator.device, dtype=torch.float64)
        return x, x - share * self._descent(x)

    def transport_cost(self, n: int, generator: torch.Generator) -> tuple[float, float]:
        """Estimates W1 from n samples, without sampling the share; returns it with its standard error."""
        halves = torch.linalg.vector_norm(self._descent(self.base(n, generator)), dim=1) / 2
        return float(halves.mean()), float(halves.std() / n**0.5)

    def _descent(self, x: Tensor) -> Tensor:
        return self._in_parts(lambda part: self.unscaled.descent(part) * self.spread, x)

    def _in_parts(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        scaled = ((x.cpu().double() - self.shift) / self.spread).split(max(1, _NUMBERS_AT_ONCE // (16 * self.dim)))
        return torch.cat([function(part) for part in scaled]).to(x.device)


def _normals(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _frames(pieces: int, count: int, dim: int, generator: torch.Generator) -> Tensor:
    """Random orthonormal rows, shape (pieces, count, dim)."""
    return torch.linalg.qr(_normals(pieces, dim, count, generator=generator))[0].mT.contiguous()


def _lengths(*shape: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def _subspaces(dim: int, pieces: int, generator: torch.Generator) -> Subspaces:
    points = 0.5 * _normals(pieces, dim, generator=generator)
    return Subspaces(points=points, normals=_frames(pieces, max(1, min(dim // 2, _MOST_NORMALS)), dim, generator))


def _spheres(dim: int, pieces: int, generator: torch.Generator) -> Spheres:
    centres = 0.5 * _normals(pieces, dim, generator=generator)
    return Spheres(centres=centres, radii=dim**0.5 * _lengths(pieces, low=0.3, high=0.7, generator=generator))


def _boxes(dim: int, pieces: int, generator: torch.Generator, *, edges: int, longest: float) -> Boxes:
    centres, count = 0.5 * _normals(pieces, dim, generator=generator), max(1, min(dim, edges))
    halves = longest * _lengths(pieces, count, low=0.3, high=1.0, generator=generator)
    return Boxes(centres=centres, edges=_frames(pieces, count, dim, generator), halves=halves)


def _segments(dim: int, pieces: int, generator: torch.Generator) -> Boxes:
    return _boxes(dim, pieces, generator, edges=1, longest=dim**0.5)


def _polytopes(dim: int, pieces: int, generator: torch.Generator) -> Boxes:
    return _boxes(dim, pieces, generator, edges=_MOST_EDGES, longest=0.8)


def _curves(dim: int, pieces: int, generator: torch.Generator) -> Union:
    return Union(sets=[_curve(dim, generator) for _ in range(pieces)])


def _curve(dim: int, generator: torch.Generator) -> Boxes:
    """A closed curve of random waves, as a polygon."""
    angles = 2 * torch.pi * torch.arange(_PIECES_OF_CURVE, dtype=torch.float64) / _PIECES_OF_CURVE
    waves = torch.cat([wave(k * angles).unsqueeze(1) / k for k in range(1, _WAVES + 1) for wave in (torch.cos, torch.sin)], 1)
    corners = waves @ _normals(2 * _WAVES, dim, generator=generator)
    ways = corners.roll(-1, 0) - corners
    lengths = torch.linalg.vector_norm(ways, dim=1, keepdim=True)
    return Boxes(centres=corners + ways / 2, edges=(ways / lengths).unsqueeze(1), halves=lengths / 2)


def _mixed(dim: int, pieces: int, generator: torch.Generator) -> Union:
    return Union(sets=[make(dim, pieces, generator) for make in (_subspaces, _spheres, _segments, _polytopes)])


def _network(dim: int, pieces: int, generator: torch.Generator) -> MaxMinNetwork:
    """Hidden layers of one width, which is even and no larger than the dimension, so that all rows are orthonormal."""
    width = min(dim, _MOST_UNITS) // 2 * 2
    sizes = [dim, *[width] * (pieces - 1), 1]
    weights = [_frames(1, rows, columns, generator)[0] for columns, rows in pairwise(sizes)]
    return MaxMinNetwork(weights=weights, biases=[0.5 * _normals(rows, generator=generator) for rows in sizes[1:]])


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A family of potentials."""

    make: Callable[[int, int, torch.Generator], Potential]
    """From dimension and number of pieces."""
    pieces: int
    """Default number of pieces; for networks, of linear layers."""
    least_dim: int = 1
    least_pieces: int = 1


SHAPES: dict[str, Shape] = {
    "subspaces": Shape(make=_subspaces, pieces=4),
    "shells": Shape(make=_spheres, pieces=4),
    "segments": Shape(make=_segments, pieces=8),
    "curves": Shape(make=_curves, pieces=1, least_dim=2),
    "polytopes": Shape(make=_polytopes, pieces=4),
    "mixed": Shape(make=_mixed, pieces=2),
    "network": Shape(make=_network, pieces=_LAYERS, least_dim=2, least_pieces=2),
}
"""Families of potentials by name: distances from sets, and networks."""


def descent_field(shape: str, dim: int, *, pieces: int | None, seed: int, base: Tensor | None) -> DescentField:
    """Draws a potential, for standard normal samples or for rows of ``base``, shape (n, dim), float64, with replacement."""
    # A separate stream, because a generator with this seed, as samples use, would draw the pieces themselves first.
    generator = random_stream(_STREAM, seed)
    potential = SHAPES[shape].make(dim, SHAPES[shape].pieces if pieces is None else pieces, generator)
    if base is None:
        origin = torch.zeros(dim, dtype=torch.float64)
        return DescentField(base=partial(_draw_normal, dim), unscaled=potential, dim=dim, shift=origin)
    spread = float(base.var(0).mean().sqrt())
    return DescentField(base=partial(_draw_rows, base), unscaled=potential, dim=dim, shift=base.mean(0), spread=spread)


def _draw_normal(dim: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, dim, generator=generator, device=generator.device, dtype=torch.float64)


def _draw_rows(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    return rows.to(generator.device)[torch.randint(0, len(rows), (n,), generator=generator, device=generator.device)]
