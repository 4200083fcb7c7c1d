"""The JSON document of a gate: that of the estimate it rests on, with the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from wdist.report.document import EstimateDocument, Number

if TYPE_CHECKING:
    from wdist.gating.gate import GateResult, Judged
    from wdist.gating.recorded import Recorded
    from wdist.gating.verdict import Interval

Word = Literal["pass", "fail", "inconclusive"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RuleDocument(_Part):
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
    def of(cls, judged: Judged) -> RuleDocument:
        from wdist.gating.verdict import LowerMaximum, Maximum, NoWorse

        rule, verdict = judged.rule, judged.verdict
        names: dict[type, Literal["max", "max-lower", "baseline"]]
        names = {Maximum: "max", LowerMaximum: "max-lower", NoWorse: "baseline"}
        return cls(
            asked=names[type(rule)],
            limit=getattr(rule, "value", None),
            tolerance=getattr(rule, "tolerance", None),
            passes_within=rule.limits.passes_within,
            fails_above=rule.limits.fails_above,
            verdict=verdict.answer.value,
            reason=verdict.reason,
            what_would_decide=verdict.what_would_decide,
        )


class IntervalDocument(_Part):
    """Two ends."""

    lower: float
    upper: Number
    confidence: Number = Field(description="Null for sample sets, where both ends are certain.")

    @classmethod
    def of(cls, interval: Interval) -> IntervalDocument:
        return cls(lower=interval.lower, upper=interval.upper, confidence=interval.confidence)


class RecordedDocument(_Part):
    """The earlier result that --baseline named."""

    document: str = Field(description="The file, as the user wrote it.")
    command: str
    source: str = Field(description="What stood against the reference then.")
    population: IntervalDocument
    samples: IntervalDocument

    @classmethod
    def of(cls, recorded: Recorded | None) -> RecordedDocument | None:
        if recorded is None:
            return None
        return cls(
            document=recorded.document,
            command=recorded.command,
            source=recorded.source,
            population=IntervalDocument.of(recorded.population),
            samples=IntervalDocument.of(recorded.samples),
        )


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
    def of_gate(cls, result: GateResult) -> GateDocument:
        """From a result; fields of the estimate as in its own document."""
        facts: dict[str, Any] = dict(EstimateDocument.of(result.estimate))
        return cls(
            **facts,
            verdict=result.answer.value,
            reason=result.verdict.reason,
            what_would_decide=result.verdict.what_would_decide,
            on=result.on,
            verdict_confidence=result.confidence,
            rules=[RuleDocument.of(each) for each in result.judged],
            recorded=RecordedDocument.of(result.recorded),
            repeatable=result.repeatable,
        )
