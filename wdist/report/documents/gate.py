"""The JSON document of a gate: that of the estimate it rests on, with the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from wdist.report.documents.document import Document, Number
from wdist.report.documents.estimate import EstimateDocument

if TYPE_CHECKING:
    from wdist.gates.gate import GateResult, Judged

Word = Literal["pass", "fail", "inconclusive"]


class RuleDocument(Document):
    """One thing that was asked, and the answer."""

    asked: Literal["max", "max-lower", "baseline"] = Field(description="The option that asked.")
    limit: Number = Field(description="The number behind --max or --max-lower; null for --baseline.")
    tolerance: Number = Field(description="By which share W1 may have grown since the baseline; null elsewhere.")
    passes_within: Number = Field(description="An upper end of at most this passes; null where nothing passes.")
    fails_above: Number = Field(description="A lower end of more than this fails; null where nothing fails.")
    verdict: Word
    reason: str
    what_would_decide: str | None

    @classmethod
    def of(cls, judged: Judged, /, **fields: Any) -> Self:
        """The document of a rule and its verdict."""
        rule, verdict = judged.rule, judged.verdict
        return super().of(
            verdict,
            asked=rule.asked,
            limit=getattr(rule, "value", None),
            tolerance=getattr(rule, "tolerance", None),
            passes_within=rule.limits.passes_within,
            fails_above=rule.limits.fails_above,
            verdict=verdict.answer.value,
            **fields,
        )


class IntervalDocument(Document):
    """Two ends."""

    lower: float
    upper: Number
    confidence: Number = Field(description="Null for sample sets, where both ends are certain.")


class RecordedDocument(Document):
    """The earlier result that --baseline named."""

    document: str = Field(description="The file, as the user wrote it.")
    command: str
    source: str = Field(description="What stood against the reference then.")
    population: IntervalDocument
    samples: IntervalDocument


class GateDocument(EstimateDocument):
    """The result of `wdist gate`: an estimate, and what follows from it for what was asked.

    The same inputs, seed and machine give the same document but for the times, unless `repeatable` says otherwise. On other
    machines ends that transport proves agree to about nine digits; those that a trained critic proves agree to some digits only,
    because its training rounds in another order, and are as valid: a verdict differs where a limit lies between two such ends, and
    then one of the two is inconclusive.
    """

    verdict: Word = Field(description="On all rules together: fails where one fails, passes where all pass.")
    reason: str = Field(description="A sentence for each rule; it names what was judged.")
    what_would_decide: str | None = Field(description="Null where it is decided.")
    on: Literal["population", "samples"] = Field(description="Which of the two intervals of this document was judged.")
    verdict_confidence: Number = Field(
        description="Of the verdict; with --baseline the errors of both results add up. Null where it is certain."
    )
    rules: list[RuleDocument]
    recorded: RecordedDocument | None = Field(description="What W1 was held against; null without --baseline.")
    repeatable: bool = Field(
        description="Whether another run on this machine comes to the same digits; not where --budget is a time."
    )

    @classmethod
    def of_gate(cls, result: GateResult) -> Self:
        """The document of a gate; fields of the estimate as in its own document."""
        return cls.of(
            result.estimate,
            verdict=result.answer.value,
            reason=result.verdict.reason,
            what_would_decide=result.verdict.what_would_decide,
            on=result.on,
            verdict_confidence=result.confidence,
            rules=[RuleDocument.of(each) for each in result.judged],
            recorded=result.recorded,
            repeatable=result.repeatable,
        )
