"""Pairs of small sample sets that are hard to bound: ties, duplicates, lattices, extreme scales and offsets, every stored type."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.arrays import open_values
from wdist.ground_metric import METRICS, GroundMetric
from wdist.studies.bench.soundness_truth import Extended

Draw = Callable[[np.random.Generator, int, int], np.ndarray]
"""Maps a generator, a number of samples and a dimension to float64 samples of shape (n, dim)."""


def _low_rank(random: np.random.Generator, n: int, dim: int) -> np.ndarray:
    rank = max(1, dim // 3)
    return random.normal(size=(n, rank)) @ np.random.default_rng(0).normal(size=(rank, dim))


def _normal(scale: float = 1.0, offset: float = 0.0) -> Draw:
    return lambda random, n, dim: random.normal(size=(n, dim)) * scale + offset


KINDS: dict[str, Draw] = {
    "normal": _normal(),
    "ties": lambda random, n, dim: random.integers(3, size=(n, dim)).astype(np.float64),
    "lattice": lambda random, n, dim: random.integers(-9, 9, (n, dim)) / 7,
    "duplicates": lambda random, n, dim: np.random.default_rng(dim).normal(size=(4, dim))[random.integers(4, size=n)],
    "one-hot": lambda random, n, dim: np.eye(dim)[random.integers(dim, size=n)],
    "low rank": _low_rank,
    "heavy tails": lambda random, n, dim: random.standard_cauchy((n, dim)) ** 3,
    "rare atoms": lambda random, n, dim: (random.random((n, dim)) < 0.1) * random.integers(1, 1000, (n, dim)).astype(np.float64),
    "clusters": lambda random, n, dim: random.integers(2, size=(n, 1)) + 1e-9 * random.normal(size=(n, dim)),
    "mixed scales": lambda random, n, dim: random.normal(size=(n, dim)) * 10.0 ** np.linspace(-150, 150, dim),
    "offset 1e6": _normal(offset=1e6),
    "offset 1e12": _normal(offset=1e12),
    "tiny offset lattice": lambda random, n, dim: 1.0 + random.integers(4, size=(n, dim)) * 2.0**-52,
    "subnormal": _normal(1e-315),
    "least subnormal": lambda random, n, dim: random.integers(-3, 4, (n, dim)) * 5e-324,
    "scale 1e-150": _normal(1e-150),
    "scale 1e150": _normal(1e150),
    "scale 1e290": _normal(1e290),
}
"""Kind -> samples of one side."""

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)
_CAST_KINDS = ("normal", "ties", "lattice", "duplicates", "one-hot", "rare atoms", "low rank")
"""Kinds whose values fit into small types."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Two sample sets, as stored and in extended precision."""

    kind: str
    x: Tensor
    y: Tensor
    """Shapes (n, dim) and (m, dim), of one stored type."""
    metric: GroundMetric
    seed: int
    """Seed of all random choices in computing bounds."""

    @property
    def name(self) -> str:
        """A description: kind, shapes, type, metric and seed."""
        (n, dim), m = self.x.shape, len(self.y)
        stored = str(self.x.dtype).removeprefix("torch.")
        return f"{self.kind}, {n} and {m} samples in {dim} dimensions, {stored}, {self.metric.name}, seed {self.seed}"

    @property
    def exact(self) -> tuple[np.ndarray, np.ndarray]:
        """Both sides in extended precision, in the units of the distance: uint8 is divided by 255."""
        scaled = Extended(255) if open_values(self.x).info.scale != 1 else Extended(1)
        x, y = (side.double() if side.is_floating_point() else side.to(torch.int64) for side in (self.x, self.y))
        return x.numpy().astype(Extended) / scaled, y.numpy().astype(Extended) / scaled

    def smaller(self, least: int) -> Iterator["Problem"]:
        """The same problem with fewer samples, but at least ``least`` a side, or with fewer coordinates."""
        for side in ("x", "y"):
            values = getattr(self, side)
            for size in (len(values) // 2, len(values) // 4, 1):
                for start in range(0, len(values), max(1, size)):
                    rest = torch.cat([values[:start], values[start + size :]])
                    if size and least <= len(rest) < len(values):
                        yield replace(self, x=rest) if side == "x" else replace(self, y=rest)
        for coordinate in range(self.x.shape[1] if self.x.shape[1] > 1 else 0):
            kept = [each for each in range(self.x.shape[1]) if each != coordinate]
            yield replace(self, x=self.x[:, kept].contiguous(), y=self.y[:, kept].contiguous())


def draw_problem(
    random: np.random.Generator, *, least: int = 1, most: int = 24, dims: tuple[int, ...] = (1, 2, 3, 5, 8, 17)
) -> Problem:
    """Draws a problem with ``least`` to ``most`` samples a side."""
    kind, dim = str(random.choice(list(KINDS))), int(random.choice(dims))
    n, m = (int(each) for each in random.integers(least, most + 1, 2))
    if random.random() < 0.3:
        m = n
    a = KINDS[kind](random, n, dim)
    x, y = _stored(random, kind, a, _other_side(random, kind, a, m))
    metric = METRICS[str(random.choice(list(METRICS)))]
    return Problem(kind=kind, x=x, y=y, metric=metric, seed=int(random.integers(2**31)))


def _other_side(random: np.random.Generator, kind: str, x: np.ndarray, m: int) -> np.ndarray:
    """Samples of B: independent of x, shifted, x in another order, x with some rows replaced, or a mixture with x."""
    y = KINDS[kind](random, m, x.shape[1])
    match random.integers(5):
        case 0:
            return y
        case 1:
            return y + np.abs(x).max(0) * random.choice([1e-9, 1.0, 1e3])
        case 2:
            return x[random.permutation(len(x))]
        case 3:
            changed = x[random.permutation(len(x))].copy()
            changed[: max(1, len(x) // 8)] = KINDS[kind](random, max(1, len(x) // 8), x.shape[1])
            return changed
        case _:
            return np.concatenate([y, x])[:m]


def _stored(random: np.random.Generator, kind: str, a: np.ndarray, b: np.ndarray) -> tuple[Tensor, Tensor]:
    """Casts both sides to one of the types that sources accept."""
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    if kind not in _CAST_KINDS or random.random() < 0.5:
        return x, y
    dtype = (*FLOATS, *INTEGERS)[random.integers(len(FLOATS) + len(INTEGERS))]
    if dtype in FLOATS:
        largest = torch.finfo(dtype).max
        return x.clamp(-largest, largest).to(dtype), y.clamp(-largest, largest).to(dtype)
    least, most = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    spread = random.choice([1, 3, 30])
    x, y = ((side * spread).round().clamp(max(least, -(2**53)), min(most, 2**53)).to(dtype) for side in (x, y))
    return x, y


def draw_translation(random: np.random.Generator, *, n: int, dim: int) -> Problem:
    """Many samples against the same samples moved by one vector, row by row, in float64."""
    kind = str(random.choice(["normal", "ties", "lattice", "low rank", "offset 1e6"]))
    x = torch.from_numpy(KINDS[kind](random, n, dim))
    step = torch.from_numpy(random.normal(size=dim)) * float(random.choice([0.01, 1.0, 100.0])) / math.sqrt(dim)
    metric, seed = METRICS[str(random.choice(list(METRICS)))], int(random.integers(2**31))
    return Problem(kind=f"{kind}, translated", x=x, y=x + step, metric=metric, seed=seed)
