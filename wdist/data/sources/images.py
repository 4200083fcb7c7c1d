"""Image files and folders: pixels are decoded on demand, every image into an array of the same shape."""

import contextlib
import functools
import os
import re
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple, Protocol

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.arrays import describe, shortened, tensor_of
from wdist.data.sources.source import SELECTION_OPTIONS, UNIT_OPTIONS, FiniteSource, RowIndex, SourceInfo, shape_text, units_of
from wdist.errors import SourceError, explained, first_line
from wdist.files import FileVersion, identity_of

IMAGE_OPTIONS = ("size", "mode")
"""The options of an address that :class:`ImageFormat` reads."""
SUFFIXES = frozenset(
    {
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".ico", ".avif",
    }
)  # fmt: skip
"""Suffixes of image files, in lower case."""
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "ICO", "AVIF", "TGA")
"""Formats of these files. PIL knows others, and some of them run programs: EPS runs Ghostscript."""
_opening = threading.RLock()
"""Held while PIL opens a file: two threads read at once when both sides are streamed."""

_8_BIT, _32_BIT = ("L", "LA", "RGB", "RGBA"), ("I", "F")
"""Modes to which images can be converted; those of 32 bits have no fixed range."""
_PLAIN = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "La": "LA", "RGBa": "RGBA"}
"""Modes whose stored values are not intensities, and the mode that shows the same image in intensities."""
_LOSSY = frozenset({"CMYK", "YCbCr", "LAB", "HSV"})
"""Modes whose conversion rounds colours."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that turns an image upright, by EXIF orientation; the last four exchange height and width."""


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """The size and mode that every image is converted to."""

    size: tuple[int, int] | None = None
    """Height and width; None keeps the stored size."""
    mode: str | None = None
    """A mode of PIL; None keeps the stored mode, with palettes resolved."""

    @classmethod
    def of(cls, address: Address) -> "ImageFormat":
        """Reads the options ``size=32``, ``size=32x48`` (height x width) and ``mode=RGB``."""
        mode = address.choice("mode", (*_8_BIT, *_32_BIT)) if "mode" in address.options else None
        text = address.options.get("size")
        if text is None:
            return cls(mode=mode)
        match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
        if match is None:
            raise SourceError(f"{address}: size={text} is not an image size; write size=32, or size=32x48 for height x width")
        return cls(size=(int(match[1]), int(match[2] or match[1])), mode=mode)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Values of an image, upright, of shape (h, w) or (h, w, channels)."""
        mode, turn = self.mode or effective_mode(image), _TURNS.get(_orientation(image))
        image = image if turn is None else image.transpose(turn)
        image = image if image.mode == mode else _converted(image, mode)
        if self.size is not None and image.size != self.size[::-1]:
            # PIL widens the filter when it shrinks an image, which avoids aliasing.
            image = image.resize(self.size[::-1], Image.Resampling.BICUBIC)
        return np.asarray(image)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """An image in another mode."""
    if _scaled(image.mode, mode):  # PIL would cut them off at 255
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    return image.convert(mode)


def _scaled(stored: str, mode: str) -> bool:
    """Whether 16 bits become 8, so that 65535 becomes 255."""
    return stored.startswith("I;16") and mode in _8_BIT


class DecodedImages(FiniteSource):
    """Images behind a function that loads one by its position, as an array of the event shape."""

    decodes = True

    def __init__(
        self,
        load: Callable[[int], np.ndarray],
        info: SourceInfo,
        itemsize: int,
        identity: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.info, self.itemsize = info, itemsize
        self._load, self._identity = load, identity

    def identity(self) -> str | None:
        return self._identity()

    def read(self, rows: RowIndex) -> Tensor:
        positions = range(*rows.indices(self.count)) if isinstance(rows, slice) else [int(row) for row in rows]
        if not positions:
            return self.read(slice(0, 1))[:0]
        values = torch.empty(0)
        with _bombs_are_errors():
            for place, position in enumerate(positions):
                pixels = tensor_of(self._load(position), self.info.address).flatten()
                values = values if place else pixels.new_empty(len(positions), self.info.dim)
                values[place] = pixels
        return values


def open_image_folder(address: Address) -> FiniteSource:
    """All images below a folder, in the order of their paths; hidden files and other kinds of files are skipped."""
    address.only(*SELECTION_OPTIONS, *UNIT_OPTIONS, *IMAGE_OPTIONS)
    paths = image_paths(address.path)
    if not paths:
        raise SourceError(f"{address.location} holds no images (no .png, .jpg, .bmp, .webp, .tif, ...); name another folder")
    return open_images(paths, address, kind="image-folder")


def open_images(paths: list[Path], address: Address, *, kind: str) -> FiniteSource:
    """A source of image files; their headers are read at once, their pixels on demand."""
    marks = np.array([FileVersion.of(path).mark for path in paths])  # a million FileVersion objects would fill the memory

    def version(position: int) -> FileVersion:
        return FileVersion(path=paths[position], name=str(paths[position]), mark=int(marks[position]))

    def identity() -> str | None:
        return identity_of(map(version, range(len(paths))))

    return open_image_files(paths, address, kind=kind, version=version, identity=identity)


class ImageFile(Protocol):
    """A path, or a part of a file that is read like one; ``str`` gives its name."""

    def is_file(self) -> bool:
        """Whether it is a regular file."""

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        """Opens the file for reading."""


def open_image_files(
    paths: Sequence[ImageFile],
    address: Address,
    *,
    kind: str,
    version: Callable[[int], FileVersion],
    identity: Callable[[], str | None],
) -> FiniteSource:
    """Like :func:`open_images`, for files whose versions are looked up by position."""
    wanted = ImageFormat.of(address)
    headers = image_headers(paths)
    size, mode = _uniform(address.bare, headers, wanted)
    with _bombs_are_errors():
        first = _pixels(paths[0], wanted)
    units = units_of(first.dtype.name, address)
    notes = tuple(_notes(headers, wanted, size, mode))
    info = describe((len(paths), *first.shape), first.dtype.name, address.text, kind, units, notes)

    def load(position: int) -> np.ndarray:
        path = paths[position]
        with version(position).reading():
            return check_shape(_pixels(path, wanted), first.shape, str(path))

    return DecodedImages(load, info, first.itemsize, identity)


def image_paths(folder: Path) -> list[Path]:
    """Paths of all images below a folder, sorted; links to folders are followed, and each folder is visited once."""
    found: list[Path] = []
    visited: set[str] = set()
    for directory, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(directory, name) for name in files if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES]
    return sorted(found)


class ImageHeader(NamedTuple):
    """The header of an image file."""

    size: tuple[int, int]
    """Height and width of the upright image."""
    mode: str
    """The mode in which the image is compared if the address names none."""
    stored: str
    """The stored mode."""
    turned: bool
    """Whether EXIF says that the stored pixels are not upright."""
    animated: bool = False
    """Whether other frames or pages follow the first; only the first is read."""


def image_headers(paths: Iterable[ImageFile]) -> list[ImageHeader]:
    """The header of each image, read without decoding pixels."""
    headers = []
    with _bombs_are_errors():
        for path in paths:
            with _reading(path), path.open("rb") as file, Image.open(file, formats=_formats()) as image:
                orientation = _orientation(image)
                size = (image.width, image.height) if orientation > 4 else (image.height, image.width)
                mode = effective_mode(image), image.mode
                headers.append(ImageHeader(size, *mode, turned=orientation in _TURNS, animated=_is_animated(image)))
    return headers


def _is_animated(image: Image.Image) -> bool:
    """Whether frames follow the first; previews that cameras append to a JPEG do not count."""
    with contextlib.suppress(Exception):  # the first frame may be intact
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return False


def _orientation(image: Image.Image) -> int:
    """The orientation in EXIF, from 1 (upright) to 8; PIL turns TIFF files by itself."""
    if "exif" not in image.info:  # getexif would decode a whole PNG in search of EXIF data
        return 1
    with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):  # the pixels behind damaged EXIF are intact
        found = image.getexif().get(ExifTags.Base.Orientation)
        return found if found in _TURNS else 1
    return 1


def _notes(headers: Sequence[ImageHeader], wanted: ImageFormat, size: tuple[int, int], mode: str) -> Iterator[str]:
    """Sentences on how images are changed before they are compared."""
    if turned := sum(header.turned for header in headers):
        yield f"EXIF orientation turned {turned:,} of {len(headers):,} images upright"
    if animated := sum(header.animated for header in headers):
        yield f"{animated:,} of {len(headers):,} images have several frames or pages, of which only the first is read"
    if wanted.size is not None:
        yield f"images are resized to {size[0]}x{size[1]} by bicubic filtering with antialiasing"
    if any(mode != header.mode for header in headers):
        yield f"images are converted to mode {mode}"
    elif stored := sorted({header.stored for header in headers} & _LOSSY):
        yield f"{' and '.join(stored)} images are converted to mode {mode}"
    if any(_scaled(header.mode, mode) for header in headers):
        yield "16-bit images are scaled to 8 bits"


@functools.cache
def _formats() -> tuple[str, ...]:
    """Formats in :data:`_FORMATS` that this PIL was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextlib.contextmanager
def only_known_formats() -> Iterator[None]:
    """Restricts other code that opens images, such as torchvision's, to the same formats."""
    with _opening:
        ours, Image.open = Image.open, functools.partial(Image.open, formats=_formats())
        try:
            yield
        finally:
            Image.open = ours


def effective_mode(image: Image.Image) -> str:
    """The mode in which an image is compared if the address names none."""
    if image.mode == "P" and "transparency" in image.info:
        return "RGBA"
    return _PLAIN.get(image.mode, image.mode)


def check_shape(
    array: np.ndarray, shape: tuple[int, ...], name: str, way_out: str = "make them alike with ?size=32 or ?mode=RGB"
) -> np.ndarray:
    """Returns the array if it has the shape of the first sample, and refuses it otherwise."""
    if array.shape != shape:
        raise SourceError(f"{name} has the shape {shape_text(array.shape)}, but the first sample {shape_text(shape)}; {way_out}")
    return array


def _uniform(name: str, headers: Sequence[ImageHeader], wanted: ImageFormat) -> tuple[tuple[int, int], str]:
    """The common size (height, width) and mode of all images, unless ``wanted`` chooses them."""
    size_counts, mode_counts = Counter(header.size for header in headers), Counter(header.mode for header in headers)
    wide = [mode for mode in _32_BIT if mode in mode_counts]
    if wide and (wanted.mode in _8_BIT or (wanted.mode is None and len(mode_counts) > 1)):
        raise SourceError(
            f"{name} holds images of mode {' and '.join(wide)}, whose values have no fixed range to scale from; "
            f"convert these images beforehand, or keep all values as stored with ?mode=F"
        )
    complaints, ways_out = [], []
    if wanted.size is None and len(size_counts) > 1:
        listed = shortened([f"{h}x{w}: {n}" for (h, w), n in size_counts.most_common()], 5)
        complaints.append(f"{len(size_counts)} sizes ({listed})")
        ways_out.append(f"size={min(size_counts.most_common(1)[0][0])}")
    if wanted.mode is None and len(mode_counts) > 1:
        complaints.append(f"{len(mode_counts)} modes ({shortened([f'{mode}: {n}' for mode, n in mode_counts.most_common()], 5)})")
        ways_out.append("mode=RGB" if "RGB" in mode_counts or "RGBA" in mode_counts else "mode=L")
    if complaints:
        raise SourceError(f"{name} holds images of {' and '.join(complaints)}; make them alike with ?{'&'.join(ways_out)}")
    return wanted.size or next(iter(size_counts)), wanted.mode or next(iter(mode_counts))


def _bombs_are_errors() -> warnings.catch_warnings:
    """A context in which PIL's warning of a decompression bomb is an error."""
    return warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)


def _pixels(path: ImageFile, wanted: ImageFormat) -> np.ndarray:
    with (
        _reading(path),
        path.open("rb") as file,
        Image.open(file, formats=_formats()) as image,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Palette images with Transparency")
        return wanted.pixels(image)


@contextlib.contextmanager
def _reading(path: ImageFile) -> Iterator[None]:
    def unreadable(error: Exception) -> SourceError:
        with path.open("rb") as file:
            reason = first_line(error) if file.read(1) else "empty"
        if isinstance(error, UnidentifiedImageError) and reason != "empty":
            reason = "of no known format"  # PIL's words name an object in memory
        return SourceError(f"{path} cannot be read as an image ({reason}); repair it or move it out of the folder")

    if not path.is_file():  # a pipe might block forever
        raise SourceError(f"{path} is not a regular file; move it out of the folder")
    try:
        with explained(unreadable):
            yield
    except MemoryError as error:  # some decoders allocate whatever a header claims
        raise unreadable(error) from error
