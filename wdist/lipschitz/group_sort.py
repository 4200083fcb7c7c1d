"""GroupSort: each group of units in ascending order, a permutation, which keeps every norm of the gradient.

Group ``j`` of a layer of C units with group size k holds the units j, j + C/k, j + 2C/k, ...: a group runs across contiguous
slices, so that small groups are sorted by whole-slice comparisons. Which units share a group is a matter of naming, since the
weights around the activation are dense.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.1.
    Chernodub & Nowicki (2016), Norm-preserving orthogonal permutation linear unit activation functions, arXiv:1604.02313 (groups of
        two: MaxMin).
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from wdist.lipschitz.activation import Activation

_TRAINED_BY_NETWORK = (2, 4)
"""Group sizes that train faster by a sorting network; beyond, torch.sort is faster there and back (CPU, batch 128 to 1024)."""
_EVALUATED_BY_NETWORK = 32
"""Largest group size that is evaluated faster by a sorting network, which stores nothing there."""


@cache
def comparators(n: int) -> tuple[tuple[int, int], ...]:
    """Pairs (i, j), i < j, to compare and exchange in this order so that n values end sorted.

    References:
        Batcher (1968), Sorting networks and their applications; Knuth, The art of computer programming 3, algorithm 5.2.2 M.
    """
    pairs = []
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


class _SortingNetwork(torch.autograd.Function):
    """Sorts across slices by comparators built from relu: min(a, b) = a - relu(a - b), max(a, b) = b + relu(a - b).

    Differences are what the backward pass needs anyway, so nothing is stored twice. A comparator rounds by one unit in the last
    place, which training does not mind; evaluation sorts exactly.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, group_size: int) -> Tensor:
        slices = list(z.chunk(group_size, -1))
        differences = []
        for low, high in comparators(group_size):
            difference = torch.relu(slices[low] - slices[high])
            slices[low], slices[high] = slices[low] - difference, slices[high] + difference
            differences.append(difference)
        ctx.group_size = group_size
        ctx.save_for_backward(*differences)
        return torch.cat(slices, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        slices = list(gradients[0].chunk(ctx.group_size, -1))
        for (low, high), difference in zip(reversed(comparators(ctx.group_size)), reversed(ctx.saved_tensors), strict=True):
            moved = (slices[high] - slices[low]) * (difference > 0)
            slices[low], slices[high] = slices[low] + moved, slices[high] - moved
        return torch.cat(slices, -1), None


def sort_groups(z: Tensor, group_size: int) -> Tensor:
    """Sorts each group in ascending order, exactly.

    Arguments:
        z: pre-activations of shape (n, C), C a multiple of ``group_size``.
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
    """GroupSort for training: as :func:`sort_groups`, faster and rounding by a unit in the last place for small groups.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.1.
        Chernodub & Nowicki (2016), Norm-preserving orthogonal permutation linear unit activation functions (group size 2).
    """
    if group_size in _TRAINED_BY_NETWORK and group_size < z.shape[-1]:
        return _SortingNetwork.apply(z, group_size)
    return sort_groups(z, group_size)


def group_sort_activation(group_size: int, name: str | None = None) -> Activation:
    """GroupSort with groups of ``group_size`` units, which must divide those of the layer."""
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

    def ascending(z: Tensor) -> Tensor:
        return z.sort(-1).values

    return Activation(name="full-sort", train=ascending, evaluate=ascending, l2=1.0, linf=1.0, reason="permutation")
