"""Oracles of the regularised Kullback-Leibler divergence: convex programming on few points, and a closed form for Gaussians."""

import numpy as np
from scipy.optimize import LinearConstraint, minimize
from scipy.spatial.distance import cdist


def exact_divergence(a: np.ndarray, b: np.ndarray, scale: float, metric: str = "euclidean") -> float:
    """The divergence of two empirical measures of few points: the largest value of any potential on the points themselves."""
    points, n = np.concatenate([a, b]), len(a)
    apart = cdist(points, points, metric)
    pairs = np.argwhere(~np.eye(len(points), dtype=bool))
    slopes = np.zeros((len(pairs), len(points)))
    slopes[np.arange(len(pairs)), pairs[:, 0]], slopes[np.arange(len(pairs)), pairs[:, 1]] = -1.0, 1.0
    constraint = LinearConstraint(slopes[:, 1:], -np.inf, apart[pairs[:, 0], pairs[:, 1]])

    def negated(f):  # of a potential over the scale that is 0 at the first point
        f = np.concatenate([[0.0], f])
        tilted = np.exp(scale * f[n:])
        gradient = np.concatenate([np.full(n, -1 / n), tilted / tilted.sum()])
        return np.log(tilted.mean()) / scale - f[:n].mean(), gradient[1:]

    def curvature(f):
        tilted = np.exp(scale * f[n - 1 :])
        weights = np.concatenate([np.zeros(n - 1), tilted / tilted.sum()])
        return scale * (np.diag(weights) - np.outer(weights, weights))

    options = {"maxiter": 3000, "gtol": 1e-11, "xtol": 1e-13, "barrier_tol": 1e-13}
    start = np.zeros(len(points) - 1)
    found = minimize(negated, start, jac=True, hess=curvature, method="trust-constr", constraints=constraint, options=options)
    return -scale * float(found.fun)


def shifted_gaussians(scale: float, shift: float) -> float:
    """The divergence of N(shift, I) from N(0, I) in any dimension: the best potential is linear, with slope min(scale, shift)."""
    return scale * shift - scale**2 / 2 if scale < shift else shift**2 / 2
