"""A search for the largest slope of a critic: its Lipschitz constant **from below**, never part of a certificate."""

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.ground_metric import L2, GroundMetric

_ROUNDS = 20
_KEPT = 32  # points kept for the next round
_TRIES = 8  # steps tried from each point


def largest_slope(critic: FrozenCritic, a: Tensor, b: Tensor, *, generator: torch.Generator, metric: GroundMetric = L2) -> float:
    """The largest dual norm of the gradient at samples a and b, float64, at points between them, and along a hill climb from there.

    Gradients of a piecewise linear network do not point to steeper pieces, so the climb tries random steps, shorter in every round;
    the generator is on the CPU.
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
    """Dual norms of the gradients at x, shape (n,)."""
    h = critic.standardisation.apply(x).requires_grad_()
    z = h
    for layer in critic.layers:
        z = layer(z)
    (gradient,) = torch.autograd.grad(z.sum(), h)
    return torch.linalg.vector_norm(gradient, ord=metric.dual, dim=1) * critic.lipschitz
