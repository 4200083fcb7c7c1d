"""The largest slope that a search finds: the Lipschitz constant of a critic **from below**. Never part of a certificate."""

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.ground_metric import L2, GroundMetric

_ROUNDS = 20
_KEPT = 32
"""Points that each round goes on from."""
_TRIES = 8
"""Steps that are tried from each."""


def largest_slope(critic: FrozenCritic, a: Tensor, b: Tensor, *, generator: torch.Generator, metric: GroundMetric = L2) -> float:
    """The largest dual norm of the gradient over the samples, points between them, and where a hill climb from there leads.

    Gradients of a network that is linear in pieces say nothing of where a steeper piece begins, so the climb tries random steps,
    shorter in every round.

    Arguments:
        critic: any.
        a, b: samples in the units of the data, float64, shapes (n, dim) and (m, dim).
        generator: on the CPU.
        metric: between samples; a gradient's dual norm is the slope.
    """
    count = min(len(a), len(b))
    share = torch.rand(count, 1, generator=generator, dtype=torch.float64)
    x = torch.cat([a, b, a[:count] + share * (b[:count] - a[:count])])
    found = _slopes(critic, x, metric)
    spread = critic.standardisation.spread / critic.dim**0.5
    for round_ in range(_ROUNDS):
        best = found.topk(min(_KEPT, len(found))).indices
        x, found = x[best], found[best]
        steps = torch.randn(_TRIES, *x.shape, generator=generator, dtype=torch.float64) * (spread * 0.75**round_)
        tried = (x + steps).flatten(0, 1)
        x, found = torch.cat([x, tried]), torch.cat([found, _slopes(critic, tried, metric)])
    return float(found.max())


def _slopes(critic: FrozenCritic, x: Tensor, metric: GroundMetric) -> Tensor:
    """Dual norm of the gradient at each x, shape (n,)."""
    h = critic.standardisation.apply(x).requires_grad_()
    z = h
    for layer in critic.layers:
        z = layer(z)
    (gradient,) = torch.autograd.grad(z.sum(), h)
    return torch.linalg.vector_norm(gradient, ord=metric.dual, dim=1) * critic.lipschitz
