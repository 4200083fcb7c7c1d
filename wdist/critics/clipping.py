r"""Critics whose values are clipped to an interval if their tails are heavy.

.. math:: \bar f(x) = \min\bigl(\max(f(x),\, l),\, u\bigr)

is 1-Lipschitz if f is. Clipping loses what f detects beyond the interval, but with heavy tails it removes far more noise: the bound
for the populations rises, and tests decide sooner. Values with light tails are not clipped.

References:
    Huber (1964), Robust estimation of a location parameter.
    McShane (1934), Extension of range of functions (maxima and minima of Lipschitz functions).
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.lipschitz.frozen_layers import PiecewiseLinear

_SHARES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.17, 0.25)
"""Fractions of the values beyond each end to try."""
_GAIN = 1.1
"""Tails are heavy if clipping reduces the relative error of a small shift by at least this factor."""
_KEPT, _BY_CHANCE = 0.75, 2.0
"""Smallest fraction of the dual value to keep, and the standard errors by which the clipped part may exceed what a shift would
contribute to it: a difference due to rare values must not be clipped away."""
_FEWEST = 60
"""Fewest values, both sides together, from which to choose an interval."""


def clipped_share(a: Tensor, b: Tensor, *, errors: float) -> float:
    """Chooses the fraction of values to clip beyond each end; 0 if the tails are not heavy.

    Clipping a fraction s beyond each end leaves 1 - 2 s of a small shift. With light tails this removes more of the shift than of
    the noise, so nothing is clipped. With heavy tails, the choice maximises the remaining shift minus some standard errors. The
    shift is estimated at the clipping that measures it best, because a few extreme values can dominate the unclipped estimate.

    Arguments:
        a, b: values of a critic on samples that it was not fitted to, float64, shapes (n,) and (m,).
        errors: number of standard errors that a bound from other samples will subtract.
    """
    if len(a) + len(b) < _FEWEST or min(len(a), len(b)) < 2:
        return 0.0
    whole, ordered = _Difference.of(a, b), torch.cat([a, b]).sort().values
    found = {share: _Difference.of(*(side.clamp(*_ends(ordered, share)) for side in (a, b))) for share in _SHARES}
    found = {share: each for share, each in found.items() if each.error > 0}
    sharpest = max(found, key=lambda share: (1 - 2 * share) / found[share].error, default=0.0)
    if not sharpest or (1 - 2 * sharpest) * whole.error < _GAIN * found[sharpest].error:
        return 0.0
    shift = found[sharpest].value / (1 - 2 * sharpest)

    def rests_on_few(share: float) -> bool:
        tails = _Difference.of(*(side - side.clamp(*_ends(ordered, share)) for side in (a, b)))
        too_much = tails.value > 2 * share * whole.value + _BY_CHANCE * tails.error
        return too_much or found[share].value < _KEPT * whole.value

    allowed = [share for share in found if (1 - 2 * share) * whole.error >= found[share].error and not rests_on_few(share)]
    candidates = {0.0: whole, **{share: found[share] for share in allowed}}
    return max(candidates, key=lambda share: (1 - 2 * share) * shift - errors * candidates[share].error)


@dataclass(frozen=True, kw_only=True)
class _Difference:
    """Difference of two means with its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, a: Tensor, b: Tensor) -> Self:
        error = math.sqrt(float(a.var(correction=0)) / len(a) + float(b.var(correction=0)) / len(b))
        return cls(value=float(a.mean() - b.mean()), error=error)


def ends(a: Tensor, b: Tensor, share: float) -> tuple[float, float]:
    """The interval with a given fraction of all values, float64, shapes (n,) and (m,), beyond each end."""
    return _ends(torch.cat([a, b]).sort().values, share)


def _ends(ordered: Tensor, share: float) -> tuple[float, float]:
    beyond = int(share * (len(ordered) - 1))
    return float(ordered[beyond]), float(ordered[-1 - beyond])


def clip(low: float, high: float) -> PiecewiseLinear:
    """The layer that clips one number to low < high, up to an additive constant."""
    knots, slopes = (torch.tensor(values, dtype=torch.float64) for values in ([low, high], [0.0, 1.0, 0.0]))
    return PiecewiseLinear(knots=knots, slopes=slopes)


def clipped(critic: FrozenCritic, low: float, high: float) -> FrozenCritic:
    """Clips the values of a critic to [low, high], in the units of the data, up to an additive constant."""
    unit = critic.standardisation.spread * critic.lipschitz
    layers = (*critic.layers, clip(low / unit, high / unit))
    return FrozenCritic(layers, replace(critic.standardisation), lipschitz=critic.lipschitz)
