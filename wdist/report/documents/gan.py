"""The JSON document of a trained generator."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from wdist.report.documents.document import SCHEMA_VERSION, Document, Number
from wdist.report.documents.source import EnvironmentDocument

if TYPE_CHECKING:
    from wdist.gan.training import GanResult


class MeasuredDocument(Document):
    """A checkpoint."""

    step: int
    lower: Number = Field(
        description="W1 between `compared` images and as many generated ones is certainly not below; null without a certificate."
    )


class GanDocument(Document):
    """A trained generator."""

    schema_version: str = SCHEMA_VERSION
    command: str = "gan train"
    settings: dict[str, Any] = Field(description="Of the training; null where the critic decides.")
    event_shape: list[int]
    steps: int
    seconds: float
    interrupted: bool
    resumed_at: int | None
    compared: int = Field(description="Images of each side in the bounds of `measured`.")
    measured: list[MeasuredDocument]
    generator: str = Field(description="Address of the last checkpoint, which needs no --trust.")
    exported: str | None = Field(description="The same as a torch.export program, which needs --trust.")
    sheet: str
    checkpoints: list[str] = Field(description="Addresses of the numbered checkpoints that this call wrote.")
    environment: EnvironmentDocument

    @classmethod
    def of(cls, result: GanResult, /, **fields: Any) -> Self:
        """The document of a result."""
        return super().of(
            result,
            schema_version=SCHEMA_VERSION,
            command="gan train",
            settings=asdict(result.settings),
            sheet=str(result.sheet),
            **fields,
        )
