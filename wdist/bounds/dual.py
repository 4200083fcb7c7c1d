"""Dual values of a frozen critic, and the lower bound for W1 that they prove together with its certificate.

By Kantorovich-Rubinstein duality, W1(P, Q) >= (E_P f - E_Q f) / K for every f with Lip(f) <= K, however f was trained.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF


@dataclass(frozen=True, kw_only=True)
class Margin:
    """Allowance of a lower bound for rounding."""

    roundings: float
    """Multiple of the proved rounding of the potentials to subtract; 1 is enough for a valid bound."""
    share: float
    """Fraction of the bound to subtract, for other rounding differences between machines."""


CLAIM, PROOF = Margin(roundings=4, share=1e-10), Margin(roundings=1, share=0)
"""Margins of the bound that is printed, and of its verification: on any machine, the latter bound is at least as large."""
_SMALLER = 2.0**-64
"""Factor that keeps sums from overflowing, without rounding."""


def evaluate(critic: FrozenCritic, batches: Iterable[Tensor]) -> Potentials:
    """Potentials of all samples, batch by batch, with the rounding of the worst batch."""
    values, rounding = array("d"), 0.0  # one growing buffer: thousands of small arrays would fragment the heap
    for batch in batches:
        part = critic.evaluate(batch)
        values.frombytes(part.values.tobytes())
        rounding = max(rounding, part.rounding)
    return Potentials(values=np.frombuffer(values), rounding=rounding)


@dataclass(frozen=True, kw_only=True)
class PotentialSummary:
    """Summary of the potentials of more samples than can be kept: their mean and the most extreme ones."""

    total: "ExactSum"
    """Sum of all potentials."""
    rounding: float
    """Largest difference between a potential and the value of the exact function."""
    rows: np.ndarray
    """Positions of the most extreme potentials, the most extreme first."""
    values: np.ndarray
    """The potentials there, float64."""
    samples: Tensor
    """The samples there, float64, shape (k, dim); reading them again might take as long as reading all."""

    @property
    def count(self) -> int:
        """Number of potentials."""
        return self.total.count

    @property
    def mean(self) -> float:
        """Mean of all potentials, as :func:`exact_mean` computes it."""
        return self.total.mean


def summarise(critics: Sequence[FrozenCritic], batches: Iterable[Tensor], *, sign: int, most: int) -> list[PotentialSummary]:
    """Evaluates each critic on all samples, batch by batch; keeps the ``most`` highest values of ``sign`` times the potential."""
    found = [_Summary(critic, sign=sign, most=most) for critic in critics]
    for batch in batches:
        for each in found:
            each.add(batch)
    return [each.summary() for each in found]


class _Summary:
    """The running summary of one critic."""

    def __init__(self, critic: FrozenCritic, *, sign: int, most: int) -> None:
        self._critic, self._sign, self._most = critic, sign, most
        self._total, self._rounding = ExactSum(), 0.0
        self._rows, self._values, self._samples = np.empty(0, dtype=np.int64), np.empty(0), torch.empty(0, critic.dim).double()

    def add(self, batch: Tensor) -> None:
        part, first = self._critic.evaluate(batch), self._total.count
        self._rounding = max(self._rounding, part.rounding)
        if len(self._values) < self._most or (self._sign * part.values).max() > self._sign * self._values[-1]:
            rows = np.concatenate([self._rows, np.arange(first, first + len(part.values))])
            values = np.concatenate([self._values, part.values])
            samples = torch.cat([self._samples, batch.cpu()])
            chosen = np.argsort(-self._sign * values, kind="stable")[: self._most]
            self._rows, self._values, self._samples = rows[chosen], values[chosen], samples[torch.from_numpy(chosen)]
        self._total.add(part.values)

    def summary(self) -> PotentialSummary:
        return PotentialSummary(
            total=self._total, rounding=self._rounding, rows=self._rows, values=self._values, samples=self._samples
        )


def summarised_together(parts: Sequence[PotentialSummary], *, sign: int, most: int) -> PotentialSummary:
    """Joins the summaries of consecutive parts of the samples; bitwise equal to the summary of all."""
    total, starts = ExactSum(), []
    for part in parts:
        starts.append(total.count)
        total.join(part.total)
    rows = np.concatenate([part.rows + start for part, start in zip(parts, starts, strict=True)])
    values = np.concatenate([part.values for part in parts])
    chosen = np.argsort(-sign * values, kind="stable")[:most]
    samples = torch.cat([part.samples for part in parts])[torch.from_numpy(chosen)]
    rounding = max(part.rounding for part in parts)
    return PotentialSummary(total=total, rounding=rounding, rows=rows[chosen], values=values[chosen], samples=samples)


class ExactSum:
    """The exact sum of float64 numbers that arrive in pieces, stored as an expansion: a few numbers with the same exact sum.

    References:
        Shewchuk (1997), Adaptive precision floating-point arithmetic and fast robust geometric predicates.
    """

    def __init__(self) -> None:
        self.count = 0
        self._expansion: list[float] = []
        self._scale, self._finite = 1.0, True

    def add(self, values: np.ndarray) -> None:
        """Adds values, shape (n,)."""
        self.count += len(values)
        self._finite = self._finite and bool(np.isfinite(values).all())
        if not self._finite:
            return
        try:
            self._expansion = _expansion([*self._expansion, *(values * self._scale).tolist()])
        except OverflowError:  # a power of two scales such values without rounding
            self._expansion = [part * _SMALLER for part in self._expansion]
            self._scale *= _SMALLER
            self._expansion = _expansion([*self._expansion, *(values * self._scale).tolist()])

    def join(self, other: "ExactSum") -> None:
        """Adds the values of another sum."""
        self.count += other.count
        self._finite = self._finite and other._finite
        scale = min(self._scale, other._scale)
        terms = [part * (scale / each._scale) for each in (self, other) for part in each._expansion]
        try:
            self._scale, self._expansion = scale, _expansion(terms)
        except OverflowError:
            self._scale, self._expansion = scale * _SMALLER, _expansion([part * _SMALLER for part in terms])

    @property
    def mean(self) -> float:
        """The sum, rounded once, divided by the number of values; nan if a value is not finite."""
        return math.fsum(self._expansion) / self.count / self._scale if self._finite else math.nan


def _expansion(values: list[float]) -> list[float]:
    parts: list[float] = []
    while rest := math.fsum([*values, *(-part for part in parts)]):
        parts.append(rest)
    return parts


def exact_mean(values: np.ndarray) -> float:
    """The exact sum (Shewchuk's algorithm, :func:`math.fsum`), rounded once, divided by the count; nan if a value is not finite."""
    if not np.isfinite(values).all():
        return math.nan
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # a power of two scales such values without rounding
        return math.fsum(values * 2.0**-64) / len(values) * 2.0**64


def _mean(potentials: Potentials | PotentialSummary) -> float:
    return potentials.mean if isinstance(potentials, PotentialSummary) else exact_mean(potentials.values)


def dual_value(a: Potentials, b: Potentials) -> float:
    """Mean potential on A minus mean potential on B, in the units of the potentials."""
    return exact_mean(a.values) - exact_mean(b.values)


def lower_bound(
    a: Potentials | PotentialSummary, b: Potentials | PotentialSummary, lipschitz_bound: float, *, margin: Margin = CLAIM
) -> float:
    """A proved lower bound for W1 between two empirical measures, from the potentials of all samples and the certificate K > 0.

    This is the dual value minus all rounding (of the potentials, the two means and this computation), divided by the certificate,
    and at least 0. Rounding is always assumed to be at its worst, so comparisons need no tolerance.
    """
    mean_a, mean_b = _mean(a), _mean(b)
    # Each mean rounds twice, their difference once.
    means = 4 * UNIT_ROUNDOFF * (abs(mean_a) + abs(mean_b)) + 2.0**-1072
    certain = (mean_a - mean_b) - margin.roundings * (a.rounding + b.rounding + means) * (1 + 8 * UNIT_ROUNDOFF)
    if not lipschitz_bound > 0 or not certain > 0:
        return 0.0
    return math.nextafter(certain / lipschitz_bound * (1 - 4 * UNIT_ROUNDOFF - margin.share), 0.0)
