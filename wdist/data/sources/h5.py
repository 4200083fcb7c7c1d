"""HDF5 files: ``a.h5:/group/x``."""

from dataclasses import replace
from pathlib import Path

import h5py
import torch
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.dtypes import tensor_of, tensor_type
from wdist.data.sources.stored_array import StoredArray, choose
from wdist.errors import SourceError


def open_h5(address: Address) -> StoredArray:
    """One dataset of an HDF5 file, read in contiguous pieces.

    The file is opened for each piece: nothing stays open, and a writer is not locked out.

    Raises:
        SourceError: the file is not HDF5, or cut short, or the address does not name one numeric dataset.
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
        with _opened(path, address) as file:
            try:
                dataset = file[name]
                if dataset.shape != shape:
                    raise SourceError(f"{full_name} was changed while it was read; start again when nothing writes to it")
                return tensor_of(dataset[start:stop], full_name) if stop > start else _no_rows(shape, native.name)
            except (OSError, KeyError) as error:
                reason = _first_line(error)
                raise SourceError(f"{full_name} cannot be read from row {start} on ({reason}); copy the file again") from error

    return StoredArray(shape=shape, dtype=dtype.name, itemsize=native.itemsize, read_rows=read_rows)


def dataset_names(file: h5py.File) -> list[str]:
    """Names of all datasets, in the order of the file, without the leading slash."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _opened(path: Path, address: Address) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise SourceError(f"{address.location} is cut short; copy it again from where it came") from error
        if "signature not found" in str(error):
            raise SourceError(f"{address.location} is not an HDF5 file; give it the suffix of its format") from error
        reason = _first_line(error)
        raise SourceError(f"{address.location} cannot be opened as HDF5 ({reason}); copy it again, or mend its rights") from error


def _name(file: h5py.File, address: Address) -> str:
    """The dataset that is meant; a name that is given may also be a soft or external link."""
    key = None if address.key is None else address.key.strip("/")
    names = dataset_names(file)
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


def _no_rows(shape: tuple[int, ...], dtype: str) -> Tensor:
    return torch.empty((0, *shape[1:]), dtype=getattr(torch, dtype))


def _first_line(error: Exception) -> str:
    return str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
