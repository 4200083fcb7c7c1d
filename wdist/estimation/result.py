"""What an estimation found: plain values, with the facts that follow from them as properties."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from wdist.critics.frozen import FrozenCritic
    from wdist.data.features.space import Features
    from wdist.data.sources.source import SourceInfo
    from wdist.environment import Environment
    from wdist.lipschitz.frozen_layer import LayerBound
    from wdist.training.observer import HistoryPoint


@dataclass(frozen=True, kw_only=True)
class SamplesInterval:
    """Bounds for W1 between the two empirical measures; no statistics are involved."""

    lower: float
    """Dual value of a certified critic on all samples, divided by its certificate, less the rounding of the evaluation."""
    upper: float | None
    """Cost of an explicit coupling of all samples; None where none was computed."""
    exact: bool
    """The coupling is optimal, so ``upper`` is W1 of the samples, up to rounding."""
    upper_method: str | None
    """How the coupling was found, in words, for example ``exact transport`` or ``blocks of exact transport``."""
    n_a: int
    n_b: int
    lower_method: str = ""
    """What proves the lower end: the name of a critic, or ``c-transform of the optimal potentials``."""

    @property
    def gap(self) -> float | None:
        """Upper less lower end."""
        return None if self.upper is None else self.upper - self.lower

    @property
    def relative_gap(self) -> float | None:
        """Gap as a share of the upper end; 0 where both ends are 0."""
        if self.upper is None or self.gap is None:
            return None
        return self.gap / self.upper if self.upper > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class PopulationBound:
    """Bounds for W1 between the distributions that the samples were drawn from, from samples that no choice depended on."""

    estimate: float
    """Held-out dual value divided by the certificate; its expectation is a lower bound."""
    lower: float
    """One-sided lower confidence bound."""
    upper: float | None
    """One-sided upper confidence bound; None where none was computed."""
    confidence: float
    """Stated for all bounds of one result together."""
    jointly_with: int
    """How many bounds share the error that ``confidence`` leaves; each takes an equal part."""
    method: str
    """Of the lower bound: a name of :data:`wdist.bounds.confidence.METHODS`."""
    n_a: int
    n_b: int
    upper_method: str | None = None
    """How the upper bound was found, in words."""


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """What critics of one kind came to, trained with several seeds on one split.

    Only the spread is taken from here: the bounds of a result are those of the first seed, which no outcome chose.
    """

    seeds: tuple[int, ...]
    """The first is that of the result itself."""
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
    """One critic that was tried before one was chosen."""

    name: str
    validation: float
    """Dual value on the validation split over the certificate, in the units of the data: what the choice was made by."""
    seconds: float
    steps: int
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class CriticResult:
    """One critic: how it was trained, its certificate, and the bounds that it proves."""

    name: str
    """``groupsort-bjorck``, ``relu-spectral``, ``relu-bjorck``, ..."""
    title: str = ""
    """The same in a few words."""
    samples: SamplesInterval
    population: PopulationBound
    training_value: float
    """Dual value on the training split, in the units of the data; not a bound for the populations."""
    lipschitz_bound: float
    """The certificate: K from above for the frozen critic."""
    certified: bool
    layers: tuple[LayerBound, ...]
    steps: int
    seconds: float
    parameters: int
    settings: dict[str, str | int | float | None]
    """What the critic was built and trained with, as shown to the user: width, depth, group size, batch size, ..."""
    history: tuple[HistoryPoint, ...]
    converged: bool
    """The validation value rose by less than 1 % over the last quarter of the training."""
    frozen: FrozenCritic
    """The one object that was certified and evaluated, and is saved."""
    bound_by_construction: bool = True
    """The layers were kept from stretching in training. Where False, only the division by the certificate makes a bound."""
    raw_value: float | None = None
    """Held-out dual value, not divided by anything, of a critic without a constraint: NOT A BOUND."""
    largest_slope: float | None = None
    """Of the critic, found by a search: the Lipschitz constant from below."""
    repeats: Repeats | None = None
    """The same kind with further seeds, where that was asked for."""
    tried: tuple[Attempt, ...] = ()
    """What it was chosen from, by the validation split; empty where the user named the critic."""
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The answer to one ``wdist estimate``."""

    command: str
    """``estimate`` or ``synthetic``."""
    samples: SamplesInterval
    """The tightest interval for W1 between the two sample sets: its ends may be proved by any critic and any coupling."""
    critic: CriticResult
    baselines: tuple[CriticResult, ...]
    a: SourceInfo
    b: SourceInfo
    digest_a: str | None
    """SHA-256 of the stored samples of A; None where they are drawn."""
    digest_b: str | None
    metric: str
    seed: int
    truth: float | None
    """The known W1 of a synthetic pair, else None."""
    seconds: float
    environment: Environment
    preview: tuple[Tensor, Tensor] | None
    """At most 1000 held-out samples of each side, shape (n, dim), to draw beside a surface; None above two dimensions."""
    warnings: tuple[str, ...] = field(default=())
    interrupted: bool = False
    comparison: bool = False
    """The critics were named to be compared; ``critic`` is the one that proves most."""
    tolerance: float | None = None
    """The relative gap that was asked for."""
    features: Features | None = None
    """Of both sides, where all numbers of the result are of a feature space."""

    @property
    def population(self) -> PopulationBound:
        """Bounds for W1 between the two distributions, by the main critic."""
        return self.critic.population

    @property
    def closed(self) -> bool:
        """Whether the gap that was asked for is reached, between the sample sets."""
        gap = self.samples.relative_gap
        return self.tolerance is not None and gap is not None and gap <= self.tolerance

    @property
    def tightness(self) -> float | None:
        """Held-out estimate as a share of the truth, where that is known."""
        return None if not self.truth else self.population.estimate / self.truth

    @property
    def converged(self) -> bool:
        """Whether the main critic had stopped improving when its budget ended."""
        return self.critic.converged

    @property
    def critics(self) -> tuple[CriticResult, ...]:
        """All critics, the main one first."""
        return (self.critic, *self.baselines)

    @property
    def detailed(self) -> bool:
        """Whether there is more to tell of each critic than fits one row: compared, repeated, or left without a constraint."""
        return self.comparison or any(each.repeats or not each.bound_by_construction for each in self.critics)

    @property
    def certified(self) -> bool:
        """Whether the main critic's bounds are proved."""
        return self.critic.certified
