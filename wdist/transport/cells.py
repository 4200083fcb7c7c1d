"""Cells of nearby points: a tree that halves them along their widest coordinate."""

from dataclasses import dataclass

import numpy as np

_COORDINATES = 8
"""Most coordinates that the tree uses; points with more are projected."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Points in cells of nearly equal counts."""

    labels: np.ndarray
    """Cell of each point, shape (n,)."""
    count: int

    def means(self, points: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centre of mass of each cell, shape (cells, dim), and its mass, shape (cells,)."""
        mass = np.bincount(self.labels, masses, self.count)
        sums = [np.bincount(self.labels, masses * coordinate, self.count) for coordinate in points.T]
        return np.stack(sums, 1) / mass[:, None], mass


def cells_of(points: np.ndarray, levels: int) -> Cells:
    """Cells of points, shape (n, dim), after ``levels`` halvings; there must be at least ``2**levels`` points."""
    labels, everyone = np.zeros(len(points), dtype=np.int64), np.arange(len(points))
    order = everyone
    for level in range(levels):
        sizes = np.bincount(labels, minlength=1 << level)
        starts = sizes.cumsum() - sizes
        in_order = points[order]
        widest = (np.maximum.reduceat(in_order, starts) - np.minimum.reduceat(in_order, starts)).argmax(1)
        order = np.lexsort((points[everyone, widest[labels]], labels))
        behind = everyone - np.repeat(starts, sizes) >= np.repeat(sizes // 2, sizes)
        labels[order] = 2 * labels[order] + behind
    return Cells(labels=labels, count=1 << levels)


def nearby_order(points: np.ndarray, together: int) -> np.ndarray:
    """An order in which runs of about ``together`` consecutive points are near each other."""
    levels = max(0, (len(points) // together).bit_length())
    if levels == 0 or len(points) < 1 << levels:
        return np.arange(len(points))
    if points.shape[1] > _COORDINATES:
        ends = points[np.random.default_rng(0).integers(len(points), size=(2, _COORDINATES))]
        points = points @ (ends[0] - ends[1]).T
    return np.argsort(cells_of(points, levels).labels, kind="stable")
