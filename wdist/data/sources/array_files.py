"""Arrays in files, read as data and never run.

The formats are numpy's ``.npy`` and ``.npz:key``, HDF5, ``.pt`` and ``.safetensors``.
"""

import contextlib
import math
import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import torch
from numpy.lib import format as npy_format
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wdist.data.memory import fits, free_memory, planned_memory, size_text
from wdist.data.sources.address import Address
from wdist.data.sources.arrays import (
    StoredArray,
    accepted,
    check_no_key,
    check_unpacked,
    choose,
    shortened,
    tensor_of,
    tensor_type,
    type_name,
)
from wdist.errors import SourceError, explained_as, first_line
from wdist.files import FileVersion

_MOST_LINKS = 16
"""Most soft links that a name is followed through."""


def open_npy(address: Address) -> StoredArray:
    """The array of a ``.npy`` file; only the requested rows are read."""
    check_no_key(address)
    name, version = address.location, _version(address)
    with _numpy(name):
        with address.path.open("rb") as file:
            shape, fortran, dtype = read_header(file)
            begin = file.tell()
        native = tensor_type(dtype, name)
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        if begin + math.prod(shape) * dtype.itemsize > address.path.stat().st_size:
            raise SourceError(f"{name} is cut short: its header promises the shape {shape}; copy it again or save it again")

    def read_rows(start: int, stop: int) -> Tensor:
        with _numpy(name):
            if fortran:  # the values of a row are far apart
                return tensor_of(np.array(np.load(address.path, mmap_mode="r", allow_pickle=False)[start:stop]), name)
            # Read, not mapped: a mapping of the file counts against a limit on address space, and its pages as resident memory.
            part = (stop - start, *shape[1:])
            values = np.fromfile(address.path, dtype, count=math.prod(part), offset=begin + start * row_bytes)
            return tensor_of(values.reshape(part), name)

    def read_spans(spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        with _numpy(name), address.path.open("rb", buffering=0) as file:
            places = [(begin + start * row_bytes, (stop - start) * row_bytes) for start, stop in spans]
            for place, size in places if hasattr(os, "posix_fadvise") else ():
                os.posix_fadvise(file.fileno(), place, size, os.POSIX_FADV_WILLNEED)  # a disk is faster with many requests at once
            for (place, size), (start, stop) in zip(places, spans, strict=True):
                file.seek(place)
                if len(stored := file.read(size)) < size:
                    raise SourceError(f"{name} was cut short while it was read; start again when nothing writes to it")
                yield tensor_of(np.frombuffer(stored, dtype).reshape(stop - start, *shape[1:]), name)

    return StoredArray(
        shape=shape,
        dtype=dtype.name,
        itemsize=native.itemsize,
        read_rows=read_rows,
        read_spans=None if fortran else read_spans,
        version=version,
    )


def open_npz(address: Address) -> StoredArray:
    """One array of an ``.npz`` archive; its declared size is compared with the free memory before anything is unpacked."""
    with _numpy(address.location), _version(address).reading(), zipfile.ZipFile(address.path) as archive:
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
        with archive.open(members[key]) as file:
            values = npy_format.read_array(file, allow_pickle=False)
    return StoredArray.of(tensor_of(values, name), values.dtype.name)


def _version(address: Address) -> FileVersion:
    return FileVersion.of(address.path, address.location)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type of an array, from the header of a ``.npy`` file; ValueError if it is damaged or unknown."""
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"unknown version {version} of the .npy format")
    # Version 3 differs from 2 in the encoding of field names only, and arrays with fields are refused.
    shape, fortran, dtype = npy_format.read_array_header_1_0(file) if version == (1, 0) else npy_format.read_array_header_2_0(file)
    if any(n < 0 for n in shape):
        raise ValueError("negative shape")
    return shape, fortran, dtype


def _numpy(name: str) -> contextlib.AbstractContextManager[None]:
    """A context that explains the many kinds of errors that numpy's parsers raise for the file ``name``."""
    return explained_as(f"{name} is damaged, cut short, or not a numpy file", "save it again with numpy")


def open_h5(address: Address) -> StoredArray:
    """One dataset of an HDF5 file, which is opened for each read, so that it is never locked against a writer."""
    version = _version(address)
    with _h5(address), _opened_h5(address) as file:
        name = _dataset_name(file, address)
        dataset = file[name]
        full_name = f"{address.location}:{name}"
        if kept_elsewhere(dataset):
            raise SourceError(f"{full_name} keeps its values in other files; copy them into one dataset")
        if dataset.shape is None:
            raise SourceError(f"{full_name} is an empty dataset; give one with samples")
        dtype, shape = dataset.dtype, dataset.shape
        if h5py.check_string_dtype(dtype) is not None or h5py.check_dtype(ref=dtype) is not None:
            raise SourceError(f"{full_name} holds strings or references, not numbers; name a numeric dataset")
        native = tensor_type(dtype, full_name)
        check_unpacked(full_name, dataset.nbytes, min(dataset.id.get_storage_size(), address.path.stat().st_size))
        chunk, together = math.prod(dataset.chunks or ()) * dtype.itemsize, (dataset.chunks or (1,))[0]
        if chunk > planned_memory():
            raise SourceError(f"{full_name} has chunks of {size_text(chunk)}, too large for memory; save it with smaller chunks")

    def read_rows(start: int, stop: int) -> Tensor:
        with _h5(address), _opened_h5(address) as file:
            return tensor_of(file[name][start:stop], full_name)

    def read_spans(spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        with _h5(address), _opened_h5(address) as file:
            yield from (tensor_of(file[name][start:stop], full_name) for start, stop in spans)

    return StoredArray(
        shape=shape,
        dtype=dtype.name,
        itemsize=native.itemsize,
        read_rows=read_rows,
        read_spans=read_spans,
        rows_together=together,
        version=version,
    )


def _h5(address: Address) -> contextlib.AbstractContextManager[None]:
    fault = f"{address.location} is damaged, or its datasets are of an unknown kind"
    return explained_as(fault, "copy it again from its origin")


def kept_elsewhere(dataset: h5py.Dataset) -> bool:
    """True for a virtual dataset or external storage: even reading its shape may open other files, or wait for a pipe."""
    return bool(dataset.is_virtual or dataset.external)


def datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All datasets in the order of the file, by name without the leading slash."""
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def array_names(address: Address) -> list[str]:
    """Names of all arrays of an HDF5 file or an ``.npz`` archive, in the order of the file; none for other formats."""
    if address.suffix in (".h5", ".hdf5"):
        with _h5(address), _opened_h5(address) as file:
            return list(datasets(file))
    if address.suffix == ".npz":
        with _numpy(address.location), zipfile.ZipFile(address.path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    return []


def _opened_h5(address: Address) -> h5py.File:
    try:
        return h5py.File(address.path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise SourceError(f"{address.location} is cut short; copy it again from its origin") from error
        if "signature not found" in str(error):
            raise SourceError(f"{address.location} is not an HDF5 file; rename it with the suffix of its actual format") from error
        reason = first_line(error)
        raise SourceError(
            f"{address.location} cannot be opened as HDF5 ({reason}); copy it again, or fix its permissions"
        ) from error


def _dataset_name(file: h5py.File, address: Address) -> str:
    """The dataset that the address means; an explicit name may also be a soft link."""
    key = None if address.key is None else address.key.strip("/")
    names = list(datasets(file))
    if key is None:
        return choose(names, address, "dataset")
    item = _found(file, key, address)
    if isinstance(item, h5py.Dataset):
        return key
    inside = [name for name in names if name.startswith(f"{key}/")]
    if isinstance(item, h5py.Group) and inside:
        return choose(inside, replace(address, key=None), "dataset")
    return choose(names, address, "dataset")


def _found(file: h5py.File, key: str, address: Address) -> Any:
    """The object that a name leads to through groups and soft links; None if there is none, SourceError if in another file."""
    parts, place, links = key.split("/"), file, 0
    while parts:
        part = parts.pop(0)
        try:
            link = place.get(part, getlink=True) if part else None
            if isinstance(link, h5py.ExternalLink):
                raise SourceError(f"{address} is a link to the file {link.filename}; name that file: {link.filename}:{link.path}")
            if isinstance(link, h5py.SoftLink):
                links += 1
                place = file if link.path.startswith("/") else place
                parts = link.path.split("/") + parts
            elif part:
                place = place[part]
        except (OSError, KeyError, AttributeError, TypeError):  # a dataset has no members, and some links are of unknown kinds
            return None
        if links > _MOST_LINKS:
            return None
    return place


def open_torch_file(address: Address) -> StoredArray:
    """One tensor of a ``.pt`` file, mapped into memory where the format allows."""
    version = _version(address)
    with version.reading():
        content = load_data(address.path, address.location)
    if isinstance(content, Tensor):
        check_no_key(address)
        name, tensor = address.location, content
    elif isinstance(content, dict):
        tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        if address.key is None and len(tensors) > 1 and _looks_like_weights(tensors):
            raise SourceError(
                f"{address.location} holds the weights of a network ({len(tensors)} tensors); say how to build it: "
                f"{address.location}?factory=package.module:Class, or name one tensor: {address.location}:{next(iter(tensors))}"
            )
        nested = [str(key) for key, value in content.items() if isinstance(value, dict) and _looks_like_weights(value)]
        if not tensors and nested:
            raise SourceError(
                f"{address.location} holds the weights of a network (under {', '.join(nested)}); say how to build it: "
                f"{address.location}{':' + nested[0] if len(nested) > 1 else ''}?factory=package.module:Class"
            )
        if not tensors and content:
            held = shortened([f"{key}: {type(value).__name__}" for key, value in content.items()])
            raise SourceError(f"{address.location} holds a dict without tensors ({held}); save a tensor or a dict of tensors")
        key = choose(list(tensors), address, "tensor")
        name, tensor = f"{address.location}:{key}", tensors[key]
    else:
        raise SourceError(f"{address.location} holds a {type(content).__name__}, not a tensor; save a tensor or a dict of tensors")
    if tensor.layout == torch.strided:
        check_unpacked(name, tensor.nbytes, tensor.untyped_storage().nbytes())
    return StoredArray.of(accepted(tensor, name), type_name(tensor.dtype), version)


def load_data(path: Path, name: str, *, mapped: bool = True) -> Any:
    """Loads tensors and plain containers from a ``.pt`` file with ``torch.load(weights_only=True)``; nothing is executed.

    Tensors are mapped into memory where the format allows, unless ``mapped`` is false.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(path))
    except Exception as error:  # torch passes on every error of its parsers
        if isinstance(error, pickle.UnpicklingError) and "Weights only load failed" in str(error):
            found = re.search(r"GLOBAL ([\w.]+)", str(error))
            what = f"code ({found[1]})" if found else "more than tensors"
            raise SourceError(
                f"{name} is a pickle with {what}, which could run anything when opened, so it was refused; if it is a whole "
                f"network, save its weights with torch.save(network.state_dict(), path) and name its class with ?factory=; "
                f"otherwise save the tensors alone"
            ) from None
        reason = first_line(error).partition(". ")[0][:200]  # torch's further sentences are guesses
        told = f" ({reason})" if " " in reason else ""  # some parsers name only a byte or a key
        raise SourceError(f"{name} is damaged, cut short, or not a file of torch.save{told}; save it again") from error


def is_torchscript(path: Path) -> bool:
    """True for an archive of ``torch.jit.save``, which holds source code beside the weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except Exception:  # not an archive, or a damaged one
        return False
    return any(name.endswith("/constants.pkl") for name in members) and any("/code/" in name for name in members)


def _looks_like_weights(tensors: dict[str, Any]) -> bool:
    named = [name for name in tensors if str(name).rpartition(".")[2] in ("weight", "bias")]
    return len(named) > len(tensors) / 2


def open_safetensors(address: Address) -> StoredArray:
    """One tensor of a ``.safetensors`` file; only the requested rows are read."""
    version = _version(address)
    with _opened_safetensors(address) as file:
        names = list(file.keys())
        if address.key is None and len(names) > 1:
            raise SourceError(
                f"{address.location} holds {len(names)} tensors ({shortened(names)}); "
                f"name one: {address.location}:{names[0]}, "
                f"or say how to build the network: {address.location}?factory=package.module:Class"
            )
        key = choose(names, address, "tensor")
        name = f"{address.location}:{key}"
        rows = file.get_slice(key)
        shape = tuple(rows.get_shape())
        example = file.get_tensor(key) if not shape or 0 in shape else rows[0:1]
    readable = accepted(example, name)

    def read_rows(start: int, stop: int) -> Tensor:
        # Mapped again for each piece: the pages of a lasting mapping count as memory of the process, in the end the whole file.
        with _opened_safetensors(address) as file:
            return accepted(file.get_slice(key)[start:stop], name).clone()

    return StoredArray(
        shape=shape, dtype=type_name(example.dtype), itemsize=readable.element_size(), read_rows=read_rows, version=version
    )


@contextlib.contextmanager
def _opened_safetensors(address: Address) -> Iterator[Any]:
    try:
        with safe_open(address.path, framework="pt", device="cpu") as file:
            yield file
    except (SafetensorError, OSError) as error:
        if "Cannot allocate memory" in str(error):
            raise SourceError(f"{address.location} exceeds the limit on memory when mapped; save it as .npy or .h5") from error
        raise damaged_safetensors(address, error) from error


def damaged_safetensors(address: Address, error: Exception) -> SourceError:
    """The error for a file that safetensors cannot read."""
    return SourceError(f"{address.location} is damaged, cut short, or not a safetensors file ({first_line(error)}); save it again")
