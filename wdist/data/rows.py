"""Samples of one side, in the units of the source: fixed rows for evaluation, float64, and endless minibatches for training."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.source import EndlessSource, FiniteSource, RowIndex, SourceInfo
from wdist.errors import SourceError

_RUN_BYTES = 1 << 18
"""Bytes read at a time for a pool, enough for disks to read them in random order nearly as fast as in sequence."""
_SLAB_BYTES = 1 << 25
"""Bytes read at a time in a pass over a stream."""
_LEAST_RUNS = 64
"""Fewest runs of a pool if samples are stored in large pieces."""


def in_units(rows: Tensor, info: SourceInfo, dtype: torch.dtype = torch.float64) -> Tensor:
    """Converts stored values to the units of the source; bounds need float64."""
    rows = rows.to(dtype)
    if info.scale != 1.0:
        rows = rows * info.scale
    return rows + info.offset if info.offset != 0.0 else rows


def read_again(source: FiniteSource, rows: RowIndex) -> Tensor:
    """Rows of a source whose survey found no NaN or infinity; SourceError if some have appeared since."""
    values = source.read(rows)
    # One pass without extra memory: the extremes of values with NaN are NaN.
    if values.is_floating_point() and len(values) and not all(math.isfinite(each) for each in values.aminmax()):
        address = source.info.address
        raise SourceError(f"{address} changed while it was read, to NaN or infinity; start again when nothing writes to it")
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
        """Samples ``start`` to ``stop`` of an order, float64; in stored order if ``order`` is None or they are streamed."""


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

    @property
    def at_once(self) -> int:
        """Rows read at a time: several batches, because a chunk of the file would otherwise be decoded again for each of them."""
        return max(1, _SLAB_BYTES * self.count // max(1, self.source.nbytes))

    def batches(self, size: int) -> Iterator[Tensor]:
        slab = max(1, self.at_once // size) * size
        for start in range(0, self.count, slab):
            rows = read_again(self.source, slice(start, min(start + slab, self.count)))
            yield from (in_units(part, self.source.info) for part in rows.split(size))

    def span(self, start: int, stop: int, order: Tensor | None) -> Tensor:
        # Rows of a file are read in stored order.
        return in_units(read_again(self.source, slice(start, stop)), self.source.info)


def gather(rows: Rows, limit: int | None = None) -> Tensor:
    """The first ``limit`` samples as one tensor, float64, shape (n, dim)."""
    limit = rows.count if limit is None else min(limit, rows.count)
    return torch.cat([rows.span(start, min(start + 4096, limit), None) for start in range(0, limit, 4096)])


def row_hashes(rows: Rows) -> np.ndarray:
    """One hash for each sample, int64, shape (n,), equal for equal samples; hashes are comparable within this process only."""
    return np.array([hash(row.tobytes()) for batch in rows.batches(4096) for row in batch.cpu().numpy()], dtype=np.int64)


def evenly(count: int, limit: int) -> Tensor:
    """At most ``limit`` positions spread evenly over ``count``."""
    return torch.from_numpy(np.linspace(0, count - 1, min(count, limit)).astype(np.int64))


class Minibatches(Protocol):
    """An endless sequence of training samples."""

    def next(self, n: int) -> Tensor:
        """The next ``n`` samples, shape (n, dim), floating point, in the units of the source."""

    def leave_for(self, number: int) -> None:
        """Leaves the sequence for another one, determined by the present place in it and ``number``."""


def _reseed_(generator: torch.Generator, number: int) -> None:
    drawn = int(torch.randint(1 << 62, (), generator=generator, device=generator.device))
    generator.manual_seed(int(np.random.SeedSequence([drawn, number]).generate_state(1, np.uint64)[0] >> np.uint64(1)))


class ShuffledMinibatches:
    """Rows in memory, in a new random order for each pass; the generator is on the CPU."""

    resumable = ("_generator", "_order")

    def __init__(self, rows: ResidentRows, generator: torch.Generator, dtype: torch.dtype) -> None:
        self._rows, self._generator, self._dtype = rows, generator, dtype
        self._order = torch.empty(0, dtype=torch.int64, device=rows.values.device)

    def over(self, rows: ResidentRows) -> "ShuffledMinibatches":
        """Minibatches of other rows, from a restarted random stream."""
        return ShuffledMinibatches(rows, torch.Generator().manual_seed(self._generator.initial_seed()), self._dtype)

    def next(self, n: int) -> Tensor:
        while len(self._order) < n:
            drawn = torch.randperm(self._rows.count, generator=self._generator)
            # The order of a whole pass is copied without waiting; a copy for each minibatch would synchronise the GPU each time.
            self._order = torch.cat([self._order, drawn.to(self._order.device, non_blocking=True)])
        chosen, self._order = self._order[:n], self._order[n:]
        return self._rows.take(chosen, self._dtype)

    def leave_for(self, number: int) -> None:
        _reseed_(self._generator, number)
        self._order = self._order[:0]


class StreamedMinibatches:
    """Rows of a file: runs of neighbouring rows from all over the file fill a pool, which is shuffled and cut into minibatches.

    The runs are divided into strata of neighbours, as many as a pool has runs, and a pool takes one random run of each. Even if the
    file is sorted, a pool is therefore nearly a random sample of it; minibatches are drawn from the pool without replacement, and
    each training row comes once in a pass. While one pool is used, a thread fills the next, so two are in memory.

    Arguments:
        source: holds the rows.
        excluded: sorted numbers of the rows that are not for training.
        generator: on the CPU.
        dtype: type of the minibatches.
        pool_rows: approximate number of samples in a pool.
    """

    resumable = ("_position",)

    def __init__(
        self, source: FiniteSource, excluded: np.ndarray, generator: torch.Generator, dtype: torch.dtype, *, pool_rows: int
    ) -> None:
        self._source, self._excluded, self._generator, self._dtype = source, excluded, generator, dtype
        self._run_rows = _run_rows(source, pool_rows)
        self._in_pool, self._first = max(1, pool_rows // self._run_rows), generator.get_state()
        self._runs = self._drawn_runs(self._in_pool)
        self._pool, self._used, self._pools = torch.empty(0), 0, 0
        self._closed = False
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wdist-reader")
        self._ahead: Future[Tensor] = self._reader.submit(self._filled)

    def next(self, n: int) -> Tensor:
        drawn = self._some(n)
        if len(drawn) < n:
            first, drawn, filled = drawn, drawn.new_empty(n, drawn.shape[1]), len(drawn)
            drawn[:filled] = first
            del first  # it would keep its pool in memory
            while filled < n:
                part = self._some(n - filled)
                drawn[filled : filled + len(part)] = part
                filled += len(part)
        return in_units(drawn, self._source.info, self._dtype)

    def _some(self, n: int) -> Tensor:
        """The next samples of one pool, at most ``n``."""
        if self._used == len(self._pool):
            self._pool, self._used, self._pools = self._ahead.result(), 0, self._pools + 1
            self._ahead = self._reader.submit(self._filled)
        some = self._pool[self._used : self._used + n]
        self._used += len(some)
        return some

    def leave_for(self, number: int) -> None:
        self._ahead.result()  # nothing else draws meanwhile
        self._generator.set_state(self._first)
        _reseed_(self._generator, number)
        self._position = 0, 0, self._generator.get_state()

    @property
    def _position(self) -> tuple[int, int, Tensor]:
        """Number of pools begun, samples taken from the last one, and the first state of the generator, which determine what is
        drawn next."""
        return self._pools, self._used, self._first

    @_position.setter
    def _position(self, position: tuple[int, int, Tensor]) -> None:
        pools, used, first = position
        # Most trainings end in the pool that they began in, which is still here.
        if self._pools in (pools, max(pools, 1)) and torch.equal(first, self._first):
            self._used = used
            return
        self._ahead.result()  # nothing else draws meanwhile
        self._pool, self._ahead = torch.empty(0), Future()  # frees their memory before other pools are filled
        self._pools, self._used, self._first = position
        self._generator.set_state(first)
        self._runs = self._drawn_runs(self._in_pool)
        for _ in range(self._pools - 1):
            self._planned()
        self._pool = self._filled() if self._pools else torch.empty(0)
        self._ahead = self._reader.submit(self._filled)

    def close(self) -> None:
        """Ends the reading thread."""
        self._closed = True
        self._reader.shutdown(cancel_futures=True)

    def _drawn_runs(self, in_pool: int) -> Iterator[list[int]]:
        """The runs of one pool after another, without end; those of a pool in the order of the file."""
        count = -(-self._source.count // self._run_rows)
        pools = -(-count // in_pool)
        first = pools * torch.arange(-(-count // pools))
        while True:
            within = torch.rand(len(first), pools, generator=self._generator).argsort(dim=1)
            for column in (first.unsqueeze(1) + within).mT:
                yield column[column < count].tolist()

    def _filled(self) -> Tensor:
        """Reads the next pool, writing each row where the shuffle puts it."""
        spans, order = self._planned()
        pool, filled = torch.empty(0), 0
        for start, stop, left_out in spans:
            if self._closed:
                break
            rows = read_again(self._source, slice(start, stop))
            if len(left_out):
                rows = rows[torch.from_numpy(np.delete(np.arange(stop - start), left_out - start))]
            if not filled:
                pool = rows.new_empty(len(order), rows.shape[1])
            pool[order[filled : filled + len(rows)]] = rows
            filled += len(rows)
        return pool

    def _planned(self) -> tuple[list[tuple[int, int, np.ndarray]], Tensor]:
        """Spans of the runs of the next pool, and the position of each of its rows."""
        spans = [self._span(run) for run in next(self._runs)]
        return spans, torch.randperm(sum(stop - start - len(out) for start, stop, out in spans), generator=self._generator)

    def _span(self, run: int) -> tuple[int, int, np.ndarray]:
        """The first row of a run, the row after its last, and its rows that are not for training."""
        start = run * self._run_rows
        stop = min(start + self._run_rows, self._source.count)
        low, high = np.searchsorted(self._excluded, (start, stop))
        return start, stop, self._excluded[low:high]


def _run_rows(source: FiniteSource, pool_rows: int) -> int:
    """Rows read at a time for a pool: enough to be worth a seek, but few enough that a pool has many runs."""
    worth_a_seek = _RUN_BYTES * source.count // max(1, source.nbytes)
    return max(1, min(max(worth_a_seek, source.rows_together), pool_rows // _LEAST_RUNS))


def costly_in_runs(source: FiniteSource, pool_rows: int, count: int) -> bool:
    """Whether reading ``count`` rows in runs would decode more than all rows, because more than a run is stored together."""
    run = _run_rows(source, pool_rows)
    return source.rows_together > run and count // run * source.rows_together > source.count


@dataclass(frozen=True, kw_only=True, eq=False)
class _DrawAhead:
    """A draw that a thread makes for the next call, which is expected to request as many samples as the last one."""

    n: int
    before: Tensor
    """State of the generator before the draw."""
    values: Future[Tensor]


class DrawnMinibatches:
    """Fresh draws of an endless source, on the generator's device.

    Once two calls in a row have requested the same number of samples, a thread draws those of the next call in the meantime, if the
    source draws from nothing but a generator on the CPU. The samples are the same as without the thread.
    """

    resumable = ("_state",)

    def __init__(self, source: EndlessSource, generator: torch.Generator) -> None:
        self._source, self._generator = source, generator
        self._may_draw_ahead = source.info.kind == "synthetic" and generator.device.type == "cpu"
        self._ahead: _DrawAhead | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._last = 0

    def from_stream(self, stream: Callable[[torch.device], torch.Generator]) -> "DrawnMinibatches":
        """Draws of the same source from another stream on the same device."""
        return DrawnMinibatches(self._source, stream(self._generator.device))

    def next(self, n: int) -> Tensor:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.n == n:
            values = ahead.values.result()
        else:
            self._undo(ahead)
            values = self._source.draw(n, self._generator)
        if self._may_draw_ahead and n == self._last:
            self._thread = self._thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="wdist-draws")
            before = self._generator.get_state()
            self._ahead = _DrawAhead(n=n, before=before, values=self._thread.submit(self._source.draw, n, self._generator))
        self._last = n
        return values

    def leave_for(self, number: int) -> None:
        self._undo(self._ahead)
        self._ahead = None
        _reseed_(self._generator, number)

    def close(self) -> None:
        """Ends the drawing thread."""
        self._undo(self._ahead)
        self._ahead = None
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _undo(self, ahead: _DrawAhead | None) -> None:
        if ahead is not None:
            wait([ahead.values])
            self._generator.set_state(ahead.before)

    @property
    def _state(self) -> Tensor:
        """State of the generator before the next call."""
        return self._generator.get_state() if self._ahead is None else self._ahead.before

    @_state.setter
    def _state(self, state: Tensor) -> None:
        self._undo(self._ahead)
        self._ahead = None
        self._generator.set_state(state)
