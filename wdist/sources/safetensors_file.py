"""Tensors in ``.safetensors`` files: ``a.safetensors:key``."""

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wdist.errors import SourceError
from wdist.sources.address import Address
from wdist.sources.dtypes import accepted, type_name
from wdist.sources.stored_array import StoredArray, choose


def open_safetensors(address: Address) -> StoredArray:
    """One tensor of a ``.safetensors`` file; only the rows that are asked for are read.

    Raises:
        SourceError: the file is damaged, or the address names no tensor of it.
    """
    try:
        file = safe_open(address.path, framework="pt", device="cpu")
        names = list(file.keys())
        if address.key is None and len(names) > 1:
            shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise SourceError(
                f"{address.location} holds {len(names)} tensors ({shown}); "
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
            raise SourceError(
                f"{address.location} is larger than the limit on memory allows to map; save it as .npy or .h5"
            ) from error
        raise SourceError(f"{address.location} is damaged, cut short, or no safetensors file ({error}); save it again") from error
    readable = accepted(example, name)

    def read_rows(start: int, stop: int) -> Tensor:
        if stop <= start:
            return torch.empty((0, *shape[1:]), dtype=readable.dtype)
        return accepted(rows[start:stop], name)

    return StoredArray(shape=shape, dtype=type_name(example.dtype), itemsize=readable.element_size(), read_rows=read_rows)
