"""Upper bounds for W1 between two sample sets: the cost of an explicit coupling, optimal when that is affordable."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import ot
import torch
from torch import Tensor

from wdist.ground_metric import L2, GroundMetric
from wdist.linalg.rounding import UNIT_ROUNDOFF, gamma
from wdist.measures.rows import Rows, gather

BYTES_PER_PAIR = 64
"""Peak memory of POT's dense solver for one pair of samples: cost, plan and its arcs (measured: 57 at 3000 x 3000)."""
LARGEST_BLOCK, SMALLEST_BLOCK = 2000, 50
"""Samples of each side in one block, where all at once are too many: as large as time allows, since larger blocks are tighter."""
_SLACK = 1e-9
"""Relative margin on a cost: sums of n products in float64 and masses that POT returns within 1e-12 are well inside."""
_PREPARED = gamma(4)
"""By which share of its norm ``prepare``, a shift and a scale, may displace a sample: W1 may be smaller than that."""


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
    """Of exact transport between n and m samples by POT's network simplex on one core (fitted: 500..5000 in 2..784 dimensions)."""
    return 0.8 * (n * m / 4e6) ** 1.25


def upper_bound(
    a: Rows,
    b: Rows,
    *,
    prepare: Callable[[Tensor], Tensor],
    effort: Effort,
    seed: int,
    metric: GroundMetric = L2,
) -> Coupling | None:
    """The cost of a coupling of all samples: optimal where memory and time allow, else made of blocks of optimal ones.

    Arguments:
        a, b: all samples of each side.
        prepare: a shift and a scale that bring samples to where squares do not overflow; the cost is in its units.
        effort: predicted before anything is solved, and not exceeded by the prediction.
        seed: of the order in which blocks are formed.
        metric: between samples.

    Returns:
        The coupling, or None where not even blocks are affordable.

    References:
        Flamary et al. (2021), POT: Python optimal transport.
        Bonneel et al. (2011), Displacement interpolation using Lagrangian mass transport (the network simplex).
    """
    for points, others in ((a, b), (b, a)):
        if (point := _single_point(points)) is not None:
            there, total = prepare(point), 0.0
            for batch in map(prepare, others.batches(4096)):
                distance = float(metric.norm(batch - there).mean())
                total += len(batch) * (distance * (1 + _SLACK) + _displaced(batch, metric) + _displaced(there, metric))
            return Coupling(cost=total / others.count, exact=True, method="one side is a single point")
    n, m = a.count, b.count
    if a.span(0, 1, None).shape[1] == 1 and 64 * (n + m) <= effort.nbytes:
        x, y = (prepare(gather(side)) for side in (a, b))
        cost = _by_quantiles(x[:, 0].numpy(), y[:, 0].numpy()) * (1 + _SLACK) + _displaced(x, metric) + _displaced(y, metric)
        return Coupling(cost=cost, exact=True, method="sorting, one dimension")
    if predicted_seconds(n, m) <= effort.seconds and n * m * BYTES_PER_PAIR <= effort.nbytes:
        x, y = (prepare(gather(side)) for side in (a, b))
        cost, optimal = _solve(x, y, np.full(n, 1 / n), np.full(m, 1 / m), metric)
        return Coupling(cost=cost, exact=optimal, method="exact transport" if optimal else "transport, stopped early")
    blocks = _affordable_blocks(n, m, effort.seconds)
    if blocks is None:
        return None
    cost = _blocks(a, b, prepare, blocks, seed, metric)
    return Coupling(cost=cost, exact=False, method=f"{blocks} blocks of exact transport")


def _single_point(rows: Rows) -> Tensor | None:
    """The one point, shape (1, dim), that all samples are, or None."""
    point = rows.span(0, 1, None)
    return point if all(bool((batch == point).all()) for batch in rows.batches(4096)) else None


def _displaced(x: Tensor, metric: GroundMetric, mass: np.ndarray | None = None) -> float:
    """How far the rounding of ``prepare`` may have brought samples, on average: the cost between the true ones is off by that."""
    norms = metric.norm(x)
    return _PREPARED * float(norms.mean() if mass is None else norms @ torch.from_numpy(mass))


def _by_quantiles(x: np.ndarray, y: np.ndarray) -> float:
    """W1 on the line: both sets in ascending order, cut where either goes on to its next sample.

    The cuts are whole numbers, in units of 1 / (n m): adding up 1 / n would misplace mass when the counts differ.
    """
    n, m = len(x), len(y)
    cuts = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    gaps = np.abs(np.sort(x)[(cuts - 1) // m] - np.sort(y)[(cuts - 1) // n])
    return float(np.diff(cuts, prepend=0) @ gaps) / (n * m)


def _affordable_blocks(n: int, m: int, seconds: float) -> int | None:
    """The least number of blocks that time allows."""
    blocks = -(-max(n, m) // LARGEST_BLOCK)
    if seconds <= 0:
        return None
    while blocks * predicted_seconds(-(-n // blocks), -(-m // blocks)) > seconds:
        blocks = -(-blocks * 5 // 4)
        if max(n, m) / blocks < SMALLEST_BLOCK:
            return None
    return blocks


def _solve(x: Tensor, y: Tensor, a: np.ndarray, b: np.ndarray, metric: GroundMetric) -> tuple[float, bool]:
    """Cost of an optimal plan between masses a and b, its distances computed anew where mass moves; and whether it is optimal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the log says the same, and decides
        plan, log = ot.emd(a, b, _distances(x, y, metric).numpy(), numItermax=100_000_000, log=True)
    rows, columns = np.nonzero(plan)
    mass = torch.from_numpy(plan[rows, columns])
    # cdist multiplies matrices and loses half of the digits of small distances; differences do not.
    distances = metric.norm(x[rows] - y[columns])
    # Mass that the plan misplaces by rounding could at worst travel the largest distance there is.
    misplaced = float(np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum())
    diameter = 2 * float(max(metric.norm(side - x[0]).max() for side in (x, y)))
    misplaced += 64 * UNIT_ROUNDOFF  # of the masses themselves, 1 / n is not a binary number, and of these sums
    cost = float(mass @ distances) * (1 + _SLACK) + misplaced * diameter + _displaced(x, metric, a) + _displaced(y, metric, b)
    return cost, log["warning"] is None


def _distances(x: Tensor, y: Tensor, metric: GroundMetric) -> Tensor:
    """Distances of all pairs, shape (n, m); those of near pairs by differences.

    A product of matrices, which is what cdist makes of Euclidean ones, loses the digits in which near points differ, and the plan
    between tight clusters would be arbitrary.
    """
    distances = metric.pairwise(x, y)
    if metric != L2:
        return distances
    norms_x, norms_y = (torch.linalg.vector_norm(side, dim=1) for side in (x, y))
    for start in range(0, len(x), 256):
        part = distances[start : start + 256]
        rows, columns = torch.nonzero(part < 1e-3 * (norms_x[start : start + 256, None] + norms_y), as_tuple=True)
        for some in torch.arange(len(rows)).split(max(1, (1 << 20) // x.shape[1])):
            difference = x[start + rows[some]] - y[columns[some]]
            part[rows[some], columns[some]] = torch.linalg.vector_norm(difference, dim=1)
    return distances


def _blocks(a: Rows, b: Rows, prepare: Callable[[Tensor], Tensor], blocks: int, seed: int, metric: GroundMetric) -> float:
    """Cost of the coupling that keeps mass within blocks of equal mass.

    A sample that two blocks share is split between them, so that the marginals are met whatever the two counts.
    """
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(side.count, generator=generator) for side in (a, b)]
    total = 0.0
    for k in range(blocks):
        x, y = (prepare(side.span(*_members(side.count, k, blocks), order)) for side, order in zip((a, b), orders, strict=True))
        total += _solve(x, y, _masses(a.count, k, blocks), _masses(b.count, k, blocks), metric)[0]
    return total / blocks


def _members(n: int, k: int, blocks: int) -> tuple[int, int]:
    """First and end of the samples whose mass lies at least partly in the k-th of ``blocks`` equal shares."""
    return k * n // blocks, -(-(k + 1) * n // blocks)


def _masses(n: int, k: int, blocks: int) -> np.ndarray:
    """Masses of these samples as parts of the share, summing to 1."""
    members = np.arange(*_members(n, k, blocks))
    # In units of 1 / (n * blocks), so that all is whole numbers: sample i covers [i * blocks, (i + 1) * blocks).
    low = np.maximum(members * blocks, k * n)
    high = np.minimum((members + 1) * blocks, (k + 1) * n)
    return (high - low) / n
