"""Samples in several files of one format: a folder of parts, or the files that a pattern such as ``data-*.npy`` matches."""

import glob
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.address import Address, expanded
from wdist.data.sources.arrays import shortened
from wdist.data.sources.source import FiniteSource, RowIndex, SourceInfo, shape_text
from wdist.errors import SourceError

PART_SUFFIXES = (".npy", ".safetensors", ".h5", ".hdf5", ".tar")
"""Suffixes of files that may be parts of a set."""
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)-of-(?P<count>\d+)$")


class JoinedRows(FiniteSource):
    """The rows of several sources, one after another."""

    def __init__(self, parts: Sequence[FiniteSource], info: SourceInfo) -> None:
        self.info, self.itemsize = info, parts[0].itemsize
        self.rows_together = max(part.rows_together for part in parts)
        self.decodes = any(part.decodes for part in parts)
        self._parts = tuple(parts)
        self._ends = np.cumsum([part.count for part in parts])

    def read(self, rows: RowIndex) -> Tensor:
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(self.count)
            bounds: list[RowIndex] = [
                slice(max(0, start - first), max(0, min(stop - first, count))) for first, count in self._spans()
            ]
        else:
            numbers = np.asarray(rows, dtype=np.int64)
            cuts = np.searchsorted(numbers, self._ends[:-1])
            bounds = [each - first for each, (first, _) in zip(np.split(numbers, cuts), self._spans(), strict=True)]
        pieces = [part.read(each) for part, each in zip(self._parts, bounds, strict=True) if _chooses(each)]
        if not pieces:
            return self._parts[0].read(slice(0, 0))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def identity(self) -> str | None:
        found = [part.identity() for part in self._parts]
        return None if None in found else " ".join(map(str, found))

    def _spans(self) -> list[tuple[int, int]]:
        """First row and length of each part."""
        return [(int(end) - part.count, part.count) for end, part in zip(self._ends, self._parts, strict=True)]


def _chooses(rows: RowIndex) -> bool:
    return rows.start < rows.stop if isinstance(rows, slice) else len(rows) > 0


def holds_parts(folder: Path) -> bool:
    """Whether a folder directly holds files with a suffix in :data:`PART_SUFFIXES`, and no images at any level."""
    if not _inside(folder):
        return False
    from wdist.data.sources.images import image_paths

    return not image_paths(folder)


def part_addresses(address: Address) -> list[Address]:
    """An address for each part, in the order of their names.

    Raises:
        SourceError: there are no parts, they have several formats, or one of a numbered series is missing.
    """
    pattern = address.is_pattern
    paths = [Path(each) for each in sorted(glob.glob(str(expanded(address.location))))] if pattern else _inside(address.path)
    if not paths:
        raise SourceError(f"{address.location} matches no file; correct the pattern")
    suffixes = sorted({path.suffix.lower() for path in paths})
    if len(suffixes) > 1 or suffixes[0] not in PART_SUFFIXES:
        raise _not_parts(address, pattern=pattern, suffixes=suffixes)
    _check_complete(paths, address)
    key = "" if address.key is None else f":{address.key}"
    return [replace(address, text=f"{path}{key}", location=str(path)) for path in paths]


def _not_parts(address: Address, *, pattern: bool, suffixes: list[str]) -> SourceError:
    folder = Path(address.location).parent if pattern else Path(address.location)
    kinds = [each for each in suffixes if each in PART_SUFFIXES]
    if not kinds:
        named = shortened([each or "no suffix" for each in suffixes])
        return SourceError(
            f"{address.location} matches files of other kinds ({named}), but a pattern joins only {', '.join(PART_SUFFIXES)}; "
            "name the folder of images or Parquet files, or join tables into one file"
        )
    example = folder / f"*{kinds[0]}"
    listed = shortened(suffixes)
    return SourceError(f"{address.location} holds files of several kinds ({listed}); name those of one kind: '{example}'")


def joined(parts: Sequence[FiniteSource], address: Address) -> FiniteSource:
    """All rows of the parts.

    Raises:
        SourceError: their samples have different shapes or types.
    """
    first = parts[0].info
    for part in parts:
        for what, found, wanted in (
            ("samples of shape", shape_text(part.info.event_shape), shape_text(first.event_shape)),
            ("values of type", part.info.dtype, first.dtype),
        ):
            if found != wanted:
                raise SourceError(
                    f"{part.info.address} has {what} {found}, but {first.address} has {wanted}; "
                    f"choose parts that agree with a pattern, or save them alike"
                )
    count = sum(part.count for part in parts)
    note = f"{len(parts)} parts, in the order of their names"
    return JoinedRows(parts, replace(first, address=address.text, count=count, notes=(*first.notes, note)))


def _inside(folder: Path) -> list[Path]:
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.suffix.lower() in PART_SUFFIXES and path.is_file())


def _check_complete(paths: Sequence[Path], address: Address) -> None:
    """Refuses a series such as ``x-00001-of-00004`` in which a number is missing; it may begin with 0 or 1."""
    series: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        if match := _NUMBERED.fullmatch(path.stem):
            series.setdefault((str(path.parent / match["stem"]), match["count"]), set()).add(int(match["number"]))
    for (stem, digits), numbers in series.items():
        first = 0 if 0 in numbers else 1
        missing = sorted(set(range(first, first + int(digits))) - numbers) if int(digits) <= len(paths) * 1000 else [first]
        if missing:
            name = f"{Path(stem).name}{missing[0]:0{len(digits)}}-of-{digits}{paths[0].suffix}"
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise SourceError(f"{address.location} lacks {name}{more}; copy the missing parts, or name the parts to be read")
