"""What a critic does to points of its space, and which samples stand beside it in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wdist.estimation.result import CriticResult


_DOTS = 300
"""Samples of a side that are drawn; more would hide one another."""


def dots(side: torch.Tensor) -> NDArray[np.float64]:
    """The first samples of one side, shape (at most 300, dim)."""
    array: NDArray[np.float64] = side.detach().cpu().to(torch.float64).numpy()
    return array[:_DOTS]


def potentials(critic: CriticResult, points: NDArray[np.float64], *, anchor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Potentials of points (n, dim), shifted so that their mean over the samples of B is 0; the shift changes no dual value."""

    def evaluated(x: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = critic.frozen.potentials(torch.from_numpy(np.ascontiguousarray(x))).detach().cpu().numpy()
        return values / critic.lipschitz_bound if critic.certified else values

    return evaluated(points) - evaluated(anchor).mean()
