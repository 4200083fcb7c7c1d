"""Results of an estimate on a divergence with a Lipschitz critic, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wdist.errors import ContradictionError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from wdist.bounds.divergence import ClippedPotential
    from wdist.critics.frozen import FrozenCritic
    from wdist.transport.coupling import Plan


@dataclass(frozen=True, kw_only=True)
class DivergenceOfSamples:
    """Bounds for the divergence of the two empirical measures, in nats; no statistics are involved.

    Raises:
        ContradictionError: the bounds exclude each other, or one of them is nan.
    """

    lower: float
    """Value of a certified critic on all samples, minus the rounding of the evaluation."""
    lower_method: str
    """Name of the critic, or ``semi-relaxed transport``."""
    upper: float | None
    """Divergence of weights on the samples of B plus lambda times the cost of transport to them, or lambda times the upper bound
    for W1; None if no transport was solved."""
    upper_method: str | None
    """``semi-relaxed transport``, or ``lambda W1``."""
    n_a: int
    n_b: int

    def __post_init__(self) -> None:
        if math.isnan(self.lower) or not (self.upper is None or self.lower <= self.upper):
            raise ContradictionError(f"the divergence of the samples would be at least {self.lower!r} and at most {self.upper!r}")


@dataclass(frozen=True, kw_only=True)
class DivergenceOfPopulations:
    """Bounds in nats for the divergence of the populations that the samples were drawn from, based on held-out samples."""

    estimate: float
    """Held-out value of the critic; its expectation is a lower bound."""
    lower: float
    """One-sided lower confidence bound."""
    upper: float | None
    """Lambda times the upper confidence bound for W1; None if that was not computed."""
    confidence: float
    """Joint confidence of all bounds of the result, those for W1 included."""
    jointly_with: int
    """Number of bounds that share the error equally."""
    method: str
    """Method of the lower bound: one of :data:`wdist.bounds.confidence.METHODS`."""
    n_a: int
    n_b: int


@dataclass(frozen=True, kw_only=True)
class DivergenceAttempt:
    """One candidate of the selection."""

    name: str
    trained_for: str
    """``kl`` or ``w1``."""
    expected: float
    """Lower bound expected from held-out samples, predicted on the validation split, in nats: the selection criterion."""
    steps: int
    seconds: float
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class DivergenceCritic:
    """The critic that proves the lower bound for the populations, scaled and clipped."""

    name: str
    trained_for: str
    """``kl`` or ``w1``."""
    lipschitz_bound: float
    """Certificate of the potential, in nats per unit of distance; at most lambda."""
    low: float
    """Value below which the potential is clipped, in nats."""
    high: float
    """Value above which it is clipped."""
    tried: tuple[DivergenceAttempt, ...]
    frozen: FrozenCritic = field(compare=False, repr=False)
    clipped: ClippedPotential = field(compare=False, repr=False)

    def potential(self, x: Tensor) -> np.ndarray:
        """Values in nats, shape (n,), at samples of shape (n, dim) in the units of the data.

        Their exponential approximates the density of A relative to B, as far as the limit on the slope allows.
        """
        return self.clipped(self.frozen.evaluate(x).values)


@dataclass(frozen=True, kw_only=True)
class DivergenceEvidence:
    """Evidence for the bounds for the samples, besides the critic and the bounds for W1."""

    potentials: tuple[Tensor, Tensor] | None = None
    """A potential divided by lambda at the samples of A and of B, shapes (n,) and (m,), in the units of the data."""
    plan: Plan | None = None
    """Plan from all samples of A to weights on those of B."""


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The Kullback-Leibler divergence of A from B with a Lipschitz critic, in nats."""

    name: str
    """``kl``."""
    lambda_: float
    """Largest Lipschitz constant of a potential, in nats per unit of distance."""
    samples: DivergenceOfSamples
    population: DivergenceOfPopulations
    critic: DivergenceCritic
    evidence: DivergenceEvidence = field(default=DivergenceEvidence(), compare=False, repr=False)
