r"""Combinations of two critics: their maximum or minimum, one of them shifted by the best constant.

.. math:: f(x) = \max\bigl(f_1(x),\, f_2(x) + c\bigr)

is 1-Lipschitz if both are, and better than either if each is right in a region of its own. The dual value on n + m samples is a
piecewise linear function of c, and the best c is one of the differences f_1(x) - f_2(x) at the samples.

References:
    McShane (1934), Extension of range of functions (maxima and minima of Lipschitz functions).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.lipschitz.frozen_layers import Envelope
from wdist.lipschitz.linalg.rounding import best_up_to_rounding


@dataclass(frozen=True, kw_only=True)
class Blend:
    """The best combination of two critics."""

    how: str
    """``maximum`` or ``minimum``."""
    constant: float
    """Constant added to the second critic, in standardised units."""
    value: float
    """Dual value of the combination on the samples that it was chosen on, in the same units."""


def best_blend(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Blend:
    """Finds the combination of two critics with the largest dual value.

    Arguments:
        first, second: values of each critic on samples of A, shape (n,), and of B, shape (m,), float64.
    """
    blends = [_best_minimum(first, second, sign) for sign in (1, -1)]
    return best_up_to_rounding(blends, lambda blend: blend.value)


def _best_minimum(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], sign: int) -> Blend:
    """The best minimum for sign +1; for -1 the best maximum, the negative of a minimum of negatives."""
    gaps = [sign * (f - g) for f, g in zip(first, second, strict=True)]
    # min(f, g + c) = g + min(f - g, c); for the second term, the mean over A minus the mean over B, for all c at once.
    levels = torch.cat(gaps).unique()
    means = [_mean_of_minimum(gap, levels) for gap in gaps]
    gains = sign * (means[0] - means[1])
    best = int(gains.argmax())
    value = float(second[0].mean() - second[1].mean() + gains[best])
    return Blend(how="minimum" if sign > 0 else "maximum", constant=sign * float(levels[best]), value=value)


def _mean_of_minimum(gap: Tensor, levels: Tensor) -> Tensor:
    """The mean of min(gap, c) for each c of ``levels``, which are in ascending order."""
    ascending = gap.sort().values
    sums = torch.cat([ascending.new_zeros(1), ascending.cumsum(0)])
    below = torch.searchsorted(ascending, levels, right=True)
    return (sums[below] + (len(gap) - below) * levels) / len(gap)


def blended(first: FrozenCritic, second: FrozenCritic, blend: Blend) -> FrozenCritic:
    """Combines two critics that share their standardisation and their Lipschitz constant."""
    assert first.standardisation.spread == second.standardisation.spread
    assert first.lipschitz == second.lipschitz
    constants = torch.tensor([0.0, blend.constant], dtype=torch.float64)
    layer = Envelope(how=blend.how, branches=[first.layers, second.layers], constants=constants)
    return FrozenCritic([layer], first.standardisation, lipschitz=first.lipschitz)
