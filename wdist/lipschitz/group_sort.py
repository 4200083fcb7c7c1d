"""GroupSort: sorts each group of units in ascending order, a permutation, which preserves every norm of the gradient.

Group ``j`` of a layer of C units with group size k consists of the units j, j + C/k, j + 2C/k, ... Groups run across contiguous
slices, so comparisons of whole slices sort small groups. The weights around the activation are dense, so it does not matter which
units share a group.

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

_EVALUATED_BY_NETWORK = 32  # largest group size for which a sorting network is faster than torch.sort in evaluation


@cache
def comparators(n: int) -> tuple[tuple[int, int], ...]:
    """Pairs (i, j), i < j; comparing and exchanging them in this order sorts n values.

    References:
        Batcher (1968), Sorting networks and their applications; Knuth, The art of computer programming 3, algorithm 5.2.2 M.
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max(0, (n - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(pairs)


@dataclass(frozen=True)
class _Exchange:
    """One step of a sorting network: comparators of equally spaced runs of units, covered by one pair of strided views."""

    low: int
    high: int
    """First units of a group to compare with each other."""
    run: int = 1
    """Consecutive units in a run."""
    runs: int = 1
    """Number of runs."""
    spacing: int = 1
    """Units from the start of one run to the next."""

    def views(self, z: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
        """The two sides of the comparisons: views of contiguous z, shape (n, runs, run * groups)."""
        rows, units = z.shape
        groups = units // group_size
        shape, strides = (rows, self.runs, self.run * groups), (units, self.spacing * groups, 1)
        return z.as_strided(shape, strides, self.low * groups), z.as_strided(shape, strides, self.high * groups)


_TRAINING_NETWORKS = {
    2: (_Exchange(0, 1),),
    3: (_Exchange(0, 2), _Exchange(0, 1), _Exchange(1, 2)),
    4: (_Exchange(0, 2, run=2), _Exchange(0, 1, runs=2, spacing=2), _Exchange(1, 2)),
}
"""Batcher's networks for the group sizes that train faster with them than with ``torch.sort``."""


class _SortingNetwork(torch.autograd.Function):
    """Sorts across slices by comparators built from relu: d = relu(a - b), min(a, b) = a - d, max(a, b) = b + d.

    The backward pass needs only the differences d. A comparator rounds by one unit in the last place, which does not matter in
    training; evaluation sorts exactly.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, group_size: int) -> Tensor:
        z = z.clone(memory_format=torch.contiguous_format)
        differences = []
        for exchange in _TRAINING_NETWORKS[group_size]:
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
    """Applies the permutation found by a sorting network, or its inverse, to a gradient; linear, so it is its own derivative."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, group_size: int, inverse: bool, *differences: Tensor) -> Tensor:
        ctx.group_size, ctx.inverse = group_size, inverse
        ctx.save_for_backward(*differences)
        g = g.clone(memory_format=torch.contiguous_format)
        decided = list(zip(_TRAINING_NETWORKS[group_size], differences, strict=True))
        for exchange, difference in reversed(decided) if inverse else decided:
            low, high = exchange.views(g, group_size)
            # The backward pass of relu: a vectorised multiplication by [d > 0], many times faster than a boolean mask.
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


def sort_groups(z: Tensor, group_size: int) -> Tensor:
    """Sorts each group of ``group_size`` pre-activations, shape (n, C), in ascending order, exactly."""
    if group_size == z.shape[-1]:
        return z.sort(-1).values
    if group_size <= _EVALUATED_BY_NETWORK and not z.requires_grad:
        slices = list(z.chunk(group_size, -1))
        for low, high in comparators(group_size):
            slices[low], slices[high] = torch.minimum(slices[low], slices[high]), torch.maximum(slices[low], slices[high])
        return torch.cat(slices, -1)
    return z.unflatten(-1, (group_size, -1)).sort(-2).values.flatten(-2)


def group_sort(z: Tensor, group_size: int) -> Tensor:
    """GroupSort for training, shape (n, C) or (k, n, C); faster than exact sorting, but small groups round in the last places."""
    if group_size == z.shape[-1]:
        if z.device.type != "cpu":
            return z.sort(-1).values
        # numpy sorts long rows faster than torch, with vector instructions.
        return _Ordered.apply(z, torch.from_numpy(np.argsort(z.detach().numpy(), axis=-1)), False)
    if group_size in _TRAINING_NETWORKS:
        return _SortingNetwork.apply(z.flatten(0, -2), group_size).view_as(z)
    return sort_groups(z, group_size)
