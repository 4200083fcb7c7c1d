"""Sample sets of known W1 that gates are tried on."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from wdist.critics import mean_difference
from wdist.critics.settings import CriticSettings
from wdist.gating.interval import On

Sides: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class GateCase:
    """Sample sets of known W1, and how they are estimated."""

    name: str
    draw: Callable[[np.random.Generator], Sides]
    w1: float
    """Of the estimand that is judged."""
    samples: int
    """Of each side."""
    on: On = "population"
    options: tuple[tuple[str, Any], ...] = (("critic", mean_difference.RECIPE.name),)
    """Of the estimation."""


def _normal(dim: int, n: int, shift: float = 1.0) -> Callable[[np.random.Generator], Sides]:
    return lambda random: (random.standard_normal((n, dim)), random.standard_normal((n, dim)) + shift * np.eye(1, dim)[0])


def _greys(random: np.random.Generator, n: int) -> Sides:
    """Bytes in the plane, those of B moved by 100 in one coordinate: within a known range."""
    a, b = (random.integers(0, 156, (n, 2), dtype=np.uint8) for _ in range(2))
    return a, b + np.array([100, 0], dtype=np.uint8)


def _coins(random: np.random.Generator, n: int) -> Sides:
    """Black and white: W1 is the difference of the two shares."""
    return tuple((255 * (random.random((n, 1)) < share)).astype(np.uint8) for share in (0.8, 0.3))  # type: ignore[return-value]


def _moved(random: np.random.Generator, n: int) -> Sides:
    """A set of bytes in 8 dimensions and the same set moved, in another order: no coupling is cheaper than the way of all."""
    a = random.integers(0, 200, (n, 8), dtype=np.uint8)
    return a, random.permutation(a) + np.array([40] * 4 + [0] * 4, dtype=np.uint8)


def _few_against_many(random: np.random.Generator, n: int) -> Sides:
    """A set and the same set moved, each of its points twice there: counts differ, and W1 does not change."""
    a, b = _moved(random, n)
    return a, np.concatenate([b, b])


_TRAINED = (
    ("critic", "groupsort-bjorck"),
    ("steps", 20),
    ("settings", CriticSettings(width=16, depth=2, batch_size=64)),
)

CASES = (
    GateCase(name="normal, shifted, plane", draw=_normal(2, 100), w1=1.0, samples=100),
    GateCase(name="normal, shifted, plane", draw=_normal(2, 1000), w1=1.0, samples=1000),
    GateCase(name="normal, shifted, plane, trained critic", draw=_normal(2, 100), w1=1.0, samples=100, options=_TRAINED),
    GateCase(name="normal, shifted, 10 dimensions", draw=_normal(10, 300), w1=1.0, samples=300),
    GateCase(name="bytes in the plane, shifted", draw=lambda random: _greys(random, 300), w1=100 / 255, samples=300),
    GateCase(name="black and white, shares 0.8 and 0.3", draw=lambda random: _coins(random, 1000), w1=0.5, samples=1000),
    GateCase(
        name="a set and itself moved, 8 dimensions",
        draw=lambda random: _moved(random, 100),
        w1=math.sqrt(4) * 40 / 255,
        samples=100,
        on="samples",
    ),
    GateCase(
        name="a set and itself moved and doubled",
        draw=lambda random: _few_against_many(random, 100),
        w1=math.sqrt(4) * 40 / 255,
        samples=100,
        on="samples",
    ),
)
