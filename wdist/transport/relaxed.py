r"""Semi-relaxed transport: the second marginal may deviate from the samples at the price of a Kullback-Leibler divergence.

.. math:: D_\lambda(\mu \,\|\, \nu) = \min_\xi\ \lambda\, W_1(\mu, \xi) + \mathrm{KL}(\xi \,\|\, \nu)
          = \max_g\ \mathbb{E}_\mu \min_j \bigl(\lambda d(x, y_j) - g_j\bigr) - \log \mathbb{E}_\nu e^{-g}

between empirical measures, where :math:`\xi` has masses q on the samples of B. The dual is concave in g. L-BFGS maximises it with
the minimum smoothed, less and less. Any result proves bounds on both sides: exact transport to the masses q gives an upper bound,
and the c-transform of g a lower bound.

References:
    Terjék (2020), Lipschitz continuity and neural networks, a talk (the Moreau-Yosida regularisation).
    Chizat, Peyré, Schmitzer & Vialard (2018), Scaling algorithms for unbalanced optimal transport problems, arXiv:1607.05816.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wdist.critics.cones import negation
from wdist.data.memory import planned_memory
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, product_above
from wdist.transport.column_generation import column_generation
from wdist.transport.coupling import SLACK, Plan, cost_above, distances_between

_COPIES = 6
"""Arrays over all pairs of samples that are held at once."""
_SECONDS_PER_PAIR = 4e-6
_SMOOTHINGS, _ITERATIONS, _MEMORY, _PRECISION = 6, 40, 20, 1e-8
_SMOOTHEST, _SHARPEST = 0.3, 1e-3
"""First smoothing relative to the mean cost, and last smoothing relative to the smaller of that cost and 1."""
_NEGLIGIBLE = 1e-15
"""Masses up to this count as 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RelaxedTransport:
    """A feasible point of both problems."""

    plan: Plan
    """Plan from the samples of A to the masses on those of B; see :func:`relaxed_cost_above`."""
    potentials: tuple[Tensor, Tensor]
    """Values at the samples of A and of B, divided by lambda, shapes (n,) and (m,); see :func:`extensions`."""


def relaxed_is_affordable(n: int, m: int, *, seconds: float) -> bool:
    """Whether all pairs fit into memory and into a predicted time on two cores; depends on counts alone."""
    return n * m * _SECONDS_PER_PAIR <= seconds and _COPIES * 8 * n * m <= planned_memory()


def relaxed_transport(x: Tensor, y: Tensor, metric: GroundMetric, *, scale: float, seed: int) -> RelaxedTransport | None:
    """Solves the problem between equal masses at standardised points.

    Arguments:
        x, y: float64, shapes (n, dim) and (m, dim), on the CPU.
        metric: between them.
        scale: lambda, in nats per standardised unit of length.
        seed: of the transport to the masses found.

    Returns:
        The evidence for both bounds; None after an interruption.
    """
    costs = scale * distances_between(x, y, metric).numpy()
    g, q = _dual_variables(costs)
    heavy = np.flatnonzero(q > _NEGLIGIBLE)
    masses, equal = q[heavy] / q[heavy].sum(), np.full(len(x), 1 / len(x))
    points = y[torch.from_numpy(heavy)]
    found = column_generation(x, points, equal, masses, metric, tolerance=1e-6, seed=seed)
    if found is None:
        return None
    f = (costs - g).min(axis=1)  # the c-transform of g, at the samples of A
    tops, tips = torch.from_numpy(f / scale), torch.from_numpy(-g / scale)
    plan = Plan(rows=found.plan.rows, columns=heavy[found.plan.columns], mass=found.plan.mass)
    return RelaxedTransport(plan=plan, potentials=(tops - tops.mean(), tips - tops.mean()))


def relaxed_cost_above(x: Tensor, y: Tensor, plan: Plan, metric: GroundMetric, *, scale: float, slack: float = SLACK) -> float:
    """A proved upper bound for the divergence of two empirical measures, in nats, from any plan.

    The bound is the divergence from equal masses of the masses that the plan moves to each sample of B, divided by their sum, plus
    lambda times the cost of transport to them.

    Arguments:
        x, y: float64, shapes (n, dim) and (m, dim), on the CPU.
        plan: between them, of mass about 1; for any other mass, the bound is infinite.
        metric: between them.
        scale: lambda, in nats per unit of length of x and y.
        slack: margin for rounding, as in :func:`wdist.transport.coupling.cost_above`; the margin of the divergence scales with it.
    """
    with np.errstate(over="ignore"):
        received = np.bincount(plan.columns, plan.mass, len(y))
        total = float(received.sum())
    if not 0.5 < total < 2:
        return math.inf
    masses, equal = received / total, np.full(len(x), 1 / len(x))
    price, doubt = _price(masses)
    distance = cost_above(x, y, equal, masses, plan, metric, slack=slack)
    return math.nextafter(product_above(scale, distance) + price + 2 * slack / SLACK * doubt, math.inf)


def _price(masses: np.ndarray) -> tuple[float, float]:
    """The divergence of masses, with sum 1 up to rounding, from equal ones, and a bound for its rounding."""
    positive = masses[masses > 0]
    terms = positive * np.log(positive * len(masses))
    doubt = UNIT_ROUNDOFF * (16 + len(positive)) * (2 + math.log(len(masses)) + float(np.abs(terms).sum()))
    return max(0.0, math.fsum(terms)), doubt


def extensions(
    x: Tensor, y: Tensor, potentials: tuple[Tensor, Tensor], metric: GroundMetric
) -> tuple[list[FrozenLayer], list[FrozenLayer]]:
    """Layers of the largest and the smallest 1-Lipschitz function with given values; 1-Lipschitz even if no function has these.

    Arguments:
        x, y: the samples of A and of B, shapes (n, dim) and (m, dim).
        potentials: values at the samples of A, for the smallest function, and of B, for the largest, shapes (n,) and (m,).
        metric: between the samples.
    """
    u, v = potentials
    return [Cones.distinct(y, v, p=metric.p)], [Cones.distinct(x, -u, p=metric.p), negation()]


def _dual_variables(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearly optimal g, shape (m,), and the masses q that the samples of A then choose, shape (m,)."""
    from scipy.optimize import minimize  # imported late: the import takes a quarter of a second

    mean = float(costs.mean())
    g = np.zeros(costs.shape[1])
    if mean == 0:
        return g, np.full(costs.shape[1], 1 / costs.shape[1])
    sharpest = _SHARPEST * min(mean, 1.0)
    for smoothing in np.geomspace(max(_SMOOTHEST * mean, sharpest), sharpest, _SMOOTHINGS):
        options = {"maxiter": _ITERATIONS, "maxcor": _MEMORY, "ftol": _PRECISION, "gtol": _PRECISION}
        # In units of the mean cost, so that precision does not depend on the scale.
        found = minimize(_negated_dual, g / mean, args=(costs, smoothing, mean), jac=True, method="L-BFGS-B", options=options)
        g = mean * found.x
    return g, _choice(g, costs, sharpest)[1]


def _negated_dual(h: np.ndarray, costs: np.ndarray, smoothing: float, unit: float) -> tuple[float, np.ndarray]:
    """Minus the smoothed dual at g = unit * h, divided by the unit, and its gradient with respect to h."""
    g = unit * h
    minima, chosen = _choice(g, costs, smoothing)
    top = float((-g).max())
    tilted = np.exp(-g - top)
    total = float(tilted.sum())
    return (top + math.log(total / len(g)) - float(minima.mean())) / unit, chosen - tilted / total


def _choice(g: np.ndarray, costs: np.ndarray, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """The smoothed minimum over B for each sample of A, shape (n,), and the masses that they choose, shape (m,)."""
    scaled = (g - costs) / smoothing
    top = scaled.max(axis=1, keepdims=True)
    np.exp(scaled - top, out=scaled)
    sums = scaled.sum(axis=1, keepdims=True)
    minima = -smoothing * (np.log(sums / len(g)) + top)
    return minima[:, 0], np.mean(scaled / sums, axis=0)
