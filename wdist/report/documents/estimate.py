"""The JSON document of an estimate: a versioned schema that scripts may rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from wdist.report.documents.bounds import PopulationDocument, SamplesDocument
from wdist.report.documents.critic import BaselineDocument, CriticDocument
from wdist.report.documents.document import SCHEMA_VERSION, Document, Number
from wdist.report.documents.source import EnvironmentDocument, FeaturesDocument, SourceDocument

if TYPE_CHECKING:
    from wdist.estimation.result import Estimate


class EstimateDocument(Document):
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
    def of(cls, estimate: Estimate, /, **fields: Any) -> Self:
        """The document of an estimate; further fields of a document that extends this one are given by keyword."""
        return super().of(
            estimate,
            schema_version=SCHEMA_VERSION,
            a=SourceDocument.of(estimate.a, digest=estimate.digest_a),
            b=SourceDocument.of(estimate.b, digest=estimate.digest_b),
            **fields,
        )
