"""The JSON document of a result: a versioned schema that scripts may rely on."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

if TYPE_CHECKING:
    from wdist.result import Attempt, CriticResult, Estimate, Features, HistoryPoint, PopulationBound, Repeats, SamplesInterval
    from wdist.sources.source import SourceInfo
    from wdist.verification import Verification

SCHEMA_VERSION = "1"


def _null_unless_finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number: TypeAlias = Annotated[float | None, BeforeValidator(_null_unless_finite)]
"""A number, or null where there is none; never NaN or infinity, which JSON does not have."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SamplesDocument(_Part):
    """Bounds for W1 between the two sets of samples themselves."""

    lower: float = Field(description="Lower bound: dual value of a certified critic on all samples, divided by its certificate.")
    lower_method: str = Field(description="What proves the lower bound: a critic by its name, or optimal potentials.")
    upper: Number = Field(description="Upper bound: cost of an explicit coupling of all samples; null where none was computed.")
    exact: bool = Field(description="Whether upper is the exact W1 of the samples, up to rounding.")
    upper_method: str | None = Field(description="How the coupling was found.")
    gap: Number = Field(description="upper - lower.")
    relative_gap: Number = Field(description="(upper - lower) / upper.")
    n_a: int = Field(description="Samples of A that were evaluated.")
    n_b: int = Field(description="Samples of B that were evaluated.")

    @classmethod
    def of(cls, interval: SamplesInterval) -> SamplesDocument:
        return cls(
            lower=interval.lower,
            lower_method=interval.lower_method,
            upper=interval.upper,
            exact=interval.exact,
            upper_method=interval.upper_method,
            gap=interval.gap,
            relative_gap=interval.relative_gap,
            n_a=interval.n_a,
            n_b=interval.n_b,
        )


class PopulationDocument(_Part):
    """Bounds for W1 between the distributions that the samples were drawn from."""

    estimate: Number = Field(description="Held-out dual value divided by the certificate; its expectation is a lower bound.")
    lower: Number = Field(description="One-sided lower confidence bound.")
    upper: Number = Field(description="One-sided upper confidence bound; null where none was computed.")
    upper_method: str | None = Field(description="How the upper bound was found.")
    confidence: float = Field(description="Stated for all bounds of this document together.")
    jointly_with: int = Field(description="How many bounds share the error that the confidence leaves.")
    method: str = Field(description="How the lower confidence bound was made: betting, empirical-bernstein or welch.")
    n_a: int = Field(description="Held-out samples of A.")
    n_b: int = Field(description="Held-out samples of B.")

    @classmethod
    def of(cls, bound: PopulationBound) -> PopulationDocument:
        return cls(
            estimate=bound.estimate,
            lower=bound.lower,
            upper=bound.upper,
            upper_method=bound.upper_method,
            confidence=bound.confidence,
            jointly_with=bound.jointly_with,
            method=bound.method,
            n_a=bound.n_a,
            n_b=bound.n_b,
        )


class LayerDocument(_Part):
    """One factor of a certificate."""

    layer: str
    bound: Number
    method: str


class HistoryDocument(_Part):
    """One validation during training, in the units of the data."""

    step: int
    seconds: float
    training: Number
    validation: Number

    @classmethod
    def of(cls, point: HistoryPoint) -> HistoryDocument:
        return cls(step=point.step, seconds=point.seconds, training=point.training, validation=point.validation)


class RepeatsDocument(_Part):
    """What further seeds came to, on the same split; only the spread is taken from here."""

    seeds: list[int] = Field(description="The first is that of the bounds.")
    estimates: list[float] = Field(description="Held-out estimate of each seed.")
    estimate_mean: float
    estimate_deviation: Number = Field(description="Standard deviation of one seed's held-out estimate.")
    lowers: list[float] = Field(description="Lower bound for the samples of each seed.")
    lower_mean: float
    lower_deviation: Number = Field(description="Standard deviation of one seed's lower bound for the samples.")

    @classmethod
    def of(cls, repeats: Repeats) -> RepeatsDocument:
        return cls(
            seeds=list(repeats.seeds),
            estimates=list(repeats.estimates),
            estimate_mean=repeats.estimate_mean,
            estimate_deviation=repeats.estimate_deviation,
            lowers=list(repeats.lowers),
            lower_mean=repeats.lower_mean,
            lower_deviation=repeats.lower_deviation,
        )


class AttemptDocument(_Part):
    """One critic that was tried before one was chosen."""

    name: str
    validation: Number = Field(
        description="What the choice was made by: dual value on the validation split, divided by the certificate. Not a bound."
    )
    seconds: float
    steps: int
    chosen: bool

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptDocument:
        return cls(**vars(attempt))


class CriticDocument(_Part):
    """The main critic: that which was chosen, named, or proves most of those that were compared."""

    name: str
    title: str = Field(description="The name in a few words.")
    lipschitz_bound: Number = Field(description="The certificate: an upper bound of the critic's Lipschitz constant.")
    certified: bool = Field(description="Whether the bounds are proved; where false, no value of this critic is a bound.")
    steps: int
    seconds: float
    parameters: int
    samples: SamplesDocument = Field(
        description="The interval with this critic's own lower bound; that of the result may be tighter."
    )
    tried: list[AttemptDocument] = Field(description="What it was chosen from; empty where the user named the critic.")
    bound_by_construction: bool = Field(description="Whether the layers were kept from stretching in training.")
    raw_value: Number = Field(
        description="NOT A BOUND: held-out dual value before any division, of a critic that nothing constrained; null for others."
    )
    largest_slope: Number = Field(description="The critic's Lipschitz constant from below, by a search; null where none was made.")
    repeats: RepeatsDocument | None = Field(description="Further seeds; null unless --repeats asked for them.")
    training_value: Number = Field(description="Dual value on the training split; not a bound for the distributions.")
    converged: bool
    interrupted: bool
    settings: dict[str, str | int | float | None]
    layers: list[LayerDocument]
    history: list[HistoryDocument]

    @classmethod
    def of(cls, critic: CriticResult) -> CriticDocument:
        return cls(**_critic_facts(critic))


class BaselineDocument(CriticDocument):
    """Another critic, trained on the same split with the same budget, and its own bounds."""

    population: PopulationDocument

    @classmethod
    def of(cls, critic: CriticResult) -> BaselineDocument:
        return cls(**_critic_facts(critic), population=PopulationDocument.of(critic.population))


def _critic_facts(critic: CriticResult) -> dict[str, Any]:
    return {
        "name": critic.name,
        "title": critic.title,
        "samples": SamplesDocument.of(critic.samples),
        "tried": [AttemptDocument.of(attempt) for attempt in critic.tried],
        "bound_by_construction": critic.bound_by_construction,
        "raw_value": critic.raw_value,
        "largest_slope": critic.largest_slope,
        "repeats": critic.repeats and RepeatsDocument.of(critic.repeats),
        "lipschitz_bound": critic.lipschitz_bound,
        "certified": critic.certified,
        "steps": critic.steps,
        "seconds": critic.seconds,
        "parameters": critic.parameters,
        "training_value": critic.training_value,
        "converged": critic.converged,
        "interrupted": critic.interrupted,
        "settings": {name: _null_unless_finite(value) for name, value in critic.settings.items()},
        "layers": [LayerDocument(layer=factor.layer, bound=factor.bound, method=factor.method) for factor in critic.layers],
        "history": [HistoryDocument.of(point) for point in critic.history],
    }


class SourceDocument(_Part):
    """Where the samples of one side came from."""

    address: str
    kind: str
    event_shape: list[int]
    count: int | None = Field(description="Number of samples; null when they are drawn without end.")
    dtype: str
    scale: float = Field(description="Stored value * scale + offset = value in the units of the distance.")
    offset: float
    units: str
    bounds: tuple[float, float] | None = Field(description="An interval that holds every coordinate for certain; null if unknown.")
    dropped: int = Field(description="Rows left out because they were not finite.")
    notes: list[str]
    digest: str | None = Field(description="SHA-256 of the stored samples; null where they are drawn.")

    @classmethod
    def of(cls, info: SourceInfo, *, digest: str | None) -> SourceDocument:
        return cls(
            address=info.address,
            kind=info.kind,
            event_shape=list(info.event_shape),
            count=info.count,
            dtype=info.dtype,
            scale=info.scale,
            offset=info.offset,
            units=info.units,
            bounds=info.bounds,
            dropped=info.dropped,
            notes=list(info.notes),
            digest=digest,
        )


class FeaturesDocument(_Part):
    """The feature space that both sides were mapped to."""

    spec: str = Field(description="As the user wrote it.")
    what: str = Field(description="The function in words.")
    dim: int = Field(description="Features of one sample.")
    digest: str | None = Field(description="SHA-256 of the file of weights, or of the file that the function is written in.")

    @classmethod
    def of(cls, features: Features | None) -> FeaturesDocument | None:
        return None if features is None else cls(**vars(features))


class EnvironmentDocument(_Part):
    """Where the result was computed."""

    wdist: str
    python: str
    torch: str
    platform: str
    device: str
    threads: int
    precision: str


class EstimateDocument(_Part):
    """The result of `wdist estimate` or `wdist synthetic`."""

    schema_version: Literal["1"] = Field(description="Changes when a key changes its meaning or goes.")
    command: str
    samples: SamplesDocument
    population: PopulationDocument
    truth: Number = Field(description="The known W1 of a synthetic pair, else null.")
    tightness: Number = Field(description="population.estimate / truth, else null.")
    tolerance: Number = Field(description="The relative gap between the ends for the samples that --tol asked for, else null.")
    closed: bool = Field(description="Whether it was reached; false where none was asked for.")
    critic: CriticDocument
    baselines: list[BaselineDocument] = Field(description="The other critics.")
    comparison: bool = Field(description="Whether critics were named to be compared; then `critic` is the one that proves most.")
    metric: str = Field(description="Ground metric: l2, l1 or linf.")
    features: FeaturesDocument | None = Field(description="The space that all distances are of; null for that of the samples.")
    a: SourceDocument
    b: SourceDocument
    seed: int
    converged: bool
    interrupted: bool = Field(description="Whether the training was cut short; the bounds are valid all the same.")
    seconds: float
    environment: EnvironmentDocument
    warnings: list[str]

    @classmethod
    def of(cls, estimate: Estimate) -> EstimateDocument:
        environment = estimate.environment
        return cls(
            schema_version="1",
            command=estimate.command,
            samples=SamplesDocument.of(estimate.samples),
            population=PopulationDocument.of(estimate.population),
            truth=estimate.truth,
            tightness=estimate.tightness,
            tolerance=estimate.tolerance,
            closed=estimate.closed,
            critic=CriticDocument.of(estimate.critic),
            baselines=[BaselineDocument.of(baseline) for baseline in estimate.baselines],
            comparison=estimate.comparison,
            metric=estimate.metric,
            features=FeaturesDocument.of(estimate.features),
            a=SourceDocument.of(estimate.a, digest=estimate.digest_a),
            b=SourceDocument.of(estimate.b, digest=estimate.digest_b),
            seed=estimate.seed,
            converged=estimate.converged,
            interrupted=estimate.interrupted,
            seconds=estimate.seconds,
            environment=EnvironmentDocument(
                wdist=environment.wdist,
                python=environment.python,
                torch=environment.torch,
                platform=environment.platform,
                device=environment.device,
                threads=environment.threads,
                precision=environment.precision,
            ),
            warnings=list(estimate.warnings),
        )


class FindingDocument(_Part):
    """One thing that was checked."""

    what: str
    ok: bool
    detail: str


class VerificationDocument(_Part):
    """The result of `wdist verify`."""

    schema_version: Literal["1"]
    command: Literal["verify"]
    critic: str
    ok: bool
    lipschitz_bound: Number
    claimed_lipschitz_bound: Number
    lower: Number = Field(description="Lower bound for the samples, re-computed.")
    claimed_lower: Number
    population_lower: Number
    claimed_population_lower: Number
    confidence: Number
    a: str
    b: str
    findings: list[FindingDocument]

    @classmethod
    def of(cls, verification: Verification, *, critic: str) -> VerificationDocument:
        return cls(
            schema_version="1",
            command="verify",
            critic=critic,
            ok=verification.ok,
            lipschitz_bound=verification.lipschitz_bound,
            claimed_lipschitz_bound=verification.claimed_lipschitz_bound,
            lower=verification.lower,
            claimed_lower=verification.claimed_lower,
            population_lower=verification.population_lower,
            claimed_population_lower=verification.claimed_population_lower,
            confidence=verification.confidence,
            a=verification.a,
            b=verification.b,
            findings=[
                FindingDocument(what=finding.what, ok=finding.ok, detail=finding.detail) for finding in verification.findings
            ],
        )


def text(document: BaseModel) -> str:
    """A document as indented JSON that ends with a line feed; numbers at full precision."""
    return json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def facts_text(facts: Any, *, command: str) -> str:
    """The fields of a dataclass as a JSON document, in the manner of :func:`text`."""
    plain = TypeAdapter(type(facts)).dump_python(facts, mode="json")
    document = {"schema_version": SCHEMA_VERSION, "command": command, **without_nonfinite(plain)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def without_nonfinite(value: Any) -> Any:
    """The same plain values with null in the place of what is not finite."""
    if isinstance(value, dict):
        return {key: without_nonfinite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_nonfinite(part) for part in value]
    return _null_unless_finite(value)
