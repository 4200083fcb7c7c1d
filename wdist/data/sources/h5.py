"""HDF5 files: ``a.h5:/group/x``."""

from dataclasses import replace
from pathlib import Path

import h5py
import torch
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.arrays import StoredArray, choose, tensor_of, tensor_type
from wdist.errors import SourceError, first_line


def open_h5(address: Address) -> StoredArray:
    """One dataset of an HDF5 file, read in contiguous pieces.

    The file is opened anew for each piece, so it is never locked against a writer.
    """
    path = address.path
    with _opened(path, address) as file:
        name = _name(file, address)
        dataset = file[name]
        full_name = f"{address.location}:{name}"
        if dataset.shape is None:
            raise SourceError(f"{full_name} is an empty dataset; give one with samples")
        dtype, shape = dataset.dtype, dataset.shape
        if h5py.check_string_dtype(dtype) is not None or h5py.check_dtype(ref=dtype) is not None:
            raise SourceError(f"{full_name} holds strings or references, not numbers; name a numeric dataset")
        native = tensor_type(dtype, full_name)

    def read_rows(start: int, stop: int) -> Tensor:
        if stop <= start:
            return torch.empty((0, *shape[1:]), dtype=getattr(torch, native.name))
        with _opened(path, address) as file:
            try:
                dataset = file[name]
                if dataset.shape != shape:
                    raise SourceError(f"{full_name} changed while it was read; start again when nothing writes to it")
                return tensor_of(dataset[start:stop], full_name)
            except (OSError, KeyError) as error:
                reason = first_line(error)
                raise SourceError(f"{full_name} cannot be read from row {start} on ({reason}); copy the file again") from error

    return StoredArray(shape=shape, dtype=dtype.name, itemsize=native.itemsize, read_rows=read_rows)


def datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All datasets in the order of the file, by name without the leading slash."""
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def _opened(path: Path, address: Address) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise SourceError(f"{address.location} is cut short; copy it again from its origin") from error
        if "signature not found" in str(error):
            raise SourceError(f"{address.location} is not an HDF5 file; rename it with the suffix of its actual format") from error
        reason = first_line(error)
        raise SourceError(
            f"{address.location} cannot be opened as HDF5 ({reason}); copy it again, or fix its permissions"
        ) from error


def _name(file: h5py.File, address: Address) -> str:
    """The dataset that the address means; an explicit name may also be a soft or external link."""
    key = None if address.key is None else address.key.strip("/")
    names = list(datasets(file))
    if key is None:
        return choose(names, address, "dataset")
    try:
        item = file.get(key)
    except (OSError, KeyError):
        item = None
    if isinstance(item, h5py.Dataset):
        return key
    inside = [name for name in names if name.startswith(f"{key}/")]
    if isinstance(item, h5py.Group) and inside:
        return choose(inside, replace(address, key=None), "dataset")
    return choose(names, address, "dataset")
