r"""Pairs whose W1 is known in closed form, with a critic that was there before any sample: what confidence bounds are tried on.

- A translation moves every point by the same vector, and no coupling beats its length (Jensen's inequality).
- On the line W1 is the difference of the means where one side is never below the other (in the usual stochastic order).
- A contraction towards a point moves along rays, on which the distance from that point is an optimal potential.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from wdist.critics.frozen import FrozenCritic
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.frozen_layers import Affine
from wdist.measures.standardisation import Standardisation

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
"""From a generator and (runs, n) to float64 samples of shape (runs, n, dim)."""


@dataclass(frozen=True, kw_only=True)
class CoveragePair:
    """Two distributions, W1 between them, and an optimal critic."""

    name: str
    a: Draw
    b: Draw
    dim: int
    w1: float
    layers: tuple[FrozenLayer, ...]
    """Of the critic, on samples as they are."""
    diameter: float | None = None
    """Of the union of both supports; None where it is not bounded, or taken as unknown."""
    extremes: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest value of the critic on the support, where that is bounded."""

    @property
    def critic(self) -> FrozenCritic:
        """The critic, which no sample has had a part in."""
        return FrozenCritic(self.layers, Standardisation(shift=torch.zeros(self.dim, dtype=torch.float64), spread=1.0))


def _first_coordinate(dim: int) -> tuple[FrozenLayer, ...]:
    return (Affine(weight=torch.eye(1, dim, dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64)),)


def _from_origin(dim: int) -> tuple[FrozenLayer, ...]:
    return (Cones(centres=torch.zeros(1, dim, dtype=torch.float64), offsets=torch.zeros(1, dtype=torch.float64)),)


def _shifted(draw: Draw, dim: int) -> Draw:
    return lambda random, counts: draw(random, counts) + np.eye(1, dim)[0]


def _translation(name: str, draw: Draw, dim: int) -> CoveragePair:
    return CoveragePair(name=name, a=_shifted(draw, dim), b=draw, dim=dim, w1=1.0, layers=_first_coordinate(dim))


def _normal(dim: int) -> Draw:
    return lambda random, counts: random.standard_normal((*counts, dim))


_PARETO = 2.2
"""Index: the variance is finite, the third moment is not."""


def _pareto(scale: float) -> Draw:
    return lambda random, counts: scale * (1 + random.pareto(_PARETO, (*counts, 1)))


_RARE = 0.05


def _rare(random: np.random.Generator, counts: tuple[int, int]) -> np.ndarray:
    return (random.random((*counts, 1)) < _RARE).astype(np.float64)


_MEAN_RADIUS = (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 3
"""Mean distance of the unit square's points from one of its corners."""

PAIRS = (
    _translation("normal, shifted, 10 dimensions", _normal(10), 10),
    CoveragePair(
        name="the same normal twice, 3 dimensions", a=_normal(3), b=_normal(3), dim=3, w1=0.0, layers=_first_coordinate(3)
    ),
    _translation("Student's t with 3 degrees, shifted, 2 dimensions", lambda random, n: random.standard_t(3, (*n, 2)), 2),
    CoveragePair(
        name="Pareto of index 2.2, twice as far out",
        a=_pareto(2.0),
        b=_pareto(1.0),
        dim=1,
        w1=_PARETO / (_PARETO - 1),
        layers=_first_coordinate(1),
    ),
    CoveragePair(
        name="1 against 0, or 1 in one of twenty",
        a=lambda random, counts: np.ones((*counts, 1)),
        b=_rare,
        dim=1,
        w1=1 - _RARE,
        layers=_first_coordinate(1),
        diameter=1.0,
        extremes=(0.0, 1.0),
    ),
    CoveragePair(
        name="uniform numbers and their squares",
        a=lambda random, counts: random.random((*counts, 1)),
        b=lambda random, counts: random.random((*counts, 1)) ** 2,
        dim=1,
        w1=1 / 6,
        layers=_first_coordinate(1),
        diameter=1.0,
        extremes=(0.0, 1.0),
    ),
    CoveragePair(
        name="the unit square and its half",
        a=lambda random, counts: random.random((*counts, 2)),
        b=lambda random, counts: random.random((*counts, 2)) / 2,
        dim=2,
        w1=_MEAN_RADIUS / 2,
        layers=_from_origin(2),
        diameter=math.sqrt(2),
        extremes=(0.0, math.sqrt(2)),
    ),
)
