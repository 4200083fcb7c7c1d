"""The JSON document of a saved critic that was checked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from wdist.report.documents.document import SCHEMA_VERSION, Document, Number

if TYPE_CHECKING:
    from wdist.estimation.verification import Verification


class FindingDocument(Document):
    """One thing that was checked."""

    what: str
    ok: bool
    detail: str


class VerificationDocument(Document):
    """The result of `wdist verify`."""

    schema_version: Literal["1"]
    command: Literal["verify"]
    critic: str
    ok: bool
    lipschitz_bound: Number
    claimed_lipschitz_bound: Number
    lower: Number = Field(description="Lower bound for the samples, re-computed.")
    claimed_lower: Number
    population_lower: Number
    claimed_population_lower: Number
    confidence: Number
    a: str
    b: str
    findings: list[FindingDocument]

    @classmethod
    def of(cls, verification: Verification, /, **fields: Any) -> Self:
        """The document of a verification; ``critic``, the file that was checked, is given by keyword."""
        return super().of(verification, schema_version=SCHEMA_VERSION, command="verify", **fields)
