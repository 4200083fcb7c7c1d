r"""The c-transform of optimal dual variables: on the samples that it is made from, nothing is missing.

Exact transport between samples x_i and y_j has dual variables with :math:`u_i + v_j \le d(x_i, y_j)` whose means add up to W1. Each
side extends to all points (McShane),

.. math:: f(x) = \min_j \bigl( d(x, y_j) - v_j \bigr) \qquad \text{or} \qquad f(x) = \max_i \bigl( u_i - d(x, x_i) \bigr),

1-Lipschitz whatever the variables are, with f(x_i) >= u_i and f(y_j) <= -v_j where they are feasible: the dual value on these
samples is W1. The first form is above every other extension and the second below. On other samples both lose, more in more
dimensions, and seldom alike.

References:
    Kantorovich & Rubinstein (1958), On a space of completely additive functions.
    McShane (1934), Extension of range of functions, theorem 1.
    Flamary et al. (2021), POT: Python optimal transport (the network simplex).
"""

import warnings

import numpy as np
import torch
from torch import Tensor

from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.frozen import FrozenCritic
from wdist.data.rows import evenly
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.frozen_layers import Affine

_POINTS, _NUMBERS = 2000, 1 << 20
"""Training samples of each side that dual variables are computed for, about a second; and the coordinates that they may have: in
hundreds of dimensions more of them only cost memory, for there the potentials of samples are worth little on others."""
_FEWEST = 200


def c_transform(
    points: tuple[Tensor, Tensor],
    potentials: tuple[Tensor, Tensor],
    standardisation: Standardisation,
    metric: GroundMetric,
    *,
    lipschitz: float = 1.0,
) -> FrozenCritic:
    """The critic that dual variables extend to, in the form that is worth more on their own points.

    Arguments:
        points: x, shape (n, dim), and y, shape (m, dim), float64, on the CPU, in the units of the data.
        potentials: u, shape (n,), and v, shape (m,), float64, in standardised units.
        standardisation: becomes a part of the critic.
        metric: in which its Lipschitz constant is 1.
        lipschitz: K of the frozen function.
    """
    x, y = (standardisation.apply(side) for side in points)
    layers = better_extension((x, y), potentials, metric, judged_on=(x, y))
    return FrozenCritic(layers, standardisation, lipschitz=lipschitz)


def better_extension(
    points: tuple[Tensor, Tensor],
    potentials: tuple[Tensor, Tensor],
    metric: GroundMetric,
    *,
    judged_on: tuple[Tensor, Tensor],
) -> list[FrozenLayer]:
    """Layers of the form with the larger dual value on ``judged_on``, all in standardised units."""
    (x, y), (u, v) = points, potentials
    # Constants that u and v differ by change no dual value; small offsets are rounded less.
    u, v = (side - side.mean() for side in (u, v))
    upper: list[FrozenLayer] = [Cones.distinct(y, -v, p=metric.p)]
    lower: list[FrozenLayer] = [Cones.distinct(x, -u, p=metric.p), _negative(x)]
    return max((upper, lower), key=lambda layers: _dual_value(layers, judged_on))


def _negative(like: Tensor) -> Affine:
    return Affine(weight=like.new_full((1, 1), -1.0), bias=like.new_zeros(1))


def _dual_value(layers: list[FrozenLayer], sides: tuple[Tensor, Tensor]) -> float:
    means = []
    for h in sides:
        for layer in layers:
            h = layer(h)
        means.append(float(h.mean()))
    return means[0] - means[1]


def _layers(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    points, others = set_apart(a, b, _points(a.shape[1]))
    return better_extension(points, exact_potentials(*points, metric), metric, judged_on=others)


def _points(dim: int) -> int:
    return min(_POINTS, max(_FEWEST, _NUMBERS // dim))


def _most_samples(dim: int) -> int:
    """Those that are not made into cones tell which of the two forms to take."""
    return 2 * _points(dim)


def set_apart(a: Tensor, b: Tensor, limit: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """At most ``limit`` samples of each side, and the others; on the samples that it is made from, either form is worth W1.

    Of single samples there are no others: they stand on both sides.
    """
    points, others = [], []
    for side in (a, b):
        chosen = evenly(len(side), max(1, min(limit, len(side) * 3 // 4)))
        rest = torch.ones(len(side), dtype=torch.bool).index_fill(0, chosen, False)
        points.append(side[chosen])
        others.append(side[rest] if bool(rest.any()) else side)
    return (points[0], points[1]), (others[0], others[1])


def exact_potentials(x: Tensor, y: Tensor, metric: GroundMetric) -> tuple[Tensor, Tensor]:
    """Dual variables of exact transport between samples of equal mass, shapes (n,) and (m,)."""
    import ot  # here, because it takes more than a second: training begins without it

    masses = (np.full(len(side), 1 / len(side)) for side in (x, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # variables that are not optimal make a worse critic and no wrong one
        log = ot.emd(*masses, metric.pairwise(x, y).numpy(), numItermax=10_000_000, log=True)[1]
    return torch.from_numpy(np.asarray(log["u"])), torch.from_numpy(np.asarray(log["v"]))


RECIPE = ClosedFormRecipe(name="c-transform", title="c-transform of exact potentials", layers=_layers, most_samples=_most_samples)
