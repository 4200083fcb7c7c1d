"""The JSON document of a suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wdist.report.document import SCHEMA_VERSION, EnvironmentDocument, FindingDocument, without_nonfinite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wdist.bench.bench import Bench, BenchResult


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RowsDocument(_Part):
    """Rows of one type, with all that was measured of each."""

    kind: str = Field(description="The type of the rows.")
    title: str
    rows: list[dict[str, Any]] = Field(description="Each with the keys of its type; null where there is no number.")


class SkippedDocument(_Part):
    """A row that could not be measured here."""

    name: str
    reason: str


class MachineDocument(_Part):
    """What was measured on."""

    processor: str
    cores: int
    memory: int = Field(description="Bytes.")


class BenchDocument(_Part):
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
    def of(cls, result: BenchResult) -> BenchDocument:
        tables = {table.of: table for table in reversed(result.tables)}
        return cls(
            what=result.what,
            title=result.title,
            quick=result.quick,
            reduced=list(result.reduced),
            seeds=list(result.seeds),
            budget=result.budget,
            tables=[
                RowsDocument(kind=kind.__name__, title=table.title, rows=[_row(row) for row in result.rows if type(row) is kind])
                for kind, table in reversed(tables.items())
            ],
            skipped=[SkippedDocument(**vars(each)) for each in result.skipped],
            findings=[FindingDocument(what=each.claim, ok=each.holds, detail=each.detail) for each in result.conclusion.findings],
            remarks=list(result.conclusion.remarks),
            interrupted=result.interrupted,
            seconds=result.seconds,
            machine=MachineDocument(**vars(result.machine)),
            environment=EnvironmentDocument(**vars(result.environment)),
            commit=result.commit,
        )


class SuiteDocument(_Part):
    """A suite that can be measured."""

    what: str
    title: str
    seeds: int
    quick_seeds: int
    budget: str | None
    quick_budget: str | None


class SuitesDocument(_Part):
    """All suites."""

    schema_version: str = SCHEMA_VERSION
    command: str = "bench"
    suites: list[SuiteDocument]

    @classmethod
    def of(cls, benches: Iterable[Bench]) -> SuitesDocument:
        return cls(
            suites=[
                SuiteDocument(
                    what=each.name,
                    title=each.title,
                    seeds=each.seeds,
                    quick_seeds=each.quick_seeds,
                    budget=each.budget,
                    quick_budget=each.quick_budget,
                )
                for each in benches
            ]
        )


def _row(row: Any) -> dict[str, Any]:
    plain: dict[str, Any] = without_nonfinite(TypeAdapter(type(row)).dump_python(row, mode="json"))
    return plain
