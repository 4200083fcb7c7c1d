"""The JSON document of a table or figure of the paper that was made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from wdist.report.documents.document import SCHEMA_VERSION, Document, Number

if TYPE_CHECKING:
    from wdist.studies.reproduce.experiment import Experiment
    from wdist.studies.reproduce.reproduction import Curves, Reproduction, Surface


class ComparisonDocument(Document):
    """One number of ours beside the paper's."""

    row: str
    column: str
    ours: Number
    paper: float | tuple[float, float] | None = Field(description="A number, the ends of a range, or null where none is stated.")
    difference: Number = Field(description="ours - paper; to the nearer end of a range, 0 inside it.")
    unit: str


class FindingDocument(Document):
    """A sentence of the paper, and whether it held here."""

    claim: str
    holds: bool
    detail: str


class SeriesDocument(Document):
    """One curve."""

    name: str
    x: list[Number]
    y: list[Number]


class PanelDocument(Document):
    """What one panel of the figure shows: curves, or a function of the plane."""

    title: str
    x_label: str | None = None
    y_label: str | None = None
    series: list[SeriesDocument] | None = None
    x: list[Number] | None = None
    y: list[Number] | None = None
    z: list[list[Number]] | None = Field(default=None, description="Rows of values, one row for each y.")

    @classmethod
    def of(cls, panel: Curves | Surface, /, **fields: Any) -> Self:
        """The document of a panel; what belongs to the other kind is null."""
        if hasattr(panel, "series"):
            return super().of(panel, x=None, y=None, z=None, **fields)
        return cls(title=panel.title, x=panel.x.tolist(), y=panel.y.tolist(), z=panel.z.tolist(), **fields)


class ReproductionDocument(Document):
    """A table or figure of the paper, made again."""

    schema_version: str = SCHEMA_VERSION
    command: str = "reproduce"
    what: str
    title: str
    source: str
    paper: str
    quick: bool
    seed: int
    reduced: list[str] = Field(description="What --quick made smaller.")
    settings: dict[str, str | int | float]
    comparisons: list[ComparisonDocument]
    findings: list[FindingDocument]
    panels: list[PanelDocument]
    remarks: list[str]
    seconds: float
    full_seconds: float = Field(description="That the full form takes on this machine, as predicted.")
    environment: dict[str, str | int]

    @classmethod
    def of(cls, reproduction: Reproduction, /, **fields: Any) -> Self:
        """The document of a reproduction; ``paper`` is given by keyword."""
        return super().of(
            reproduction,
            schema_version=SCHEMA_VERSION,
            command="reproduce",
            panels=[PanelDocument.of(panel) for panel in reproduction.panels],
            environment=vars(reproduction.environment),
            **fields,
        )


class ExperimentDocument(Document):
    """What can be reproduced."""

    what: str
    title: str
    source: str
    quick_seconds: float = Field(description="On this machine, as predicted.")
    full_seconds: float


class CatalogueDocument(Document):
    """All that can be reproduced."""

    schema_version: str = SCHEMA_VERSION
    command: str = "reproduce"
    experiments: list[ExperimentDocument]

    @classmethod
    def of(cls, experiments: list[tuple[Experiment, float, float]], /, **fields: Any) -> Self:
        """The document of some experiments, each with the seconds of its quick and of its full form."""
        return cls(
            experiments=[
                ExperimentDocument(what=each.name, title=each.title, source=each.source, quick_seconds=quick, full_seconds=full)
                for each, quick, full in experiments
            ],
            **fields,
        )
