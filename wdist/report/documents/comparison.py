"""The JSON document of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from wdist.report.documents.bounds import PopulationDocument, SamplesDocument
from wdist.report.documents.critic import CriticDocument
from wdist.report.documents.document import SCHEMA_VERSION, Document, Number
from wdist.report.documents.source import EnvironmentDocument, FeaturesDocument, SourceDocument

if TYPE_CHECKING:
    from wdist.comparison.ranking import Comparison, Entry


class EntryDocument(Document):
    """One source against the reference, which is A in all of it."""

    name: str
    source: SourceDocument
    samples: SamplesDocument
    population: PopulationDocument
    critic: CriticDocument
    interrupted: bool
    seconds: float

    @classmethod
    def of(cls, entry: Entry, /, **fields: Any) -> Self:
        """The document of an entry; further fields of a document that extends this one are given by keyword."""
        found = entry.estimate
        return super().of(found, name=entry.name, source=SourceDocument.of(found.b, digest=found.digest_b), **fields)


class RankedDocument(EntryDocument):
    """A source with the places that it may have."""

    first_place: int = Field(description="The best place that the claims leave it, from 1 on.")
    last_place: int = Field(description="The worst one; the same where its place is decided.")

    @classmethod
    def ranked(cls, entry: Entry, comparison: Comparison) -> Self:
        """The document of an entry in its ranking."""
        first, last = comparison.places(entry)
        return cls.of(entry, first_place=first, last_place=last)


class ClaimDocument(Document):
    """That one source is nearer to the reference than another."""

    nearer: str
    farther: str


class OrderDocument(Document):
    """Which order is claimed."""

    claims: list[ClaimDocument] = Field(description="All pairs whose intervals are disjoint.")
    groups: list[list[str]] = Field(description="Every source of a group is nearer than every one of the next; within, no cut.")


class SeparationDocument(Document):
    """What would separate two neighbours of the ranking: an estimate, not a bound."""

    nearer: str
    farther: str
    times: Number = Field(description="As many times the samples that there are; null where it cannot be told.")
    samples: int | None = Field(description="That many times those of the largest side that is not drawn without end.")
    reason: str | None = Field(description="Why it cannot be told.")


class ComparisonDocument(Document):
    """The result of `wdist compare`."""

    schema_version: Literal["1"] = Field(description="Changes when a key changes its meaning or goes.")
    command: Literal["compare"]
    reference: SourceDocument
    ranking: list[RankedDocument] = Field(description="By held-out estimate, the nearest first; the estimates are no bounds.")
    noise_floor: EntryDocument | None = Field(description="The reference against itself; null where it was not found.")
    population_order: OrderDocument = Field(description="Claimed of the distributions, at the joint confidence.")
    samples_order: OrderDocument = Field(description="Certain of the sample sets, which may differ in size.")
    separations: list[SeparationDocument] = Field(description="Of neighbours that are not separable.")
    slope: Number = Field(
        description="W1 between halves of the reference falls as their size to the power of minus this, measured."
    )
    confidence: float = Field(description="Of all bounds for the distributions in this document together.")
    results: int = Field(description="How many results share the error in equal parts: sources and noise floor.")
    bounds: int = Field(description="How many bounds hold together.")
    metric: str = Field(description="Ground metric: l2, l1 or linf.")
    features: FeaturesDocument | None = Field(description="The space that all distances are of; null for that of the samples.")
    seed: int
    left_out: list[str] = Field(description="Sources without a result.")
    interrupted: bool
    seconds: float
    environment: EnvironmentDocument
    warnings: list[str]

    @classmethod
    def of(cls, comparison: Comparison, /, **fields: Any) -> Self:
        """The document of a comparison."""
        floor = comparison.noise_floor
        return super().of(
            comparison,
            schema_version=SCHEMA_VERSION,
            command="compare",
            reference=SourceDocument.of(comparison.reference, digest=comparison.digest),
            ranking=[RankedDocument.ranked(entry, comparison) for entry in comparison.ranking],
            noise_floor=None if floor is None else EntryDocument.of(floor),
            population_order={"claims": comparison.population_order, "groups": comparison.groups},
            samples_order={"claims": comparison.samples_order, "groups": comparison.samples_groups},
            **fields,
        )
