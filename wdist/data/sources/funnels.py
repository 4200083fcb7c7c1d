r"""Min-funnels: a potential whose transport, and thus whose W1, is known in every dimension.

.. math:: u(x) = \min_k \left( \|x - a_k\| + b_k \right)

Mass moves towards the centre of its own funnel along rays that do not cross and along which u falls with slope 1, so
:math:`W_1 = \mathbb E \|x - y\| = \mathbb E u(y) - \mathbb E u(x)`.

References:
    Korotin, Kolesov & Burnaev (2022), Kantorovich Strikes Back! Wasserstein GANs are not Optimal Transport?, section 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.data.sources.source import random_stream

BOX = 2.5
"""The domain is [-BOX, BOX]^dim; the centres are uniform in it."""
_OFFSET = 0.1
_POWER = 8
"""Transport moves a point at share t of its ray to share t ** 8."""
_VALUES_AT_ONCE = 1 << 16
_STREAM = 0x66756E6E656C


@dataclass(frozen=True, kw_only=True)
class FunnelField:
    """Centres a_k and offsets b_k of a min-funnel."""

    centres: Tensor
    """Shape (funnels, dim), float64."""
    offsets: Tensor
    """Shape (funnels,), float64."""

    @classmethod
    def random(cls, dim: int, funnels: int, seed: int) -> "FunnelField":
        """Draws a_k uniformly from the box and b_k from a normal distribution with standard deviation 0.1."""
        # A separate stream, because a generator with this seed, as samples use, would draw the centres themselves first.
        generator = random_stream(_STREAM, seed)
        centres = _uniform_box(funnels, dim, generator)
        offsets = torch.randn(funnels, generator=generator, dtype=torch.float64) * _OFFSET
        return cls(centres=centres, offsets=offsets)

    @property
    def dim(self) -> int:
        return self.centres.shape[1]

    @property
    def funnels(self) -> int:
        return self.centres.shape[0]

    def to(self, device: torch.device) -> "FunnelField":
        return FunnelField(centres=self.centres.to(device), offsets=self.offsets.to(device))

    def potential(self, x: Tensor) -> Tensor:
        """The potential u at points of shape (n, dim); shape (n,), float64."""
        # Exact differences: the expanded square cancels near a centre.
        field = self.to(x.device)
        pieces = [field._distances(part).add_(field.offsets).amin(dim=1) for part in self._parts(x.double())]
        return torch.cat(pieces) if pieces else x.new_zeros(0, dtype=torch.float64)

    def rays(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The ray of each point: from its funnel's centre through it, up to where another funnel takes over or the box ends.

        For points of shape (n, dim), returns the centres (n, dim), the distances of the points from them (n,), and the lengths of
        the rays (n,), which are no smaller.
        """
        field = self.to(y.device)
        nearness = field._nearness()
        parts = [field._rays(part, nearness) for part in self._parts(y)]
        centres, distances, lengths = (torch.cat(column) for column in zip(*parts, strict=True))
        return centres, distances, lengths

    def pull(self, y: Tensor) -> Tensor:
        """Transports points of the box from share t of their ray to share t^8."""
        field, moved = self.to(y.device), torch.empty_like(y)
        nearness = field._nearness()
        for part, target in zip(self._parts(y), self._parts(moved), strict=True):
            centres, distances, lengths = field._rays(part, nearness)
            share = (distances / lengths) ** (_POWER - 1)  # t^8 * length / distance = t^7
            torch.sub(part, centres, out=target).mul_(share.unsqueeze(1)).add_(centres)
        return moved

    def draw_box(self, n: int, generator: torch.Generator) -> Tensor:
        return _uniform_box(n, self.dim, generator)

    def transport_cost(self, n: int, generator: torch.Generator) -> tuple[float, float]:
        r"""Estimates W1 of the pair from ``n`` rays; returns it with its standard error.

        The points of a cell are uniform, so along a ray of length L the density at share t is :math:`D t^{D-1}`, and the mean
        distance moved along it is :math:`L (D/(D+1) - D/(D+8))`, without sampling t.
        """
        _, _, lengths = self.rays(self.draw_box(n, generator))
        moved = lengths * (self.dim / (self.dim + 1) - self.dim / (self.dim + _POWER))
        return float(moved.mean()), float(moved.std() / n**0.5)

    def _parts(self, x: Tensor) -> Iterator[Tensor]:
        return iter(x.split(max(1, _VALUES_AT_ONCE // max(self.funnels, self.dim))))

    def _distances(self, x: Tensor) -> Tensor:
        return torch.cdist(x, self.centres, compute_mode="donot_use_mm_for_euclid_dist")

    def _rays(self, y: Tensor, nearness: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # The expanded square is fast, and its rounding errors only matter on the border of two cells, where either is right.
        own = (torch.cdist(y, self.centres, compute_mode="use_mm_for_euclid_dist") + self.offsets).argmin(dim=1)
        a, b = self.centres[own], self.offsets[own]
        distance = torch.linalg.vector_norm(y - a, dim=1).clamp_min(torch.finfo(torch.float64).tiny)
        e = (y - a) / distance.unsqueeze(1)
        e[:, 0] = torch.where((e == 0).all(dim=1), 1.0, e[:, 0])  # a point on its centre lies on any ray
        # Funnel j takes over at |a + s e - a_j| + b_j = s + b; squared, with v = a - a_j and c = b - b_j, that is linear in s:
        # s = (v^2 - c^2) / (2 slope), or never if the slope is not positive. The first takeover has the largest reciprocal.
        slope = torch.addmm(-self.offsets, e, self.centres.T).add_((b - (e * a).sum(dim=1)).unsqueeze(1))
        soonest = slope.mul_(nearness[own]).amax(dim=1)
        takeover = torch.where(soonest > 0, soonest.reciprocal(), torch.inf)
        wall = torch.where(e == 0, torch.inf, (BOX * e.sign() - a) / e).amin(dim=1)
        return a, distance, torch.maximum(torch.minimum(takeover, wall), distance)

    def _nearness(self) -> Tensor:
        """2 / (v^2 - c^2) for all pairs of funnels, shape (funnels, funnels); 0 on the diagonal and for hidden funnels."""
        c = self.offsets.unsqueeze(1) - self.offsets
        squares = self._distances(self.centres).square() - c.square()
        return torch.where(squares > 0, 2 / squares, 0.0).fill_diagonal_(0.0)


def _uniform_box(n: int, dim: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, dim, generator=generator, device=generator.device, dtype=torch.float64).mul_(2).sub_(1).mul_(BOX)
