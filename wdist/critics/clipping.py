r"""Critics whose values are clipped to an interval where their tails are heavy.

.. math:: \bar f(x) = \min\bigl(\max(f(x),\, l),\, u\bigr)

is 1-Lipschitz if f is. Clipping gives up what f finds beyond the interval, and with heavy tails far more noise: the bound for the
populations rises, and tests decide sooner. Values with light tails are left as they are.

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
"""Shares of the values beyond each end that are tried."""
_GAIN = 1.1
"""Tails are heavy if clipping tells a shift of both sides from 0 with so much smaller a relative error."""
_KEPT, _BY_CHANCE = 0.75, 2.0
"""Share of the dual value that is kept at least, and standard errors by which what is clipped may exceed a shift's part in it: what
rests on rare values must not be clipped away."""
_FEWEST = 60
"""Values of both sides together that an interval follows from."""


def clipped_share(a: Tensor, b: Tensor, *, errors: float) -> float:
    """The share of values beyond each end that is best clipped; 0 where the tails are not heavy.

    Clipping a share s beyond each end leaves 1 - 2 s of a small shift. With light tails that loses more of the shift than of the
    noise, and nothing is clipped. With heavy tails the choice is the share with the largest remaining shift, less some standard
    errors; the shift follows from the values that know it best, because that of all values is at the mercy of a few.

    Arguments:
        a, b: values of a critic on samples that it was not fitted to, float64, shapes (n,) and (m,).
        errors: number of standard errors that a bound from other samples will take away.
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
    """Difference of two means, with its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, a: Tensor, b: Tensor) -> Self:
        error = math.sqrt(float(a.var(correction=0)) / len(a) + float(b.var(correction=0)) / len(b))
        return cls(value=float(a.mean() - b.mean()), error=error)


def ends(a: Tensor, b: Tensor, share: float) -> tuple[float, float]:
    """The interval with a share of all values, float64, shapes (n,) and (m,), beyond each end."""
    return _ends(torch.cat([a, b]).sort().values, share)


def _ends(ordered: Tensor, share: float) -> tuple[float, float]:
    beyond = int(share * (len(ordered) - 1))
    return float(ordered[beyond]), float(ordered[-1 - beyond])


def clip(low: float, high: float) -> PiecewiseLinear:
    """The layer that clips one number, up to a constant, for low < high."""
    knots, slopes = (torch.tensor(values, dtype=torch.float64) for values in ([low, high], [0.0, 1.0, 0.0]))
    return PiecewiseLinear(knots=knots, slopes=slopes)


def clipped(critic: FrozenCritic, low: float, high: float) -> FrozenCritic:
    """A critic with its values clipped, in the units of the data."""
    unit = critic.standardisation.spread * critic.lipschitz
    layers = (*critic.layers, clip(low / unit, high / unit))
    return FrozenCritic(layers, replace(critic.standardisation), lipschitz=critic.lipschitz)
