r"""The Lipschitz-regularised KL divergence of two sample sets, between two bounds proved in extended precision.

.. math:: D_\lambda = \min_{\pi}\ \lambda \langle d, \pi \rangle + \mathrm{KL}(\pi^\top 1 \,\|\, \nu)
          = \max_g\ \mathbb{E}_\mu \min_j \bigl(\lambda d(x, y_j) - g_j\bigr) - \log \mathbb{E}_\nu e^{-g}

Any g proves a lower bound, and any plan with the masses of A an upper one. A solver with a smoothed minimum finds both in float64.
They are then evaluated in extended precision with all rounding counted, so the solver need not be trusted.

References:
    Terjék (2020), Lipschitz continuity and neural networks, a talk (the divergence).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from wdist.studies.bench.soundness_truth import Extended, Truth, distances, relative_rounding

_SMOOTHINGS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Widths of the smoothing, over the mean cost."""
_ITERATIONS = 300
_MOST_NATS = 1e6
"""Largest cost of a pair that the solver takes."""


def divergence(x: np.ndarray, y: np.ndarray, p: float, scale: float) -> Truth | None:
    """Two bounds for the divergence of two small sets, in nats; None if all costs vanish or some are too large for the solver.

    Arguments:
        x, y: samples in extended precision, shapes (n, dim) and (m, dim).
        p: exponent of the norm of the metric.
        scale: lambda, in nats per unit of distance.
    """
    costs = Extended(scale) * distances(x, y, p)
    if not 0 < costs.max() <= _MOST_NATS:
        return None
    error = relative_rounding(x.shape[1] + costs.size)
    found = list(_solved(costs.astype(np.float64)))
    return Truth(
        low=max(Extended(0), *(_dual_value(costs, g.astype(Extended), error) for g, _ in found)),
        high=min(_price(costs, plan.astype(Extended), error) for _, plan in found),
    )


def _dual_value(costs: np.ndarray, g: np.ndarray, error: Any) -> Any:
    """The lower bound that potentials prove."""
    top = (-g).max()
    value = (costs - g).min(1).mean() - top - np.log(np.exp(-g - top).mean())
    return value - error * (costs.max() + 4 * np.abs(g).max() + 8)


def _price(costs: np.ndarray, plan: np.ndarray, error: Any) -> Any:
    """The upper bound that a plan proves, after its rows are scaled to the masses of A."""
    n, m = costs.shape
    plan = plan / plan.sum(1, keepdims=True) / n
    masses = plan.sum(0)
    masses = masses[masses > 0]
    value = (plan * costs).sum() + (masses * np.log(masses * m)).sum()
    return value + error * (2 * costs.max() + 4 * np.log(Extended(m)) + 8)


def _solved(costs: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Potentials and plans, with less and less smoothing."""
    from scipy.optimize import minimize

    g = np.zeros(costs.shape[1])
    for share in _SMOOTHINGS:
        width = share * float(costs.mean())

        def negated(g: np.ndarray, width: float = width) -> tuple[float, np.ndarray]:
            values, plan = _smoothed_minimum(costs, g, width)
            tilted = np.exp(-g - (-g).max())
            value = values.mean() - (-g).max() - np.log(tilted.mean())
            return -value, plan.mean(0) - tilted / tilted.sum()

        g = minimize(negated, g, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
        yield g, _smoothed_minimum(costs, g, width)[1]


def _smoothed_minimum(costs: np.ndarray, g: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The smoothed minimum, over the samples of B, of costs minus potentials, and its weights on these samples."""
    from scipy.special import logsumexp, softmax

    exponents = (g - costs) / width
    return -width * logsumexp(exponents, axis=1), softmax(exponents, axis=1)
