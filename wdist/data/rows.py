"""Rows for evaluation: in memory or read in slabs, and always returned in float64 and in the units of the source."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.source import FiniteSource, SourceInfo


def in_units(rows: Tensor, info: SourceInfo, dtype: torch.dtype = torch.float64) -> Tensor:
    """Converts stored values to the units of the source; bounds need float64."""
    rows = rows.to(dtype)
    if info.scale != 1.0:
        rows = rows * info.scale
    return rows + info.offset if info.offset != 0.0 else rows


class Rows(Protocol):
    """A fixed set of samples."""

    @property
    def count(self) -> int:
        """Number of samples."""
        ...

    def batches(self, size: int) -> Iterator[Tensor]:
        """All samples in a fixed order, float64, shape (at most size, dim), in the units of the source."""
        ...

    def span(self, start: int, stop: int, order: Tensor | None) -> Tensor:
        """Samples ``start`` to ``stop`` of an order, float64; in stored order if it is None or they are streamed."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ResidentRows:
    """Rows of a tensor, chosen by position and gathered batch by batch without a copy."""

    values: Tensor
    """Stored type, shape (total, dim)."""
    info: SourceInfo
    index: Tensor | None = None
    """Positions, int64; None for all rows."""

    @property
    def count(self) -> int:
        return len(self.values) if self.index is None else len(self.index)

    def some(self, limit: int) -> "ResidentRows":
        """At most ``limit`` of the rows, spread evenly."""
        positions = evenly(self.count, limit).to(self.values.device)
        return replace(self, index=positions if self.index is None else self.index[positions])

    def take(self, positions: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """The rows at these positions, in the units of the source."""
        return in_units(self.values[positions if self.index is None else self.index[positions]], self.info, dtype)

    def batches(self, size: int) -> Iterator[Tensor]:
        for start in range(0, self.count, size):
            yield self.span(start, min(start + size, self.count), None)

    def span(self, start: int, stop: int, order: Tensor | None) -> Tensor:
        return self.take(torch.arange(start, stop) if order is None else order[start:stop])


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedRows:
    """All rows of a source that does not fit into memory, read in contiguous slabs."""

    source: FiniteSource

    @property
    def count(self) -> int:
        return self.source.count

    def batches(self, size: int) -> Iterator[Tensor]:
        for start in range(0, self.count, size):
            yield self.span(start, min(start + size, self.count), None)

    def span(self, start: int, stop: int, order: Tensor | None) -> Tensor:
        del order  # rows of a file are read in stored order
        return in_units(self.source.read(slice(start, stop)), self.source.info)


def gather(rows: Rows, limit: int | None = None) -> Tensor:
    """The first ``limit`` samples as one tensor, float64, shape (n, dim)."""
    limit = rows.count if limit is None else min(limit, rows.count)
    parts: list[Tensor] = []
    held = 0
    for batch in rows.batches(4096):
        parts.append(batch[: limit - held])
        held += len(parts[-1])
        if held >= limit:
            break
    return torch.cat(parts)


def evenly(count: int, limit: int) -> Tensor:
    """At most ``limit`` positions spread evenly over ``count``."""
    return torch.from_numpy(np.linspace(0, count - 1, min(count, limit)).astype(np.int64))
