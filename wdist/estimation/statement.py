"""Statements of proofs: the claims of an estimate with their conditions, validated on reading."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from wdist.bounds.confidence import METHODS
from wdist.bounds.divergence import ClippedPotential
from wdist.critics.settings import LARGEST_LIPSCHITZ, LEAST_LIPSCHITZ
from wdist.data.sources.column import CATEGORY, Column
from wdist.data.sources.source import SourceInfo
from wdist.data.tables.encoding import is_plain, laid_out
from wdist.data.tables.joint import Encoding
from wdist.estimation.divergence import Divergence
from wdist.estimation.options import MOST_DRAWS, MOST_FOLDS
from wdist.estimation.population_upper import BOUNDS
from wdist.estimation.result import CROSS_FITTED, CriticResult, Estimate
from wdist.ground_metric import METRICS

_HIGHEST = 100.0
"""Most nats by which a potential may exceed the logarithm of the mean of its exponential; fitted potentials stay far below."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Claimed bounds of an interval."""

    lower: float
    upper: float | None


class ProvedSource(_Part):
    """One side of a proof."""

    address: str
    digest: str | None
    """SHA-256 of the stored samples; None for an endless source."""
    dropped: Annotated[int, Field(ge=0)] = 0
    """Number of rows left out."""


class ProvedColumn(_Part):
    """One column of both sides, with its encoding as coordinates."""

    name: str
    named: bool
    type: Literal["number", "boolean", "date", "category"]
    unit: str
    levels: tuple[str, ...]
    scale: Annotated[float, Field(gt=0)]
    fill: float | None
    indicator: bool

    def model_post_init(self, context: Any, /) -> None:
        """Checks that the fields agree.

        Raises:
            ValueError: they do not.
        """
        category = self.type == CATEGORY
        fills = self.fill is not None
        if category != bool(self.levels or (category and self.indicator)) or len(set(self.levels)) < len(self.levels):
            raise ValueError(f"the levels of {self.name!r} are not those of a category")
        if fills != (self.indicator and not category):
            raise ValueError(f"{self.name!r} lacks a fill value for missing numbers, or has one that it does not need")


class ProvedFeatures(_Part):
    """The feature space of a proof."""

    spec: str
    digest: str | None


class ProvedFold(_Part):
    """A critic with the lower bound for the samples that it is claimed to prove."""

    critic: str
    """Output of :meth:`FrozenCritic.description`."""
    samples_lower: float


class ProvedCritic(_Part):
    """A critic, trained once or once for each fold of the samples."""

    name: str
    title: str
    population_lower: float
    folds: Annotated[tuple[ProvedFold, ...], Field(min_length=1)]


class ProvedUpper(_Part):
    """The upper bound for the populations, from couplings of independent blocks."""

    bound: str
    tried: Annotated[int, Field(ge=1, le=len(BOUNDS))]
    blocks: Annotated[int, Field(ge=1, le=10_000)]


class ProvedDivergence(_Part):
    """A divergence with a Lipschitz critic; its lower bound for the populations shares the error with the bounds for W1."""

    model_config = ConfigDict(populate_by_name=True)

    name: Annotated[str, Field(pattern="^kl$")]
    lambda_: Annotated[float, Field(alias="lambda", ge=LEAST_LIPSCHITZ, le=LARGEST_LIPSCHITZ)]
    critic: str
    """Output of :meth:`FrozenCritic.description`."""
    title: str
    trained_for: Annotated[str, Field(pattern="^(kl|w1)$")]
    factor: Annotated[float, Field(ge=0)]
    low: float
    high: float
    shift: float
    """The potential is clip(factor critic, low, high) - shift."""
    method: str
    samples: Ends
    population: Ends

    def model_post_init(self, context: Any, /) -> None:
        """Checks the method, and that the exponential of the potential does not overflow.

        Raises:
            ValueError: the method is unknown, or the exponential may overflow.
        """
        if self.method not in METHODS:
            raise ValueError(f"{self.method!r} is unknown")
        if not self.low <= self.high <= self.shift + _HIGHEST:
            raise ValueError("the potential of its divergence has an empty range, or values that are too large")

    @property
    def clipped(self) -> ClippedPotential:
        """The potential as a function of the critic's values."""
        return ClippedPotential(factor=self.factor, low=self.low, high=self.high, shift=self.shift)


class Statement(_Part):
    """Claims of a proof, with their conditions."""

    metric: str
    seed: Annotated[int, Field(ge=0)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    jointly_with: Annotated[int, Field(ge=1)]
    """Number of bounds that share the error equally."""
    method: str
    a: ProvedSource
    b: ProvedSource
    features: ProvedFeatures | None
    draws: Annotated[int, Field(ge=1, le=MOST_DRAWS)] | None = None
    """Number of draws from an endless source; None for the default."""
    folds: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | None
    """Number of folds held out in turn; None if a single part of the samples was held out."""
    samples: Ends
    population: Ends
    """Lower bound by the first critic, upper bound by couplings of blocks."""
    critics: Annotated[tuple[ProvedCritic, ...], Field(min_length=1)]
    upper: ProvedUpper | None
    divergence: ProvedDivergence | None = None
    scaling: str = "none"
    """Origin of the units of length of the columns."""
    columns: tuple[ProvedColumn, ...] | None = None
    """Columns of both sides; None if their values are the coordinates themselves."""

    @property
    def encoding(self) -> Encoding | None:
        """Encoding of table rows as samples; None if the rows are samples already."""
        if self.columns is None:
            return None
        columns = laid_out([Column(start=0, stop=1, **column.model_dump()) for column in self.columns])
        return Encoding(columns=columns, scaling=self.scaling)

    def model_post_init(self, context: Any, /) -> None:
        """Checks the names, and that the fields agree.

        Raises:
            ValueError: a name is unknown, or two fields contradict each other.
        """
        for name, known in ((self.metric, METRICS), (self.method, METHODS)):
            if name not in known:
                raise ValueError(f"{name!r} is unknown")
        if self.upper is not None and self.upper.bound not in BOUNDS:
            raise ValueError(f"{self.upper.bound!r} is unknown")
        if self.scaling == "none" and any(column.scale != 1 for column in self.columns or ()):
            raise ValueError("its columns are scaled, but its scaling is none")
        if self.folds is not None and self.encoding is not None and self.encoding.fitted:
            raise ValueError("its metric is fitted to samples that its folds hold out")
        if self.folds is not None and self.divergence is not None:
            raise ValueError("its divergence has no folds")
        if any(len(each.folds) > (self.folds or 1) for each in self.critics):
            raise ValueError("a critic has more folds than the samples")


def statement_of(estimate: Estimate) -> Statement:
    """The claims of an estimate: without upper ends if the plan behind one is not known."""
    features, population = estimate.features, estimate.population
    proved = estimate.transport is None or estimate.transport.kept
    upper = estimate.transport.population_upper if estimate.transport is not None and proved else None
    return Statement(
        metric=estimate.metric,
        seed=estimate.seed,
        confidence=population.confidence,
        jointly_with=population.jointly_with,
        method="welch" if population.method == CROSS_FITTED else population.method,
        a=ProvedSource(address=estimate.a.address, digest=estimate.digest_a, dropped=estimate.a.dropped),
        b=ProvedSource(address=estimate.b.address, digest=estimate.digest_b, dropped=estimate.b.dropped),
        features=None if features is None else ProvedFeatures(spec=features.spec, digest=features.digest),
        draws=estimate.draws,
        folds=estimate.folds,
        samples=Ends(lower=estimate.samples.lower, upper=estimate.samples.upper if proved else None),
        population=Ends(lower=population.lower, upper=population.upper if proved else None),
        critics=tuple(_of_critic(each) for each in estimate.critics),
        upper=None if upper is None else ProvedUpper(bound=upper.bound, tried=upper.tried, blocks=len(upper.plans)),
        divergence=None if estimate.divergence is None else _of_divergence(estimate.divergence, proved=proved),
        scaling=estimate.a.scaling,
        columns=_columns(estimate.a),
    )


def _columns(info: SourceInfo) -> tuple[ProvedColumn, ...] | None:
    if info.columns is None or (info.scaling == "none" and is_plain(info.columns)):
        return None
    return tuple(ProvedColumn(**{name: getattr(column, name) for name in ProvedColumn.model_fields}) for column in info.columns)


def _of_critic(result: CriticResult) -> ProvedCritic:
    folds = tuple(
        ProvedFold(critic=each.frozen.description(), samples_lower=each.samples.lower) for each in result.folds or (result,)
    )
    return ProvedCritic(name=result.name, title=result.title, population_lower=result.population.lower, folds=folds)


def _of_divergence(found: Divergence, *, proved: bool) -> ProvedDivergence:
    critic, clipped = found.critic, found.critic.clipped
    return ProvedDivergence(
        name=found.name,
        lambda_=found.lambda_,
        critic=critic.frozen.description(),
        title=critic.name,
        trained_for=critic.trained_for,
        factor=clipped.factor,
        low=clipped.low,
        high=clipped.high,
        shift=clipped.shift,
        method=found.population.method,
        samples=Ends(lower=found.samples.lower, upper=found.samples.upper if proved else None),
        population=Ends(lower=found.population.lower, upper=found.population.upper if proved else None),
    )
