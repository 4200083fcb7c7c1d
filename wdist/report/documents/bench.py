"""The JSON document of a suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, TypeAdapter

from wdist.report.documents.document import SCHEMA_VERSION, Document, without_nonfinite
from wdist.report.documents.forms import FORMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wdist.studies.bench.bench import Bench, BenchResult


FindingDocument: Any = FORMS.model("FindingDocument")
EnvironmentDocument: Any = FORMS.model("EnvironmentDocument")


class RowsDocument(Document):
    """Rows of one type, with all that was measured of each."""

    kind: str = Field(description="The type of the rows.")
    title: str
    rows: list[dict[str, Any]] = Field(description="Each with the keys of its type; null where there is no number.")


class SkippedDocument(Document):
    """A row that could not be measured here."""

    name: str
    reason: str


class MachineDocument(Document):
    """What was measured on."""

    processor: str
    cores: int
    memory: int = Field(description="Bytes.")


class BenchDocument(Document):
    """A suite of measurements."""

    schema_version: str = SCHEMA_VERSION
    command: str = "bench"
    what: str
    title: str
    quick: bool
    reduced: list[str] = Field(description="What --quick made smaller.")
    seeds: list[int]
    budget: str | None = Field(description="Training time of one pair; null where the suite has its own.")
    tables: list[RowsDocument]
    skipped: list[SkippedDocument]
    findings: list[FindingDocument]
    remarks: list[str]
    interrupted: bool = Field(description="Whether rows are missing because the run was cut short.")
    seconds: float
    machine: MachineDocument
    environment: EnvironmentDocument
    commit: str | None = Field(description="Of the checkout, with + where files differed from it; null outside one.")

    @classmethod
    def of(cls, result: BenchResult, /, **fields: Any) -> Self:
        """The document of a suite as it was measured."""
        tables = {table.of: table for table in reversed(result.tables)}
        return super().of(
            result,
            schema_version=SCHEMA_VERSION,
            command="bench",
            tables=[
                RowsDocument(kind=kind.__name__, title=table.title, rows=[_row(row) for row in result.rows if type(row) is kind])
                for kind, table in reversed(tables.items())
            ],
            findings=[FindingDocument(what=each.claim, ok=each.holds, detail=each.detail) for each in result.conclusion.findings],
            remarks=result.conclusion.remarks,
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
    def of(cls, benches: Iterable[Bench], /, **fields: Any) -> Self:
        """The document of some suites."""
        return cls(suites=[SuiteDocument.of(each, what=each.name) for each in benches], **fields)


def _row(row: Any) -> dict[str, Any]:
    plain: dict[str, Any] = without_nonfinite(TypeAdapter(type(row)).dump_python(row, mode="json"))
    return plain
