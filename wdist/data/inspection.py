"""Inspection of a source: its content, and the steps that remain before it can be used."""

import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from wdist.data.access import Access
from wdist.data.sources.address import Address, check_there, parse_address
from wdist.data.sources.array_files import datasets, is_torchscript, kept_elsewhere, load_data, read_header
from wdist.data.sources.arrays import type_name
from wdist.data.sources.images import image_headers, image_paths
from wdist.data.sources.network_file import is_state_dict
from wdist.data.sources.opening import holds_model, open_source
from wdist.data.sources.parts import holds_parts, part_addresses
from wdist.data.sources.source import EndlessSource, FiniteSource, SelectedColumns, Source
from wdist.data.sources.tar_archives import index
from wdist.data.survey import finite_rows, survey
from wdist.data.tables.encoding import is_plain, joint_columns, matched
from wdist.data.tables.profile import ColumnProfile, SampledTable, advice, profiles, shares
from wdist.errors import SourceError, TrustRequired

DRAWS = 1000
"""Samples of an endless source that are inspected."""
_BYTES_AT_ONCE = 1 << 25
_MOST_PARTS = 12
"""Parts of a set, or kinds of images in a folder, that are listed."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Facts about one source after reading all of it; unknown ones are None."""

    address: str
    kind: str
    """``array``, ``image-folder``, ``tar-archive``, ``torchvision``, ``generator``, ``synthetic``, ``checkpoint`` or
    ``several arrays``."""
    samples: int | None = None
    """None if the source draws without end."""
    event_shape: tuple[int, ...] | None = None
    dtype: str | None = None
    """Stored type."""
    units: str | None = None
    minimum: float | None = None
    """Smallest value of the finite rows, or of some draws of an endless source, in ``units``."""
    maximum: float | None = None
    nonfinite_rows: int | None = None
    """Number of rows with NaN or infinity."""
    first_nonfinite: tuple[int, ...] = ()
    """Numbers of the first rows with NaN or infinity."""
    duplicate_rows: int | None = None
    """Number of rows that equal an earlier one."""
    constant_features: int | None = None
    """Number of coordinates with the same value in all finite rows."""
    megabytes: float | None = None
    """Size in memory, in the stored type."""
    digest: str | None = None
    """SHA-256 of type, event shape and values."""
    contents: tuple[str, ...] = ()
    """Arrays of a file, weights of a checkpoint, sizes and modes of images."""
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Steps that remain before the source can be used, as sentences."""
    columns: tuple[ColumnProfile, ...] = ()
    """Profile of each column of a table."""


def inspect_source(address: str, access: Access = Access(), *, other: str | None = None) -> Inspection:
    """Opens and reads a source as far as possible, even a table with columns that have no distance.

    Arguments:
        address: the source.
        access: permissions.
        other: a table with the same columns, for the share of each column in the distance between the tables.

    Raises:
        SourceError: nothing of the source can be read, or ``other`` is not a table with the same columns.
    """
    parsed = parse_address(address)
    contents = _contents(parsed)
    try:
        source = open_source(address, access, strict=False)
    except TrustRequired as error:
        return Inspection(address=parsed.text, kind="generator", contents=contents, missing=(str(error),))
    except SourceError as error:
        if not contents:
            raise
        return Inspection(address=parsed.text, kind=_closed_kind(parsed, contents), contents=contents, missing=(str(error),))
    facts = _inspected(source, access, contents)
    if isinstance(source, FiniteSource) and source.info.columns is not None:
        facts = _of_table(facts, source, None if other is None else open_source(other, access, strict=False), access)
    elif other is not None:
        raise SourceError(f"{address} is not a table, so its columns have no shares of a distance; leave out {other}")
    return facts


def _of_table(facts: Inspection, table: FiniteSource, other: Source | None, access: Access) -> Inspection:
    """The facts of a table with those of its columns."""
    own = table.info.columns or ()
    described, notes = profiles(table), facts.notes
    problems = tuple(column.problem for column in own if column.problem)
    if other is not None:
        if not isinstance(other, FiniteSource) or other.info.columns is None:
            raise SourceError(f"{other.info.address} is not a table, so it has no columns to compare; give a table")
        tables = [_without_problems(each) for each in (table, matched(table, other))]
        addresses = [each.info.address for each in tables]
        columns = joint_columns([each.info.columns or () for each in tables], addresses, indicators=False)
        samples = [SampledTable.of(each) for each in tables]
        found = dict(zip((column.name for column in columns), shares(samples[0], samples[1], columns), strict=True))
        described = tuple(replace(each, share=found.get(each.name)) for each in described)
        notes += advice(samples, columns, scaled=False)
    else:
        notes += advice([SampledTable.of(table)], own, scaled=False)
    if problems:  # nothing stands for the texts that cannot be compared
        facts = replace(facts, duplicate_rows=None, digest=None)
    if problems or not is_plain(own):  # the numbers that stand for levels have no meaningful range
        facts = replace(facts, minimum=None, maximum=None, constant_features=None)
    return replace(facts, kind="table", columns=described, missing=problems + facts.missing, notes=notes)


def _without_problems(table: FiniteSource) -> FiniteSource:
    """The columns of a table that have a distance."""
    columns = table.info.columns or ()
    usable = [k for k, column in enumerate(columns) if not column.problem]
    return table if len(usable) == len(columns) else SelectedColumns(table, usable)


def _inspected(source: Source, access: Access, contents: tuple[str, ...]) -> Inspection:
    info = source.info
    facts = Inspection(
        address=info.address,
        kind=info.kind,
        samples=info.count,
        event_shape=info.event_shape,
        dtype=info.dtype,
        units=info.units,
        contents=contents,
        notes=info.notes,
    )
    if isinstance(source, EndlessSource):
        rows = source.draw(DRAWS, torch.Generator().manual_seed(0))
        return replace(
            facts,
            minimum=float(rows.min()),
            maximum=float(rows.max()),
            constant_features=int((rows == rows[0]).all(dim=0).sum()),
            notes=(*info.notes, f"drawn without end; range and constant features are those of {DRAWS} draws"),
        )
    found = survey(source)
    try:
        finite_rows(source, found, access)
    except SourceError as error:
        facts = replace(facts, missing=(str(error),))
    duplicates, constant_features = _repetitions(source)
    return replace(
        facts,
        minimum=found.minimum,
        maximum=found.maximum,
        nonfinite_rows=len(found.nonfinite),
        first_nonfinite=tuple(int(row) for row in found.nonfinite[:5]),
        duplicate_rows=duplicates,
        constant_features=constant_features,
        megabytes=source.nbytes / 1e6,
        digest=found.digest,
    )


def _repetitions(source: FiniteSource) -> tuple[int, int | None]:
    """Number of rows that equal an earlier one, and of coordinates that are constant over the finite rows."""
    hashes = np.empty(source.count, dtype=np.int64)
    first: Tensor | None = None
    constant: Tensor | None = None
    for start, rows in source.slabs(max(1, _BYTES_AT_ONCE // (8 * source.info.dim))):
        plain = rows.contiguous().view(torch.uint8).numpy().reshape(len(rows), -1)
        # Python's 64-bit hash: the probability that two of ten million different rows share it is 3e-6.
        hashes[start : start + len(rows)] = [hash(row.tobytes()) for row in plain]
        finite = rows[torch.isfinite(rows).all(dim=1)] if rows.is_floating_point() else rows
        if not len(finite):
            continue
        first = finite[0].clone() if first is None else first
        same = (finite == first).all(dim=0)
        constant = same if constant is None else constant & same
    return source.count - len(np.unique(hashes)), None if constant is None else int(constant.sum())


def _closed_kind(address: Address, contents: tuple[str, ...]) -> str:
    if address.scheme == "file" and address.path.is_dir():
        return "image-folder"
    if holds_model(address) or address.suffix in (".pt", ".pth", ".safetensors"):
        return "checkpoint"
    return "several arrays" if len(contents) > 1 else "array"


def _contents(address: Address) -> tuple[str, ...]:
    """A line for each item in a file or folder that can hold several."""
    if address.scheme != "file" or address.is_remote:
        return ()
    if address.is_pattern or (address.path.is_dir() and holds_parts(address.path)):
        return _parts(address)
    check_there(address)
    if address.path.is_dir():
        headers = image_headers(image_paths(address.path))
        counts = Counter(f"{header.size[0]}x{header.size[1]} {header.mode}" for header in headers)
        shown = [f"{what}: {count} image{'s' if count > 1 else ''}" for what, count in counts.most_common(_MOST_PARTS)]
        return (*shown, f"{len(counts) - len(shown)} more sizes or modes") if len(counts) > len(shown) else tuple(shown)
    readers = {
        ".h5": _datasets,
        ".hdf5": _datasets,
        ".npz": _members,
        ".safetensors": _tensors,
        ".pt": _weights,
        ".pth": _weights,
        ".tar": _of_archive,
    }
    try:
        return tuple(readers[address.suffix](address)) if address.suffix in readers else ()
    except Exception:
        return ()  # opening the source explains the error, whatever a library raises for a damaged file


def _parts(address: Address) -> tuple[str, ...]:
    """The first parts of a set, each with the arrays or members that it holds."""
    try:
        parts = part_addresses(address)
        shown = [f"{Path(part.location).name}: {', '.join(_contents(part)) or '1 array'}" for part in parts[:_MOST_PARTS]]
    except SourceError:
        return ()  # opening the source explains the error
    return (*shown, f"{len(parts) - _MOST_PARTS} more parts") if len(parts) > _MOST_PARTS else tuple(shown)


def _of_archive(address: Address) -> list[str]:
    return [f"{suffix[1:]}: {len(members)} members" for suffix, members in index(address).items()]


def _line(name: str, shape: tuple[int, ...], dtype: Any) -> str:
    return f"{name}: {'x'.join(map(str, shape)) or 'single value'} {dtype}"


def _datasets(address: Address) -> list[str]:
    with h5py.File(address.path, "r") as file:
        return [
            f"{name}: in other files" if kept_elsewhere(item) else _line(name, item.shape or (), item.dtype)
            for name, item in datasets(file).items()
        ]


def _members(address: Address) -> list[str]:
    lines = []
    with zipfile.ZipFile(address.path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    shape, _, dtype = read_header(file)
                lines.append(_line(member.removesuffix(".npy"), shape, dtype))
    return lines


def _tensors(address: Address) -> list[str]:
    with safe_open(address.path, framework="pt", device="cpu") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - the file is not a mapping
        return [_line(name, tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()]


def _weights(address: Address) -> list[str]:
    if is_torchscript(address.path):
        return []
    content = load_data(address.path, address.location)
    return _nested(content) if isinstance(content, Mapping) else []


def _nested(content: Mapping[Any, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Tensor):
            lines.append(_line(name, tuple(value.shape), type_name(value.dtype)))
        elif is_state_dict(value):
            lines += _nested(value, f"{name}:")
        else:
            lines.append(f"{name}: {type(value).__name__}")
    return lines
