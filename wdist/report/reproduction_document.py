"""The JSON document of a table or figure of the paper that was made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from wdist.report.document import SCHEMA_VERSION, Number

if TYPE_CHECKING:
    from wdist.finding import Finding
    from wdist.reproduce.experiment import Experiment
    from wdist.reproduce.reproduction import Comparison, Curves, Reproduction, Series, Surface


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ComparisonDocument(_Part):
    """One number of ours beside the paper's."""

    row: str
    column: str
    ours: Number
    paper: float | tuple[float, float] | None = Field(description="A number, the ends of a range, or null where none is stated.")
    difference: Number = Field(description="ours - paper; to the nearer end of a range, 0 inside it.")
    unit: str

    @classmethod
    def of(cls, comparison: Comparison) -> ComparisonDocument:
        return cls(**vars(comparison), difference=comparison.difference)


class FindingDocument(_Part):
    """A sentence of the paper, and whether it held here."""

    claim: str
    holds: bool
    detail: str

    @classmethod
    def of(cls, finding: Finding) -> FindingDocument:
        return cls(**vars(finding))


class SeriesDocument(_Part):
    """One curve."""

    name: str
    x: list[Number]
    y: list[Number]

    @classmethod
    def of(cls, series: Series) -> SeriesDocument:
        return cls(name=series.name, x=list(series.x), y=list(series.y))


class PanelDocument(_Part):
    """What one panel of the figure shows: curves, or a function of the plane."""

    title: str
    x_label: str | None = None
    y_label: str | None = None
    series: list[SeriesDocument] | None = None
    x: list[Number] | None = None
    y: list[Number] | None = None
    z: list[list[Number]] | None = Field(default=None, description="Rows of values, one row for each y.")

    @classmethod
    def of(cls, panel: Curves | Surface) -> PanelDocument:
        series = getattr(panel, "series", None)
        if series is not None:
            curves: Any = panel
            return cls(
                title=panel.title,
                x_label=curves.x_label,
                y_label=curves.y_label,
                series=[SeriesDocument.of(each) for each in series],
            )
        surface: Any = panel
        return cls(title=panel.title, x=surface.x.tolist(), y=surface.y.tolist(), z=surface.z.tolist())


class ReproductionDocument(_Part):
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
    def of(cls, reproduction: Reproduction, *, paper: str) -> ReproductionDocument:
        return cls(
            what=reproduction.what,
            title=reproduction.title,
            source=reproduction.source,
            paper=paper,
            quick=reproduction.quick,
            seed=reproduction.seed,
            reduced=list(reproduction.reduced),
            settings=reproduction.settings,
            comparisons=[ComparisonDocument.of(comparison) for comparison in reproduction.comparisons],
            findings=[FindingDocument.of(finding) for finding in reproduction.findings],
            panels=[PanelDocument.of(panel) for panel in reproduction.panels],
            remarks=list(reproduction.remarks),
            seconds=reproduction.seconds,
            full_seconds=reproduction.full_seconds,
            environment=vars(reproduction.environment),
        )


class ExperimentDocument(_Part):
    """What can be reproduced."""

    what: str
    title: str
    source: str
    quick_seconds: float = Field(description="On this machine, as predicted.")
    full_seconds: float


class CatalogueDocument(_Part):
    """All that can be reproduced."""

    schema_version: str = SCHEMA_VERSION
    command: str = "reproduce"
    experiments: list[ExperimentDocument]

    @classmethod
    def of(cls, experiments: list[tuple[Experiment, float, float]]) -> CatalogueDocument:
        return cls(
            experiments=[
                ExperimentDocument(what=each.name, title=each.title, source=each.source, quick_seconds=quick, full_seconds=full)
                for each, quick, full in experiments
            ]
        )
