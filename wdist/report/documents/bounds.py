"""The two intervals of a result: for the sample sets, and for the distributions behind them."""

from __future__ import annotations

from pydantic import Field

from wdist.report.documents.document import Document, Number


class SamplesDocument(Document):
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


class PopulationDocument(Document):
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
