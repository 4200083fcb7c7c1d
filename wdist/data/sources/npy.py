"""Numpy files: ``.npy``, read as far as is asked for, and ``.npz:key``, unpacked once its size is known to be bearable."""

import math
import zipfile
import zlib
from typing import IO

import numpy as np
from numpy.lib import format as npy_format
from torch import Tensor

from wdist.data.memory import fits, free_memory, size_text
from wdist.data.sources.address import Address
from wdist.data.sources.dtypes import tensor_of, tensor_type
from wdist.data.sources.stored_array import StoredArray, check_no_key, choose
from wdist.errors import SourceError


def open_npy(address: Address) -> StoredArray:
    """The array of a ``.npy`` file; only the rows that are asked for are read.

    Raises:
        SourceError: the file is cut short, is no ``.npy``, or holds what is not a number.
    """
    check_no_key(address)
    name = address.location
    try:
        with address.path.open("rb") as file:
            shape, fortran, dtype = _header(file, name)
            begin = file.tell()
        native = tensor_type(dtype, name)
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        if begin + math.prod(shape) * dtype.itemsize > address.path.stat().st_size:
            raise SourceError(f"{name} is cut short: its header promises the shape {shape}; copy it again or save it again")
    except (ValueError, EOFError, OSError) as error:
        raise _broken(name, error) from error

    def read_rows(start: int, stop: int) -> Tensor:
        if stop <= start:
            return tensor_of(np.empty((0, *shape[1:]), dtype), name)
        try:
            if fortran:  # a row's values lie far apart
                return tensor_of(np.array(np.load(address.path, mmap_mode="r", allow_pickle=False)[start:stop]), name)
            # Read and not mapped: pages of a map count as memory of the process beside the rows copied from them.
            part = (stop - start, *shape[1:])
            values = np.fromfile(address.path, dtype, count=math.prod(part), offset=begin + start * row_bytes)
            return tensor_of(values.reshape(part), name)
        except (ValueError, OSError) as error:
            raise _broken(name, error) from error

    return StoredArray(shape=shape, dtype=dtype.name, itemsize=native.itemsize, read_rows=read_rows)


def open_npz(address: Address) -> StoredArray:
    """One array of an ``.npz`` archive.

    The size that the archive declares is held against the free memory before anything is unpacked, and what is unpacked never
    exceeds what was declared: a small archive cannot fill the memory.

    Raises:
        SourceError: the archive is damaged, the address names no array of it, or the array does not fit.
    """
    try:
        with zipfile.ZipFile(address.path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")}
            key = choose(list(members), address, "array")
            name = f"{address.location}:{key}"
            member = members[key]
            if not fits(member.file_size):
                sizes = f"{size_text(member.file_size)}, more than half of the {size_text(free_memory())} of free memory"
                raise SourceError(f"{name} unpacks to {sizes}; save it as .npy, which is streamed")
            with archive.open(member) as file:
                rows = _unpacked(file, member.file_size, name)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise _broken(address.location, error) from error
    dtype = rows.dtype.name
    tensor = tensor_of(rows, name)
    return StoredArray(
        shape=tuple(tensor.shape), dtype=dtype, itemsize=tensor.element_size(), read_rows=lambda start, stop: tensor[start:stop]
    )


def _unpacked(file: IO[bytes], size: int, name: str) -> np.ndarray:
    """The array of an archive's member of ``size`` bytes; the member's own header is not believed beyond that."""
    shape, fortran, dtype = _header(file, name)
    tensor_type(dtype, name)
    count = math.prod(shape)
    if count * dtype.itemsize > size:
        raise SourceError(f"{name} claims the shape {shape} but is cut short; save it again")
    values = np.empty(count, dtype)
    view = values.reshape(-1).view(np.uint8)
    filled = 0
    while filled < len(view):
        piece = file.read(min(1 << 20, len(view) - filled))
        if not piece:
            raise SourceError(f"{name} claims the shape {shape} but is cut short; save it again")
        view[filled : filled + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        filled += len(piece)
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise SourceError(f"{name} is written in version {version} of the .npy format, which is unknown; save it again with numpy")
    shape, fortran, dtype = npy_format.read_array_header_1_0(file) if version == (1, 0) else npy_format.read_array_header_2_0(file)
    if any(n < 0 for n in shape):
        raise ValueError("negative shape")
    return shape, fortran, dtype


def _broken(name: str, error: Exception) -> SourceError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SourceError(f"{name} is damaged, cut short, or no numpy file ({reason}); save it again with numpy")
