"""Results of an estimate: plain values, with derived facts as properties."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from wdist.errors import ContradictionError
from wdist.presentable import Plottable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from wdist.critics.frozen import FrozenCritic
    from wdist.data.features.space import Features
    from wdist.data.sources.source import SourceInfo
    from wdist.environment import Environment
    from wdist.estimation.blocks import Blocks
    from wdist.estimation.divergence import Divergence
    from wdist.estimation.noise_floor import NoiseFloor
    from wdist.estimation.population_upper import PopulationUpper
    from wdist.estimation.potential import Potential
    from wdist.estimation.semi_discrete import SemiDiscrete
    from wdist.lipschitz.frozen_layer import LayerBound
    from wdist.training.observer import HistoryPoint
    from wdist.transport.coupling import Coupling

CLOSING = "c-transform of the optimal potentials"
CROSS_FITTED = "cross-fitted"
"""Method of bounds from the held-out values of all folds."""
POWER = 0.9
"""Probability with which a test finds a detectable value."""


@dataclass(frozen=True, kw_only=True)
class SamplesInterval:
    """Bounds for W1 between the two empirical measures; no statistics are involved.

    Raises:
        ContradictionError: the bounds exclude each other, or one of them is nan.
    """

    lower: float
    """Dual value of a certified critic on all samples, divided by its certificate, minus the rounding of the evaluation."""
    upper: float | None = None
    """Cost of an explicit coupling of all samples; None if none was computed."""
    exact: bool = False
    """Whether the coupling is optimal, so that ``upper`` is W1 of the samples, up to rounding."""
    upper_method: str | None = None
    """Method of the upper bound in words, for example ``exact transport`` or ``blocks of exact transport``."""
    n_a: int
    """Number of samples of A that were evaluated."""
    n_b: int
    """Number of samples of B that were evaluated."""
    lower_method: str = ""
    """Proof of the lower bound: the name of a critic, or ``c-transform of the optimal potentials``."""

    def __post_init__(self) -> None:
        if math.isnan(self.lower) or not (self.upper is None or self.lower <= self.upper):
            raise ContradictionError(
                f"W1 of the samples would be at least {self.lower!r} ({self.lower_method}) "
                f"and at most {self.upper!r} ({self.upper_method})"
            )

    @property
    def gap(self) -> float | None:
        """Upper bound minus lower bound."""
        return None if self.upper is None else self.upper - self.lower

    @property
    def relative_gap(self) -> float | None:
        """Gap relative to the upper bound; 0 if both are 0."""
        if self.upper is None or self.gap is None:
            return None
        return self.gap / self.upper if self.upper > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class PopulationBound:
    """Bounds for W1 between the populations that the samples were drawn from, based on held-out samples."""

    estimate: float
    """Held-out dual value divided by the certificate; its expectation is a lower bound."""
    lower: float
    """One-sided lower confidence bound."""
    upper: float | None = None
    """One-sided upper confidence bound; None if none was computed."""
    confidence: float
    """Joint confidence of all bounds of the result."""
    jointly_with: int
    """Number of bounds that share the error equally."""
    method: str
    """Method of the lower bound: one of :data:`wdist.bounds.confidence.METHODS`, or ``cross-fitted``: Welch's t over folds."""
    n_a: int
    """Held-out samples of A; with folds, all of them."""
    n_b: int
    """Held-out samples of B; with folds, all of them."""
    upper_method: str | None = None
    """Method of the upper bound in words."""

    @property
    def contradictory(self) -> bool:
        """Whether the bounds exclude each other, so that one of them is wrong; the confidence allows it, but rarely."""
        return self.upper is not None and self.upper < self.lower


@dataclass(frozen=True, kw_only=True)
class Detected:
    """Distance that the main critic detects on fresh samples: mean held-out value on A minus that on B, divided by the certificate.

    The interval is about this critic, two-sided, and holds at ``confidence`` on its own. Its lower end is at most W1 between the
    populations; its upper end says that this critic finds no more, and W1 may be larger.
    """

    estimate: float
    """Held-out dual value divided by the certificate; with folds, the mean over them."""
    lower: float
    """Lower end of the two-sided confidence interval."""
    upper: float
    """Upper end of the two-sided confidence interval; W1 may be larger."""
    confidence: float
    """Confidence of this interval on its own; it shares its error with no other bound."""
    method: str
    """``welch``, ``betting``, ``empirical-bernstein``, or ``cross-fitted``: Welch's t over folds, asymptotic."""
    n_a: int
    """Held-out samples of A; with folds, all of them."""
    n_b: int
    """Held-out samples of B; with folds, all of them."""
    p_value: float
    """One-sided p-value of "the populations are equal"."""
    p_value_method: str
    """``permutations``, exact at any number of samples; or ``welch``, asymptotic."""
    detectable: float
    """Smallest value of this critic that a test at this level finds with 90 % power, from the standard error."""
    error_a: float
    """Standard error of the mean of A."""
    error_b: float
    """Standard error of the mean of B."""
    freedom: float
    """Welch's degrees of freedom, fewer if few values carry the variance."""

    @property
    def standard_error(self) -> float:
        """Standard error of the estimate."""
        return math.hypot(self.error_a, self.error_b)

    @property
    def one_sided(self) -> tuple[float, float]:
        """Lower and upper bound that each hold at ``confidence`` alone by Welch's t; by other methods, the ends of the interval."""
        from scipy.special import stdtr, stdtrit  # imported late: the import takes a quarter of a second

        error = self.standard_error
        if self.method not in ("welch", CROSS_FITTED) or not error:
            return self.lower, self.upper

        def one_sided(reach: float) -> float:
            """The quantile of t at twice the error; a reach that skewness widens gives more than that, which is valid as well."""
            return min(reach, -float(stdtrit(self.freedom, min(0.5, 2 * stdtr(self.freedom, -reach / error)))) * error)

        return self.estimate - one_sided(self.estimate - self.lower), self.estimate + one_sided(self.upper - self.estimate)

    @property
    def significant(self) -> bool:
        """Whether a test at this level finds that the populations differ."""
        return self.p_value <= 1 - self.confidence


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Values of one critic on the samples that were held out from it, divided by its certificate, in the order of the rows."""

    a: np.ndarray
    """float64, shape (n,)."""
    b: np.ndarray
    """float64, shape (m,)."""
    rounding: float
    """Bound on the rounding error of the difference of the two means."""
    ranges: tuple[float | None, float | None]
    """Known range of each side's values, rounding included."""
    apart: float | None
    """Largest distance between values of different sides, if known."""


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Outcomes of one kind of critic, trained with several seeds on one split.

    They only show the spread: the bounds of a result are those of the first seed, whatever the outcomes.
    """

    seeds: tuple[int, ...]
    """Seeds; the first is that of the result itself."""
    estimates: tuple[float, ...]
    """Held-out estimate of each seed."""
    lowers: tuple[float, ...]
    """Lower bound for the samples of each seed."""

    def __post_init__(self) -> None:
        assert len(self.seeds) == len(self.estimates) == len(self.lowers) > 0

    @property
    def estimate_mean(self) -> float:
        return fmean(self.estimates)

    @property
    def estimate_deviation(self) -> float | None:
        """Standard deviation of one seed's held-out estimate; None for a single seed."""
        return stdev(self.estimates) if len(self.seeds) > 1 else None

    @property
    def lower_mean(self) -> float:
        return fmean(self.lowers)

    @property
    def lower_deviation(self) -> float | None:
        """Standard deviation of one seed's lower bound for the samples; None for a single seed."""
        return stdev(self.lowers) if len(self.seeds) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One candidate of the model selection."""

    name: str
    validation: float
    """Dual value on the validation split divided by the certificate, in the units of the data: the selection criterion."""
    seconds: float
    steps: int
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class CriticResult:
    """One critic: its training, its certificate, and the bounds that it proves."""

    name: str
    """``groupsort-bjorck``, ``relu-spectral``, ``relu-bjorck``, ..."""
    title: str = ""
    """Short description of the critic."""
    samples: SamplesInterval
    """The interval with this critic's own lower bound; that of the result may be tighter."""
    population: PopulationBound
    training_value: float
    """Dual value on the training split, in the units of the data; not a bound for the populations."""
    lipschitz_bound: float
    """The certificate: an upper bound K on the Lipschitz constant of the frozen critic."""
    layers: tuple[LayerBound, ...]
    steps: int
    seconds: float
    parameters: int
    settings: dict[str, str | int | float | None]
    """Settings as shown to the user: width, depth, group size, batch size, ..."""
    history: tuple[HistoryPoint, ...]
    converged: bool
    """Whether the validation value rose by less than 1 % over the last quarter of the training, in every fold."""
    rise: float = 0.0
    """Rise of the best validation value in that quarter, divided by the certificate and averaged over folds."""
    frozen: FrozenCritic
    """The one object that was certified and evaluated, and is saved."""
    potential: Potential = field(default=None, compare=False, repr=False)  # type: ignore[assignment]  # results made by hand
    """The critic as a function of samples, in the shape and the units of the source, with scores, gradients and witnesses."""
    bound_by_construction: bool = True
    """Whether a constraint bounded the layers during training; otherwise only division by the certificate yields a bound."""
    raw_value: float | None = None
    """Held-out dual value, not divided by anything, of a critic without a constraint: NOT A BOUND."""
    largest_slope: float | None = None
    """Largest slope that a search found: a lower estimate of the Lipschitz constant."""
    repeats: Repeats | None = None
    """The same kind with further seeds; None unless requested."""
    tried: tuple[Attempt, ...] = ()
    """Candidates compared on the validation split; empty if the user named the critic."""
    interrupted: bool = False
    folds: tuple[CriticResult, ...] = ()
    """The result of each fold; this result is the best of them. Empty without folds."""
    held_out: HeldOut | None = field(default=None, compare=False, repr=False)
    """Its values on the held-out samples; with folds, each result in ``folds`` has its own."""

    @property
    def fold_names(self) -> tuple[str, ...]:
        """Name of the critic of each fold; validation may choose a different kind in each. Empty without folds."""
        return tuple(fold.name for fold in self.folds)

    @property
    def certified(self) -> bool:
        """Whether its Lipschitz constant is bounded; a critic without a finite certificate fails before it becomes a result."""
        return math.isfinite(self.lipschitz_bound)


@dataclass(frozen=True, kw_only=True)
class TransportBounds:
    """Bounds for one pair that transport proves, in the units of the data."""

    coupling: Coupling | None = None
    """Coupling of all samples; None if none was computed."""
    lower: float = 0.0
    """Lower bound from optimal dual variables, or from the critic that extends them; 0 if they are not known."""
    population_upper: PopulationUpper | None = None
    unvaried: bool = False
    """Whether no upper bound for the populations is stated because no cost or dual variable varies."""

    @property
    def kept(self) -> bool:
        """Whether the plans of all couplings are known, so that a proof can hold them."""
        couplings = () if self.coupling is None else (self.coupling.plan,)
        return None not in (*couplings, *(() if self.population_upper is None else self.population_upper.plans))

    def closed(self, tolerance: float) -> bool:
        """Whether the gap between the two bounds is at most ``tolerance`` times the upper one."""
        return self.coupling is not None and self.coupling.cost - self.lower <= tolerance * self.coupling.cost

    def on(self, result: CriticResult) -> CriticResult:
        """Returns one critic's result with the upper bounds added."""
        population = result.population
        if self.population_upper is not None:
            population = replace(population, upper=self.population_upper.value, upper_method=self.population_upper.method)
        return replace(result, samples=self._capped(result.samples), population=population)

    def tightest(self, results: list[CriticResult]) -> SamplesInterval:
        """The tightest interval for the samples that all critics and couplings prove together."""
        best = max((result.samples for result in results), key=lambda interval: interval.lower)
        if self.lower > best.lower:
            best = replace(best, lower=self.lower, lower_method=CLOSING)
        return self._capped(best)

    def _capped(self, samples: SamplesInterval) -> SamplesInterval:
        if self.coupling is None:
            return samples
        return replace(samples, upper=self.coupling.cost, exact=self.coupling.exact, upper_method=self.coupling.method)


@dataclass(frozen=True, kw_only=True, repr=False)
class Estimate(Plottable):
    """Result of ``wdist estimate``."""

    command: str
    """``estimate`` or ``synthetic``."""
    samples: SamplesInterval
    """Tightest interval for W1 between the two sample sets, proved by any critic and any coupling."""
    critic: CriticResult
    baselines: tuple[CriticResult, ...]
    """The other critics."""
    a: SourceInfo
    b: SourceInfo
    digest_a: str | None
    """SHA-256 of the stored samples of A; None if they are drawn."""
    digest_b: str | None
    metric: str
    seed: int
    truth: float | None
    """Known W1 of a synthetic pair; otherwise None."""
    seconds: float
    environment: Environment
    preview: tuple[Tensor, Tensor] | None
    """At most 1000 held-out samples of each side, shape (n, dim), for plots; None above two dimensions."""
    warnings: tuple[str, ...] = field(default=())
    interrupted: bool = False
    """The run was cut short; the bounds are valid all the same."""
    comparison: bool = False
    """Whether critics were named to be compared; then ``critic`` is the one with the highest lower bound."""
    tolerance: float | None = None
    """Requested relative gap."""
    draws: int | None = None
    """Requested number of draws from an endless source."""
    folds: int | None = None
    """Number of folds held out in turn; None if a single part of the samples was held out."""
    features: Features | None = None
    """Feature space that all numbers are measured in; None for the samples' own space."""
    transport: TransportBounds | None = None
    """The couplings and dual variables behind the bounds from transport."""
    detected: Detected | None = None
    """Distance that the main critic detects on fresh samples; None if both sides are the same samples, and for a proof."""
    block: Blocks | None = None
    """Mean distance between small blocks of samples; None if it was not measured."""
    noise_floor: NoiseFloor | None = None
    """W1 between two parts of A, drawn from the same distribution; None if it was not measured."""
    semi_discrete: SemiDiscrete | None = None
    """W1 from the samples of A to the distribution of B; None unless A is stored and B is drawn without end."""
    divergence: Divergence | None = None
    """Bounds for a divergence with a Lipschitz critic, in nats; None if none was requested."""

    @property
    def population(self) -> PopulationBound:
        """Bounds for W1 between the populations, by the main critic."""
        return self.critic.population

    @property
    def closed(self) -> bool:
        """Whether the requested gap between the bounds for the samples is reached."""
        gap = self.samples.relative_gap
        return self.tolerance is not None and gap is not None and gap <= self.tolerance

    @property
    def tightness(self) -> float | None:
        """Held-out estimate divided by the truth; None if the truth is 0 or not known."""
        return None if not self.truth else self.population.estimate / self.truth

    @property
    def converged(self) -> bool:
        """Whether the main critic had stopped improving by the end of its budget."""
        return self.critic.converged

    @property
    def critics(self) -> tuple[CriticResult, ...]:
        """All critics, the main one first."""
        return (self.critic, *self.baselines)

    @property
    def undivided(self) -> bool:
        """Whether a single part of the samples was held out, though folds are possible for samples of this kind."""
        stored = self.a.count is not None or self.b.count is not None
        repeated = any(critic.repeats for critic in self.critics)
        return self.folds is None and stored and not self.a.fitted and not repeated and self.divergence is None

    @property
    def detailed(self) -> bool:
        """Whether the critics need a detailed table: they are compared, repeated, or one has no constraint."""
        return self.comparison or any(each.repeats or not each.bound_by_construction for each in self.critics)

    @property
    def certified(self) -> bool:
        """Whether the bounds of the main critic are proved."""
        return self.critic.certified
