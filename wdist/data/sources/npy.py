"""Numpy files: ``.npy``, read row by row, and ``.npz:key``, unpacked after a check of its size."""

import math
import zipfile
import zlib
from typing import IO

import numpy as np
from numpy.lib import format as npy_format
from torch import Tensor

from wdist.data.memory import fits, free_memory, size_text
from wdist.data.sources.address import Address
from wdist.data.sources.arrays import StoredArray, check_no_key, choose, tensor_of, tensor_type
from wdist.errors import SourceError, first_line


def open_npy(address: Address) -> StoredArray:
    """The array of a ``.npy`` file; only the requested rows are read."""
    check_no_key(address)
    name = address.location
    try:
        with address.path.open("rb") as file:
            shape, fortran, dtype = read_header(file)
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
            if fortran:  # the values of a row are far apart
                return tensor_of(np.array(np.load(address.path, mmap_mode="r", allow_pickle=False)[start:stop]), name)
            # Read, not mapped: a map of the whole file counts against a limit on address space, and its pages as resident memory.
            part = (stop - start, *shape[1:])
            values = np.fromfile(address.path, dtype, count=math.prod(part), offset=begin + start * row_bytes)
            return tensor_of(values.reshape(part), name)
        except (ValueError, OSError) as error:
            raise _broken(name, error) from error

    return StoredArray(shape=shape, dtype=dtype.name, itemsize=native.itemsize, read_rows=read_rows)


def open_npz(address: Address) -> StoredArray:
    """One array of an ``.npz`` archive.

    The size that the archive declares is compared with the free memory before anything is unpacked, and the array's own header may
    not claim more than that: a small archive cannot fill the memory.
    """
    try:
        with zipfile.ZipFile(address.path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")}
            key = choose(list(members), address, "array")
            name = f"{address.location}:{key}"
            size = members[key].file_size
            if not fits(size):
                sizes = f"{size_text(size)}, more than half of the {size_text(free_memory())} of free memory"
                raise SourceError(f"{name} unpacks to {sizes}; save it as .npy, which is read row by row")
            with archive.open(members[key]) as file:
                shape, _, dtype = read_header(file)
            tensor_type(dtype, name)
            if math.prod(shape) * dtype.itemsize > size:
                raise SourceError(f"{name} claims the shape {shape} but is cut short; save it again")
        with np.load(address.path, allow_pickle=False) as arrays:
            values = arrays[f"{key}.npy"]
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise _broken(address.location, error) from error
    return StoredArray.of(tensor_of(values, name), values.dtype.name)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type of an array, from the header of a ``.npy`` file.

    Raises:
        ValueError: the header is damaged, or written in an unknown version of the format.
    """
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"unknown version {version} of the .npy format")
    # Version 3 differs from 2 in the encoding of field names only, and arrays with fields are refused.
    shape, fortran, dtype = npy_format.read_array_header_1_0(file) if version == (1, 0) else npy_format.read_array_header_2_0(file)
    if any(n < 0 for n in shape):
        raise ValueError("negative shape")
    return shape, fortran, dtype


def _broken(name: str, error: Exception) -> SourceError:
    return SourceError(f"{name} is damaged, cut short, or not a numpy file ({first_line(error)}); save it again with numpy")
