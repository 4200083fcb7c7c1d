"""What every source offers: a description of itself, and rows to read or draws to make."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

RowIndex: TypeAlias = slice | np.ndarray
"""Rows of a finite source: a slice with step 1, or a sorted array of distinct row numbers."""


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What is known of a source once it is open."""

    address: str
    """As the user wrote it, or ``<tensor>`` / ``<array>`` for values that were handed over in Python."""
    kind: str
    """``array``, ``image-folder``, ``torchvision``, ``generator`` or ``synthetic``."""
    event_shape: tuple[int, ...]
    """Shape of one sample; critics see it flattened."""
    count: int | None
    """Number of samples; None when they are drawn without end."""
    dtype: str
    """As stored, for example ``uint8``."""
    scale: float = 1.0
    """Stored value * scale + offset = value in the units in which the distance is stated."""
    offset: float = 0.0
    units: str = "as stored"
    """Those units in words, for example ``uint8 scaled to [0, 1]``."""
    bounds: tuple[float, float] | None = None
    """An interval in those units that holds every coordinate for certain, by type and not by observation."""
    dropped: int = 0
    """Rows left out because they were not finite."""
    notes: tuple[str, ...] = field(default=())
    """What the user should know of how the source was read."""

    @property
    def dim(self) -> int:
        """Number of coordinates of one flattened sample."""
        return int(np.prod(self.event_shape, dtype=np.int64)) if self.event_shape else 1


class FiniteSource(ABC):
    """A known number of rows, read by position."""

    info: SourceInfo

    @property
    def count(self) -> int:
        assert self.info.count is not None
        return self.info.count

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that all rows take in memory in their stored type."""

    @abstractmethod
    def read(self, rows: RowIndex) -> Tensor:
        """Rows in their stored type, flattened.

        Returns:
            A tensor of shape (number of rows, :attr:`SourceInfo.dim`) on the CPU. It may share memory with the source: read-only.

        Raises:
            SourceError: the rows cannot be read.
        """

    def slabs(self, rows_per_slab: int) -> Iterator[tuple[int, Tensor]]:
        """All rows in order, as (position of the first row, rows) with at most ``rows_per_slab`` rows each."""
        for start in range(0, self.count, rows_per_slab):
            yield start, self.read(slice(start, min(start + rows_per_slab, self.count)))


class EndlessSource(ABC):
    """Draws without end, reproducible from the generator that is handed in."""

    info: SourceInfo

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws ``n`` independent samples, flattened.

        Returns:
            A floating-point tensor of shape (n, :attr:`SourceInfo.dim`) on the generator's device, in the units of the source.
        """


Source: TypeAlias = FiniteSource | EndlessSource
