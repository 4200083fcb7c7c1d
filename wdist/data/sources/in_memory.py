"""Tensors and arrays that were handed over in Python."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.dtypes import accepted, tensor_of, type_name
from wdist.data.sources.source import FiniteSource, RowIndex, SourceInfo
from wdist.data.sources.stored_array import describe
from wdist.data.sources.units import Units, units_of
from wdist.errors import SourceError


class InMemory(FiniteSource):
    """Rows that lie in memory."""

    def __init__(self, values: Tensor, info: SourceInfo) -> None:
        self.info = info
        self._rows = values.reshape(info.count or 0, info.dim)

    @property
    def nbytes(self) -> int:
        return self._rows.numel() * self._rows.element_size()

    def read(self, rows: RowIndex) -> Tensor:
        return self._rows[rows if isinstance(rows, slice) else torch.from_numpy(np.asarray(rows, dtype=np.int64))]


def open_values(values: Any, units: Units | None = None, *, address: str | None = None, kind: str = "array") -> InMemory:
    """A tensor, an array, or what numpy can make one of, as a source.

    Arguments:
        values: first axis samples; further axes are the event shape.
        units: those of the values; by default uint8 is scaled to [0, 1], everything else kept.

    Raises:
        SourceError: the values are not numbers, or there are none.
    """
    name = address or ("<tensor>" if isinstance(values, Tensor) else "<array>")
    if isinstance(values, Tensor):
        stored, tensor = type_name(values.dtype), accepted(values, name)
    else:
        array = _array(values, name)
        stored, tensor = array.dtype.name, tensor_of(array, name)
    info = describe(tuple(tensor.shape), stored, name, kind, units_of(stored) if units is None else units)
    return InMemory(tensor.contiguous(), info)


def _array(values: Any, name: str) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        raise SourceError(f"{name} is a masked array; fill or drop the masked values first, for example x.filled(nan)")
    try:
        return np.asarray(values)
    except Exception as error:
        raise SourceError(f"{name} cannot be read as an array ({error}); hand over a tensor, an array, or an address") from error
