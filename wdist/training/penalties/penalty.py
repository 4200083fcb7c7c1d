"""What a penalty is: the price of slopes above 1 where they are looked for, which bounds the slope nowhere."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn


class Penalty(Protocol):
    """Is taken off the dual value of one minibatch."""

    def __call__(self, critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        """The price, a differentiable scalar, at standardised samples of A and B, shapes (n, dim) and (m, dim)."""
        ...


PenaltyFactory = Callable[[torch.Generator], Penalty]
"""Makes a penalty that takes its randomness from a generator on the samples' device."""


def slopes(critic: nn.Module, x: Tensor) -> Tensor:
    """Euclidean norm of the critic's gradient at each x, shape (n,), differentiable in the critic's parameters."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    # The square root has no slope at 0, where a critic is flat.
    return (gradient.square().sum(1) + 1e-12).sqrt()


def between(a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
    """A point on the line from each sample of A to one of B, shape (min(n, m), dim)."""
    count = min(len(a), len(b))
    share = torch.rand(count, 1, generator=generator, device=a.device, dtype=a.dtype)
    return share * a[:count] + (1 - share) * b[:count]


def excess(slope: Tensor) -> Tensor:
    """Mean square of what exceeds 1."""
    return (slope - 1).clamp(min=0).square().mean()
