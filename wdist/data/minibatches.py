"""Endless minibatches: from memory, from a file in slabs, or drawn."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wdist.data.rows import ResidentRows, in_units
from wdist.data.sources.source import EndlessSource, FiniteSource


class Minibatches(Protocol):
    """An endless sequence of training samples."""

    def next(self, n: int) -> Tensor:
        """The next ``n`` samples, shape (n, dim), floating point, in the units of the source."""
        ...


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

    While a pool is used, a thread reads the next slab. ``train`` holds the sorted numbers of the training rows; the generator is on
    the CPU.
    """

    def __init__(
        self,
        source: FiniteSource,
        train: np.ndarray,
        generator: torch.Generator,
        dtype: torch.dtype,
        *,
        slab_rows: int,
        pool_slabs: int = 8,
    ) -> None:
        self._source, self._train, self._generator, self._dtype = source, train, generator, dtype
        self._slab_rows, self._pool_slabs = slab_rows, pool_slabs
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
        return self._source.read(slice(start, stop))[torch.from_numpy(self._train[low:high] - start)]

    def _refill(self) -> None:
        slabs = [self._pool[self._used :]] if len(self._pool) else []
        self._pool = torch.empty(0)  # frees the old pool before the new one is built
        for _ in range(self._pool_slabs):
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
    """Fresh draws of an endless source, on the generator's device.

    No thread draws ahead: a draw takes 4 to 7 % of a step on a CPU, and a GPU draws without making the host wait.
    """

    def __init__(self, source: EndlessSource, generator: torch.Generator) -> None:
        self._source, self._generator = source, generator

    def next(self, n: int) -> Tensor:
        return self._source.draw(n, self._generator)
