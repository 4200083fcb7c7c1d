"""Witnesses: the samples of each side that a critic tells apart most clearly."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.data.rows import in_units
from wdist.data.sources.source import EndlessSource, FiniteSource, Source, SourceInfo, random_stream
from wdist.errors import UsageError

_DRAWS = 4096
"""Draws of an endless source among which the most extreme are found."""
_BATCH_NUMBERS = 1 << 20
_PURPOSE = 3
"""Purpose of the random stream, so that no draw has trained, selected or evaluated the critic."""
_CHANNELS = (1, 3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Witnesses:
    """Samples of each side with extreme potentials, the most extreme first."""

    reference: Tensor
    """Samples of the reference with the highest potentials, those least like the source: shape (k, \\*event shape), float64."""
    reference_potentials: tuple[float, ...]
    source: Tensor
    """Samples of the source with the lowest potentials, those least like the reference."""
    source_potentials: tuple[float, ...]


def check_images(info: SourceInfo) -> None:
    """Refuses samples that cannot be shown as images.

    Raises:
        UsageError: the samples are neither grey, of shape (h, w), (1, h, w) or (h, w, 1), nor RGB, of shape (3, h, w) or (h, w, 3).
    """
    if image_axes(info.event_shape) is None:
        words = "x".join(map(str, info.event_shape)) or "1"
        raise UsageError(f"--witness shows images, grey or RGB, but samples of {info.address} have the shape {words}; leave it out")


def image_axes(event_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The order that brings the axes of a sample to (height, width[, channels]); None if the sample is not an image."""
    if len(event_shape) == 2 and min(event_shape) > 1:
        return 0, 1
    if len(event_shape) != 3:
        return None
    if event_shape[0] in _CHANNELS:
        return 1, 2, 0
    return (0, 1, 2) if event_shape[2] in _CHANNELS else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One side of a comparison, as shown and as judged."""

    images: Source
    source: Source
    """The same samples, in the space in which distances are measured."""


def find_witnesses(critic: FrozenCritic, reference: Side, source: Side, *, count: int, seed: int) -> Witnesses:
    """Searches all samples of each side, or draws that were not used before, for at most ``count`` extreme ones."""
    high, above = _extreme(critic, reference, count=count, sign=1, seed=seed, number=0)
    low, below = _extreme(critic, source, count=count, sign=-1, seed=seed, number=1)
    return Witnesses(reference=high, reference_potentials=above, source=low, source_potentials=below)


def _extreme(
    critic: FrozenCritic, side: Side, *, count: int, sign: int, seed: int, number: int
) -> tuple[Tensor, tuple[float, ...]]:
    """The samples with the highest values of ``sign`` times the potential, and their potentials."""
    kept, values = torch.empty(0, side.images.info.dim), torch.empty(0, dtype=torch.float64)
    for images, rows in _batches(side, seed=seed, number=number):
        found = torch.cat([values, critic.potentials(rows)])
        order = torch.argsort(found, descending=sign > 0, stable=True)[:count]
        kept, values = torch.cat([kept, images])[order], found[order]
    return kept.reshape(len(kept), *side.images.info.event_shape), tuple(values.tolist())


def _batches(side: Side, *, seed: int, number: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields batches of samples as shown and as judged, each in its units, float64, on the CPU."""
    size = max(1, _BATCH_NUMBERS // max(side.images.info.dim, side.source.info.dim))
    if isinstance(side.images, FiniteSource):
        assert isinstance(side.source, FiniteSource), "features of a finite source are finite, too"
        for (_, images), (_, rows) in zip(side.images.slabs(size), side.source.slabs(size), strict=True):
            yield in_units(images, side.images.info), in_units(rows, side.source.info)
        return
    assert isinstance(side.source, EndlessSource)
    # Two generators with the same seed draw the same samples for both forms.
    streams = [random_stream(seed, number, _PURPOSE) for _ in range(2)]
    for start in range(0, _DRAWS, size):
        n = min(size, _DRAWS - start)
        yield side.images.draw(n, streams[0]).double().cpu(), side.source.draw(n, streams[1]).double().cpu()
