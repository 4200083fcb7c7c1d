"""A folder of images, with all folders inside it."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from wdist.data.access import Access
from wdist.data.sources import images
from wdist.data.sources.address import Address
from wdist.data.sources.images import DecodedImages, ImageFormat, bombs_are_errors, check_shape, check_uniform, effective_mode
from wdist.data.sources.selection import OPTIONS as SELECTION
from wdist.data.sources.source import FiniteSource
from wdist.data.sources.stored_array import describe
from wdist.data.sources.units import OPTIONS as UNITS
from wdist.data.sources.units import units_of
from wdist.errors import SourceError

SUFFIXES = frozenset(
    {
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".ico", ".avif",
    }
)  # fmt: skip
"""Of files that are taken for images, in lower case."""


def open_image_folder(address: Address, access: Access) -> FiniteSource:
    """All images below a folder, in the order of their paths; hidden files and files of other kinds are passed over.

    Raises:
        SourceError: there is no image, one cannot be read, or they differ in size or mode and the address does not say what to do.
    """
    address.only(*SELECTION, *UNITS, *images.OPTIONS)
    paths = image_paths(address.path)
    if not paths:
        raise SourceError(f"{address.location} holds no images (no .png, .jpg, .bmp, .webp, .tif, ...); name another folder")
    return open_images(paths, address, access, kind="image-folder")


def open_images(paths: list[Path], address: Address, access: Access, *, kind: str) -> FiniteSource:
    """Image files as a source; their headers are read at once, their pixels when asked for.

    Raises:
        SourceError: as :func:`open_image_folder`.
    """
    wanted = ImageFormat.of(address)
    headers = image_headers(paths)
    with bombs_are_errors():
        size, mode = check_uniform(address.bare, (size for size, _ in headers), (mode for _, mode in headers), wanted)
        first = _pixels(paths[0], wanted)
    units = units_of(first.dtype.name, address)
    notes: tuple[str, ...] = (
        () if wanted.size is None else (f"images are resized to {size[0]}x{size[1]} by bicubic filtering with antialiasing",)
    )
    if any(mode != header_mode for _, header_mode in headers):
        notes += (f"images are converted to mode {mode}",)
    info = describe((len(paths), *first.shape), first.dtype.name, address.text, kind, units, notes)
    source = DecodedImages(
        lambda position: check_shape(_pixels(paths[position], wanted), first.shape, str(paths[position])), info, first.itemsize
    )
    return source


def image_paths(folder: Path) -> list[Path]:
    """Paths of all images below a folder, sorted; links to folders are followed, each folder is visited once."""
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


def image_headers(paths: list[Path]) -> list[tuple[tuple[int, int], str]]:
    """((height, width), mode) of each image, without decoding any.

    Raises:
        SourceError: a file is no image, whatever its suffix says.
    """
    with bombs_are_errors():
        return [_header(path) for path in paths]


def _header(path: Path) -> tuple[tuple[int, int], str]:
    try:
        with Image.open(path) as image:
            return (image.height, image.width), effective_mode(image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _unreadable(path, error) from error


def _pixels(path: Path, wanted: ImageFormat) -> np.ndarray:
    try:
        with Image.open(path) as image, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Palette images with Transparency")
            return wanted.pixels(image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception | Warning) -> SourceError:
    reason = "empty" if path.is_file() and path.stat().st_size == 0 else str(error).splitlines()[0] if str(error) else "damaged"
    return SourceError(f"{path} cannot be read as an image ({reason}); mend it or move it out of the folder")
