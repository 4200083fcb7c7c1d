r"""Confidence sequences: intervals for a running mean that hold simultaneously at all sample sizes, however often one looks.

The values arrive in batches. Given all earlier batches, the values of batch t are independent with a mean :math:`\theta_t`, which
may depend on the earlier batches: a critic trained on the past is evaluated on the next batch. The intervals cover the running
average of the :math:`\theta_t`, each weighted by the size of its batch.
"""

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from wdist.bounds.betting import power_of_two
from wdist.bounds.mean_difference import all_equal

_TUNED_FOR = 4.0
"""The asymptotic sequence is sharpest once the variance reaches this multiple of the first batch's."""
_UNSEEN = 5
"""Number of values, each as far from the mean as the farthest so far, by which the asymptotic sequence exceeds what it has seen."""
_RATES = 0.9 * 2.0 ** (-0.5 * np.arange(24))
"""Rates of the mixture; the largest must be below 1."""
_HALVINGS = 60


class ConfidenceSequence(Protocol):
    """An interval for a running average, updated batch by batch."""

    def update(self, values: np.ndarray) -> None:
        """Adds the values of one batch, shape (n,), at least two."""

    @property
    def estimate(self) -> float:
        """Mean of all values so far; nan before the first."""

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end; infinite while nothing is known."""


@dataclass(kw_only=True)
class _Sums:
    alpha: float
    """Probability that the interval ever misses the running average."""
    count: int = field(default=0, init=False)
    total: float = field(default=0.0, init=False)
    spread: float = field(default=0.0, init=False)
    """Accumulated squared deviations, an estimate of the variance of the total."""

    @property
    def estimate(self) -> float:
        return self.total / self.count if self.count else math.nan


@dataclass(kw_only=True)
class AsymptoticSequence(_Sums):
    r"""Normal mixture: asymptotic, for values with finite variances.

    .. math:: \hat\mu_n \pm \frac1n \sqrt{\frac{V_n \rho^2 + 1}{\rho^2} \log\frac{V_n \rho^2 + 1}{\alpha^2}}

    where :math:`V_n` sums the variances within the batches, and the squares of five more values, each as far from the mean as the
    farthest so far. The source has no such values; without them, a mean of rare values is missed several times as often as stated,
    because at some look few of them have been seen. The free parameter :math:`\rho` is chosen to make the interval sharpest at four
    times the variance of the first batch that varies.

    References:
        Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021), Time-uniform central limit theory and asymptotic confidence sequences,
            theorem 2.2, its extension to means that vary and depend on the past, and appendix B.2 for the choice of rho,
            arXiv:2103.06476.
    """

    _tuning: float = field(default=0.0, init=False)
    """The square of rho."""
    _lowest: float = field(default=math.inf, init=False)
    _highest: float = field(default=-math.inf, init=False)

    def update(self, values: np.ndarray) -> None:
        unit = power_of_two(values)
        self.count += len(values)
        self.total += math.fsum(values)
        if not all_equal(values, float(np.abs(values).max())):  # equal values have a variance by rounding
            self.spread += len(values) * float((values / unit).var(ddof=1)) * unit**2
        self._lowest, self._highest = min(self._lowest, float(values.min())), max(self._highest, float(values.max()))
        if self._tuning == 0 and self.spread > 0:
            log = -2 * math.log(self.alpha)
            self._tuning = (log + math.log(log + 1)) / (_TUNED_FOR * self._with_unseen)

    @property
    def _with_unseen(self) -> float:
        """The accumulated spread with that of values that have not been seen."""
        farthest = max(self._highest - self.estimate, self.estimate - self._lowest)
        return self.spread + _UNSEEN * farthest**2

    @property
    def interval(self) -> tuple[float, float]:
        if self._tuning == 0:
            return -math.inf, math.inf
        scaled = self._with_unseen * self._tuning + 1
        reach = math.sqrt(scaled / self._tuning * math.log(scaled / self.alpha**2)) / self.count
        return self.estimate - reach, self.estimate + reach


@dataclass(kw_only=True)
class BernsteinSequence(_Sums):
    r"""Empirical Bernstein by a mixture of exponentials: valid for every sample size, for values in [-reach, reach].

    With a prediction :math:`\hat z_i` of each value from those before it, and :math:`c` = 2 reach,

    .. math:: \exp\Bigl(\tfrac{\lambda}{c} \sum_i (z_i - \theta_i) - \psi(\lambda) \tfrac1{c^2} \sum_i (z_i - \hat z_i)^2\Bigr),
              \qquad \psi(\lambda) = -\log(1 - \lambda) - \lambda,

    is a nonnegative supermartingale for every rate :math:`0 < \lambda < 1`, and so is an average over rates. It ever reaches
    :math:`2 / \alpha` with probability at most :math:`\alpha / 2` (Ville), which bounds the sum from above; the same for the
    negative values bounds it from below.

    References:
        Howard, Ramdas, McAuliffe & Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence sequences, theorem 4,
            arXiv:1810.08240.
    """

    reach: float
    """Largest magnitude of a value, rounding included."""

    def update(self, values: np.ndarray) -> None:
        sums = self.total + np.concatenate([[0.0], np.cumsum(values)[:-1]])
        counts = self.count + np.arange(len(values))
        predicted = np.clip(sums / np.maximum(counts, 1), -self.reach, self.reach)
        self.spread += float(((values - predicted) ** 2).sum())
        self.count += len(values)
        self.total += math.fsum(values)

    @property
    def interval(self) -> tuple[float, float]:
        if not self.count or not self.reach > 0:
            return (-math.inf, math.inf) if not self.count else (self.estimate, self.estimate)
        margin = self._margin() / self.count
        return max(self.estimate - margin, -self.reach), min(self.estimate + margin, self.reach)

    def _margin(self) -> float:
        """The smallest deviation of the sum at which the mixture reaches 2 / alpha."""
        c = 2 * self.reach
        # All rounding widens the interval.
        spread = self.spread / c**2 * (1 + 1e-9)
        costs = (-np.log1p(-_RATES) - _RATES) * spread
        threshold = math.log(2 / self.alpha) + math.log(len(_RATES)) + 1e-9

        def reached(deviation: float) -> bool:
            exponents = _RATES * deviation - costs
            top = float(exponents.max())
            return top + math.log(float(np.exp(exponents - top).sum())) >= threshold

        low, high = 0.0, float(((threshold + costs) / _RATES).min())  # one rate alone reaches it there
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if reached(middle) else (middle, high)
        return high * c * (1 + 1e-9)
