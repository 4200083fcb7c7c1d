"""GroupSort in one pass over memory on a GPU, where Triton is installed: ranks by comparison, since groups are small.

A unit's rank is the number of units of its group that come before it; it is stored there, and its gradient fetched from there.
The ranks, a byte each, are all that the backward pass needs. Reading a group k times costs little, because it stays in the cache.

Not yet timed, nor run on a GPU; tested by Triton's interpreter.

References:
    Tillet, Kung & Cox (2019), Triton: an intermediate language and compiler for tiled neural network computations.
"""

from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # it comes with torch for GPUs and not with torch for CPUs
    triton = None

LARGEST_GROUP = 32
"""Ranks cost the square of the group size in comparisons."""
_BLOCK = 128


def available(z: Tensor, group_size: int) -> bool:
    """Whether a tensor can be sorted here."""
    return triton is not None and z.device.type == "cuda" and z.dtype == torch.float32 and 2 <= group_size <= LARGEST_GROUP


def group_sort_fused(z: Tensor, group_size: int) -> Tensor:
    """GroupSort, exactly, of pre-activations of shape (n, C); groups as in :mod:`wdist.lipschitz.group_sort`."""
    return _FusedGroupSort.apply(z, group_size)


class _FusedGroupSort(torch.autograd.Function):
    """Sorted values, and ranks for the gradient."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, group_size: int) -> Tensor:
        z = z.contiguous()
        ascending, ranks = torch.empty_like(z), torch.empty_like(z, dtype=torch.uint8)
        if z.numel():
            _launch(_rank_kernel, z, ascending, ranks, group_size)
        ctx.group_size = group_size
        ctx.save_for_backward(ranks)
        return ascending

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Ranked.apply(gradients[0], ctx.saved_tensors[0], ctx.group_size, True), None


class _Ranked(torch.autograd.Function):
    """The permutation of given ranks, or its inverse: linear, and its own derivative."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, ranks: Tensor, group_size: int, inverse: bool) -> Tensor:
        ctx.group_size, ctx.inverse = group_size, inverse
        ctx.save_for_backward(ranks)
        g = g.contiguous()
        moved = torch.empty_like(g)
        if g.numel():
            _launch(_fetch_kernel if inverse else _store_kernel, g, moved, ranks, group_size)
        return moved

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return _Ranked.apply(gradients[0], ctx.saved_tensors[0], ctx.group_size, not ctx.inverse), None, None, None


def _launch(kernel: Any, source: Tensor, target: Tensor, ranks: Tensor, group_size: int) -> None:
    groups = source.numel() // group_size
    grid = (triton.cdiv(groups, _BLOCK),)
    kernel[grid](source, target, ranks, groups, source.shape[-1] // group_size, group_size=group_size, block=_BLOCK)


if triton is not None:

    @triton.jit
    def _ordered(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        # As integers in the order of the numbers, which is total: of nan, too, each group stays a permutation.
        bits = x.to(tl.int32, bitcast=True)
        return bits ^ ((bits >> 31) & 0x7FFFFFFF)

    @triton.jit
    def _rank_kernel(source, target, ranks, groups, stride, group_size: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        group = tl.program_id(0) * block + tl.arange(0, block)
        inside = group < groups
        # Group j of a row holds the units j, j + stride, j + 2 stride, ...
        first = (group // stride) * (stride * group_size) + group % stride
        for i in tl.static_range(group_size):
            x = tl.load(source + first + i * stride, mask=inside)
            rank = tl.zeros([block], dtype=tl.int32)
            for j in tl.static_range(group_size):
                other = tl.load(source + first + j * stride, mask=inside)
                if j < i:
                    rank += (_ordered(other) <= _ordered(x)).to(tl.int32)
                else:
                    rank += (_ordered(other) < _ordered(x)).to(tl.int32)
            tl.store(target + first + rank * stride, x, mask=inside)
            tl.store(ranks + first + i * stride, rank.to(tl.uint8), mask=inside)

    @triton.jit
    def _fetch_kernel(source, target, ranks, groups, stride, group_size: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        group = tl.program_id(0) * block + tl.arange(0, block)
        inside = group < groups
        first = (group // stride) * (stride * group_size) + group % stride
        for i in tl.static_range(group_size):
            rank = tl.load(ranks + first + i * stride, mask=inside).to(tl.int32)
            tl.store(target + first + i * stride, tl.load(source + first + rank * stride, mask=inside), mask=inside)

    @triton.jit
    def _store_kernel(source, target, ranks, groups, stride, group_size: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        group = tl.program_id(0) * block + tl.arange(0, block)
        inside = group < groups
        first = (group // stride) * (stride * group_size) + group % stride
        for i in tl.static_range(group_size):
            rank = tl.load(ranks + first + i * stride, mask=inside).to(tl.int32)
            tl.store(target + first + rank * stride, tl.load(source + first + i * stride, mask=inside), mask=inside)
