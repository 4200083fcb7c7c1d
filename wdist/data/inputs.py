"""Files that addresses name, so that no output overwrites them or joins them."""

import glob
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from wdist.data.sources.address import expanded, parse_address
from wdist.data.sources.parts import PART_SUFFIXES
from wdist.errors import SourceError


def reads(address: str, file: Path) -> bool:
    """True if an address, a feature space or ``FILE:NAME`` reads a file, even under another name, or would if the file existed.

    An address reads the file that it names, weights and code that its options name, and every image below a folder of images.
    """
    return any(_same_file(path, file) or _holds(path, file) for path in _paths(address))


def _paths(address: str) -> Iterator[Path]:
    """Files and folders that an address may name."""
    try:
        parsed = parse_address(address)
    except SourceError:  # opening it explains the error
        return
    names = [] if parsed.scheme != "file" else [parsed.location]
    # Folders of other data sets also hold files that are never read.
    names += [value for option, value in parsed.options.items() if option != "root" or parsed.location == "ImageFolder"]
    for name in names:
        for end in (position for position, letter in enumerate(f"{name}:") if letter == ":"):
            try:
                yield expanded(name[:end])
            except SourceError:
                continue
        yield from _files_of_module(name.rpartition(":")[0])


def _files_of_module(module: str) -> Iterator[Path]:
    """Files that importing a module, such as ``package.module``, would run."""
    parts = module.split(".") if module else []
    for folder in (Path.cwd(), *map(Path, sys.path)):
        for depth in range(1, len(parts) + 1):
            stem = folder.joinpath(*parts[:depth])
            yield from (Path(f"{stem}.py"), stem / "__init__.py")


def _same_file(path: Path, file: Path) -> bool:
    try:
        return os.path.samefile(path, file)
    except (OSError, ValueError):  # one of them is not there, or no path at all
        return False


def _holds(folder: Path, file: Path) -> bool:
    """True if a file is, or would be, among the images below a folder, the parts in it, or the files that a pattern matches."""
    if glob.has_magic(str(folder)) and not folder.exists():
        return file.resolve().match(str(folder.absolute()))
    try:
        if not folder.is_dir():
            return False
    except (OSError, ValueError):
        return False
    from wdist.data.sources.images import SUFFIXES, image_paths

    images = image_paths(folder)
    if file.exists() and any(_same_file(image, file) for image in images):
        return True
    if not images and file.suffix.lower() in PART_SUFFIXES:
        return file.resolve().parent == folder.resolve()
    place = file.resolve().parent
    inside = place.is_relative_to(folder.resolve()) or place in {image.parent.resolve() for image in images}
    return inside and file.suffix.lower() in SUFFIXES
