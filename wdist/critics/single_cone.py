r"""One cone, up or down, over the middle of either side or of both.

.. math:: f(x) = \pm \|x - a\|

It is the whole answer where mass moves towards one point or away from it, as from a sphere to its centre, and a strong first guess
wherever one side lies further out than the other.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.1 (the sphere).
"""

import torch
from torch import Tensor

from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.cones import upside_down
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import FrozenLayer

_ROWS_AT_ONCE, _COORDINATES_AT_ONCE = 1024, 64


def _layers(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    centre, gain = best_centre(a, b, metric)
    cone = Cones(centres=centre.unsqueeze(0), offsets=centre.new_zeros(1), p=metric.p)
    return [cone] if gain >= 0 else [cone, upside_down()]


def best_centre(a: Tensor, b: Tensor, metric: GroundMetric) -> tuple[Tensor, float]:
    """The middle that A and B differ most in their mean distance from, shape (dim,), and how much further away A is."""
    middles = torch.stack([(a.mean(0) + b.mean(0)) / 2, a.mean(0), b.mean(0), _median(a), _median(b)])
    gains = _mean_distances(a, middles, metric) - _mean_distances(b, middles, metric)
    best = int(gains.abs().argmax())
    return middles[best], float(gains[best])


def _mean_distances(x: Tensor, centres: Tensor, metric: GroundMetric) -> Tensor:
    """Of all of x from each centre, shape (centres,); some rows at a time, since a product of matrices may copy them."""
    return torch.cat([metric.pairwise(part, centres) for part in x.split(_ROWS_AT_ONCE)]).mean(0)


def _median(x: Tensor) -> Tensor:
    """Of each coordinate, shape (dim,); some at a time, since their columns are copied."""
    return torch.cat([part.median(0).values for part in x.split(_COORDINATES_AT_ONCE, dim=1)])


RECIPE = ClosedFormRecipe(name="single-cone", title="one cone", layers=_layers)
