"""Merges equal points into one with their total mass, and divides plans between merged points among the original ones."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_NEGLIGIBLE = 1e-14
"""Mass below which a part, left by rounding, is dropped."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Distinct:
    """Distinct points among n points with masses."""

    points: Tensor
    """Shape (k, dim)."""
    masses: np.ndarray
    """Shape (k,)."""
    labels: np.ndarray
    """Position of each of the n points among the distinct ones."""
    each: np.ndarray
    """Masses of the n points."""

    def divided(self, rows: np.ndarray, columns: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Divides a plan whose rows are distinct points among the n points."""
        if len(self.points) == len(self.labels):
            return rows, columns, mass
        entries, members = np.argsort(rows, kind="stable"), np.argsort(self.labels, kind="stable")
        ends, reached = mass[entries].cumsum(), self.each[members].cumsum()
        cuts = np.union1d(ends, reached)
        middles, parts = (np.r_[0.0, cuts[:-1]] + cuts) / 2, np.diff(cuts, prepend=0.0)
        entry = entries[np.minimum(np.searchsorted(ends, middles), len(ends) - 1)]
        member = members[np.minimum(np.searchsorted(reached, middles), len(reached) - 1)]
        kept = (parts > _NEGLIGIBLE / len(self.labels)) & (self.labels[member] == rows[entry])
        return member[kept], columns[entry[kept]], parts[kept]


def distinct(points: Tensor, masses: np.ndarray) -> Distinct:
    """Merges equal points, shape (n, dim), float64; if all are distinct, they keep their order."""
    keys = _keys(points)
    _, first, labels = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) == len(points):
        return Distinct(points=points, masses=masses, labels=np.arange(len(points)), each=masses)
    if not bool((points[first[labels]] == points).all()):  # two points share a key
        _, first, labels = np.unique(points.numpy(), axis=0, return_index=True, return_inverse=True)
    labels = labels.reshape(-1)
    return Distinct(points=points[first], masses=np.bincount(labels, masses), labels=labels, each=masses)


def _keys(points: Tensor) -> np.ndarray:
    """Integer keys, shape (n,), which are equal for equal points and hardly ever for others."""
    factors = torch.from_numpy(np.random.default_rng(0).integers(-(2**63), 2**63 - 1, points.shape[1], dtype=np.int64)) | 1
    keys = []
    for part in points.split(max(1, (1 << 20) // points.shape[1])):
        bits = (part + 0.0).contiguous().view(torch.int64)  # -0.0 equals 0.0
        bits = (bits ^ (bits >> 29)) * 0x3F58476D1CE4E5B9
        keys.append(((bits ^ (bits >> 32)) * factors).sum(1))
    return torch.cat(keys).numpy()
