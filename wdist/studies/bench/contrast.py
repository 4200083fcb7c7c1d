r"""What others would say of the same samples: none of these is a bound for the populations, and the first is always too large.

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
"""Of the Sinkhorn plans, as a share of the mean distance."""


def minibatch_w1(a: np.ndarray, b: np.ndarray, *, seed: int) -> float:
    """Mean exact W1 of minibatches of 64 a side: its expectation is above W1 of the populations, the more so in high dimension.

    Arguments:
        a, b: samples, shapes (n, d) and (m, d); minibatches are drawn from them without replacement.
        seed: of the minibatches.
    """
    random = np.random.default_rng(seed)
    costs = []
    for _ in range(_MINIBATCHES):
        x, y = (_some(side, _MINIBATCH, random) for side in (a, b))
        costs.append(float(ot.emd2([], [], ot.dist(x, y, metric="euclidean"))))
    return float(np.mean(costs))


def sinkhorn_divergence(a: np.ndarray, b: np.ndarray, *, seed: int) -> float:
    """Cost of the entropic plan between at most 400 samples a side, less the mean of those of each side with itself.

    Arguments:
        a, b: samples, shapes (n, d) and (m, d).
        seed: of the choice among them.
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
        # Not in the log domain, which takes fifty times as long: exp(-20) of a mean distance is far from the end of float64.
        plan = ot.sinkhorn([], [], distances, regularisation, method="sinkhorn", numItermax=500)
    return float((plan * distances).sum())


def _some(side: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    rows = random.choice(len(side), size=min(count, len(side)), replace=False)
    return np.ascontiguousarray(side[rows], dtype=np.float64)


def linear_share(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Share of the way along a coupling that the linear critic of two sample sets falls, the least that a critic should reach.

    Arguments:
        a, b: the samples that it follows from, shapes (n, d) and (m, d).
        x, y: coupled rows, both of shape (k, d).
    """
    direction = a.mean(0) - b.mean(0)
    length = float(np.linalg.norm(direction))
    return _share((x - y) @ (direction / length), x, y) if length else 0.0


def single_cone_share(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """The same of one cone of either sign around the mean of all samples."""
    centre = (a.mean(0) + b.mean(0)) / 2
    fall = np.linalg.norm(x - centre, axis=1) - np.linalg.norm(y - centre, axis=1)
    # Its sign follows from the samples, not from the rows that it is judged by.
    rises = np.linalg.norm(a - centre, axis=1).mean() >= np.linalg.norm(b - centre, axis=1).mean()
    return _share(fall if rises else -fall, x, y)


def _share(fall: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(fall.mean() / np.linalg.norm(x - y, axis=1).mean())
