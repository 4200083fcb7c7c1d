"""GroupSort: each group of units sorted in ascending order, a permutation, which preserves every norm of the gradient.

Group ``j`` of a layer of C units with group size k holds the units j, j + C/k, j + 2C/k, ...: a group runs across contiguous
slices, so that comparisons of whole slices sort small groups. The weights around the activation are dense, so it does not matter
which units share a group.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.1.
    Chernodub & Nowicki (2016), Norm-preserving orthogonal permutation linear unit activation functions, arXiv:1604.02313 (groups of
        two: MaxMin).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.lipschitz.activation import Activation

_TRAINED_BY_NETWORK = 4
"""Largest group size for which a sorting network trains faster than ``torch.sort``."""
_EVALUATED_BY_NETWORK = 32
"""Largest group size for which a sorting network, which then stores nothing, evaluates faster."""


@cache
def _steps(n: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Pairs (i, j), i < j, whose comparison and exchange sorts n values; those of one step are disjoint and equally far apart.

    References:
        Batcher (1968), Sorting networks and their applications; Knuth, The art of computer programming 3, algorithm 5.2.2 M.
    """
    steps = []
    top = 1 << max(0, (n - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            steps.append(tuple((i, i + d) for i in range(n - d) if i & p == r))
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(step for step in steps if step)


def comparators(n: int) -> tuple[tuple[int, int], ...]:
    """Pairs (i, j), i < j, whose comparison and exchange in this order sorts n values."""
    return tuple(pair for step in _steps(n) for pair in step)


@dataclass(frozen=True, kw_only=True)
class _Exchange:
    """Comparators of one step that one pair of strided views covers: equally spaced runs of units."""

    low: int
    """First unit of a group to compare."""
    high: int
    """The unit to compare it with."""
    run: int
    """Units in a row."""
    runs: int
    spacing: int
    """Units from one run to the next."""

    def views(self, z: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
        """The two sides of the comparisons: views of contiguous z, shape (n, runs, run * groups)."""
        rows, units = z.shape
        groups = units // group_size
        shape, strides = (rows, self.runs, self.run * groups), (units, self.spacing * groups, 1)
        return z.as_strided(shape, strides, self.low * groups), z.as_strided(shape, strides, self.high * groups)


@cache
def _exchanges(n: int) -> tuple[_Exchange, ...]:
    """The comparators of Batcher's network, combined: one operation on an array costs less than many on slices."""
    found: list[_Exchange] = []
    for pairs in _steps(n):
        distance = pairs[0][1] - pairs[0][0]
        runs: list[list[int]] = []
        for low, _ in pairs:
            if runs and runs[-1][0] + runs[-1][1] == low:
                runs[-1][1] += 1
            else:
                runs.append([low, 1])
        while runs:
            low, run = runs[0]
            spacing = runs[1][0] - low if len(runs) > 1 else n
            alike = 1
            while alike < len(runs) and runs[alike] == [low + alike * spacing, run]:
                alike += 1
            found.append(_Exchange(low=low, high=low + distance, run=run, runs=alike, spacing=spacing))
            runs = runs[alike:]
    return tuple(found)


class _SortingNetwork(torch.autograd.Function):
    """Sorts across slices by comparators built from relu: d = relu(a - b), min(a, b) = a - d, max(a, b) = b + d.

    The backward pass needs the differences d anyway, so nothing is stored twice. A comparator rounds by one unit in the last place,
    which does not matter in training; evaluation sorts exactly.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, group_size: int) -> Tensor:
        z = z.clone(memory_format=torch.contiguous_format)
        differences = []
        for exchange in _exchanges(group_size):
            low, high = exchange.views(z, group_size)
            difference = (low - high).relu_()
            low.sub_(difference)
            high.add_(difference)
            differences.append(difference)
        ctx.group_size = group_size
        ctx.save_for_backward(*differences)
        return z

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Exchanged.apply(gradients[0], ctx.group_size, True, *ctx.saved_tensors), None


class _Exchanged(torch.autograd.Function):
    """The permutation found by a sorting network, or its inverse, applied to a gradient: linear, and its own derivative."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, group_size: int, inverse: bool, *differences: Tensor) -> Tensor:
        ctx.group_size, ctx.inverse = group_size, inverse
        ctx.save_for_backward(*differences)
        g = g.clone(memory_format=torch.contiguous_format)
        decided = list(zip(_exchanges(group_size), differences, strict=True))
        for exchange, difference in reversed(decided) if inverse else decided:
            low, high = exchange.views(g, group_size)
            # The backward pass of relu: a vectorised multiplication by [d > 0], many times faster than by a boolean mask.
            moved = torch.ops.aten.threshold_backward(high - low, difference, 0)
            low.add_(moved)
            high.sub_(moved)
        return g

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        permuted = _Exchanged.apply(gradients[0], ctx.group_size, not ctx.inverse, *ctx.saved_tensors)
        return permuted, None, None, *[None] * len(ctx.saved_tensors)


class _Ordered(torch.autograd.Function):
    """Gathers entries by a permutation of positions; the backward pass scatters them back."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, positions: Tensor, inverse: bool) -> Tensor:
        ctx.inverse = inverse
        ctx.save_for_backward(positions)
        return torch.empty_like(z).scatter_(-1, positions, z) if inverse else z.gather(-1, positions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Ordered.apply(gradients[0], ctx.saved_tensors[0], not ctx.inverse), None, None


def _sort_rows(z: Tensor) -> Tensor:
    """Each row in ascending order; for training."""
    if z.device.type != "cpu":
        return z.sort(-1).values
    # numpy sorts long rows with vector instructions and is faster than torch.
    return _Ordered.apply(z, torch.from_numpy(np.argsort(z.detach().numpy(), axis=-1)), False)


def sort_groups(z: Tensor, group_size: int) -> Tensor:
    """Sorts each group in ascending order, exactly.

    Arguments:
        z: pre-activations, shape (n, C), where C is a multiple of ``group_size``.
        group_size: units in a group.
    """
    if group_size == z.shape[-1]:
        return z.sort(-1).values
    if group_size <= _EVALUATED_BY_NETWORK and not z.requires_grad:
        slices = list(z.chunk(group_size, -1))
        for low, high in comparators(group_size):
            slices[low], slices[high] = torch.minimum(slices[low], slices[high]), torch.maximum(slices[low], slices[high])
        return torch.cat(slices, -1)
    return z.unflatten(-1, (group_size, -1)).sort(-2).values.flatten(-2)


def group_sort(z: Tensor, group_size: int) -> Tensor:
    """GroupSort for training: :func:`sort_groups`, but faster; for small groups it rounds by a few units in the last place.

    Arguments:
        z: pre-activations, shape (n, C), or (k, n, C) for critics side by side, where C is a multiple of ``group_size``.
        group_size: units in a group.
    """
    if group_size == z.shape[-1]:
        return _sort_rows(z)
    if 2 <= group_size <= _TRAINED_BY_NETWORK:
        return (
            _SortingNetwork.apply(z, group_size) if z.ndim == 2 else _SortingNetwork.apply(z.flatten(0, 1), group_size).view_as(z)
        )
    return sort_groups(z, group_size)


def group_sort_activation(group_size: int, name: str | None = None) -> Activation:
    """GroupSort with groups of ``group_size`` units, which must divide the units of the layer."""
    return Activation(
        name=name or f"group-sort:{group_size}",
        train=lambda z: group_sort(z, group_size),
        evaluate=lambda z: sort_groups(z, group_size),
        l2=1.0,
        linf=1.0,
        reason="permutation",
        group=group_size,
    )


def full_sort_activation() -> Activation:
    """GroupSort with the whole layer as one group."""
    return Activation(
        name="full-sort", train=_sort_rows, evaluate=lambda z: z.sort(-1).values, l2=1.0, linf=1.0, reason="permutation"
    )
