"""Measures: the samples of one source, split before anything is fitted, with their origin."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.checkpoints.state import restored, state_of
from wdist.data.memory import fits, planned_memory, return_large_blocks
from wdist.data.rows import (
    DrawnMinibatches,
    Minibatches,
    ResidentRows,
    Rows,
    ShuffledMinibatches,
    StreamedMinibatches,
    StreamedRows,
    costly_in_runs,
    read_again,
)
from wdist.data.sources.arrays import ArraySource, StoredArray, exact_float
from wdist.data.sources.source import EndlessSource, FiniteSource, KeptRows, Source, SourceInfo, random_stream
from wdist.data.sources.spool import Spool, free_disk

VALIDATION_SHARE = 1 / 6
HELD_OUT_SHARE = 1 / 6
ENOUGH_HELD_OUT = 30
"""Fewest held-out samples of a side for a reliable normal approximation of their mean, but no more than a third of all samples."""
LEAST_IN_FOLD = 10
"""Fewest samples of a side in a fold."""
_FOLD_STREAM = 100
"""Purpose of the random stream that the first fold trains on; those of the next folds follow."""
DRAWN_VALIDATION = 4096
DRAWN_HELD_OUT = 20_000
"""Validation and held-out draws of an endless source."""
DRAWN_COORDINATES = 1 << 27
"""Most coordinates of either, 1 GB in float64: of samples with over 6700 coordinates, fewer are drawn, alike on all machines."""
_LEAST_DRAWN = 600
_MOST_LISTED = 1 << 24
"""Most rows for which a whole permutation is drawn; for more rows, only the held-out and validation rows are drawn."""
_SLAB_BYTES = 1 << 24
"""Largest piece read from a file at a time."""
_POOL_BYTES, _POOL_SHARE, _LEAST_POOL = 1 << 26, 80, 64
"""Bytes of a stream's pool, which takes at most 1/80 of the free memory, and its fewest rows."""
_SPOOL_BYTES = 1 << 30
"""Most bytes of a stream's training samples that are kept in a temporary file if reading them in runs would cost more."""
_HELD_SHARE = 32
"""A stream's held-out and validation rows each take at most 1/32 of the free memory."""
_MOST_KEPT, _LEAST_KEPT = 6, 2
_KEPT_NUMBERS = 1 << 24
"""Coordinates of the batches kept of a stored set (64 MB), unless :data:`_LEAST_KEPT` batches exceed it."""
_FRESH_EVERY, _DRAWN_EVERY = 3, 6
"""Steps between two fresh batches, of stored samples and of draws; drawing one may cost as much as several steps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Three disjoint sorted sets of row numbers that cover all rows."""

    count: int
    """Number of all rows."""
    validation: np.ndarray
    held_out: np.ndarray

    @property
    def excluded(self) -> np.ndarray:
        """The rows that are not for training."""
        return np.sort(np.concatenate([self.validation, self.held_out]))

    @cached_property
    def train(self) -> np.ndarray:
        """The rows for training, at 8 bytes each."""
        return np.delete(np.arange(self.count), self.excluded)


def split(count: int, *, seed: int, most_held: int | None = None) -> Split:
    """Draws a random split of ``count`` rows, which depends only on count and seed, so that identical sets are split alike.

    Validation and held-out parts have at most ``most_held`` rows each, because a stream keeps them in memory.
    """
    limit = count if most_held is None else most_held
    validation = min(max(1, round(count * VALIDATION_SHARE)), limit)
    held_out = min(max(round(count * HELD_OUT_SHARE), min(ENOUGH_HELD_OUT, count // 3), 1), limit)
    if count <= _MOST_LISTED:
        order = _order(count, seed)
        held, chosen = np.sort(order[:held_out]), np.sort(order[held_out : held_out + validation])
    else:
        held = held_out_rows(count, held_out, seed=seed)
        others = np.random.default_rng([seed, count, 1]).choice(count - held_out, validation, replace=False, shuffle=False)
        chosen = np.sort(_outside(held, others))
    return Split(count=count, validation=chosen, held_out=held)


def _outside(excluded: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The numbers of the rows at these positions among all that are not excluded; ``excluded`` is sorted."""
    return positions + np.searchsorted(excluded - np.arange(len(excluded)), positions, side="right")


def held_out_rows(count: int, size: int, *, seed: int) -> np.ndarray:
    """The ``size`` rows that :func:`split` holds out, in ascending order."""
    if count <= _MOST_LISTED:
        return np.sort(_order(count, seed)[:size])
    return np.sort(np.random.default_rng([seed, count]).choice(count, size, replace=False, shuffle=False))


def fold_rows(count: int, folds: int, number: int, *, seed: int) -> np.ndarray:
    """The rows that fold ``number`` of ``folds`` holds out, in ascending order; each row belongs to one fold."""
    return np.sort(np.array_split(_order(count, seed), folds)[number])


def _order(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, count]).permutation(count)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure:
    """One side of an estimation."""

    info: SourceInfo
    train: Minibatches
    training_rows: ResidentRows | None = None
    """The training split as a fixed set; None if it is streamed or drawn."""
    validation: ResidentRows
    held_out: ResidentRows
    held_out_numbers: np.ndarray | None = None
    """Numbers of the held-out rows, in their order; None for an endless source."""
    everything: Rows
    """All samples of a finite source; the held-out draws of an endless one."""
    digest: str | None = None
    """SHA-256 of the stored samples; None for an endless source."""
    endless: EndlessSource | None = None
    """The source, from which more can be drawn; None for a finite one."""

    def training_sample(self, limit: int, *, drawn: int | None = None) -> ResidentRows:
        """At most ``limit`` samples of the training split; if it is streamed or drawn, the next ones, and at most ``drawn``."""
        if self.training_rows is not None:
            return self.training_rows.some(limit)
        values = self.train.next(limit if drawn is None else min(limit, drawn))
        return ResidentRows(values=values.cpu(), info=_without_scaling(self.info))

    @property
    def streamed(self) -> bool:
        """Whether all samples do not fit into memory."""
        return not isinstance(self.everything, ResidentRows)

    @property
    def without_validation(self) -> "Measure":
        """The measure with its validation split added to the training samples, if these are a set in memory."""
        train, other = self.training_rows, self.validation
        if train is None or train.index is None or other.index is None or train.values is not other.values:
            return self
        rows = replace(train, index=torch.cat([train.index, other.index]).sort().values)
        minibatches = self.train.over(rows) if isinstance(self.train, ShuffledMinibatches) else self.train
        return replace(self, train=minibatches, training_rows=rows)

    @property
    def untrained_on(self) -> ResidentRows:
        """The samples outside the training split, in the order of their numbers if they are in memory."""
        parts = (self.validation, self.held_out)
        if all(part.index is not None and part.values is parts[0].values for part in parts):
            index = torch.cat([part.index for part in parts if part.index is not None])
            return replace(self.validation, index=index.sort().values)
        values = torch.cat([part.values if part.index is None else part.values[part.index] for part in parts])
        return replace(self.validation, values=values, index=None)

    def close(self) -> None:
        if isinstance(self.train, StreamedMinibatches | DrawnMinibatches):
            self.train.close()


def _without_scaling(info: SourceInfo) -> SourceInfo:
    return replace(info, scale=1.0, offset=0.0)


def make_measure(
    source: Source,
    *,
    side: int,
    seed: int,
    device: torch.device,
    digest: str | None,
    most_held: int | None = None,
    in_memory: bool = True,
) -> Measure:
    """Splits a source, endless or of finite values, and decides whether to hold, stream or draw its samples; side 0 is A, 1 is B.

    A finite source holds out at most ``most_held`` rows, by default a sixth, or fewer if memory is short; an endless one holds out
    that many draws. With ``in_memory`` false, every stored set is streamed.
    """
    if isinstance(source, EndlessSource):
        return _drawn(source, side=side, seed=seed, device=device, draws=most_held)
    # A stream leads to other digits than a set in memory, and planned memory varies from run to run less than free memory.
    kept = isinstance(source, KeptRows) and source.complete
    if in_memory and (kept or (fits(source.nbytes) and source.nbytes <= planned_memory())):
        return _resident(source, side=side, seed=seed, device=device, digest=digest, most_held=most_held)
    return _streamed(source, side=side, seed=seed, digest=digest, most_held=most_held)


def _resident(
    source: FiniteSource, *, side: int, seed: int, device: torch.device, digest: str | None, most_held: int | None
) -> Measure:
    values = read_again(source, slice(0, source.count))
    values = _placed(values, device)
    parts = split(source.count, seed=seed, most_held=most_held)

    def part(numbers: np.ndarray) -> ResidentRows:
        return ResidentRows(values=values, info=source.info, index=torch.from_numpy(numbers).to(values.device))

    train = part(parts.train)
    return Measure(
        info=source.info,
        train=ShuffledMinibatches(train, random_stream(seed, side, 0), exact_float(values.dtype)),
        training_rows=train,
        validation=part(parts.validation),
        held_out=part(parts.held_out),
        held_out_numbers=parts.held_out,
        everything=ResidentRows(values=values, info=source.info),
        digest=digest,
    )


def _placed(values: Tensor, device: torch.device) -> Tensor:
    """The values, moved to a GPU if they take at most half of its free memory."""
    fitting = device.type == "cuda" and values.nbytes <= torch.cuda.mem_get_info(device)[0] // 2
    return values.to(device) if fitting else values


def _streamed(source: FiniteSource, *, side: int, seed: int, digest: str | None, most_held: int | None) -> Measure:
    return_large_blocks()
    row_bytes, free = max(1, source.nbytes // source.count), 2 * planned_memory()
    if most_held is None:
        most_held = min(max(64, free // _HELD_SHARE // row_bytes), DRAWN_HELD_OUT)
    parts = split(source.count, seed=seed, most_held=most_held)
    excluded = parts.excluded
    pool_rows = max(_LEAST_POOL, min(_POOL_BYTES, free // _POOL_SHARE) // row_bytes)
    rows, apart = source, excluded
    note = "training samples come from shuffled runs of neighbouring rows"
    drawn = min(source.count - len(excluded), min(_SPOOL_BYTES, free_disk()) // row_bytes)
    if costly_in_runs(source, pool_rows, drawn):
        numbers = np.sort(np.concatenate([excluded, _stratified(excluded, source.count, drawn, seed=seed)]))
        rows, apart = _spooled(source, numbers), np.searchsorted(numbers, excluded)
        note = f"training samples are {drawn:,} rows chosen at random, in a temporary file"
    kept = _read_apart(rows, apart)  # in one call, because files of some formats are read whole each time
    validation, held_out = (
        ResidentRows(values=kept, info=source.info, index=torch.from_numpy(np.searchsorted(excluded, each)))
        for each in (parts.validation, parts.held_out)
    )
    train = StreamedMinibatches(rows, apart, random_stream(seed, side, 0), exact_float(kept.dtype), pool_rows=pool_rows)
    return Measure(
        info=replace(source.info, notes=(*source.info.notes, note)),
        train=train,
        validation=validation,
        held_out=held_out,
        held_out_numbers=parts.held_out,
        everything=StreamedRows(source=source),
        digest=digest,
    )


def _stratified(excluded: np.ndarray, count: int, size: int, *, seed: int) -> np.ndarray:
    """Sorted numbers of ``size`` rows that are not excluded: one at random from each of ``size`` equal parts of these rows."""
    ends = np.arange(size + 1) * (count - len(excluded)) // size
    within = np.random.default_rng([seed, count, 2]).random(size)
    return _outside(excluded, ends[:-1] + (within * np.diff(ends)).astype(np.int64))


def _spooled(source: FiniteSource, numbers: np.ndarray) -> FiniteSource:
    """Some rows of a source in a temporary file, written in one pass over all rows."""
    slab, types = max(1, _SLAB_BYTES // max(1, source.nbytes // source.count)), []

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, source.count, slab):
            low, high = np.searchsorted(numbers, (start, start + slab))
            rows = read_again(source, slice(start, start + slab))[torch.from_numpy(numbers[low:high] - start)]
            types.append(rows.dtype)
            yield rows.view(torch.uint8).numpy()

    spool = Spool(blocks())

    def read_rows(start: int, stop: int) -> Tensor:
        return torch.from_numpy(spool[start:stop]).view(types[0])

    info = replace(source.info, count=len(numbers))
    shape = (len(numbers), *info.event_shape)
    return ArraySource(StoredArray(shape=shape, dtype=info.dtype, itemsize=source.itemsize, read_rows=read_rows), info)


def _read_apart(source: FiniteSource, numbers: np.ndarray) -> Tensor:
    """Reads rows that lie far apart into one block of memory; small blocks among large ones would keep the large ones from being
    freed."""
    size = max(1, _SLAB_BYTES // max(1, source.nbytes // source.count))
    values = torch.empty(0)
    for start in range(0, len(numbers), size):
        rows = read_again(source, numbers[start : start + size])
        values = rows.new_empty(len(numbers), rows.shape[1]) if not start else values
        values[start : start + len(rows)] = rows
    return values


def _drawn(source: EndlessSource, *, side: int, seed: int, device: torch.device, draws: int | None) -> Measure:
    # Drawn on the CPU, so that validation and held-out draws are the same on every machine.
    drawn = _without_scaling(source.info)
    affordable = max(_LEAST_DRAWN, DRAWN_COORDINATES // source.info.dim)
    validation = source.draw(min(DRAWN_VALIDATION, affordable), random_stream(seed, side, 1))
    held_out = source.draw(draws or min(DRAWN_HELD_OUT, affordable), random_stream(seed, side, 2))
    held = ResidentRows(values=_placed(held_out, device), info=drawn)
    return Measure(
        info=source.info,
        train=DrawnMinibatches(source, random_stream(seed, side, 0, device=device)),
        validation=ResidentRows(values=validation, info=drawn),
        held_out=held,
        everything=held,
        endless=source,
    )


def fold_of(measure: Measure, folds: int, number: int, *, seed: int, side: int) -> Measure:
    """A measure in memory that holds out one of several folds, and trains and validates on the others.

    For an endless source, each fold is a part of the held-out draws and trains on draws of its own.
    """
    rows = measure.everything
    assert isinstance(rows, ResidentRows), "folds are of rows in memory"
    held_out = fold_rows(rows.count, folds, number, seed=seed)

    def part(numbers: np.ndarray) -> ResidentRows:
        return replace(rows, index=torch.from_numpy(numbers).to(rows.values.device))

    if isinstance(measure.train, DrawnMinibatches):
        draws = measure.train.from_stream(lambda device: random_stream(seed, side, _FOLD_STREAM + number, device=device))
        return replace(measure, train=draws, held_out=part(held_out), held_out_numbers=held_out)
    others = np.setdiff1d(np.arange(rows.count), held_out, assume_unique=True)
    inner = split(len(others), seed=seed)
    train = part(np.sort(others[np.concatenate([inner.train, inner.held_out])]))
    return replace(
        measure,
        train=ShuffledMinibatches(train, random_stream(seed, side, 0), exact_float(rows.values.dtype)),
        training_rows=train,
        validation=part(others[inner.validation]),
        held_out=part(held_out),
        held_out_numbers=held_out,
    )


class TrainingStreams:
    """The training samples of several measures from their present places on.

    Each training returns to these places, so that what it draws does not depend on what others have drawn.
    """

    def __init__(self, *measures: Measure) -> None:
        self._streams = [measure.train for measure in measures]
        self._places = state_of(self._streams)

    def begin(self, sequence: int = 0) -> None:
        """Returns to these places, or goes to the beginning of another sequence."""
        restored(self._streams, self._places)
        for stream in self._streams if sequence else ():
            stream.leave_for(sequence)


class Pool:
    """All training samples if they fit into one batch of ``size``; otherwise several such batches in turn, the oldest replaced.

    Its state records where the kept batches were drawn; the stream that they were drawn from has to be restored after it.
    """

    resumable = ("_drawn_at", "_turn")

    def __init__(self, measure: Measure, size: int, prepare: Callable[[Tensor], Tensor]) -> None:
        rows = measure.training_rows
        self._measure, self._prepare = measure, prepare
        self._whole = rows is not None and rows.count <= size
        self._size = size if rows is None else min(size, rows.count)
        drawn = measure.endless is not None
        room = _MOST_KEPT if drawn else _KEPT_NUMBERS // (self._size * measure.info.dim)
        self._most = max(_LEAST_KEPT, min(_MOST_KEPT, room))
        self._fresh_every = _DRAWN_EVERY if drawn else _FRESH_EVERY
        self._positions: list[Any] = []
        # A whole set is taken in stored order, because the next minibatch would begin where an earlier training stopped.
        self._batches = [prepare(rows.take(torch.arange(rows.count))) if rows is not None and self._whole else self._draw()]
        self._turn = 0

    @property
    def sample(self) -> Tensor:
        """The first batch kept, shape (n, dim)."""
        return self._batches[0]

    def next(self) -> Tensor:
        """The next batch, shape (n, dim)."""
        if self._whole:
            return self._batches[0]
        if self._turn % self._fresh_every == 0 and self._turn:
            self._batches = self._batches[-self._most + 1 :]  # freed before the next draw
            self._positions = self._positions[-self._most + 1 :]
            self._batches.append(self._draw())
        self._turn += 1
        return self._batches[self._turn % len(self._batches)]

    def _draw(self) -> Tensor:
        self._positions.append(state_of(self._measure.train))
        return self._prepare(self._measure.train.next(self._size))

    @property
    def _drawn_at(self) -> list[Any]:
        return self._positions

    @_drawn_at.setter
    def _drawn_at(self, positions: list[Any]) -> None:
        if not self._whole:
            self._batches, self._positions = [], []
            for position in positions:
                restored(self._measure.train, position)
                self._batches.append(self._draw())
