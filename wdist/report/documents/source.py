"""Where the samples came from, and where the result was computed."""

from __future__ import annotations

from pydantic import Field

from wdist.report.documents.document import Document


class SourceDocument(Document):
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


class FeaturesDocument(Document):
    """The feature space that both sides were mapped to."""

    spec: str = Field(description="As the user wrote it.")
    what: str = Field(description="The function in words.")
    dim: int = Field(description="Features of one sample.")
    digest: str | None = Field(description="SHA-256 of the file of weights, or of the file that the function is written in.")


class EnvironmentDocument(Document):
    """Where the result was computed."""

    wdist: str
    python: str
    torch: str
    platform: str
    device: str
    threads: int
    precision: str
