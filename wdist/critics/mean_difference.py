r"""The distance between the two means: the best linear critic.

.. math:: W_1(P, Q) \ge \|\mathbb{E} x - \mathbb{E} y\|, \qquad f(x) = w^\top x, \quad \|w\|_q = 1

by Jensen's inequality for every coupling. It detects only shifts.

References:
    Villani (2009), Optimal transport: old and new, chapter 6.
"""

from torch import Tensor

from wdist.ground_metric import GroundMetric
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer


def mean_difference(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    """Layers of the linear critic along the difference of the means.

    Arguments:
        a, b: standardised training samples, float64, shapes (n, dim) and (m, dim).
        metric: in which the critic has Lipschitz constant 1.
    """
    direction = steepest_direction(a.mean(0) - b.mean(0), metric)
    return [Affine(weight=direction.unsqueeze(0), bias=direction.new_zeros(1))]


def steepest_direction(difference: Tensor, metric: GroundMetric) -> Tensor:
    """The w of dual norm 1 with the largest w . difference, which equals the norm of the difference; shape (dim,).

    If the difference is 0, any w of dual norm 1.
    """
    if not bool(difference.any()):
        difference = difference.new_zeros(difference.shape).index_fill(0, difference.new_zeros(1).long(), 1.0)
    if metric.p == 2:
        return difference / difference.norm()
    if metric.p == 1:
        return difference.sign()
    largest = difference.abs().argmax()
    return difference.new_zeros(difference.shape).index_fill(0, largest.reshape(1), float(difference[largest].sign()))
