"""The reference against itself: the distance that its number of samples cannot resolve, and how it falls with more samples."""

import math

import numpy as np
import torch
from torch import Tensor

from wdist.data.rows import ResidentRows, in_units
from wdist.data.sources.arrays import open_values
from wdist.data.sources.source import FiniteSource, SelectedRows, Source, random_stream
from wdist.data.survey import MINIMUM_ROWS
from wdist.ground_metric import GroundMetric
from wdist.transport.coupling import Effort, Sides
from wdist.transport.samples import upper_bound

LEAST_ROWS = 2 * MINIMUM_ROWS
"""Fewest samples of a reference that is divided into halves."""
_SLOPE_ROWS = 1000
"""Samples of each half between which the slope is measured; transport between them takes a few tenths of a second."""
_SLOPES = (0.01, 0.5)
"""Range of measured slopes; W1 between samples of one distribution falls no faster than n^(-1/2)."""
_EFFORT = Effort(seconds=5.0, nbytes=1 << 30)


def halves(reference: Source, *, seed: int) -> tuple[Source, Source] | None:
    """Two sources of independent samples from the distribution of the reference; None if it has too few samples."""
    if not isinstance(reference, FiniteSource):
        return reference, reference  # the two sides draw from separate random streams
    half = reference.count // 2
    if reference.count < LEAST_ROWS:
        return None
    order = np.random.default_rng([seed, reference.count, 2]).permutation(reference.count)
    first, second = (np.sort(part) for part in (order[:half], order[half : 2 * half]))
    one = SelectedRows(reference, first, notes=("a half of the reference",))
    return one, SelectedRows(reference, second, notes=("the other half of the reference",))


def measured_slope(a: Source, b: Source, *, metric: GroundMetric, seed: int) -> float | None:
    r"""Measures the r in :math:`n^{-r}`, the rate at which W1 between n samples of one distribution falls.

    Compares the exact W1 between up to 1000 samples of each side, which are independent and have one distribution, with its mean
    over four disjoint quarters of them. The result is at most 1/2; None if it cannot be measured.
    """
    x, y = (_sample(source, side=side, seed=seed) for side, source in enumerate((a, b)))
    quarter = min(len(x), len(y)) // 4
    whole = _transport(x[: 4 * quarter], y[: 4 * quarter], metric)
    parts = [_transport(x[k : k + quarter], y[k : k + quarter], metric) for k in range(0, 4 * quarter, quarter)]
    if whole is None or not whole > 0 or any(part is None for part in parts):
        return None
    slope = math.log(sum(part for part in parts if part is not None) / 4 / whole) / math.log(4)
    return min(slope, _SLOPES[1]) if math.isfinite(slope) and slope > _SLOPES[0] else None


def _sample(source: Source, *, side: int, seed: int) -> Tensor:
    """Up to 1000 samples in random order, in the units of the source, float64, on the CPU."""
    stream = random_stream(seed, side, 4)
    if not isinstance(source, FiniteSource):
        return source.draw(_SLOPE_ROWS, stream).double().cpu()
    chosen = torch.randperm(source.count, generator=stream)[:_SLOPE_ROWS].sort().values
    rows = in_units(source.read(chosen.numpy()), source.info)
    return rows[torch.randperm(len(rows), generator=stream)]


def _transport(x: Tensor, y: Tensor, metric: GroundMetric) -> float | None:
    """W1 between two sets of samples; None if transport was not solved exactly."""
    a, b = (ResidentRows(values=side, info=open_values(side).info) for side in (x, y))
    coupling = upper_bound(Sides(a=a, b=b, metric=metric), effort=_EFFORT, seed=0)
    return coupling.cost if coupling is not None and coupling.exact and math.isfinite(coupling.cost) else None
