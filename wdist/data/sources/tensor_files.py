"""Tensors in files: ``a.pt``, ``a.pt:key``, ``a.safetensors:key``; read as data, never run."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.arrays import StoredArray, accepted, check_no_key, choose, shortened, type_name
from wdist.errors import SourceError, first_line


def open_torch_file(address: Address) -> StoredArray:
    """One tensor of a ``.pt`` file, mapped into memory where the format allows."""
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
        key = choose(list(tensors), address, "tensor")
        name, tensor = f"{address.location}:{key}", tensors[key]
    else:
        raise SourceError(f"{address.location} holds a {type(content).__name__}, not a tensor; save a tensor or a dict of tensors")
    return StoredArray.of(accepted(tensor, name), type_name(tensor.dtype))


def load_data(path: Path, name: str) -> Any:
    """Loads tensors and plain containers from a ``.pt`` file with ``torch.load(weights_only=True)``; nothing is executed."""
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except pickle.UnpicklingError as error:
            if "Weights only load failed" not in str(error):
                raise
            found = re.search(r"GLOBAL ([\w.]+)", str(error))
            what = f"code ({found[1]})" if found else "more than tensors"
            raise SourceError(
                f"{name} is a pickle with {what}, which could run anything when opened, so it was refused; "
                f"save the tensors alone: torch.save(x, path) or safetensors"
            ) from None
    except SourceError:
        raise
    except Exception as error:  # torch passes on every error of its parsers
        reason = first_line(error)[:200]
        raise SourceError(f"{name} is damaged, cut short, or not a file of torch.save ({reason}); save it again") from error


def is_torchscript(path: Path) -> bool:
    """True for an archive of ``torch.jit.save``, which holds source code beside the weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return any(name.endswith("/constants.pkl") for name in members) and any("/code/" in name for name in members)


def _looks_like_weights(tensors: dict[str, Any]) -> bool:
    named = [name for name in tensors if str(name).rpartition(".")[2] in ("weight", "bias")]
    return len(named) > len(tensors) / 2


def open_safetensors(address: Address) -> StoredArray:
    """One tensor of a ``.safetensors`` file; only the requested rows are read."""
    try:
        file = safe_open(address.path, framework="pt", device="cpu")
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
    except (SafetensorError, OSError) as error:
        if "Cannot allocate memory" in str(error):
            raise SourceError(f"{address.location} exceeds the limit on memory when mapped; save it as .npy or .h5") from error
        raise damaged_safetensors(address, error) from error
    readable = accepted(example, name)

    def read_rows(start: int, stop: int) -> Tensor:
        if stop <= start:
            return torch.empty((0, *shape[1:]), dtype=readable.dtype)
        return accepted(rows[start:stop], name)

    return StoredArray(shape=shape, dtype=type_name(example.dtype), itemsize=readable.element_size(), read_rows=read_rows)


def damaged_safetensors(address: Address, error: Exception) -> SourceError:
    """The error for a file that safetensors cannot read."""
    return SourceError(f"{address.location} is damaged, cut short, or not a safetensors file ({first_line(error)}); save it again")
