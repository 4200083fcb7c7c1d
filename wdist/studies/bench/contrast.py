r"""Other estimates from the same samples, for contrast: none is a bound for the populations, and minibatch W1 is always too large.

References:
    Fatras, Zine, Flamary, Gribonval & Courty (2020), Learning with minibatch Wasserstein: asymptotic and gradient properties.
    Feydy, Séjourné, Vialard, Amari, Trouvé & Peyré (2019), Interpolating between optimal transport and MMD using Sinkhorn
    divergences.
    Flamary et al. (2021), POT: Python optimal transport.
"""

import warnings

import numpy as np
import ot

_MINIBATCH, _MINIBATCHES = 64, 32
_SINKHORN_ROWS = 400
_REGULARISATION = 0.05
"""Regularisation of the Sinkhorn plans, as a share of the mean distance."""


def minibatch_w1(a: np.ndarray, b: np.ndarray, *, seed: int) -> float:
    """Mean exact W1 of minibatches of 64 per side: its expectation exceeds W1 of the populations, most in high dimension.

    Arguments:
        a, b: samples, shapes (n, d) and (m, d); minibatches are drawn from them without replacement.
        seed: seed of the minibatches.
    """
    random = np.random.default_rng(seed)
    costs = []
    for _ in range(_MINIBATCHES):
        x, y = (_some(side, _MINIBATCH, random) for side in (a, b))
        costs.append(float(ot.emd2([], [], ot.dist(x, y, metric="euclidean"))))
    return float(np.mean(costs))


def sinkhorn_divergence(a: np.ndarray, b: np.ndarray, *, seed: int) -> float:
    """Cost of the entropic plan between at most 400 samples per side, minus the mean cost of each side with itself.

    Arguments:
        a, b: samples, shapes (n, d) and (m, d).
        seed: seed of the choice among them.
    """
    random = np.random.default_rng(seed)
    x, y = (_some(side, _SINKHORN_ROWS, random) for side in (a, b))
    regularisation = _REGULARISATION * float(ot.dist(x, y, metric="euclidean").mean())
    if regularisation == 0:
        return 0.0
    return _entropic_cost(x, y, regularisation) - (_entropic_cost(x, x, regularisation) + _entropic_cost(y, y, regularisation)) / 2


def _entropic_cost(x: np.ndarray, y: np.ndarray, regularisation: float) -> float:
    distances = ot.dist(x, y, metric="euclidean")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a contrast need not have converged to the last digit
        # The log domain takes fifty times as long, and exp(-20) of a mean distance is far above the smallest float64.
        plan = ot.sinkhorn([], [], distances, regularisation, method="sinkhorn", numItermax=500)
    return float((plan * distances).sum())


def _some(side: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    rows = random.choice(len(side), size=min(count, len(side)), replace=False)
    return np.ascontiguousarray(side[rows], dtype=np.float64)


def linear_share(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Tightness of the linear critic of two sample sets: its mean fall along a coupling over the mean length.

    Arguments:
        a, b: the samples that determine it, shapes (n, d) and (m, d).
        x, y: coupled rows, both of shape (k, d).
    """
    direction = a.mean(0) - b.mean(0)
    length = float(np.linalg.norm(direction))
    return _share((x - y) @ (direction / length), x, y) if length else 0.0


def single_cone_share(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Tightness of one cone of either sign around the mean of all samples, likewise."""
    centre = (a.mean(0) + b.mean(0)) / 2
    fall = np.linalg.norm(x - centre, axis=1) - np.linalg.norm(y - centre, axis=1)
    # Its sign follows from the samples, not from the rows that evaluate it.
    rises = np.linalg.norm(a - centre, axis=1).mean() >= np.linalg.norm(b - centre, axis=1).mean()
    return _share(fall if rises else -fall, x, y)


def _share(fall: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(fall.mean() / np.linalg.norm(x - y, axis=1).mean())
