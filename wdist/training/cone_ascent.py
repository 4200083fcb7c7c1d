r"""Training of cone critics by assignment steps over large batches, as in Lloyd's algorithm.

Each sample belongs to the cell of its lowest cone. With u the slope of that cone at the sample, the gradient of the dual value with
respect to a centre is the mean of u over the samples of the low side minus the mean over the high side. It is normalised by the
mass of the cell, so that light cells learn as fast as heavy ones. The assignment is hard, because a soft minimum blurs the cells
that many cones share. Batches are large, because in many dimensions the signal of a cell is far below the noise of a small batch.

Steps are in units of the radius of a cell, the mean distance of its samples from the centre, so that one rate suits both 2 and 128
dimensions. Three corrections keep cones from dying, which would end the ascent early:

- as a centre moves, its offset compensates for the mean change of its values, so that its cell stays in place;
- at first, the offset of a cell also rises if the cell is too heavy and falls if it is too light;
- a cone without a cell is moved onto a sample, just below the current value there, which changes hardly anything else.

References:
    Lloyd (1982), Least squares quantization in PCM (assignment and update).
"""

import torch
from torch import Tensor

from wdist.critics.cones import ConeCritic
from wdist.ground_metric import GroundMetric

_MOMENTUM = 0.8
_OFFSET_RATE = 0.1
"""Learning rate of an offset, in radii of its cell."""
_BALANCE = 0.003
"""Rate at which offsets balance the masses of cells, in radii per step."""
_LEAST_MASS = 0.2
"""Smallest mass to normalise by, as a fraction of the average mass of a cell."""
_RESEED_EVERY, _LAST_RESEED = 5, 0.3
"""Steps between two rounds of moving dead cones, and the factor on the rate below which none are moved, so that all can settle."""
_DEPTH = 0.005
"""Depth of a moved cone below the current value at its tip, in radii."""
_NEAREST = 1e-3
"""Smallest distance to divide by, as a fraction of the norm of the samples: distances below it are mostly rounding."""


class ConeAscent:
    """Steps for the centres and offsets of a cone critic.

    Arguments:
        critic: updated in place.
        rate: of the centres, in radii of their cells.
    """

    resumable = ("_drift", "_lift", "_generator", "_steps")

    def __init__(self, critic: ConeCritic, *, rate: float) -> None:
        self._critic, self._rate = critic, rate
        self._drift = torch.zeros_like(critic.centres)
        self._lift = torch.zeros_like(critic.offsets)
        self._generator = torch.Generator().manual_seed(0)
        self._steps = 0

    @torch.no_grad()
    def __call__(self, a: Tensor, b: Tensor, *, factor: float) -> Tensor:
        """Takes one step on standardised samples, shapes (n, dim) and (m, dim), and returns the dual value before it, a scalar.

        ``factor`` multiplies the rate; the balancing ends once it falls to 1/2.
        """
        critic = self._critic
        high, low = (a, b) if critic.sign > 0 else (b, a)
        (values_high, slopes_high, reach_high, mass_high) = self._cells(high)
        (values_low, slopes_low, reach_low, mass_low) = self._cells(low)
        dual = values_high.mean() - values_low.mean()
        mass = (mass_high + mass_low) / 2
        count = len(mass)
        weight = mass.clamp(min=_LEAST_MASS / count)
        # Cones should be lower at samples of the low side and higher at samples of the high side.
        self._drift.lerp_((slopes_low - slopes_high) / weight.unsqueeze(1), 1 - _MOMENTUM)
        self._lift.lerp_((mass_high - mass_low) / weight, 1 - _MOMENTUM)
        radius = (reach_high + reach_low).sum() / 2
        radii = torch.where(mass > 0, (reach_high + reach_low) / (2 * mass).clamp(min=1e-12), radius)
        move = factor * self._rate * radii.unsqueeze(1) * self._drift
        mean_slope = (slopes_high + slopes_low) / (2 * mass).clamp(min=1e-12).unsqueeze(1)
        critic.centres.add_(move)
        critic.offsets.add_((mean_slope * move).sum(1)).add_(factor * _OFFSET_RATE * radii * self._lift)
        balance = _BALANCE * max(0.0, 2 * factor - 1)
        critic.offsets.add_(balance * radii * torch.where(mass > 0, (mass * count).clamp(0.1, 10.0).log(), 0.0))
        self._steps += 1
        if self._steps % _RESEED_EVERY == 0 and factor > _LAST_RESEED:
            self._reseed(mass, low, radius)
        return dual

    def _reseed(self, mass: Tensor, x: Tensor, radius: Tensor) -> None:
        """Moves each cone without a cell onto a sample, just below the value there; deeper, it would capture nearby samples."""
        (dead,) = torch.nonzero(mass == 0, as_tuple=True)
        chosen = torch.randint(len(x), (len(dead),), generator=self._generator).to(x.device)
        tips = x[chosen]
        self._critic.offsets[dead] = self._critic.lowest(tips)[0] - _DEPTH * radius
        self._critic.centres[dead] = tips
        self._drift[dead] = 0
        self._lift[dead] = 0

    def _cells(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Values at x, and the sums over each cone's cell of slopes, distances and mass, each divided by the number of samples."""
        critic = self._critic
        values, own = critic.lowest(x)
        nearest = _NEAREST * torch.linalg.vector_norm(x) / len(x) ** 0.5
        distances = (values - critic.offsets[own]).clamp_(min=nearest)
        slopes = _sums_of_slopes(x, own, distances, critic.centres, critic.metric)
        mass = torch.bincount(own, minlength=len(critic.offsets)).to(values)
        reach = torch.zeros_like(critic.offsets).index_add_(0, own, distances)
        return values, slopes / len(x), reach / len(x), mass / len(x)


def _sums_of_slopes(x: Tensor, own: Tensor, distances: Tensor, centres: Tensor, metric: GroundMetric) -> Tensor:
    """Sum over each cell of the gradients of the norm at x minus the centre of the cell, shape (cells, dim).

    Arguments:
        x: shape (n, dim).
        own: cell of each of x, shape (n,).
        distances: of x from these centres, shape (n,).
        centres: shape (cells, dim).
    """
    if metric.p == 2:
        # The sum of (x - c) / |x - c| is that of x / |x - c| less c times that of 1 / |x - c|: no difference is formed.
        inverse = distances.reciprocal()
        places = torch.stack([own, torch.arange(len(x), device=x.device)])
        cells = torch.sparse_coo_tensor(places, inverse, (len(centres), len(x)), check_invariants=False)
        totals = torch.zeros_like(centres[:, :1]).index_add_(0, own, inverse.unsqueeze(1))
        return cells @ x - totals * centres
    differences = x - centres[own]
    if metric.p == 1:
        slopes = differences.sign()
    else:
        largest = differences.abs().argmax(1, keepdim=True)
        slopes = torch.zeros_like(differences).scatter_(1, largest, differences.gather(1, largest).sign())
    return torch.zeros_like(centres).index_add_(0, own, slopes)
