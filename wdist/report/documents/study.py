"""The JSON documents of studies: measurements of ``wdist bench`` and tables and figures of ``wdist reproduce``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from wdist.report.documents.document import SCHEMA_VERSION, Document, Number, plain, text
from wdist.report.documents.forms import FORMS
from wdist.studies.study import PAPER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wdist.studies.panels import Panel, Surface
    from wdist.studies.study import Study, StudyResult


EnvironmentDocument: Any = FORMS.model("EnvironmentDocument")


class MachineDocument(Document):
    """The machine that a study ran on."""

    processor: str
    cores: int
    memory: int = Field(description="Bytes.")


class SkippedDocument(Document):
    """A row that could not be measured."""

    name: str
    reason: str


class StudyDocument(Document):
    """A study."""

    schema_version: str = SCHEMA_VERSION
    command: str
    what: str
    title: str
    quick: bool
    reduced: list[str] = Field(description="What --quick made smaller.")
    skipped: list[SkippedDocument]
    remarks: list[str]
    interrupted: bool = Field(description="Whether rows are missing because the run was cut short.")
    seconds: float
    machine: MachineDocument
    environment: EnvironmentDocument
    commit: str | None = Field(description="Commit of the checkout, with + where files differed from it; null outside one.")

    @classmethod
    def of(cls, result: StudyResult, /, **fields: Any) -> Self:
        """The document of a study's result."""
        return super().of(
            result,
            schema_version=SCHEMA_VERSION,
            command=result.study.group,
            what=result.study.name,
            title=result.study.title,
            quick=result.conditions.quick,
            remarks=result.conclusion.remarks,
            **fields,
        )


class RowsDocument(Document):
    """Rows of one type, with all that was measured."""

    kind: str = Field(description="The type of the rows.")
    title: str
    rows: list[dict[str, Any]] = Field(description="Rows with the keys of their type; null where there is no number.")


class CheckDocument(Document):
    """A claim that was checked."""

    what: str
    ok: bool
    detail: str


class BenchDocument(StudyDocument):
    """A suite of measurements."""

    seeds: list[int]
    budget: str | None = Field(description="Training time of one pair; null where the suite has its own.")
    tables: list[RowsDocument]
    findings: list[CheckDocument]

    @classmethod
    def of(cls, result: StudyResult, /, **fields: Any) -> Self:
        """The document of a suite; two tables of one type of rows give their rows once, under the first title."""
        titles = {table.of: table.title for table in reversed(result.study.tables)}
        return super().of(
            result,
            seeds=result.conditions.seeds,
            budget=result.conditions.budget,
            tables=[
                RowsDocument(kind=kind.__name__, title=title, rows=[plain(row) for row in result.rows if type(row) is kind])
                for kind, title in reversed(titles.items())
            ],
            findings=[CheckDocument(what=check.claim, ok=check.holds, detail=check.detail) for check in result.conclusion.checks],
            **fields,
        )


class ComparisonDocument(Document):
    """One number of ours beside the paper's."""

    row: str
    column: str
    ours: Number
    paper: float | tuple[float, float] | None = Field(description="A number, the ends of a range, or null where none is stated.")
    difference: Number = Field(description="ours - paper; to the nearer end of a range, 0 inside it.")
    unit: str


class ClaimDocument(Document):
    """A statement of the paper, and whether it holds here."""

    claim: str
    holds: bool
    detail: str


class SeriesDocument(Document):
    """One curve."""

    name: str
    x: list[Number]
    y: list[Number]


class PanelDocument(Document):
    """One panel of the figure: curves, or a function of the plane."""

    title: str
    x_label: str | None = None
    y_label: str | None = None
    series: list[SeriesDocument] | None = None
    x: list[Number] | None = None
    y: list[Number] | None = None
    z: list[list[Number]] | None = Field(default=None, description="Rows of values, one row for each y.")

    @classmethod
    def of(cls, panel: Panel | Surface, /, **fields: Any) -> Self:
        """The document of a panel; keys of the other kind are null."""
        if hasattr(panel, "series"):
            return super().of(panel, x=None, y=None, z=None, **fields)
        return cls(title=panel.title, x=panel.x.tolist(), y=panel.y.tolist(), z=panel.z.tolist(), **fields)


class ReproductionDocument(StudyDocument):
    """A table or figure of the paper, made again."""

    source: str
    paper: str
    seed: int
    settings: dict[str, str | int | float]
    comparisons: list[ComparisonDocument]
    findings: list[ClaimDocument]
    panels: list[PanelDocument]
    full_seconds: float = Field(description="Predicted time of the full form on this machine.")

    @classmethod
    def of(cls, result: StudyResult, /, **fields: Any) -> Self:
        """The document of a reproduction."""
        return super().of(
            result,
            source=result.study.source,
            paper=PAPER,
            seed=result.conditions.seed,
            settings=result.conclusion.settings,
            comparisons=result.rows,
            findings=result.conclusion.checks,
            panels=[PanelDocument.of(panel) for panel in result.conclusion.panels],
            **fields,
        )


class SuiteDocument(Document):
    """A suite that can be measured."""

    what: str
    title: str
    seeds: int
    quick_seeds: int
    budget: str | None
    quick_budget: str | None


class SuitesDocument(Document):
    """All suites."""

    schema_version: str = SCHEMA_VERSION
    command: str = "bench"
    suites: list[SuiteDocument]

    @classmethod
    def of(cls, suites: Iterable[Study], /, **fields: Any) -> Self:
        """The document of some suites."""
        return cls(suites=[SuiteDocument.of(study, what=study.name) for study in suites], **fields)


class ExperimentDocument(Document):
    """A table or figure that can be reproduced."""

    what: str
    title: str
    source: str
    quick_seconds: float = Field(description="Predicted for this machine.")
    full_seconds: float


class CatalogueDocument(Document):
    """All tables and figures."""

    schema_version: str = SCHEMA_VERSION
    command: str = "reproduce"
    experiments: list[ExperimentDocument]

    @classmethod
    def of(cls, forecasts: Iterable[tuple[Study, float, float]], /, **fields: Any) -> Self:
        """The document of some studies, each with the seconds of its quick and of its full form."""
        experiments = [
            ExperimentDocument.of(study, what=study.name, quick_seconds=quick, full_seconds=full)
            for study, quick, full in forecasts
        ]
        return cls(experiments=experiments, **fields)


def study_text(result: StudyResult) -> str:
    """The document of a study as JSON."""
    kinds: dict[str, type[StudyDocument]] = {"bench": BenchDocument, "reproduce": ReproductionDocument}
    return text(kinds[result.study.group].of(result))
