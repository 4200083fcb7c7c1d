"""Movement between two tables: the share of each column in the joint distance, and the rows that moved most."""

from dataclasses import dataclass

import numpy as np

from wdist.data.sources.column import BOOLEAN, CATEGORY, DATE, Column
from wdist.ground_metric import GroundMetric
from wdist.transport.coupling import Plan

_ROWS = 5
"""Rows that a result lists."""


@dataclass(frozen=True, kw_only=True)
class MovedRow:
    """A row of the current table that the plan moves far."""

    row: int
    """Its number among the rows of the current table, the first being 1."""
    distance: float
    """Mean distance by which its mass moved, in the units of the joint distance."""
    column: str
    """The column with the largest share in that distance."""
    before: str
    """Value of that column in the row of the reference that contributes most to its share."""
    after: str
    """Value of that column in this row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tables:
    """Both tables as points of one space."""

    columns: tuple[Column, ...]
    reference: np.ndarray
    """Points, float64, shape (n, dim)."""
    current: np.ndarray
    """Points, shape (m, dim)."""
    numbers: np.ndarray
    """Number of each current row in its table, the first being 1, shape (m,)."""
    metric: GroundMetric

    def shares(self, plan: Plan) -> tuple[float, ...]:
        """The share of each column in the cost of a plan; shares add up to 1, or are 0 if nothing moves."""
        moved = plan.mass[:, None] * self._parts(plan)
        total = moved.sum()
        return tuple(float(part) for part in (moved.sum(0) / total if total > 0 else moved.sum(0)))

    def moved_rows(self, plan: Plan) -> tuple[MovedRow, ...]:
        """The rows of the current table that moved most, the farthest first."""
        parts, m = self._parts(plan), len(self.current)
        costs, masses = (np.bincount(plan.columns, weights, minlength=m) for weights in (plan.mass * parts.sum(1), plan.mass))
        distances = costs / np.where(masses > 0, masses, 1.0)
        chosen = np.argsort(-distances, kind="stable")[:_ROWS]
        return tuple(self._moved(int(row), float(distances[row]), plan, parts) for row in chosen if distances[row] > 0)

    def _moved(self, row: int, distance: float, plan: Plan, parts: np.ndarray) -> MovedRow:
        places = np.flatnonzero(plan.columns == row)
        moved = plan.mass[places, None] * parts[places]
        widest = int(moved.sum(0).argmax())
        column, origin = self.columns[widest], int(plan.rows[places[moved[:, widest].argmax()]])
        before, after = (_shown(column, points) for points in (self.reference[origin], self.current[row]))
        return MovedRow(row=int(self.numbers[row]), distance=distance, column=column.name, before=before, after=after)

    def _parts(self, plan: Plan) -> np.ndarray:
        """The distance of each pair of a plan, divided among the columns, shape (k, columns)."""
        apart = np.abs(self.reference[plan.rows] - self.current[plan.columns])
        starts = [column.start for column in self.columns]
        if self.metric.p == np.inf:
            largest = np.maximum.reduceat(apart, starts, axis=1)
            parts = (largest == largest.max(1, keepdims=True)) * 1.0
        else:
            parts = np.add.reduceat(apart**self.metric.p, starts, axis=1)
        distances, total = np.linalg.norm(apart, ord=self.metric.p, axis=1), parts.sum(1)
        return parts * (distances / np.where(total > 0, total, 1.0))[:, None]


def _shown(column: Column, point: np.ndarray) -> str:
    """The value of a column in a point, decoded for a reader."""
    own = point[column.start : column.stop]
    if column.type == CATEGORY:
        place = int(own.argmax())
        return column.levels[place] if place < len(column.levels) else "missing"
    if column.indicator and own[-1] > 0:
        return "missing"
    value = float(own[0] * column.scale)
    if column.type == BOOLEAN:
        return "true" if value > 0.5 else "false"
    return date_of(value) if column.type == DATE else f"{value:.6g}"


def date_of(days: float) -> str:
    """The date that is ``days`` after the start of 1970, with a time of day unless that is midnight."""
    return str(np.datetime64(round(days * 86_400), "s")).removesuffix("T00:00:00")
