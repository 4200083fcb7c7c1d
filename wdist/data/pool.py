"""Large batches of training samples, for steps that average over tens of thousands."""

from collections.abc import Callable

import torch
from torch import Tensor

from wdist.data.measure import Measure

_KEPT, _LEAST_KEPT = 6, 2
_KEPT_NUMBERS = 1 << 24
"""Coordinates of those of a set in memory, 64 MB beside the samples themselves, unless only :data:`_LEAST_KEPT` exceed it."""
_FRESH_EVERY = 3
"""Steps between two draws: drawing may cost as much as a step, and the same batch comes round again with other cells."""


class Pool:
    """All training samples where they fit one batch; otherwise some large batches in turn, the oldest replaced now and then.

    Arguments:
        measure: one side.
        size: samples of a batch.
        prepare: what is done to samples in the units of the source before they are handed out.
    """

    def __init__(self, measure: Measure, size: int, prepare: Callable[[Tensor], Tensor]) -> None:
        rows = measure.training_rows
        self._measure, self._prepare = measure, prepare
        self._whole = rows is not None and rows.count <= size
        self._size = size if rows is None else min(size, rows.count)
        room = _KEPT if rows is None else _KEPT_NUMBERS // (self._size * measure.info.dim)
        self._most = max(_LEAST_KEPT, min(_KEPT, room))
        # Not the next minibatch, which begins wherever an earlier training has left off.
        self._batches = [prepare(rows.take(torch.arange(rows.count))) if rows is not None and self._whole else self._draw()]
        self._turn = 0

    @property
    def sample(self) -> Tensor:
        """Some of the samples, shape (n, dim)."""
        return self._batches[0]

    def next(self) -> Tensor:
        """A batch, shape (n, dim)."""
        if self._whole:
            return self._batches[0]
        if self._turn % _FRESH_EVERY == 0 and self._turn:
            self._batches = self._batches[-self._most + 1 :]  # before another is drawn, which would be held beside them
            self._batches.append(self._draw())
        self._turn += 1
        return self._batches[self._turn % len(self._batches)]

    def _draw(self) -> Tensor:
        return self._prepare(self._measure.train.next(self._size))
