r"""Max-sliced W1: the direction along which the two sets are farthest apart, and the exact potential on that line.

.. math:: W_1(P, Q) \ge \max_{\|w\|_q = 1} W_1(w^\top x, w^\top y)

because a projection of dual norm 1 never increases a distance. Subgradient ascent on the training samples, from several starts,
finds the direction. On a line the potential is known: its slope at t is the sign of :math:`F_Q(t) - F_P(t)`.

References:
    Deshpande et al. (2019), Max-sliced Wasserstein distance and its use for GANs, arXiv:1904.05877.
    Villani (2003), Topics in optimal transportation, section 2.2 (the line).
"""

import numpy as np
import torch
from torch import Tensor

from wdist.critics.mean_difference import steepest_direction
from wdist.data.rows import evenly
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer
from wdist.lipschitz.frozen_layers import PiecewiseLinear

_STARTS = 6
"""Random directions, in addition to the difference of the means and the coordinate that differs most."""
_STEPS, _FEWEST_STEPS, _STEPPED_NUMBERS = 80, 20, 1 << 21
"""Steps of the ascent, fewer if the samples of a side have more coordinates than the last number: all take about a second."""
_MOMENTS = (0.9, 0.999)
"""Momentum coefficients of Adam."""
_COLUMNS = 256
"""Coordinates sorted at a time."""
_SAMPLES = 2000
"""Most samples of each side that the ascent uses; the potential uses all of them."""


def max_sliced(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    """Layers of the best projection and of the exact potential on it; arguments as for ``mean_difference``."""
    w = _best_direction(a, b, metric)
    return [Affine(weight=w.unsqueeze(0), bias=w.new_zeros(1)), potential_on_the_line(a @ w, b @ w)]


def _best_direction(a: Tensor, b: Tensor, metric: GroundMetric) -> Tensor:
    count = min(len(a), len(b), _SAMPLES)
    a, b = a[evenly(len(a), count)], b[evenly(len(b), count)]

    def distances(directions: Tensor) -> Tensor:
        """W1 along each direction, scaled to dual norm 1; both sides have the same number of samples, so sorting couples them."""
        directions = directions / torch.linalg.vector_norm(directions, ord=metric.dual, dim=1, keepdim=True)
        return ((a @ directions.mT).sort(0).values - (b @ directions.mT).sort(0).values).abs().mean(0)

    random = torch.randn(_STARTS, a.shape[1], generator=torch.Generator().manual_seed(0), dtype=a.dtype)
    coordinate = torch.cat([_apart(*columns) for columns in zip(a.split(_COLUMNS, 1), b.split(_COLUMNS, 1), strict=True)])
    axis = torch.zeros_like(coordinate).index_fill(0, coordinate.argmax().reshape(1), 1.0)
    starts = torch.cat([torch.stack([steepest_direction(a.mean(0) - b.mean(0), metric), axis]), random])
    best = starts[int(distances(starts).argmax())]
    highest = float(distances(best.unsqueeze(0)))
    directions = torch.nn.functional.normalize(starts, dim=1).requires_grad_()
    mean, square = torch.zeros_like(directions), torch.zeros_like(directions)
    for step in range(1, max(_FEWEST_STEPS, min(_STEPS, _STEPS * _STEPPED_NUMBERS // a.numel())) + 1):
        values = distances(directions)
        leader = int(values.argmax())
        if float(values[leader].detach()) > highest:
            highest, best = float(values[leader].detach()), directions[leader].detach().clone()
        (gradient,) = torch.autograd.grad(values.sum(), directions)
        # Adam (Kingma & Ba, 2015) written out: torch.optim imports torch's compiler, which takes longer than all the steps here.
        mean.lerp_(gradient, 1 - _MOMENTS[0])
        square.lerp_(gradient.square(), 1 - _MOMENTS[1])
        m, v = mean / (1 - _MOMENTS[0] ** step), square / (1 - _MOMENTS[1] ** step)
        directions.data.add_(m / (v.sqrt() + 1e-8), alpha=0.5 / a.shape[1] ** 0.5)
    return best / torch.linalg.vector_norm(best, ord=metric.dual)


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """W1 along each coordinate, shape (dim,)."""
    # numpy, because torch also returns the positions, which takes ten times as long and three times the memory.
    return torch.from_numpy(np.sort(a.mT.numpy(), axis=1) - np.sort(b.mT.numpy(), axis=1)).abs().mean(1)


def potential_on_the_line(x: Tensor, y: Tensor) -> PiecewiseLinear:
    """The optimal potential between two sets of numbers, float64, shapes (n,) and (m,).

    Its slope is -1 where a larger fraction of y than of x lies above, otherwise +1.
    """
    places = torch.cat([x, y]).unique()
    below_x, below_y = (torch.searchsorted(side.sort().values, places, right=True) for side in (x, y))
    # In integers: (F_Q - F_P) n m, from each place up to the next one.
    ahead = (below_y * len(x) - below_x * len(y)).sign().double()
    ahead = torch.where(ahead == 0, 1.0, ahead)
    slopes = torch.cat([ahead[:1], ahead])
    turns = torch.nonzero(slopes.diff()).squeeze(1)
    if not len(turns):
        turns = torch.zeros(1, dtype=torch.int64)
    return PiecewiseLinear(knots=places[turns], slopes=torch.cat([slopes[:1], slopes[turns + 1]]))
