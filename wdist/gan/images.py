"""Images that a generator learns from, in memory, and sheets that show images at a glance."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wdist.data.access import Access
from wdist.data.memory import fits, size_text
from wdist.data.rows import ResidentRows, evenly, in_units
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource
from wdist.data.standardisation import Standardisation
from wdist.errors import SourceError, UsageError
from wdist.gan.generators import is_image

_FIT_IMAGES = 20_000
"""Images to which the standardisation is fitted."""
_ROUNDING = 1e-6
_SHOWN_PIXELS = 28
"""Size below which images are enlarged on a sheet."""
_COLUMNS = 10
_GAP = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """All images of a source."""

    rows: ResidentRows
    standardisation: Standardisation
    digest: str
    """SHA-256 of the stored images."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of an image."""
        return self.rows.info.event_shape

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws ``n`` images with replacement, float32, shape (n, dim), in [0, 1]."""
        return self.rows.take(torch.randint(self.rows.count, (n,), generator=generator), torch.float32)

    def spread_out(self, n: int) -> Tensor:
        """At most ``n`` images, evenly spread over the source, float64, shape (n, dim)."""
        return self.rows.take(evenly(self.rows.count, n))


def load_images(address: str, access: Access, *, seed: int = 0) -> Images:
    """Reads the images of an address.

    Raises:
        SourceError: the samples cannot be read, are not images, or do not fit into memory.
        UsageError: the values do not lie in [0, 1].
    """
    source = open_source(address, access, seed=seed)
    shape = source.info.event_shape
    if not is_image(shape):
        sizes = "x".join(map(str, shape)) or "1"
        raise SourceError(
            f"{address}: samples of shape {sizes} are not images; give images of shape 28x28, 3x32x32 or 32x32x3, at most 512 wide"
        )
    if isinstance(source, EndlessSource):
        raise SourceError(f"{address} draws without end; a generator learns from a fixed set of images, so give a file or a folder")
    if not fits(source.nbytes):
        raise SourceError(f"{address} holds {size_text(source.nbytes)}, too much for memory; take a part with ?limit=50000")
    rows = ResidentRows(values=source.read(slice(0, source.count)), info=source.info)
    low, high = (float(in_units(end, rows.info)) for end in (rows.values.min(), rows.values.max()))
    if not (-_ROUNDING <= low and high <= 1 + _ROUNDING):
        raise UsageError(
            f"{address}: its values range from {low:g} to {high:g}; a generator makes images in [0, 1], so scale them to [0, 1]"
        )
    seen = rows.take(evenly(rows.count, _FIT_IMAGES))
    digest = hashlib.sha256(rows.values.contiguous().numpy().tobytes()).hexdigest()
    return Images(rows=rows, standardisation=Standardisation.fit(seen, seen), digest=digest)


def image_page(images: Tensor, *, columns: int = _COLUMNS) -> np.ndarray:
    """Arranges images row by row on a white page: uint8, shape (rows, columns, 3) of its pixels.

    Arguments:
        images: shape (n, h, w), (n, c, h, w) or (n, h, w, c), in [0, 1]; a fourth channel is left out.
        columns: images in a row.
    """
    pixels = _as_rgb(images)
    factor = -(-_SHOWN_PIXELS // pixels.shape[1])
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    n, height, width, _ = pixels.shape
    rows = -(-n // columns)
    page = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, dtype=np.uint8)
    for position, image in enumerate(pixels):
        row, column = divmod(position, columns)
        top, left = row * (height + _GAP) + _GAP, column * (width + _GAP) + _GAP
        page[top : top + height, left : left + width] = image
    return page


def image_sheet(images: Tensor) -> bytes:
    """A page of images as the content of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image_page(images)).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _as_rgb(images: Tensor) -> np.ndarray:
    """The images as uint8, shape (n, h, w, 3)."""
    if images.ndim == 3:
        images = images.unsqueeze(-1)
    elif images.shape[1] in (1, 3, 4) and images.shape[-1] not in (1, 3, 4):
        images = images.permute(0, 2, 3, 1)
    images = images[..., :3].expand(-1, -1, -1, 3)  # grey is repeated
    return (images.clamp(0, 1) * 255).round().byte().numpy()
