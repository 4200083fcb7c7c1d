r"""W1 of two sample sets between two proved bounds, found independently of wdist: by scipy's solvers, in extended precision.

A plan in whole numbers is exactly feasible, whoever found it, so its cost is at least W1. Shortest paths in its residual graph give
dual variables; lowered until they are feasible, they prove a lower bound, which equals the cost if the plan is optimal. Both are
computed in extended precision with rounding counted, and no intermediate result underflows or overflows: extended precision reaches
from :math:`10^{-4951}` to :math:`10^{4932}`.

References:
    Ahuja, Magnanti & Orlin (1993), Network flows, section 9.3 (optimality of plans and shortest paths).
    Higham (2002), Accuracy and stability of numerical algorithms, section 4.2 (sums).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wdist.errors import UsageError

Extended = np.longdouble
_ROUNDOFF = np.finfo(Extended).eps / 2
_MOST_COPIES = 400
"""Largest assignment problem, in which samples are repeated until both sides have equally many."""
_TIGHT = 1e-12
"""Relative distance of the bounds up to which no second solver is tried."""
_MANTISSA = 63


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Two proved bounds around a distance of two sample sets, in extended precision."""

    low: Any
    high: Any
    potentials: tuple[np.ndarray, np.ndarray] | None = None
    """Dual variables u and v with u_i + v_j <= d(x_i, y_j) up to rounding; None if there are none."""

    @property
    def spread(self) -> float:
        """Distance between the bounds, over the upper one."""
        return float((self.high - self.low) / self.high) if self.high > 0 else 0.0


def check_precision() -> None:
    """Raises a UsageError on machines whose long double is not longer than a double."""
    if np.finfo(Extended).nmant < _MANTISSA:
        raise UsageError("this machine has no extended precision to check bounds with; run the suite on an x86-64 Linux machine")


def distances(x: np.ndarray, y: np.ndarray, p: float) -> np.ndarray:
    """Distances of all pairs, shape (n, m), of x and y in extended precision.

    Their relative errors are below :func:`relative_rounding` of the number of coordinates.
    """
    differences = np.abs(x[:, None] - y[None])
    if p == math.inf:
        return differences.max(2)
    return differences.sum(2) if p == 1 else np.sqrt((differences * differences).sum(2))


def relative_rounding(terms: int) -> Any:
    """Bound for the relative error of a sum of ``terms`` non-negative numbers, each rounded a few times."""
    return (terms + 16) * _ROUNDOFF * 2


def w1(x: np.ndarray, y: np.ndarray, p: float, *, by_program: bool = False) -> Truth:
    """W1 of any two small sets in extended precision, shapes (n, dim) and (m, dim).

    With ``by_program`` a linear program finds the plan; if its tolerance leaves a gap, an assignment is tried, too.
    """
    D = distances(x, y, p)
    if D.max() == 0:
        return Truth(low=Extended(0), high=Extended(0), potentials=(np.zeros(len(x)), np.zeros(len(y))))
    common = math.gcd(*D.shape)
    in_row, in_column = len(y) // common, len(x) // common
    costs, copies = (D / D.max()).astype(np.float64), len(x) * in_row
    error = relative_rounding(x.shape[1] + D.size)
    truth = None
    if by_program or copies > _MOST_COPIES:
        truth = _proved(D, _by_program(costs, in_row, in_column), error)
    if truth is None or (truth.spread > _TIGHT and copies <= _MOST_COPIES):
        other = _proved(D, _by_assignment(costs, in_row, in_column), error)
        truth = other if truth is None or other.spread < truth.spread else truth
    return truth


def _proved(D: np.ndarray, units: np.ndarray, error: Any) -> Truth:
    """Bounds from distances, a plan in whole numbers, shape (n, m), and the relative error of the distances and of sums."""
    assert (units >= 0).all()
    assert len({*units.sum(1)}) == len({*units.sum(0)}) == 1, "the margins are equal masses"
    u, v = _residual_potentials(D, units > 0)
    violation = max(Extended(0), (u[:, None] + v - D).max())
    slack = error * (D.max() + np.abs(u).max() + np.abs(v).max()) * 2
    return Truth(
        low=max(Extended(0), u.mean() + v.mean() - violation - slack),
        high=(units * D).sum() / int(units.sum()) * (1 + error),
        potentials=(u, v),
    )


def _by_assignment(costs: np.ndarray, in_row: int, in_column: int) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    copies = np.repeat(np.repeat(costs, in_row, 0), in_column, 1)
    rows, columns = linear_sum_assignment(copies)
    units = np.zeros(costs.shape, dtype=np.int64)
    np.add.at(units, (rows // in_row, columns // in_column), 1)
    return units


def _by_program(costs: np.ndarray, in_row: int, in_column: int) -> np.ndarray:
    """A vertex of the transport polytope, whose entries are whole numbers because its margins are."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    n, m = costs.shape
    margins = vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))])
    found = linprog(costs.ravel(), A_eq=margins, b_eq=np.repeat([in_row, in_column], [n, m]), method="highs-ds")
    return np.rint(found.x).astype(np.int64).reshape(n, m)


def _residual_potentials(D: np.ndarray, carries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dual variables from shortest paths in the residual graph of a plan (Bellman and Ford); poor ones if it is not optimal."""
    lengths = np.zeros(len(D), dtype=Extended)
    for _ in range(sum(D.shape) + 2):
        ends = (lengths[:, None] + D).min(0)
        shorter = np.minimum(lengths, np.where(carries, ends - D, Extended(math.inf)).min(1))
        if (shorter == lengths).all():
            break
        lengths = shorter
    lengths = lengths - np.median(lengths)
    return -lengths, (lengths[:, None] + D).min(0)


def w1_on_the_line(x: np.ndarray, y: np.ndarray) -> Truth:
    """W1 of two sets of numbers in extended precision, shapes (n,) and (m,): the area between the distribution functions."""
    points = np.concatenate([x, y])
    order = np.argsort(points, kind="stable")
    # in units of 1 / (n m), in which they are whole numbers
    steps = np.concatenate([np.full(len(x), len(y)), np.full(len(y), -len(x))])
    height = np.abs(np.cumsum(steps[order]))[:-1]
    area = (height * np.diff(points[order])).sum() / (len(x) * len(y))
    error = relative_rounding(len(points))
    return Truth(low=area * (1 - error), high=area * (1 + error))


def w1_of_translation(x: np.ndarray, y: np.ndarray, p: float) -> Truth:
    """W1 if y is x moved by about one vector, row by row: at least the distance of the means, at most the mean distance."""
    differences, error = x - y, relative_rounding(x.size)
    moved = np.abs(differences)
    if p == math.inf:
        lengths, mean = moved.max(1), np.abs(differences.mean(0)).max()
    elif p == 1:
        lengths, mean = moved.sum(1), np.abs(differences.mean(0)).sum()
    else:
        lengths, mean = np.sqrt((moved * moved).sum(1)), np.sqrt((differences.mean(0) ** 2).sum())
    return Truth(low=max(Extended(0), mean - error * moved.mean(0).sum()), high=lengths.mean() * (1 + error))
