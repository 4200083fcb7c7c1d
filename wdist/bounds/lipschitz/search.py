"""Searches for large slopes: lower estimates of Lipschitz constants, **never** part of a certificate.

Every slope found is the norm of a Jacobian or a difference quotient, so the Lipschitz constant is no smaller, up to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.critics.frozen import FrozenCritic
from wdist.ground_metric import L2, GroundMetric

_ROUNDS = 20
_FEW_OUTPUTS = 16
"""Most outputs for which Jacobians are computed row by row; more take power iteration."""
_POWER_STEPS, _LONG = 6, 60
"""Steps of power iteration at every point, and finally at the steepest ones."""
_POLISHED = 8
"""Number of steepest points that get long power iterations."""
_AT_ONCE = 256
_WORK = 2e11
"""Approximate floating-point operations of a search; larger networks are searched with fewer points."""
_SPREADS = (0.1, 1.0, 10.0)
_ROUNDING = 1e-9
"""Fraction subtracted from a slope for rounding."""
_SECANT = 1e-6
"""Relative length of the steps of difference quotients."""

Slopes = Callable[[Tensor], Tensor]
"""Maps points, shape (n, dim), to slopes there, shape (n,)."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Sizes of a search."""

    starts: int = 2048
    kept: int = 128
    """Points kept for the next round."""
    tries: int = 4
    """Steps tried from each of them."""
    pair_steps: int = 60

    @classmethod
    def affordable(cls, operations: float) -> "Effort":
        """The usual effort, or less if one slope takes so many operations that the search would exceed its limit."""
        usual = cls()
        evaluations = usual.starts + _ROUNDS * usual.kept * usual.tries + usual.kept * usual.pair_steps
        share = min(1.0, _WORK / max(1.0, operations * evaluations))
        return cls(
            starts=max(8, int(usual.starts * share)),
            kept=max(2, int(usual.kept * share**0.5)),
            tries=max(2, int(usual.tries * share**0.5)),
            pair_steps=max(5, int(usual.pair_steps * share**0.5)),
        )


_OF_CRITICS = Effort(kept=32, tries=8)
"""Effort for a critic, whose search starts from samples."""


@dataclass(frozen=True, kw_only=True)
class Ball:
    """Balls around starting points, which a search must not leave."""

    radius: float
    metric: GroundMetric


def largest_slope(critic: FrozenCritic, a: Tensor, b: Tensor, *, generator: torch.Generator, metric: GroundMetric = L2) -> float:
    """The largest dual norm of the gradient at samples a and b, float64, at points between them, and on hill climbs from these.

    The generator is on the CPU.
    """
    count = min(len(a), len(b))
    share = torch.rand(count, 1, generator=generator, dtype=torch.float64)
    x = torch.cat([a, b, a[:count] + share * (b[:count] - a[:count])])

    def slopes(points: Tensor) -> Tensor:
        h = critic.standardisation.apply(points).requires_grad_()
        z = h
        for layer in critic.layers:
            z = layer(z)
        (gradient,) = torch.autograd.grad(z.sum(), h)
        return torch.linalg.vector_norm(gradient, ord=metric.dual, dim=1) * critic.lipschitz

    spread = critic.standardisation.spread / critic.dim**0.5
    return float(_climbed(slopes, x, spread=spread, generator=generator, effort=_OF_CRITICS)[1].max())


def network_slope(
    module: nn.Module, shape: tuple[int, ...], metric: GroundMetric, *, seed: int = 0, points: Tensor | None = None
) -> float:
    """The largest slope of a network that a search over all inputs finds; l2 or linf measures inputs and outputs.

    The search climbs by random steps from random points of several lengths and from ``points``, because gradients of a piecewise
    linear network do not point to steeper pieces. It also moves pairs of points along the gradient of their difference quotient.

    Arguments:
        module: float64, in evaluation mode; takes a batch.
        shape: of one sample.
        points: further starting points, shape (n, \\*shape).
    """
    generator = torch.Generator().manual_seed(seed)
    slopes = jacobian_slopes(module, shape, metric)
    dim = int(torch.Size(shape).numel())
    effort = Effort.affordable(_operations(module, shape))
    starts = [spread * torch.randn(-(-effort.starts // 3), dim, generator=generator).double() for spread in _SPREADS]
    x = torch.cat([*starts, *([] if points is None else [points.double().reshape(-1, dim)[: effort.starts]])])
    pairs = _ascended(module, shape, metric, x, generator, effort)
    with_pairs = torch.cat([x, pairs.reshape(-1, dim)])
    x, found = _climbed(slopes, with_pairs, spread=float(x.std()) / dim**0.5, generator=generator, effort=effort)
    best = found.topk(min(_POLISHED, len(found))).indices
    polished = jacobian_slopes(module, shape, metric, steps=_LONG)(x[best])
    with torch.no_grad():
        quotients = _quotients(module, shape, metric, pairs)
    largest = max(float(each.max()) for each in (found, polished, quotients))
    return largest * (1 - _ROUNDING)


def slopes_in_balls(module: nn.Module, shape: tuple[int, ...], x: Tensor, ball: Ball, *, seed: int = 0, tries: int = 16) -> Tensor:
    """The largest slope found within the ball around each of x, shape (n, \\*shape); returns shape (n,)."""
    generator = torch.Generator().manual_seed(seed)
    slopes = jacobian_slopes(module, shape, ball.metric)
    x = x.double().reshape(len(x), -1)
    found = slopes(x)
    for _ in range(tries if ball.radius > 0 else 0):
        step = torch.randn(x.shape, generator=generator).double()
        length = torch.rand(len(x), 1, generator=generator).double() ** (1 / x.shape[1]) * ball.radius
        norm = torch.linalg.vector_norm(step, ord=ball.metric.p, dim=1, keepdim=True)
        found = torch.maximum(found, slopes(x + step * (length / norm)))
    return found * (1 - _ROUNDING)


def jacobian_slopes(module: nn.Module, shape: tuple[int, ...], metric: GroundMetric, *, steps: int = _POWER_STEPS) -> Slopes:
    """Norms of a network's Jacobians; with many outputs, lower estimates of them by ``steps`` steps of power iteration."""
    with torch.no_grad():
        outputs = module(torch.zeros(1, *shape, dtype=torch.float64)).numel()

    def slopes(x: Tensor) -> Tensor:
        parts = [_norms(module, part.reshape(-1, *shape), metric, outputs, steps) for part in x.split(_AT_ONCE)]
        return torch.cat(parts).nan_to_num(nan=0.0, posinf=0.0)

    return slopes


def _norms(module: nn.Module, x: Tensor, metric: GroundMetric, outputs: int, steps: int) -> Tensor:
    if outputs > _FEW_OUTPUTS:
        return _power_norms(module, x, metric, outputs, steps)
    x = x.detach().requires_grad_()
    y = module(x).reshape(len(x), -1)
    if not y.requires_grad:
        return x.new_zeros(len(x)).detach()
    rows = [torch.autograd.grad(y[:, k].sum(), x, retain_graph=k + 1 < outputs)[0].flatten(1) for k in range(outputs)]
    J = torch.stack(rows, 1)
    return torch.linalg.matrix_norm(J, 2) if metric == L2 else J.abs().sum(2).amax(1)


def _power_norms(module: nn.Module, x: Tensor, metric: GroundMetric, outputs: int, steps: int) -> Tensor:
    """Power iteration at each point: products with the transposed Jacobian by reverse mode, those with the Jacobian by difference
    quotients."""
    starts = torch.randn(len(x), outputs, generator=torch.Generator().manual_seed(0)).double()
    u = torch.nn.functional.normalize(starts, dim=1)
    best = x.new_zeros(len(x))
    for _ in range(steps):
        z = x.detach().requires_grad_()
        y = module(z).reshape(len(z), -1)
        if not y.requires_grad:
            return best
        (g,) = torch.autograd.grad((u.detach() * y).sum(), z)
        g = g.flatten(1)
        with torch.no_grad():
            direction = g.sign() if metric != L2 else torch.nn.functional.normalize(g, dim=1)
            norms = torch.linalg.vector_norm(g, ord=metric.dual, dim=1)
            step = _SECANT * (1 + x.flatten(1).abs().amax(1, keepdim=True)) * direction
            moved = module((x.flatten(1) + step).reshape(x.shape)).reshape(y.shape) - y.detach()
            if metric == L2:
                best = torch.maximum(best, norms / torch.linalg.vector_norm(u, dim=1).clamp(min=1e-300))
                u = torch.nn.functional.normalize(moved, dim=1)
            else:
                best = torch.maximum(best, norms / u.abs().sum(1).clamp(min=1e-300))
                u = torch.nn.functional.one_hot(moved.abs().argmax(1), outputs).double()
    return best


def _operations(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Floating-point operations of one slope: a forward pass, and a backward pass for each output or step of power iteration."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outputs = module(torch.zeros(1, *shape, dtype=torch.float64)).numel()
    return 3.0 * counter.get_total_flops() * min(outputs, _FEW_OUTPUTS)


def _climbed(slopes: Slopes, x: Tensor, *, spread: float, generator: torch.Generator, effort: Effort) -> tuple[Tensor, Tensor]:
    """Points and their slopes after rounds of random steps from the steepest points, with shorter steps in each round."""
    found = slopes(x)
    for round_ in range(_ROUNDS):
        best = found.topk(min(effort.kept, len(found))).indices
        x, found = x[best], found[best]
        steps = torch.randn(effort.tries, *x.shape, generator=generator, dtype=torch.float64) * (spread * 0.75**round_)
        tried = (x + steps).flatten(0, 1)
        x, found = torch.cat([x, tried]), torch.cat([found, slopes(tried)])
    return x, found


def _ascended(
    module: nn.Module, shape: tuple[int, ...], metric: GroundMetric, x: Tensor, generator: torch.Generator, effort: Effort
) -> Tensor:
    """Pairs of points, shape (n, 2, dim), after gradient ascent on their difference quotients."""
    x = x[torch.randperm(len(x), generator=generator)[: effort.kept]]
    lengths = x.abs().mean(1, keepdim=True).clamp(min=1e-3)
    y = x + lengths * torch.randn(x.shape, generator=generator).double()
    pairs = torch.stack([x, y], 1).requires_grad_()
    step = 0.05 * lengths[:, :, None]
    for round_ in range(effort.pair_steps):
        quotient = _quotients(module, shape, metric, pairs)
        if not quotient.requires_grad:
            break
        (gradient,) = torch.autograd.grad(quotient.sum(), pairs)
        norm = gradient.abs().amax((1, 2), keepdim=True).clamp(min=1e-300)
        moved = pairs.detach() + step * 0.96**round_ * gradient.nan_to_num(0.0, 0.0, 0.0) / norm
        pairs = moved.requires_grad_()
    return pairs.detach()


def _quotients(module: nn.Module, shape: tuple[int, ...], metric: GroundMetric, pairs: Tensor) -> Tensor:
    """Difference quotients of pairs, shape (n,); 0 for pairs too close for a reliable quotient."""
    first, second = (module(each.reshape(-1, *shape)).reshape(len(each), -1) for each in pairs.unbind(1))
    difference = pairs[:, 0] - pairs[:, 1]
    distance = torch.linalg.vector_norm(difference, ord=metric.p, dim=1)
    rise = torch.linalg.vector_norm(first - second, ord=metric.p, dim=1)
    apart = distance > 1e-4 * pairs.detach().abs().amax((1, 2)).clamp(min=1e-300)
    return torch.where(apart, rise / distance.clamp(min=1e-300), torch.zeros_like(rise)).nan_to_num(0.0, 0.0, 0.0)
