"""Arrays, stored in a file or passed in Python, and the types in which their values become tensors.

Values that are not real numbers, and arrays without samples, raise :class:`SourceError`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.data.memory import size_text
from wdist.data.sources.address import Address
from wdist.data.sources.column import Column, plain_columns
from wdist.data.sources.source import FiniteSource, RowIndex, SourceInfo, Units, shape_text, units_of
from wdist.errors import SourceError, first_line
from wdist.files import FileVersion

_BYTES_BRIDGED = 1 << 16
"""Rows closer together than this are read in one piece: skipping the bytes between them costs more than reading them."""
_BYTES_AT_ONCE = 1 << 24
MOST_CLAIMED, MOST_COMPRESSION = 1 << 30, 10_000
"""An array may unpack to 1 GB in any case, and to more if that is at most 10,000 times what it stores; gzip reaches about 1000."""
_TENSOR_TYPES = frozenset(
    {
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
    }
)  # fmt: skip
# torch stores these types but supports few operations on them.
_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.float64}
_WIDER_NUMPY = {"uint16": np.int32, "uint32": np.int64, "uint64": np.float64}
_NOT_NUMBERS = {"O": "Python objects", "V": "records", "m": "time spans", "M": "dates", **dict.fromkeys("SUT", "strings")}
_COMPLEX = "save the real and imaginary parts as separate coordinates"
EXACT_INTEGERS = 2**53
"""From here on, float64 cannot distinguish neighbouring integers."""


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """An array in a file, as its format describes it."""

    shape: tuple[int, ...]
    dtype: str
    """Stored type."""
    itemsize: int
    """Bytes of one value once it is read."""
    read_rows: Callable[[int, int], Tensor]
    """Maps (start, stop) with start < stop to the rows between them, of shape (stop - start, \\*event_shape)."""
    read_spans: Callable[[Sequence[tuple[int, int]]], Iterator[Tensor]] | None = None
    """The same for several such pairs, if that saves opening the file for each."""
    rows_together: int = 1
    """Rows that are stored in one piece, so that reading one of them costs as much as reading all."""
    version: FileVersion | None = None
    """The file from which rows are read on demand; None if all are in memory, or if there are several files."""
    identity: Callable[[], str | None] = lambda: None
    """Identifies the present versions of the files, if there are several."""
    notes: tuple[str, ...] = ()
    """Sentences that tell the user how the array was read."""
    columns: tuple[Column, ...] | None = None
    """Columns of a table; None for other arrays."""

    @classmethod
    def of(cls, tensor: Tensor, dtype: str, version: FileVersion | None = None) -> "StoredArray":
        """An array in memory, or mapped from a file; ``dtype`` is the stored type."""
        return cls(
            shape=tuple(tensor.shape),
            dtype=dtype,
            itemsize=tensor.element_size(),
            read_rows=lambda start, stop: tensor[start:stop] if version is None else tensor[start:stop].clone(),
            version=version,
        )


class ArraySource(FiniteSource):
    """Rows of a :class:`StoredArray`."""

    def __init__(self, array: StoredArray, info: SourceInfo) -> None:
        self.info, self.itemsize, self.rows_together = info, array.itemsize, array.rows_together
        self._array = array

    def read(self, rows: RowIndex) -> Tensor:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.count)
            assert step == 1, "rows are read in order"
            return self._block(start, max(start, stop))
        runs = list(self._runs(rows))
        with self._reading():
            blocks = self._blocks([(int(run[0]), int(run[-1]) + 1) for run in runs])
            pieces = [block[torch.from_numpy(run - run[0])] for block, run in zip(blocks, runs, strict=True)]
        return torch.cat(pieces).reshape(len(rows), self.info.dim) if pieces else self._block(0, 0)

    def identity(self) -> str | None:
        return self._array.identity() if self._array.version is None else self._array.version.identity()

    def _block(self, start: int, stop: int) -> Tensor:
        if stop <= start:
            return self._block(0, 1)[:0]
        with self._reading():
            return self._array.read_rows(start, stop).reshape(stop - start, self.info.dim)

    def _reading(self) -> AbstractContextManager[None]:
        return self._array.version.reading() if self._array.version else nullcontext()

    def _blocks(self, spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        if self._array.read_spans is not None:
            return self._array.read_spans(spans)
        return (self._array.read_rows(*span) for span in spans)

    def _runs(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Splits sorted row numbers at gaps too wide to read across, and where a piece would become too large."""
        rows = np.asarray(rows, dtype=np.int64)
        if not len(rows):
            return
        row_bytes = max(1, self.info.dim * self.itemsize)
        gaps = np.diff(rows) > max(1, _BYTES_BRIDGED // row_bytes)
        pieces = np.diff(rows // max(1, _BYTES_AT_ONCE // row_bytes)) > 0
        yield from np.split(rows, np.flatnonzero(gaps | pieces) + 1)


def open_values(values: Any, units: Units | None = None, *, address: str | None = None, kind: str = "array") -> ArraySource:
    """Makes a source of a tensor, an array, or anything that numpy can turn into an array; its first axis counts the samples.

    By default uint8 is scaled to [0, 1] and other types keep their values.
    """
    name = address or ("<tensor>" if isinstance(values, Tensor) else "<array>")
    if isinstance(values, Tensor):
        stored, tensor = type_name(values.dtype), accepted(values, name)
    else:
        array = _array(values, name)
        stored, tensor = array.dtype.name, tensor_of(array, name)
    info = describe(tuple(tensor.shape), stored, name, kind, units_of(stored) if units is None else units)
    return ArraySource(StoredArray.of(tensor.contiguous(), stored), replace(info, columns=_columns_of(values, info.dim)))


def _columns_of(values: Any, count: int) -> tuple[Column, ...] | None:
    """The columns of a data frame, if their names are text and all differ; None for anything else."""
    names = getattr(values, "columns", None)
    if names is None or not hasattr(values, "to_numpy"):
        return None
    columns = tuple(names)
    named = all(isinstance(name, str) and name for name in columns) and len(set(columns)) == len(columns) == count
    return plain_columns(columns) if named else None


def _array(values: Any, name: str) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        raise SourceError(f"{name} is a masked array; fill or drop the masked values first, for example x.filled(nan)")
    try:
        array = np.asarray(values)
    except Exception as error:
        reason = "its samples differ in shape" if "inhomogeneous" in str(error) else first_line(error)
        raise SourceError(f"{name} cannot be read as an array ({reason}); pass a tensor, an array, or an address") from error
    if array.dtype == object and not array.ndim:
        kind = type(values).__name__
        raise SourceError(
            f"{name} is of type {kind}, which holds no samples; pass a tensor, an array, a data frame, a dataset or an address"
        )
    return array


def describe(
    array_shape: tuple[int, ...], dtype: str, address: str, kind: str, units: Units, notes: tuple[str, ...] = ()
) -> SourceInfo:
    """Description of an array whose first axis counts the samples; an array of shape (n,) contains n numbers."""
    if not array_shape:
        raise SourceError(f"{address} holds a single number, not samples; give an array whose first axis counts the samples")
    if 0 in array_shape:
        raise SourceError(f"{address} holds no values (its shape is {shape_text(array_shape)}); give an array with samples")
    return SourceInfo(
        address=address,
        kind=kind,
        event_shape=tuple(array_shape[1:]),
        count=array_shape[0],
        dtype=dtype,
        scale=units.scale,
        offset=units.offset,
        units=units.words,
        bounds=units.bounds,
        notes=units.notes + notes,
    )


def check_unpacked(name: str, claimed: int, stored: int) -> None:
    """Refuses an array that claims far more bytes than its file stores, which no compression explains."""
    if claimed > max(MOST_CLAIMED, MOST_COMPRESSION * stored):
        raise SourceError(
            f"{name} claims {size_text(claimed)} of values but stores only {size_text(stored)}; write all values and save it again"
        )


def check_no_key(address: Address) -> None:
    """Refuses a key after a file that holds a single array."""
    if address.key is not None:
        raise SourceError(f"{address}: {address.location} holds a single unnamed array; leave out :{address.key}")


def choose(names: list[str], address: Address, what: str) -> str:
    """The name of the array that an address means."""
    shown = shortened(names)
    if not names:
        raise SourceError(f"{address.location} holds no {what}; give a file that does")
    if address.key is not None and address.key in names:
        return address.key
    if address.key is not None:
        example = f"{address.location}:{names[0]}"
        raise SourceError(f"{address.location} has no {what} {address.key!r} (it holds {shown}); name one of these: {example}")
    if len(names) > 1:
        raise SourceError(f"{address.location} holds {len(names)} {what}s ({shown}); name one: {address.location}:{names[0]}")
    return names[0]


def shortened(names: list[str], most: int = 12) -> str:
    """The first names, separated by commas."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def tensor_type(dtype: np.dtype, name: str) -> np.dtype:
    """The numpy type, in native byte order, in which stored values become a tensor: the narrowest that torch computes with."""
    if dtype.kind == "c":
        raise SourceError(f"{name} holds complex numbers ({dtype}); {_COMPLEX}")
    if dtype.kind in _NOT_NUMBERS:
        raise SourceError(f"{name} holds {_NOT_NUMBERS[dtype.kind]} ({dtype}), not numbers; save it as a plain numeric array")
    if dtype.name in _WIDER_NUMPY:
        return np.dtype(_WIDER_NUMPY[dtype.name])
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return np.dtype(dtype.name)


def tensor_of(array: np.ndarray, name: str) -> Tensor:
    """A tensor with the values of a numpy array in their native type; shares memory if the array is writable."""
    native = np.ascontiguousarray(array, dtype=tensor_type(array.dtype, name)).reshape(array.shape)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        rounded = np.isfinite(array) & (np.abs(array) >= EXACT_INTEGERS) & (native != array)
        if rounded.any():
            raise too_large(name, array[rounded][0])
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def too_large(name: str, value: object, *, first: str = "") -> SourceError:
    """The error for a value that float64 would round to another integer, with another way out to try first."""
    way_out = f"{first}, or " if first else ""
    return SourceError(
        f"{name}: integers reach {value}, where float64 cannot distinguish neighbours; "
        f"{way_out}subtract an offset from both sides and save them again"
    )


def accepted(tensor: Tensor, name: str) -> Tensor:
    """The tensor on the CPU, without gradient, in a type that torch computes with."""
    if tensor.is_sparse or tensor.layout != torch.strided:
        raise SourceError(f"{name} is a sparse tensor; pass its dense form, x.to_dense()")
    if tensor.is_meta:
        raise SourceError(f"{name} is on the device meta, where tensors have no values; compute it on another device")
    if tensor.is_complex():
        raise SourceError(f"{name} holds complex numbers ({type_name(tensor.dtype)}); {_COMPLEX}")
    if tensor.is_quantized or tensor.dtype not in _TENSOR_TYPES | _WIDER.keys():
        raise SourceError(
            f"{name} has the type {type_name(tensor.dtype)}, which does not hold plain numbers; convert it to float32"
        )
    return tensor.detach().to(device="cpu", dtype=_WIDER.get(tensor.dtype, tensor.dtype))


def exact_float(dtype: torch.dtype) -> torch.dtype:
    """The floating-point type in which samples are trained on: float64 if float32 cannot represent them exactly."""
    exact = (torch.uint8, torch.int8, torch.int16, torch.bool, torch.float16, torch.bfloat16, torch.float32)
    return torch.float32 if dtype in exact else torch.float64


def type_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def little_endian_bytes(tensor: Tensor) -> memoryview:
    """Bytes of a contiguous CPU tensor, the same on every machine; they may share its memory."""
    # Flattened, because an axis of length 1 may have any stride, even in a contiguous tensor.
    array = tensor.flatten().view(torch.uint8).numpy() if tensor.numel() else np.empty(0, dtype=np.uint8)
    if sys.byteorder == "big":
        array = array.reshape(-1, tensor.element_size())[:, ::-1].copy()
    return array.reshape(-1).data
