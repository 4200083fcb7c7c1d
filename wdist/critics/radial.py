r"""Critics that depend only on the distance from one point: a single cone, and the best function of that distance.

.. math:: f(x) = \pm \|x - a\| \qquad \text{and} \qquad f(x) = \varphi(\|x - a\|)

The distance from a point is 1-Lipschitz, so W1 between the distributions of the distance on the two sides is a lower bound. This is
a problem on the line, whose optimal potential is known. A cone is optimal if mass moves towards one point or away from it, as
between a sphere and its centre; the best function of the distance is optimal if both sides are symmetric about one point.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.1 (the sphere).
    Villani (2003), Topics in optimal transportation, section 2.2 (the line).
"""

import torch
from torch import Tensor

from wdist.critics.cones import negation
from wdist.critics.max_sliced import potential_on_the_line
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import FrozenLayer

_ROWS_AT_ONCE, _COORDINATES_AT_ONCE = 1024, 64


def single_cone(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    """Layers of one cone, upright or inverted, at a centre of either side or of both; arguments as for ``mean_difference``."""
    centre, gain = best_centre(a, b, metric)
    cone = _distance_from(centre, metric)
    return [cone] if gain >= 0 else [cone, negation()]


def radial(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    """Layers of the best function of the distance from one point; arguments as for ``mean_difference``."""
    centre, _ = best_centre(a, b, metric)
    distance = _distance_from(centre, metric)
    return [distance, potential_on_the_line(distance(a).squeeze(1), distance(b).squeeze(1))]


def _distance_from(centre: Tensor, metric: GroundMetric) -> Cones:
    return Cones(centres=centre.unsqueeze(0), offsets=centre.new_zeros(1), p=metric.p)


def best_centre(a: Tensor, b: Tensor, metric: GroundMetric) -> tuple[Tensor, float]:
    """The candidate centre whose mean distances from A and from B differ most, shape (dim,), and the excess of that from A."""
    middles = torch.stack([(a.mean(0) + b.mean(0)) / 2, a.mean(0), b.mean(0), _median(a), _median(b)])
    gains = _mean_distances(a, middles, metric) - _mean_distances(b, middles, metric)
    best = int(gains.abs().argmax())
    return middles[best], float(gains[best])


def _mean_distances(x: Tensor, centres: Tensor, metric: GroundMetric) -> Tensor:
    """Mean distance of x from each centre, shape (centres,); takes a few rows at a time, because a matrix product may copy them."""
    return torch.cat([metric.pairwise(part, centres) for part in x.split(_ROWS_AT_ONCE)]).mean(0)


def _median(x: Tensor) -> Tensor:
    """Median of each coordinate, shape (dim,); takes a few columns at a time, because they are copied."""
    return torch.cat([part.median(0).values for part in x.split(_COORDINATES_AT_ONCE, dim=1)])
