"""Pools of large batches of training samples, for steps that average over tens of thousands."""

from collections.abc import Callable

import torch
from torch import Tensor

from wdist.data.measure import Measure

_MOST_KEPT, _LEAST_KEPT = 6, 2
_KEPT_NUMBERS = 1 << 24
"""Coordinates of the batches kept of a set in memory (64 MB), unless :data:`_LEAST_KEPT` batches exceed it."""
_FRESH_EVERY = 3
"""Steps between two draws, because a draw may cost as much as a step."""


class Pool:
    """All training samples if they fit into one batch; otherwise several large batches in turn, the oldest replaced regularly.

    A batch holds ``size`` samples; ``prepare`` transforms them from the units of the source.
    """

    def __init__(self, measure: Measure, size: int, prepare: Callable[[Tensor], Tensor]) -> None:
        rows = measure.training_rows
        self._measure, self._prepare = measure, prepare
        self._whole = rows is not None and rows.count <= size
        self._size = size if rows is None else min(size, rows.count)
        room = _MOST_KEPT if rows is None else _KEPT_NUMBERS // (self._size * measure.info.dim)
        self._most = max(_LEAST_KEPT, min(_MOST_KEPT, room))
        # A whole set is taken in stored order: the next minibatch would begin where an earlier training stopped.
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
        if self._turn % _FRESH_EVERY == 0 and self._turn:
            self._batches = self._batches[-self._most + 1 :]  # freed before the next draw
            self._batches.append(self._draw())
        self._turn += 1
        return self._batches[self._turn % len(self._batches)]

    def _draw(self) -> Tensor:
        return self._prepare(self._measure.train.next(self._size))
