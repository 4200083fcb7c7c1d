"""Upper bounds for W1 between two sample sets: the cost of an explicit coupling, optimal when that is affordable."""

import warnings
from dataclasses import dataclass

import numpy as np
import ot
import torch
from torch import Tensor

BYTES_PER_PAIR = 64
"""Peak memory of POT's dense solver for one pair of samples: cost, plan and its arcs (measured: 57 at 3000 x 3000)."""
BLOCK = 2000
"""Samples of each side in one block, where all at once are too many."""
_SLACK = 1e-9
"""Relative margin on a cost: sums of n products in float64 and masses that POT returns within 1e-12 are well inside."""


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """A plan's cost: W1 of the two sample sets is certainly not above it."""

    cost: float
    exact: bool
    """The plan is optimal, so the cost is W1 up to rounding."""
    method: str


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What an upper bound may take."""

    seconds: float = 30.0
    nbytes: int = 2 << 30


def predicted_seconds(n: int, m: int) -> float:
    """Of exact transport between n and m samples by POT's network simplex on one core (fitted to 500..5000 in 2..784 dimensions)."""
    return 0.8 * (n * m / 4e6) ** 1.25


def upper_bound(x: Tensor, y: Tensor, *, effort: Effort, seed: int) -> Coupling | None:
    """The cost of a coupling of all samples: optimal where memory and time allow, else blocks of optimal ones.

    Arguments:
        x, y: all samples of each side, shapes (n, dim) and (m, dim), float64, of one scale that does not overflow when squared.
        effort: predicted before anything is solved, and not exceeded by the prediction.
        seed: of the order in which blocks are formed.

    Returns:
        The coupling, or None where not even blocks are affordable.

    References:
        Flamary et al. (2021), POT: Python optimal transport; Bonneel et al. (2011), Displacement interpolation using Lagrangian mass
        transport (the network simplex).
    """
    n, m = len(x), len(y)
    for points, others in ((x, y), (y, x)):
        if bool((points == points[0]).all()):
            cost = float(torch.linalg.vector_norm(others - points[0], dim=1).mean())
            return Coupling(cost=cost * (1 + _SLACK), exact=True, method="one side is a single point")
    if x.shape[1] == 1:
        cost = ot.wasserstein_1d(x[:, 0].numpy(), y[:, 0].numpy(), p=1)
        return Coupling(cost=float(cost) * (1 + _SLACK), exact=True, method="sorting, one dimension")
    if predicted_seconds(n, m) <= effort.seconds and n * m * BYTES_PER_PAIR <= effort.nbytes:
        cost, optimal = _solve(x, y, None, None)
        return Coupling(cost=cost, exact=optimal, method="exact transport" if optimal else "transport, stopped early")
    blocks = -(-max(n, m) // BLOCK)
    if blocks * predicted_seconds(min(BLOCK, n), min(BLOCK, m)) > effort.seconds:
        return None
    return Coupling(cost=_blocks(x, y, blocks, seed), exact=False, method=f"{blocks} blocks of exact transport")


def _solve(x: Tensor, y: Tensor, a: np.ndarray | None, b: np.ndarray | None) -> tuple[float, bool]:
    """Cost of an optimal plan, its distances computed anew for the pairs that carry mass, and whether the solver finished."""
    a = np.full(len(x), 1 / len(x)) if a is None else a
    b = np.full(len(y), 1 / len(y)) if b is None else b
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the log says the same, and decides
        plan, log = ot.emd(a, b, torch.cdist(x, y).numpy(), numItermax=100_000_000, log=True)
    rows, columns = np.nonzero(plan)
    mass = torch.from_numpy(plan[rows, columns])
    # cdist multiplies matrices and loses half of the digits of small distances; differences do not.
    distances = torch.linalg.vector_norm(x[rows] - y[columns], dim=1)
    # Mass that the plan misplaces by rounding could at worst travel the largest distance there is.
    misplaced = np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()
    diameter = 2 * float(max(torch.linalg.vector_norm(side - x[0], dim=1).max() for side in (x, y)))
    return float(mass @ distances) * (1 + _SLACK) + float(misplaced) * diameter, log["warning"] is None


def _blocks(x: Tensor, y: Tensor, blocks: int, seed: int) -> float:
    """Cost of the coupling that keeps mass within blocks of equal mass, formed in random order.

    A sample that two blocks share is split between them, so that the marginals are met whatever the two counts.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = (side[torch.randperm(len(side), generator=generator)] for side in (x, y))
    return sum(_solve(*_block(x, k, blocks, y), *_masses(len(x), len(y), k, blocks))[0] for k in range(blocks)) / blocks


def _block(x: Tensor, k: int, blocks: int, y: Tensor) -> tuple[Tensor, Tensor]:
    return x[_members(len(x), k, blocks)], y[_members(len(y), k, blocks)]


def _members(n: int, k: int, blocks: int) -> slice:
    """Samples whose mass lies at least partly in the k-th of ``blocks`` equal shares."""
    return slice(k * n // blocks, -(-(k + 1) * n // blocks))


def _masses(n: int, m: int, k: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Masses of the members of the k-th share, for both sides, each summing to 1."""
    return _mass(n, k, blocks), _mass(m, k, blocks)


def _mass(n: int, k: int, blocks: int) -> np.ndarray:
    members = np.arange(n)[_members(n, k, blocks)]
    # In units of 1 / (n * blocks), so that all is whole numbers: sample i covers [i * blocks, (i + 1) * blocks).
    low = np.maximum(members * blocks, k * n)
    high = np.minimum((members + 1) * blocks, (k + 1) * n)
    return (high - low) / n
