r"""The length of the difference of the two means: the best linear critic.

.. math:: W_1(P, Q) \ge \|\mathbb{E} x - \mathbb{E} y\|, \qquad f(x) = w^\top x, \quad \|w\|_q = 1

By Jensen's inequality, for every coupling. It sees a shift and nothing else.

References:
    Villani (2009), Optimal transport: old and new, chapter 6.
"""

from torch import Tensor

from wdist.critics.closed_form import ClosedFormRecipe, steepest_direction
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.frozen_layers import Affine


def _layers(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    direction = steepest_direction(a.mean(0) - b.mean(0), metric)
    return [Affine(weight=direction.unsqueeze(0), bias=direction.new_zeros(1))]


RECIPE = ClosedFormRecipe(name="mean-difference", title="difference of the means", layers=_layers)
