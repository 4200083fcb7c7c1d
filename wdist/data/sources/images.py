"""Images that are decoded when asked for, each into an array of the same shape."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.dtypes import tensor_of
from wdist.data.sources.source import FiniteSource, RowIndex, SourceInfo
from wdist.data.sources.stored_array import shape_text
from wdist.errors import SourceError

OPTIONS = ("size", "mode")
"""Options of an address that speak of images."""

_MODES = ("L", "LA", "RGB", "RGBA", "I", "F")
_PLAIN = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "La": "LA", "RGBa": "RGBA"}
"""Modes whose stored values are no intensities, and the mode that shows the same image in intensities."""


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """What every image is brought to before it is compared."""

    size: tuple[int, int] | None = None
    """Height and width; None keeps what is stored."""
    mode: str | None = None
    """A mode of PIL; None keeps what is stored, palettes resolved."""

    @classmethod
    def of(cls, address: Address) -> "ImageFormat":
        """From the options ``size=32``, ``size=32x48`` (height x width) and ``mode=RGB``.

        Raises:
            SourceError: an option is malformed.
        """
        mode = address.choice("mode", _MODES) if "mode" in address.options else None
        text = address.options.get("size")
        if text is None:
            return cls(mode=mode)
        match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
        if match is None:
            raise SourceError(f"{address}: size={text} is no size of an image; write size=32, or size=32x48 for height x width")
        return cls(size=(int(match[1]), int(match[2] or match[1])), mode=mode)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Values of an image of shape (h, w) or (h, w, channels)."""
        mode = self.mode or effective_mode(image)
        image = image if image.mode == mode else image.convert(mode)
        if self.size is not None and image.size != self.size[::-1]:
            # PIL widens the filter's support when it shrinks: no aliasing, unlike an interpolation at the new pixels alone.
            image = image.resize(self.size[::-1], Image.Resampling.BICUBIC)
        return np.asarray(image)


class DecodedImages(FiniteSource):
    """Images behind a function that fetches one by its position."""

    def __init__(self, load: Callable[[int], np.ndarray], info: SourceInfo, itemsize: int) -> None:
        """``load`` gives an array of the event shape, or raises :class:`SourceError` naming the image."""
        self.info = info
        self._load = load
        self._itemsize = itemsize

    @property
    def nbytes(self) -> int:
        return self.count * self.info.dim * self._itemsize

    def read(self, rows: RowIndex) -> Tensor:
        positions = range(*rows.indices(self.count)) if isinstance(rows, slice) else [int(row) for row in rows]
        with bombs_are_errors():
            arrays = [self._load(position) for position in positions]
        if not arrays:
            return self.read(slice(0, 1))[:0]
        return torch.stack([tensor_of(array, self.info.address) for array in arrays]).reshape(len(arrays), self.info.dim)


def effective_mode(image: Image.Image) -> str:
    """The mode in which an image is compared when the address names none."""
    if image.mode == "P" and "transparency" in image.info:
        return "RGBA"
    return _PLAIN.get(image.mode, image.mode)


def bombs_are_errors() -> warnings.catch_warnings:
    """A context in which an image that unpacks to an absurd size is an error, not a warning."""
    return warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)


def check_uniform(
    name: str, sizes: Iterable[tuple[int, int]], modes: Iterable[str], wanted: ImageFormat
) -> tuple[tuple[int, int], str]:
    """The one size (height, width) and mode of all images.

    Raises:
        SourceError: there are several, and ``wanted`` chooses none; counts them.
    """
    size_counts, mode_counts = Counter(sizes), Counter(modes)
    complaints, ways_out = [], []
    if wanted.size is None and len(size_counts) > 1:
        complaints.append(f"{len(size_counts)} sizes ({_listed({f'{h}x{w}': n for (h, w), n in size_counts.most_common()})})")
        ways_out.append(f"size={min(size_counts.most_common(1)[0][0])}")
    if wanted.mode is None and len(mode_counts) > 1:
        complaints.append(f"{len(mode_counts)} modes ({_listed(dict(mode_counts.most_common()))})")
        ways_out.append("mode=RGB" if "RGB" in mode_counts or "RGBA" in mode_counts else "mode=L")
    if complaints:
        raise SourceError(f"{name} holds images of {' and '.join(complaints)}; bring them together with ?{'&'.join(ways_out)}")
    return wanted.size or next(iter(size_counts)), wanted.mode or next(iter(mode_counts))


def check_shape(array: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """The array, if it is of the shape that all others are.

    Raises:
        SourceError: it is not.
    """
    if array.shape != shape:
        shapes = f"{shape_text(array.shape)}, the first image {shape_text(shape)}"
        raise SourceError(f"{name} has the shape {shapes}; bring them together with ?size=32 or ?mode=RGB")
    return array


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{what}: {n}" for what, n in list(counts.items())[:5]]
    return ", ".join(shown) + (", ..." if len(counts) > 5 else "")
