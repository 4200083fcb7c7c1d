r"""The c-transform of dual variables, which attains W1 on the samples that they were solved for.

Exact transport between samples x_i and y_j has dual variables with :math:`u_i + v_j \le d(x_i, y_j)` whose means add up to W1.
The variables of either side extend to all points (McShane),

.. math:: f(x) = \min_j \bigl( d(x, y_j) - v_j \bigr) \qquad \text{or} \qquad f(x) = \max_i \bigl( u_i - d(x, x_i) \bigr),

which is 1-Lipschitz for any variables. If they are feasible, f(x_i) >= u_i and f(y_j) <= -v_j, so the dual value on these samples
is W1. The first form is the largest extension and the second the smallest. On other samples both are worse, especially in many
dimensions.

References:
    Kantorovich & Rubinstein (1958), On a space of completely additive functions.
    McShane (1934), Extension of range of functions, theorem 1.
    Flamary et al. (2021), POT: Python optimal transport (the network simplex).
"""

import warnings

import numpy as np
import torch
from torch import Tensor

from wdist.critics.cones import negation
from wdist.critics.frozen import FrozenCritic
from wdist.data.memory import check_free
from wdist.data.rows import evenly
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.linalg.rounding import best_up_to_rounding

_POINTS, _NUMBERS = 2000, 1 << 20
"""Most training samples of each side to solve for, which takes about a second, and most coordinates of these: in hundreds of
dimensions, potentials of some samples are worth little on others."""
_BYTES_PER_PAIR = 64
"""Peak memory of POT's solver per pair of samples."""
_FEWEST = 200
_JUDGED = 4000
"""Most points of each side that decide between the two forms."""
_ENTROPIC_POINTS, _ITERATIONS = 800, 50
"""Samples of each side, and iterations of Sinkhorn's algorithm, which take a few seconds."""
_EPSILON_SHARE = 0.02
"""epsilon as a fraction of the mean distance between the sides."""


def c_transform(
    points: tuple[Tensor, Tensor], potentials: tuple[Tensor, Tensor], standardisation: Standardisation, metric: GroundMetric
) -> FrozenCritic:
    """Extends dual variables to a critic, in the form with the larger dual value on their own points.

    Arguments:
        points: x, shape (n, dim), and y, shape (m, dim), float64, on the CPU, in the units of the data.
        potentials: u, shape (n,), and v, shape (m,), float64, in standardised units.
        standardisation: becomes part of the critic.
        metric: in which the critic has Lipschitz constant 1.
    """
    x, y = (standardisation.apply(side) for side in points)
    judged_on = tuple(side[evenly(len(side), _JUDGED)] for side in (x, y))
    layers = better_extension((x, y), potentials, metric, judged_on=(judged_on[0], judged_on[1]))
    return FrozenCritic(layers, standardisation)


def better_extension(
    points: tuple[Tensor, Tensor], potentials: tuple[Tensor, Tensor], metric: GroundMetric, *, judged_on: tuple[Tensor, Tensor]
) -> list[FrozenLayer]:
    """Layers of the form with the larger dual value on the samples ``judged_on``, all in standardised units."""
    (x, y), (u, v) = points, potentials
    # Adding a constant does not change dual values, and small offsets round less.
    u, v = (side - side.mean() for side in (u, v))
    upper: list[FrozenLayer] = [Cones.distinct(y, -v, p=metric.p)]
    lower: list[FrozenLayer] = [Cones.distinct(x, -u, p=metric.p), negation()]
    return best_up_to_rounding((upper, lower), lambda layers: _dual_value(layers, judged_on))


def _dual_value(layers: list[FrozenLayer], sides: tuple[Tensor, Tensor]) -> float:
    means = []
    for h in sides:
        for layer in layers:
            h = layer(h)
        means.append(float(h.mean()))
    return means[0] - means[1]


def exact_extension(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    """Layers that extend exact dual variables of some training samples; arguments as for ``mean_difference``."""
    points, others = set_apart(a, b, _points(a.shape[1]))
    return better_extension(points, exact_potentials(*points, metric), metric, judged_on=others)


def _points(dim: int) -> int:
    return min(_POINTS, max(_FEWEST, _NUMBERS // dim))


def most_samples(dim: int) -> int:
    """Number of training samples of each side to use; those without a cone decide between the two forms."""
    return 2 * _points(dim)


def set_apart(a: Tensor, b: Tensor, limit: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Splits off at most ``limit`` samples of each side; the others can decide between the two forms.

    A single sample belongs to both parts.
    """
    points, others = [], []
    for side in (a, b):
        chosen = evenly(len(side), max(1, min(limit, len(side) * 3 // 4)))
        rest = torch.ones(len(side), dtype=torch.bool).index_fill(0, chosen, False)
        points.append(side[chosen])
        others.append(side[rest] if bool(rest.any()) else side)
    return (points[0], points[1]), (others[0], others[1])


def exact_potentials(x: Tensor, y: Tensor, metric: GroundMetric) -> tuple[Tensor, Tensor]:
    """Dual variables of exact transport between samples of equal mass, shapes (n,) and (m,), by POT's network simplex."""
    import ot  # imported late: the import takes more than a second

    masses = (np.full(len(side), 1 / len(side)) for side in (x, y))
    check_free(_BYTES_PER_PAIR * len(x) * len(y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # variables that are not optimal give a looser but valid bound
        log = ot.emd(*masses, metric.pairwise(x, y).numpy(), numItermax=10_000_000, log=True)[1]
    return torch.from_numpy(np.asarray(log["u"])), torch.from_numpy(np.asarray(log["v"]))


def entropic_extension(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    r"""Layers that extend entropic dual variables, which average over samples within a distance of about epsilon.

    .. math:: \min_\pi\ \langle \pi, d \rangle + \varepsilon\, \mathrm{KL}(\pi \,\|\, a \otimes b)

    The result is 1-Lipschitz whether or not the iterations have converged.

    References:
        Cuturi (2013), Sinkhorn distances: lightspeed computation of optimal transport, arXiv:1306.0895.
        Schmitzer (2019), Stabilized sparse scaling algorithms for entropy regularized transport problems (the log domain).
    """
    points, others = set_apart(a, b, _ENTROPIC_POINTS)
    return better_extension(points, entropic_potentials(*points, metric), metric, judged_on=others)


def entropic_potentials(x: Tensor, y: Tensor, metric: GroundMetric) -> tuple[Tensor, Tensor]:
    """Entropic dual variables between samples of equal mass, shapes (n,) and (m,)."""
    import ot  # as above

    distances = metric.pairwise(x, y).numpy()
    epsilon = _EPSILON_SHARE * float(distances.mean())
    if epsilon == 0:
        return x.new_zeros(len(x)), x.new_zeros(len(y))
    masses = (np.full(len(side), 1 / len(side)) for side in (x, y))
    check_free(_BYTES_PER_PAIR * len(x) * len(y))
    with np.errstate(over="ignore"):  # POT also exponentiates its potentials; that result is not used
        _, log = ot.bregman.sinkhorn_log(*masses, distances, epsilon, numItermax=_ITERATIONS, log=True, warn=False)
    u, v = (torch.from_numpy(epsilon * np.asarray(log[name])) for name in ("log_u", "log_v"))
    return u, v
