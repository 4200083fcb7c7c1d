"""The images that a generator learns from, in memory."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.data.access import Access
from wdist.data.memory import fits, size_text
from wdist.data.rows import ResidentRows, evenly
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource
from wdist.data.standardisation import Standardisation
from wdist.errors import SourceError, UsageError
from wdist.gan.generators import is_image

_LOOKED_AT = 20_000
"""Images that shift and spread follow from."""
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """All images of a source."""

    rows: ResidentRows
    standardisation: Standardisation
    digest: str
    """SHA-256 of the images as they are stored."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.rows.info.event_shape

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` images with replacement, float32, shape (n, dim), in [0, 1]."""
        return self.rows.take(torch.randint(self.rows.count, (n,), generator=generator), torch.float32)

    def spread_out(self, n: int) -> Tensor:
        """At most ``n`` images evenly over the source, float64, shape (n, dim)."""
        return self.rows.take(evenly(self.rows.count, n))


def load_images(address: str, access: Access, *, seed: int = 0) -> Images:
    """Reads the images of an address.

    Raises:
        SourceError: they cannot be read, are no images, or do not fit into memory.
        UsageError: their values do not lie in [0, 1].
    """
    source = open_source(address, access, seed=seed)
    shape = source.info.event_shape
    if not is_image(shape):
        sizes = "x".join(map(str, shape)) or "a single number"
        raise SourceError(
            f"{address}: its samples ({sizes}) are no images; give a source of shape 28x28, 3x32x32 or 32x32x3, at most 512 wide"
        )
    if isinstance(source, EndlessSource):
        raise SourceError(f"{address} draws without end; a generator learns from a fixed set of images, so give a file or a folder")
    if not fits(source.nbytes):
        raise SourceError(f"{address} holds {size_text(source.nbytes)}, too much for memory; take a part with ?limit=50000")
    rows = ResidentRows(values=source.read(slice(0, source.count)), info=source.info)
    seen = rows.take(evenly(rows.count, _LOOKED_AT))
    low, high = float(seen.min()), float(seen.max())
    if not (-_ROUNDING <= low and high <= 1 + _ROUNDING):
        raise UsageError(
            f"{address}: its values reach from {low:g} to {high:g}; a generator makes images in [0, 1], so scale them to that"
        )
    digest = hashlib.sha256(rows.values.contiguous().numpy().tobytes()).hexdigest()
    return Images(rows=rows, standardisation=Standardisation.fit(seen, seen), digest=digest)
