"""The noise floor of one estimate: the distance between two parts of A, which have the same distribution."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from wdist.data.pairing import Pair
from wdist.estimation.blocks import rows_for_blocks
from wdist.ground_metric import GroundMetric
from wdist.transport.coupling import Effort, Sides
from wdist.transport.samples import upper_bound

_LARGEST, _LEAST = 500, 10
"""Largest and smallest size of each part; transport between the largest takes less than a tenth of a second."""
_PURPOSE = 9
_EFFORT = Effort(seconds=1.0)


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """W1 between two disjoint parts of A, chosen at random; larger parts are nearer to each other."""

    value: float
    """In the units of the data."""
    n: int
    """Samples of each part: half of A, or 500."""


def noise_floor(pair: Pair, metric: GroundMetric, *, seed: int) -> NoiseFloor | None:
    """Measures the reference against itself; None with fewer than 20 samples, or if transport is not solved exactly."""
    rows, _ = rows_for_blocks(pair)
    n = min(rows.count // 2, _LARGEST)
    if n < _LEAST:
        return None
    order = torch.from_numpy(np.random.default_rng([seed, rows.count, _PURPOSE]).permutation(rows.count)[: 2 * n])
    sides = Sides(a=rows.at(order[:n]), b=rows.at(order[n:]), prepare=pair.standardisation.on_cpu, metric=metric)
    found = upper_bound(sides, effort=_EFFORT, seed=seed)
    if found is None or not found.exact:
        return None
    value = found.cost * pair.standardisation.spread
    return NoiseFloor(value=value, n=n) if math.isfinite(value) else None
