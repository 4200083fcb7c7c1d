"""Searches for large slopes: lower estimates of Lipschitz constants, **never** part of a certificate.

Every slope found is the norm of a Jacobian or a difference quotient, so the Lipschitz constant is no smaller, up to rounding.
"""

import math
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
    network = _Network(module, shape, metric)
    dim, effort = math.prod(shape), Effort.affordable(network.operations())
    starts = [spread * torch.randn(-(-effort.starts // 3), dim, generator=generator).double() for spread in _SPREADS]
    x = torch.cat([*starts, *([] if points is None else [points.double().reshape(-1, dim)[: effort.starts]])])
    pairs = network.ascended(x, generator, effort)
    with_pairs = torch.cat([x, pairs.reshape(-1, dim)])
    x, found = _climbed(network.slopes, with_pairs, spread=float(x.std()) / dim**0.5, generator=generator, effort=effort)
    best = found.topk(min(_POLISHED, len(found))).indices
    polished = network.slopes(x[best], steps=_LONG)
    with torch.no_grad():
        quotients = network.quotients(pairs)
    largest = max(float(each.max()) for each in (found, polished, quotients))
    return largest * (1 - _ROUNDING)


def slopes_in_balls(module: nn.Module, x: Tensor, metric: GroundMetric, *, radius: float, seed: int = 0, tries: int = 16) -> Tensor:
    """The largest slope found within the ball of this radius around each of x, shape (n, \\*shape of a sample); shape (n,)."""
    generator = torch.Generator().manual_seed(seed)
    network, x = _Network(module, tuple(x.shape[1:]), metric), x.double().reshape(len(x), -1)
    found = network.slopes(x)
    for _ in range(tries if radius > 0 else 0):
        step = torch.randn(x.shape, generator=generator).double()
        length = torch.rand(len(x), 1, generator=generator).double() ** (1 / x.shape[1]) * radius
        norm = torch.linalg.vector_norm(step, ord=metric.p, dim=1, keepdim=True)
        found = torch.maximum(found, network.slopes(x + step * (length / norm)))
    return found * (1 - _ROUNDING)


class _Network:
    """A network as a function of flattened points, whose inputs and outputs one norm measures."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...], metric: GroundMetric) -> None:
        self._module, self._shape, self._metric = module, shape, metric
        with torch.no_grad():
            self._outputs = module(torch.zeros(1, *shape, dtype=torch.float64)).numel()

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs at x, shape (n, dim); shape (n, outputs)."""
        return self._module(x.reshape(-1, *self._shape)).reshape(len(x), -1)

    def operations(self) -> float:
        """Floating-point operations of one slope: a forward pass, and a backward pass for each output or power iteration."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self._module(torch.zeros(1, *self._shape, dtype=torch.float64))
        return 3.0 * counter.get_total_flops() * min(self._outputs, _FEW_OUTPUTS)

    def slopes(self, x: Tensor, *, steps: int = _POWER_STEPS) -> Tensor:
        """Norms of the Jacobians at x; with many outputs, lower estimates of them by ``steps`` steps of power iteration."""
        parts = [
            self._norms(part) if self._outputs <= _FEW_OUTPUTS else self._power_norms(part, steps) for part in x.split(_AT_ONCE)
        ]
        return torch.cat(parts).nan_to_num(nan=0.0, posinf=0.0)

    def _norms(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        y = self(x)
        if not y.requires_grad:
            return x.new_zeros(len(x)).detach()
        rows = [torch.autograd.grad(y[:, k].sum(), x, retain_graph=k + 1 < self._outputs)[0] for k in range(self._outputs)]
        J = torch.stack(rows, 1)
        return torch.linalg.matrix_norm(J, 2) if self._metric == L2 else J.abs().sum(2).amax(1)

    def _power_norms(self, x: Tensor, steps: int) -> Tensor:
        """Power iteration at each point: products with the transposed Jacobian by reverse mode, those with the Jacobian by
        difference quotients."""
        starts = torch.randn(len(x), self._outputs, generator=torch.Generator().manual_seed(0)).double()
        u = nn.functional.normalize(starts, dim=1)
        best = x.new_zeros(len(x))
        for _ in range(steps):
            z = x.detach().requires_grad_()
            y = self(z)
            if not y.requires_grad:
                return best
            (g,) = torch.autograd.grad((u.detach() * y).sum(), z)
            with torch.no_grad():
                direction = g.sign() if self._metric != L2 else nn.functional.normalize(g, dim=1)
                norms = torch.linalg.vector_norm(g, ord=self._metric.dual, dim=1)
                moved = self(x + _SECANT * (1 + x.abs().amax(1, keepdim=True)) * direction) - y.detach()
                if self._metric == L2:
                    best = torch.maximum(best, norms / torch.linalg.vector_norm(u, dim=1).clamp(min=1e-300))
                    u = nn.functional.normalize(moved, dim=1)
                else:
                    best = torch.maximum(best, norms / u.abs().sum(1).clamp(min=1e-300))
                    u = nn.functional.one_hot(moved.abs().argmax(1), self._outputs).double()
        return best

    def ascended(self, x: Tensor, generator: torch.Generator, effort: Effort) -> Tensor:
        """Pairs of points, shape (n, 2, dim), after gradient ascent on their difference quotients."""
        x = x[torch.randperm(len(x), generator=generator)[: effort.kept]]
        lengths = x.abs().mean(1, keepdim=True).clamp(min=1e-3)
        y = x + lengths * torch.randn(x.shape, generator=generator).double()
        pairs = torch.stack([x, y], 1).requires_grad_()
        step = 0.05 * lengths[:, :, None]
        for round_ in range(effort.pair_steps):
            quotient = self.quotients(pairs)
            if not quotient.requires_grad:
                break
            (gradient,) = torch.autograd.grad(quotient.sum(), pairs)
            norm = gradient.abs().amax((1, 2), keepdim=True).clamp(min=1e-300)
            moved = pairs.detach() + step * 0.96**round_ * gradient.nan_to_num(0.0, 0.0, 0.0) / norm
            pairs = moved.requires_grad_()
        return pairs.detach()

    def quotients(self, pairs: Tensor) -> Tensor:
        """Difference quotients of pairs, shape (n,); 0 for pairs too close for a reliable quotient."""
        first, second = (self(each) for each in pairs.unbind(1))
        distance = torch.linalg.vector_norm(pairs[:, 0] - pairs[:, 1], ord=self._metric.p, dim=1)
        rise = torch.linalg.vector_norm(first - second, ord=self._metric.p, dim=1)
        apart = distance > 1e-4 * pairs.detach().abs().amax((1, 2)).clamp(min=1e-300)
        return torch.where(apart, rise / distance.clamp(min=1e-300), torch.zeros_like(rise)).nan_to_num(0.0, 0.0, 0.0)


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
