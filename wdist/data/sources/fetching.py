"""Files that are copied before they are read: compressed tables, and remote files that the user named."""

import bz2
import gzip
import lzma
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from wdist.data.access import Access
from wdist.data.memory import size_text
from wdist.data.sources.address import Address
from wdist.data.sources.arrays import MOST_CLAIMED, MOST_COMPRESSION
from wdist.data.sources.columnar import library
from wdist.data.sources.spool import free_disk
from wdist.errors import SourceError, explained_as

_PIECE = 1 << 20
_TABLES = (".csv", ".tsv")


def local(address: Address, access: Access) -> Address:
    """Copies a remote file to a temporary one, which needs ``access.download``; any other address is returned as it is.

    Raises:
        SourceError: downloads are not allowed, or the download failed.
    """
    if not address.is_remote:
        return address
    if not access.download:
        raise SourceError(f"{address.location} is on another machine; add --download to copy it to this one, or copy it yourself")
    filesystem, fault = library("fsspec"), f"{address.location} cannot be fetched"
    with explained_as(fault, "check its name and your access to it"), filesystem.open(address.location, "rb") as remote:
        return _copied(address, remote, most=free_disk(), way_out="copy it to this machine, and give that file")


def unpacked(address: Address) -> Address:
    """Unpacks a compressed table to a temporary file; any other address is returned as it is.

    Raises:
        SourceError: the file is damaged, is not a table, or unpacks to far more than a compressed table would.
    """
    if not address.compression:
        return address
    if address.suffix not in _TABLES:
        raise SourceError(f"{address.location} is compressed, which only .csv and .tsv files may be; unpack it first")
    most = min(max(MOST_CLAIMED, MOST_COMPRESSION * address.path.stat().st_size), free_disk())
    fault = f"{address.location} cannot be unpacked"
    with explained_as(fault, "copy it again from its origin"), _OPENERS[address.compression](address.path) as packed:
        return _copied(address, packed, most=most, way_out="unpack it yourself")


def _only_member(path: Path) -> IO[bytes]:
    """The one file of a .zip archive."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
        if len(names) != 1:
            raise SourceError(f"{path} holds {len(names)} files; unpack it and give one of them")
        return archive.open(names[0])


_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zip": _only_member,
    ".zst": lambda path: library("zstandard").open(path),
}
"""Readers of compressed files by suffix."""


def _copied(address: Address, file: IO[bytes], *, most: int, way_out: str) -> Address:
    size = 0
    with tempfile.NamedTemporaryFile(prefix="wdist-", suffix=address.suffix, delete=False) as written:
        copy = Path(written.name)
        held = replace(address, copy=copy)
        weakref.finalize(held, copy.unlink, missing_ok=True)
        while piece := file.read(_PIECE):
            size += len(piece)
            if size > most:
                raise SourceError(f"{address.location} holds more than {size_text(most)}; {way_out}")
            written.write(piece)
    return held
