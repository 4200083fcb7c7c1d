r"""Lower bounds for the Kullback-Leibler divergence with a Lipschitz critic, from the values of one critic.

.. math:: D_\lambda(\mu \,\|\, \nu) = \sup_{\|f\|_L \le \lambda} \mathbb{E}_\mu f - \log \mathbb{E}_\nu e^f
          = \inf_\xi \mathrm{KL}(\xi \,\|\, \nu) + \lambda\, W_1(\mu, \xi)

in nats, with lambda in nats per unit of distance. It is at most :math:`\lambda W_1(\mu, \nu)`, which it approaches for small
lambda, and at most :math:`\mathrm{KL}(\mu \,\|\, \nu)`, which it approaches for large lambda. Any f with Lipschitz constant at most
lambda proves a lower bound.

For two sample sets both means are known, and the bound is certain. For the populations, the logarithm of a mean of held-out values
would be too small on average (Jensen), so its tangent replaces it: for every constant c,

.. math:: -\log \mathbb{E} e^f \ge 1 - c - \mathbb{E} e^{f - c},

so a lower confidence bound for the difference of two means is enough, :math:`\mathbb{E}_\mu (f - c)` and
:math:`\mathbb{E}_\nu e^{f - c}`. The best c is :math:`\log \mathbb{E}_\nu e^f`; a small error in c costs its square. Clipping f
preserves its Lipschitz constant and bounds both kinds of values, whatever the support, so the bounds hold for every sample size. No
method proves a lower bound for the divergence of populations much above the logarithm of the number of samples.

References:
    Donsker & Varadhan (1983), Asymptotic evaluation of certain Markov process expectations for large time, IV.
    Nguyen, Wainwright & Jordan (2010), Estimating divergence functionals and the likelihood ratio by convex risk minimization,
        arXiv:0809.0853 (the tangent).
    McAllester & Stratos (2020), Formal limitations on the measurement of mutual information, arXiv:1811.04251 (the logarithm).
    Ozair et al. (2019), Wasserstein dependency measure for representation learning, arXiv:1903.11780 (the Lipschitz constraint).
    Terjék (2020), Lipschitz continuity and neural networks, a talk (the infimum; its Kullback-Leibler lacks the logarithm).
"""

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from wdist.bounds.confidence import lower_confidence_bound
from wdist.bounds.dual import CLAIM, Margin, exact_mean
from wdist.critics.frozen import Potentials
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF

_HALVINGS = 60
_SHARES = (1.0, 0.8, 0.6, 0.4, 0.25, 0.12)
"""Multiples of the best factor to try; with few samples, a flatter potential proves more."""
_HIGH, _LOW = (1.0, 0.995, 0.98, 0.95, 0.9, 0.75), (0.0, 0.01, 0.05, 0.2)
"""Quantiles of the values on A to try as clipping limits."""
_CAPS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Largest values of exp(f - c) to try, as fractions of the number of samples of B."""


@dataclass(frozen=True, kw_only=True)
class ClippedPotential:
    """The map v -> clip(factor v, low, high) - shift of a critic's values, fixed before the held-out samples are looked at."""

    factor: float
    """Multiple of the critic; its product with the certificate is at most lambda."""
    low: float
    high: float
    shift: float
    """The constant c of the tangent."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The potential in nats at values of the critic, shape (n,)."""
        return np.clip(self.factor * values, self.low, self.high) - self.shift

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return self.low - self.shift, self.high - self.shift


@dataclass(frozen=True, kw_only=True)
class FittedPotential:
    """A potential for held-out samples, with the bound that it is expected to prove."""

    potential: ClippedPotential
    expected: float


@dataclass(frozen=True, kw_only=True)
class HeldOutDivergence:
    """Bounds for the divergence of the populations from held-out values."""

    estimate: float
    """1 plus the mean of f - c on A minus the mean of its exponential on B; its expectation is a lower bound."""
    lower: float
    """Lower confidence bound, at least 0."""


def largest_factor(scale: float, lipschitz_bound: float) -> float:
    """The largest multiple of a critic with this certificate whose Lipschitz constant is at most ``scale``."""
    return math.nextafter(scale / lipschitz_bound * (1 - 4 * UNIT_ROUNDOFF), 0.0)


def log_mean_exp(values: np.ndarray) -> float:
    """The logarithm of the mean of exp(values), computed without overflow."""
    top = float(values.max())
    return top + math.log(math.fsum(np.exp(values - top)) / len(values))


def divergence_value(a: np.ndarray, b: np.ndarray) -> float:
    """E f on A minus log E exp f on B (Donsker-Varadhan) for values in nats; large values do not cost digits."""
    middle = float(b.mean())
    return exact_mean(a - middle) - log_mean_exp(b - middle)


def best_factor(a: np.ndarray, b: np.ndarray, largest: float) -> float:
    """The factor up to ``largest`` that maximises the divergence value of the scaled values, which is concave in the factor."""
    low, high = 0.0, largest
    if _slope(a, b, largest) >= 0:
        return largest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(a, b, middle) > 0 else (low, middle)
    return low


def _slope(a: np.ndarray, b: np.ndarray, factor: float) -> float:
    """Derivative of the divergence value with respect to the factor: the mean on A minus the mean on B tilted by exp(f)."""
    tilted = np.exp(factor * (b - b.max()))
    return float(a.mean() - tilted @ b / tilted.sum())


def samples_lower(a: Potentials, b: Potentials, factor: float, *, margin: Margin = CLAIM) -> float:
    """A proved lower bound for the divergence of two empirical measures, at least 0.

    Arguments:
        a, b: values of a critic on all samples of each side.
        factor: any multiple up to :func:`largest_factor`; it may depend on the samples.
        margin: left for rounding.
    """
    f, g = factor * a.values, factor * b.values
    if not (np.isfinite(f).all() and np.isfinite(g).all() and math.isfinite(a.rounding + b.rounding)):
        return 0.0
    value = divergence_value(f, g)
    largest = float(max(np.abs(f).max(), np.abs(g).max()))
    # Each value rounds in the critic, the product, and the difference from the middle; the exponentials and their logarithm lose a
    # few units in the last place of 1 and of the exponents.
    values = factor * (a.rounding + b.rounding) + UNIT_ROUNDOFF * (16 * largest + 8 * abs(value) + 64) + 2.0**-1000
    certain = value - margin.roundings * values * (1 + 1e-9)
    return math.nextafter(certain * (1 - margin.share), 0.0) if certain > 0 else 0.0


def fitted_potential(a: np.ndarray, b: np.ndarray, largest: float, *, alpha: float, counts: tuple[int, int]) -> FittedPotential:
    r"""Chooses factor, clipping and constant so that the bound expected from held-out samples is largest.

    The criterion is an approximate bound from the given values,

    .. math:: \bar f - \sqrt{2 \ell s_f^2 / n} - \log\Bigl(\overline{e^f} + \sqrt{2 \ell s_{e^f}^2 / m} + 2 \ell R / (3 m)\Bigr),
              \qquad \ell = \log(1 / \alpha).

    Arguments:
        a, b: values of the critic on validation samples of each side.
        largest: factor that the certificate allows.
        alpha: error of the bound to be proved.
        counts: number of held-out samples of each side.
    """
    best = best_factor(a, b, largest)
    candidates = (each for share in _SHARES for each in _clippings(share * best, a, b, counts[1]))
    return max((_shifted(each, a, b, alpha, counts) for each in candidates), key=lambda each: each.expected)


def _clippings(factor: float, a: np.ndarray, b: np.ndarray, count: int) -> list[ClippedPotential]:
    f, g = factor * a, factor * b
    level, lowest, highest = log_mean_exp(g), float(min(f.min(), g.min())), float(max(f.max(), g.max()))
    caps = [level + math.log(max(count * share, 2.0)) for share in _CAPS]
    highs = {min(float(high), highest) for high in (*np.quantile(f, _HIGH), *caps)}
    lows = {min(lowest, level), *map(float, np.quantile(f, _LOW)), level - 5.0}
    return [
        ClippedPotential(factor=factor, low=low, high=high, shift=0.0)
        for low, high in product(sorted(lows), sorted(highs))
        if low <= high
    ]


def _shifted(potential: ClippedPotential, a: np.ndarray, b: np.ndarray, alpha: float, counts: tuple[int, int]) -> FittedPotential:
    """Evaluates the criterion, and shifts the potential by the constant that follows from it."""
    (n, m), log = counts, math.log(1 / alpha)
    f, g = potential(a), np.exp(potential(b) - potential.high)
    # Twice the range term of Bernstein's inequality, because betting also pays for not knowing the variance.
    extents = potential.high - potential.low, -math.expm1(potential.low - potential.high)
    mean = float(g.mean()) + math.sqrt(2 * log * float(g.var()) / m) + 2 * log * extents[1] / (3 * m)
    shift = potential.high + math.log(mean)
    expected = float(f.mean()) - math.sqrt(2 * log * float(f.var()) / n) - 2 * log * extents[0] / (3 * n) - shift
    return FittedPotential(potential=replace(potential, shift=shift), expected=expected)


def held_out_divergence(
    a: Potentials, b: Potentials, potential: ClippedPotential, *, alpha: float, method: str, margin: Margin = CLAIM
) -> HeldOutDivergence:
    """A lower confidence bound for the divergence of the populations, wrong with probability at most ``alpha``.

    Arguments:
        a, b: values of the critic on held-out samples of each side, at least two each, in any order.
        potential: fixed before these were looked at.
        method: one of :data:`wdist.bounds.confidence.METHODS`; all but Welch's t hold for every number of samples.
        margin: left for rounding.
    """
    f, e = potential(a.values), np.exp(potential(b.values))
    low, high = potential.ends
    least, most = math.exp(low), math.exp(high)
    estimate = 1 + exact_mean(f) - exact_mean(e)
    # With both intervals around the same centre, the bound on the distance between values of different sides is sharp.
    centre = (least + most - low - high) / 2
    extents = _widened(high - low), _widened(most - least + 4 * UNIT_ROUNDOFF * most)
    bound = lower_confidence_bound(f + centre, e, alpha=alpha, method=method, ranges=extents, apart=sum(extents) / 2)
    values = potential.factor * max(a.rounding, b.rounding) + 8 * UNIT_ROUNDOFF * (
        abs(potential.low) + abs(potential.high) + abs(potential.shift) + abs(centre) + 1
    )
    if not values < 1:
        return HeldOutDivergence(estimate=estimate, lower=0.0)
    rounding = values + most * (math.expm1(values) + 16 * UNIT_ROUNDOFF)
    lower = 1 + bound - centre - margin.roundings * rounding
    return HeldOutDivergence(estimate=estimate, lower=max(0.0, lower * (1 - margin.share)))


def _widened(extent: float) -> float:
    return extent * (1 + 1e-12) + 1e-300
