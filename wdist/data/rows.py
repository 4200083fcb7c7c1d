"""Samples of one side, in the units of the source: fixed rows for evaluation, float64, and endless minibatches for training."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.source import EndlessSource, FiniteSource, RowIndex, SourceInfo
from wdist.errors import SourceError

_POOL_SLABS = 8


def in_units(rows: Tensor, info: SourceInfo, dtype: torch.dtype = torch.float64) -> Tensor:
    """Converts stored values to the units of the source; bounds need float64."""
    rows = rows.to(dtype)
    if info.scale != 1.0:
        rows = rows * info.scale
    return rows + info.offset if info.offset != 0.0 else rows


def read_again(source: FiniteSource, rows: RowIndex) -> Tensor:
    """Rows of a source whose survey found no NaN or infinity; SourceError if some have appeared since."""
    return still_finite(source.read(rows), source.info)


def still_finite(values: Tensor, info: SourceInfo) -> Tensor:
    """The values, none of which was NaN or infinity before; SourceError if one is now."""
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        raise SourceError(f"{info.address} changed while it was read, to NaN or infinity; start again when nothing writes to it")
    return values


class Rows(Protocol):
    """A fixed set of samples."""

    @property
    def count(self) -> int:
        """Number of samples."""

    def batches(self, size: int) -> Iterator[Tensor]:
        """All samples in a fixed order, float64, shape (at most size, dim), in the units of the source."""
        for start in range(0, self.count, size):
            yield self.span(start, min(start + size, self.count), None)

    def span(self, start: int, stop: int, order: Tensor | None) -> Tensor:
        """Samples ``start`` to ``stop`` of an order, float64; in stored order if it is None or they are streamed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ResidentRows(Rows):
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
        return self.at(evenly(self.count, limit))

    def at(self, positions: Tensor | slice) -> "ResidentRows":
        """The rows at these positions, in that order."""
        if isinstance(positions, slice):
            positions = torch.arange(self.count)[positions]
        positions = positions.to(self.values.device)
        return replace(self, index=positions if self.index is None else self.index[positions])

    def take(self, positions: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """The rows at these positions, in the units of the source."""
        return in_units(self.values[positions if self.index is None else self.index[positions]], self.info, dtype)

    def span(self, start: int, stop: int, order: Tensor | None) -> Tensor:
        return self.take(torch.arange(start, stop) if order is None else order[start:stop])


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedRows(Rows):
    """All rows of a source that does not fit into memory, read in contiguous slabs."""

    source: FiniteSource

    @property
    def count(self) -> int:
        return self.source.count

    def span(self, start: int, stop: int, order: Tensor | None) -> Tensor:
        # Rows of a file are read in stored order.
        return in_units(read_again(self.source, slice(start, stop)), self.source.info)


def gather(rows: Rows, limit: int | None = None) -> Tensor:
    """The first ``limit`` samples as one tensor, float64, shape (n, dim)."""
    limit = rows.count if limit is None else min(limit, rows.count)
    return torch.cat([rows.span(start, min(start + 4096, limit), None) for start in range(0, limit, 4096)])


def evenly(count: int, limit: int) -> Tensor:
    """At most ``limit`` positions spread evenly over ``count``."""
    return torch.from_numpy(np.linspace(0, count - 1, min(count, limit)).astype(np.int64))


class Minibatches(Protocol):
    """An endless sequence of training samples."""

    def next(self, n: int) -> Tensor:
        """The next ``n`` samples, shape (n, dim), floating point, in the units of the source."""


class ShuffledMinibatches:
    """Rows in memory, in a new random order for each pass; the generator is on the CPU."""

    def __init__(self, rows: ResidentRows, generator: torch.Generator, dtype: torch.dtype) -> None:
        self._rows, self._generator, self._dtype = rows, generator, dtype
        self._order = torch.empty(0, dtype=torch.int64)

    def next(self, n: int) -> Tensor:
        while len(self._order) < n:
            self._order = torch.cat([self._order, torch.randperm(self._rows.count, generator=self._generator)])
        chosen, self._order = self._order[:n], self._order[n:]
        return self._rows.take(chosen.to(self._rows.values.device), self._dtype)


class StreamedMinibatches:
    """Rows of a file: contiguous slabs in random order fill a pool, and minibatches are taken from the shuffled pool.

    While a pool is used, a thread reads the next slab. ``train`` holds sorted row numbers; the generator is on the CPU.
    """

    def __init__(
        self, source: FiniteSource, train: np.ndarray, generator: torch.Generator, dtype: torch.dtype, *, slab_rows: int
    ) -> None:
        self._source, self._train, self._generator, self._dtype = source, train, generator, dtype
        self._slab_rows = slab_rows
        self._starts: list[int] = []
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wdist-reader")
        self._ahead: Future[Tensor] = self._reader.submit(self._read, self._next_start())
        self._pool = torch.empty(0)
        self._used = 0

    def _next_start(self) -> int:
        if not self._starts:
            count = -(-self._source.count // self._slab_rows)
            self._starts = [int(k) * self._slab_rows for k in torch.randperm(count, generator=self._generator)]
        return self._starts.pop()

    def _read(self, start: int) -> Tensor:
        stop = min(start + self._slab_rows, self._source.count)
        low, high = np.searchsorted(self._train, (start, stop))
        return read_again(self._source, slice(start, stop))[torch.from_numpy(self._train[low:high] - start)]

    def _refill(self) -> None:
        slabs = [self._pool[self._used :]] if len(self._pool) else []
        self._pool = torch.empty(0)  # frees the old pool before the new one is built
        for _ in range(_POOL_SLABS):
            slabs.append(self._ahead.result())
            self._ahead = self._reader.submit(self._read, self._next_start())
        pool = torch.cat(slabs)
        self._pool = pool[torch.randperm(len(pool), generator=self._generator)]
        self._used = 0

    def next(self, n: int) -> Tensor:
        while len(self._pool) - self._used < n:
            self._refill()
        rows = self._pool[self._used : self._used + n]
        self._used += n
        return in_units(rows, self._source.info, self._dtype)

    def close(self) -> None:
        """Ends the reading thread."""
        self._reader.shutdown(cancel_futures=True)


class DrawnMinibatches:
    """Fresh draws of an endless source, on the generator's device; drawing ahead in a thread would save only 4 to 7 % of a step."""

    def __init__(self, source: EndlessSource, generator: torch.Generator) -> None:
        self._source, self._generator = source, generator

    def next(self, n: int) -> Tensor:
        return self._source.draw(n, self._generator)
