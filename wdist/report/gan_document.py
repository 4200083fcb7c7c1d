"""The JSON document of a trained generator."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from wdist.report.document import SCHEMA_VERSION, EnvironmentDocument, Number

if TYPE_CHECKING:
    from wdist.gan.training import GanResult


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MeasuredDocument(_Part):
    """A checkpoint."""

    step: int
    lower: Number = Field(
        description="W1 between `compared` images and as many generated ones is certainly not below; null without a certificate."
    )


class GanDocument(_Part):
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
    def of(cls, result: GanResult) -> GanDocument:
        """The document of a result."""
        return cls(
            settings=asdict(result.settings),
            event_shape=list(result.event_shape),
            steps=result.steps,
            seconds=result.seconds,
            interrupted=result.interrupted,
            resumed_at=result.resumed_at,
            compared=result.compared,
            measured=[MeasuredDocument(**vars(each)) for each in result.measured],
            generator=result.generator,
            exported=result.exported,
            sheet=str(result.sheet),
            checkpoints=list(result.checkpoints),
            environment=EnvironmentDocument(**vars(result.environment)),
        )
