"""Tar archives of samples, as WebDataset writes them: a member of a chosen kind is one sample, an image or a ``.npy`` array.

Images of several formats are of one kind if no two have the same name.

Members are read in place, at random, and nothing is unpacked, so their names are never paths.
"""

import io
import math
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import IO, Literal, overload

import numpy as np
from numpy.lib import format as npy_format
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.array_files import read_header
from wdist.data.sources.arrays import ArraySource, StoredArray, describe, shortened, tensor_of, tensor_type
from wdist.data.sources.images import IMAGE_OPTIONS, SUFFIXES, check_shape, open_image_files
from wdist.data.sources.source import SELECTION_OPTIONS, UNIT_OPTIONS, FiniteSource, units_of
from wdist.errors import SourceError, explained, explained_as, first_line
from wdist.files import FileVersion

_ARRAY = ".npy"
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""First bytes of files compressed by gzip, bzip2, xz and zstandard."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file inside an archive, read like a path."""

    archive: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive} member {self.name}"

    def is_file(self) -> bool:
        """True: other kinds of members are left out."""
        return True

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        """Opens the member for reading."""
        return io.BufferedReader(_Part(self))


class _Part(io.RawIOBase):
    """The bytes of a member."""

    def __init__(self, member: Member) -> None:
        self._file, self._member, self._at = member.archive.open("rb", buffering=0), member, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._member.size}[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._member.offset + self._at)
        count = self._file.readinto(buffer[: max(0, min(len(buffer), self._member.size - self._at))]) or 0
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class Members(Sequence[Member]):
    """The members of one kind, in the order of the archive; even a million of them take little memory."""

    def __init__(self, archive: Path, found: Sequence[tuple[str, int, int]]) -> None:
        self._archive, self._names = archive, [name for name, _, _ in found]
        self._places = np.array([place for _, *place in found], dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, position: int) -> Member: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Member]: ...
    def __getitem__(self, position: int | slice) -> Member | Sequence[Member]:
        if isinstance(position, slice):
            return [self[k] for k in range(len(self))[position]]
        offset, size = map(int, self._places[position])
        return Member(archive=self._archive, name=self._names[position], offset=offset, size=size)


def open_tar(address: Address) -> FiniteSource:
    """The images or arrays of a tar archive; the key chooses one kind by its suffix: ``a.tar:jpg``, ``a.tar:npy``."""
    version = FileVersion.of(address.path, address.location)
    with version.reading():
        suffix, members = _chosen(index(address), address)
        if suffix == _ARRAY:
            return _arrays(members, address, version)
        address.only(*SELECTION_OPTIONS, *UNIT_OPTIONS, *IMAGE_OPTIONS)
        return open_image_files(members, address, kind="tar-archive", version=lambda position: version, identity=version.identity)


def index(address: Address) -> dict[str, list[tuple[str, int, int]]]:
    """Name, offset and size of all usable members by suffix, in the order of the archive.

    As in WebDataset, the suffix of a member, such as ``.seg.png``, begins at the first dot of its name. Folders, links, sparse and
    hidden files are left out.
    """

    def sentence(error: Exception) -> SourceError:
        with address.path.open("rb") as file:
            if file.read(6).startswith(_PACKED):
                return SourceError(
                    f"{address.location} is compressed, so its members cannot be read in place; unpack it to a plain .tar"
                )
        reason = f"damaged, cut short, or no tar archive ({first_line(error)})"
        return SourceError(f"{address.location} is {reason}; copy it again from its origin")

    found: dict[str, list[tuple[str, int, int]]] = {}
    with explained(sentence), tarfile.open(address.path, "r:") as archive, address.path.open("rb") as file:
        while (member := archive.next()) is not None:
            # A million members would fill the memory.
            archive.members = []  # type: ignore[attr-defined]
            name = PurePosixPath(member.name).name
            if member.isreg() and not member.issparse() and not name.startswith(".") and "." in name:
                suffix = f".{name.partition('.')[2].lower()}"
                found.setdefault(suffix, []).append((member.name, member.offset_data, member.size))
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end is missing")
    return found


def usable(suffix: str) -> bool:
    """Whether members with this suffix are images or arrays."""
    return PurePosixPath(f"x{suffix}").suffix in SUFFIXES | {_ARRAY}


def _chosen(found: dict[str, list[tuple[str, int, int]]], address: Address) -> tuple[str, Members]:
    found = found if address.key is not None else _joined_images(found)
    kinds = {suffix: len(members) for suffix, members in found.items() if usable(suffix)}
    listed = shortened([f"{suffix[1:]}: {count}" for suffix, count in Counter(kinds).most_common()])
    if not kinds:
        others = f", only {shortened([suffix[1:] for suffix in found])}" if found else ""
        raise SourceError(f"{address.location} holds no images and no .npy arrays{others}; give another archive")
    if address.key is None and len(kinds) > 1:
        example = f"{address.location}:{max(kinds, key=lambda suffix: kinds[suffix])[1:]}"
        raise SourceError(f"{address.location} holds members of {len(kinds)} kinds ({listed}); name one: {example}")
    suffix = next(iter(kinds)) if address.key is None else f".{address.key.lower().lstrip('.')}"
    if suffix not in kinds:
        raise SourceError(f"{address.location} has no images or arrays of the kind {address.key!r}; name another kind ({listed})")
    return f".{suffix.rpartition('.')[2]}", Members(address.path, found[suffix])


def _joined_images(found: dict[str, list[tuple[str, int, int]]]) -> dict[str, list[tuple[str, int, int]]]:
    """One kind for images of several formats, such as PNG and JPEG, in the order of the archive, unless some share their names.

    Members of one name belong to one sample, as in WebDataset, so that they are alternatives.
    """
    kinds = [suffix for suffix in found if usable(suffix)]
    if len(kinds) < 2 or not SUFFIXES.issuperset(kinds):
        return found
    members = sorted((member for suffix in kinds for member in found[suffix]), key=itemgetter(1))
    if len({PurePosixPath(name).with_suffix("") for name, _, _ in members}) < len(members):
        return found
    return {suffix: each for suffix, each in found.items() if suffix not in kinds} | {kinds[0]: members}


def _arrays(members: Members, address: Address, version: FileVersion) -> FiniteSource:
    """Members that are arrays, each of which is one sample."""
    address.only(*SELECTION_OPTIONS, *UNIT_OPTIONS)
    first = _ArrayMember.of(members[0])
    native = tensor_type(first.dtype, str(members[0]))
    units = units_of(first.dtype.name, address)
    info = describe((len(members), *first.shape), first.dtype.name, address.text, "tar-archive", units)

    def read_spans(spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        with address.path.open("rb", buffering=0) as file:
            for start, stop in spans:
                values = np.empty((stop - start, *first.shape), first.dtype)
                for place, member in enumerate(members[start:stop]):
                    row = values[place : place + 1]  # not values[place], which is a copy where samples are numbers
                    if not first.is_like(member, file, row):
                        row[...] = _array_like(first, member)
                yield tensor_of(values, address.text)

    array = StoredArray(
        shape=(len(members), *first.shape),
        dtype=first.dtype.name,
        itemsize=native.itemsize,
        read_rows=lambda start, stop: next(read_spans([(start, stop)])),
        read_spans=read_spans,
        version=version,
    )
    return ArraySource(array, info)


@dataclass(frozen=True, kw_only=True)
class _ArrayMember:
    """Type and layout of an array that is a member; numpy parses only the first header, because most others are the same."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    header: bytes
    """Bytes before its values."""

    @classmethod
    def of(cls, member: Member) -> "_ArrayMember":
        with _damaged_unless_array(member), member.open("rb") as file:
            shape, fortran, dtype = read_header(file)
            end = file.tell()
            tensor_type(dtype, str(member))
            if end + math.prod(shape) * dtype.itemsize > member.size:
                raise ValueError(f"its header promises the shape {shape}")
            file.seek(0)
            return cls(shape=shape, dtype=dtype, fortran=fortran, header=file.read(end))

    def is_like(self, member: Member, file: IO[bytes], row: np.ndarray) -> bool:
        """Reads the values of a member of an open archive into a row if its header is the same, byte for byte."""
        if self.fortran or member.size < len(self.header) + row.nbytes:
            return False
        file.seek(member.offset)
        return file.read(len(self.header)) == self.header and file.readinto(row) == row.nbytes  # type: ignore[attr-defined]


def _array_like(first: _ArrayMember, member: Member) -> np.ndarray:
    """The array of a member, of the shape and the type of the first one."""
    own = _ArrayMember.of(member)
    with _damaged_unless_array(member), member.open("rb") as file:
        values = np.asarray(npy_format.read_array(file, allow_pickle=False))
    check_shape(values, first.shape, str(member), way_out="save all samples in one shape")
    if own.dtype != first.dtype:
        raise SourceError(f"{member} has the type {own.dtype}, but the first one {first.dtype}; save all samples in one type")
    return values


def _damaged_unless_array(member: Member) -> AbstractContextManager[None]:
    return explained_as(f"{member} is damaged, cut short, or not a .npy array", "save it again with numpy")
