"""The published documents: which keys each class of results is written with. Scripts rely on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wdist.report.documents.document import SCHEMA_VERSION, Form, Forms, Key, facts, text

if TYPE_CHECKING:
    from wdist.comparison.ranking import Claim, Comparison, Entry

_RESULT, _RANKING, _GATE = "wdist.estimation.result", "wdist.comparison.ranking", "wdist.gate"
_VERSION = Key(
    type="Literal['1']", description="Changes when a key is removed or changes its meaning.", value=lambda _: SCHEMA_VERSION
)
_METRIC = Key(description="Ground metric: l2, l1 or linf.")
_FEATURES = Key(description="The space that all distances are measured in; null for that of the samples.")
_WORD = "Literal['pass', 'fail', 'inconclusive']"


def _command(name: str) -> Key:
    return Key(type=f"Literal[{name!r}]", value=lambda _: name)


def _order(claims: Sequence[Claim], groups: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"claims": [vars(claim) for claim in claims], "groups": groups}


def _places(comparison: Comparison, entry: Entry) -> dict[str, int]:
    return dict(zip(("first_place", "last_place"), comparison.places(entry), strict=True))


FORMS = Forms(
    Form(
        name="SourceDocument",
        of="wdist.data.sources.source:SourceInfo",
        title="Where the samples of one side came from.",
        keys="address kind event_shape count dtype scale offset units bounds dropped notes digest",
        special={"digest": Key(type="str | None", description="SHA-256 of the stored samples; null where they are drawn.")},
    ),
    Form(name="FeaturesDocument", of="wdist.data.features.space:Features", keys="spec what dim digest"),
    Form(
        name="EnvironmentDocument",
        of="wdist.environment:Environment",
        keys="wdist python torch platform device threads precision",
    ),
    Form(
        name="SamplesDocument",
        of=f"{_RESULT}:SamplesInterval",
        title="Bounds for W1 between the two sets of samples themselves.",
        keys="lower lower_method upper exact upper_method gap relative_gap n_a n_b",
        special={
            "n_a": Key(description="Samples of A that were evaluated."),
            "n_b": Key(description="Samples of B that were evaluated."),
        },
    ),
    Form(
        name="PopulationDocument",
        of=f"{_RESULT}:PopulationBound",
        title="Bounds for W1 between the distributions that the samples were drawn from.",
        keys="estimate lower upper upper_method confidence jointly_with method n_a n_b",
        special={
            "estimate": Key(type="Number"),
            "lower": Key(type="Number"),
            "method": Key(description="Method of the lower confidence bound: betting, empirical-bernstein or welch."),
            "n_a": Key(description="Held-out samples of A."),
            "n_b": Key(description="Held-out samples of B."),
        },
    ),
    Form(
        name="LayerDocument",
        of="wdist.lipschitz.frozen_layer:LayerBound",
        keys="layer bound method",
        special={"bound": Key(type="Number")},
    ),
    Form(
        name="HistoryDocument",
        of="wdist.training.observer:HistoryPoint",
        keys="step seconds training validation",
        special={"training": Key(type="Number"), "validation": Key(type="Number")},
    ),
    Form(
        name="RepeatsDocument",
        of=f"{_RESULT}:Repeats",
        keys="seeds estimates estimate_mean estimate_deviation lowers lower_mean lower_deviation",
    ),
    Form(
        name="AttemptDocument",
        of=f"{_RESULT}:Attempt",
        keys="name validation seconds steps chosen",
        special={"validation": Key(type="Number")},
    ),
    Form(
        name="CriticDocument",
        of=f"{_RESULT}:CriticResult",
        keys="name title lipschitz_bound certified steps seconds parameters samples tried bound_by_construction "
        "raw_value largest_slope repeats training_value converged interrupted settings layers history",
        special={
            "lipschitz_bound": Key(type="Number"),
            "certified": Key(type="bool", description="The certificate is finite, so the bounds are proved; always true."),
            "samples": Key(description="The interval with this critic's own lower bound; that of the result may be tighter."),
            "training_value": Key(type="Number"),
        },
    ),
    Form(
        name="BaselineDocument",
        of=f"{_RESULT}:CriticResult",
        title="Another critic, trained on the same split, and its own bounds.",
        base="CriticDocument",
        keys="population",
    ),
    Form(
        name="EstimateDocument",
        of=f"{_RESULT}:Estimate",
        title="The result of `wdist estimate` or `wdist synthetic`.",
        keys="schema_version command samples population truth tightness tolerance closed critic baselines comparison "
        "metric features a b seed converged interrupted seconds environment warnings",
        special={
            "schema_version": _VERSION,
            "baselines": Key(description="The other critics."),
            "interrupted": Key(description="The run was cut short; the bounds are valid all the same."),
            "metric": _METRIC,
            "features": _FEATURES,
        },
        forms={"baselines": "BaselineDocument"},
        given={
            "a": lambda estimate, _: {"digest": estimate.digest_a},
            "b": lambda estimate, _: {"digest": estimate.digest_b},
        },
    ),
    Form(
        name="EntryDocument",
        of=f"{_RANKING}:Entry",
        title="One source against the reference, which is A throughout.",
        keys="name source samples population critic interrupted seconds",
        special={
            "critic": Key(type="CriticResult", value=lambda entry: entry.estimate.critic),
            "interrupted": Key(type="bool", value=lambda entry: entry.estimate.interrupted),
            "seconds": Key(type="float", value=lambda entry: entry.estimate.seconds),
        },
        given={"source": lambda entry, _: {"digest": entry.estimate.digest_b}},
    ),
    Form(
        name="RankedDocument",
        of=f"{_RANKING}:Entry",
        title="A source with the places that it may have.",
        base="EntryDocument",
        keys="first_place last_place",
        special={
            "first_place": Key(type="int", description="The best place that the claims leave it, from 1 on."),
            "last_place": Key(type="int", description="The worst one; the same where its place is decided."),
        },
    ),
    Form(name="ClaimDocument", of=f"{_RANKING}:Claim", keys="nearer farther"),
    Form(
        name="OrderDocument",
        of=f"{_RANKING}:Comparison",
        title="The order that is claimed.",
        keys="claims groups",
        special={
            "claims": Key(type="list[ClaimDocument]", description="All pairs whose intervals are disjoint."),
            "groups": Key(
                type="list[list[str]]", description="Every source of a group is nearer than every source of the next group."
            ),
        },
    ),
    Form(name="SeparationDocument", of=f"{_RANKING}:Separation", keys="nearer farther times samples reason"),
    Form(
        name="ComparisonDocument",
        of=f"{_RANKING}:Comparison",
        title="The result of `wdist compare`.",
        keys="schema_version command reference ranking noise_floor population_order samples_order separations slope "
        "confidence results bounds metric features seed left_out interrupted seconds environment warnings",
        special={
            "schema_version": _VERSION,
            "command": _command("compare"),
            "noise_floor": Key(description="The reference against itself; null where it was not found."),
            "population_order": Key(
                type="OrderDocument",
                description="Claimed of the distributions, at the joint confidence.",
                value=lambda comparison: _order(comparison.population_order, comparison.groups),
            ),
            "samples_order": Key(
                type="OrderDocument",
                description="Certain of the sample sets, which may differ in size.",
                value=lambda comparison: _order(comparison.samples_order, comparison.samples_groups),
            ),
            "metric": _METRIC,
            "features": _FEATURES,
        },
        forms={"ranking": "RankedDocument"},
        given={"reference": lambda comparison, _: {"digest": comparison.digest}, "ranking": _places},
    ),
    Form(
        name="RuleDocument",
        of=f"{_GATE}.gate:Judged",
        title="One rule, and its verdict.",
        keys="asked limit tolerance passes_within fails_above verdict reason what_would_decide",
        special={
            "asked": Key(
                type="Literal['max', 'max-lower', 'baseline']",
                description="The option that states the rule.",
                value=lambda judged: judged.rule.asked,
            ),
            "limit": Key(
                type="Number",
                description="The number behind --max or --max-lower; null for --baseline.",
                value=lambda judged: getattr(judged.rule, "value", None),
            ),
            "tolerance": Key(
                type="Number",
                description="The share by which W1 may have grown since the baseline; null elsewhere.",
                value=lambda judged: getattr(judged.rule, "tolerance", None),
            ),
            "passes_within": Key(
                type="Number",
                description="An upper bound of at most this passes; null where nothing passes.",
                value=lambda judged: judged.rule.limits.passes_within,
            ),
            "fails_above": Key(
                type="Number",
                description="A lower bound above this fails; null where nothing fails.",
                value=lambda judged: judged.rule.limits.fails_above,
            ),
            "verdict": Key(type=_WORD, value=lambda judged: judged.verdict.answer),
            "reason": Key(type="str", value=lambda judged: judged.verdict.reason),
            "what_would_decide": Key(type="str | None", value=lambda judged: judged.verdict.what_would_decide),
        },
    ),
    Form(
        name="IntervalDocument",
        of=f"{_GATE}.rules:Interval",
        keys="lower upper confidence",
        special={"confidence": Key(description="Null for sample sets, where both bounds are certain.")},
    ),
    Form(
        name="RecordedDocument",
        of=f"{_GATE}.baseline:Recorded",
        title="The earlier result that --baseline named.",
        keys="document command source population samples",
        special={"document": Key(description="The file, as the user wrote it.")},
    ),
    Form(
        name="GateDocument",
        of=f"{_GATE}.gate:GateResult",
        title="The result of `wdist gate`: an estimate, and what follows from it for the rules. The same inputs, seed "
        "and machine give the same document except for the times, unless `repeatable` is false. On another "
        "machine, bounds proved by transport agree to about nine digits and those of a trained critic to a few; "
        "they are as valid. A verdict differs only where a limit lies between two such bounds, and then one of "
        "the two verdicts is inconclusive.",
        base="EstimateDocument",
        base_of=lambda result: result.estimate,
        keys="verdict reason what_would_decide on verdict_confidence rules recorded repeatable",
        special={
            "verdict": Key(
                type=_WORD,
                description="The verdict on all rules together: fail if one fails, pass if all pass.",
                value=lambda result: result.answer,
            ),
            "reason": Key(
                type="str",
                description="A sentence for each rule; it names what was judged.",
                value=lambda result: result.verdict.reason,
            ),
            "what_would_decide": Key(
                type="str | None",
                description="What would decide an inconclusive verdict; null where it is decided.",
                value=lambda result: result.verdict.what_would_decide,
            ),
            "on": Key(
                type="Literal['population', 'samples']", description="Which of the two intervals of this document was judged."
            ),
            "verdict_confidence": Key(
                type="Number",
                description="Confidence of the verdict; with --baseline the errors of both results add up. Null if certain.",
                value=lambda result: result.confidence,
            ),
            "rules": Key(type="list[RuleDocument]", description="Each rule with its verdict.", value=lambda result: result.judged),
            "recorded": Key(description="The result that W1 was compared with; null without --baseline."),
            "repeatable": Key(
                description="Another run on this machine gives the same digits; false where --budget limits the time."
            ),
        },
    ),
    Form(
        name="MeasuredDocument",
        of="wdist.gan.files:Measured",
        title="A checkpoint.",
        keys="step lower",
        special={
            "lower": Key(
                description="Certain lower bound for W1 between `compared` images and as many generated ones; null if none."
            )
        },
    ),
    Form(
        name="GanDocument",
        of="wdist.gan.training:GanResult",
        title="The result of `wdist gan train`.",
        keys="schema_version command settings event_shape steps seconds interrupted resumed_at compared measured "
        "generator exported sheet checkpoints environment",
        special={
            "schema_version": _VERSION,
            "command": _command("gan train"),
            "settings": Key(type="dict[str, Any]", description="Settings of the training; null where the critic decides."),
        },
    ),
    Form(
        name="FindingDocument", of="wdist.estimation.verification:Check", title="One thing that was checked.", keys="what ok detail"
    ),
    Form(
        name="VerificationDocument",
        of="wdist.estimation.verification:Verification",
        title="The result of `wdist verify`.",
        keys="schema_version command critic ok lipschitz_bound claimed_lipschitz_bound lower claimed_lower "
        "population_lower claimed_population_lower confidence a b findings",
        special={
            "schema_version": _VERSION,
            "command": _command("verify"),
            "critic": Key(type="str", description="The file that was checked."),
            **{
                name: Key(type="Number")
                for name in (
                    *("lipschitz_bound", "claimed_lipschitz_bound", "claimed_lower", "population_lower"),
                    *("claimed_population_lower", "confidence"),
                )
            },
            "lower": Key(type="Number", description="Lower bound for the samples, computed again."),
        },
    ),
)

PUBLISHED = {
    "estimate": "EstimateDocument",
    "synthetic": "EstimateDocument",
    "compare": "ComparisonDocument",
    "gate": "GateDocument",
    "gan": "GanDocument",
    "verify": "VerificationDocument",
}
"""Form of the document of each command."""


def document(result: Any, command: str, **given: Any) -> dict[str, Any]:
    """The document of a result, as plain values; all fields of the result where the command has no published form.

    Arguments:
        result: of the library function behind the command.
        command: a key of :data:`PUBLISHED`, or the name of another command.
        given: values that the result does not know.
    """
    if command not in PUBLISHED:
        return facts(result, command=command)
    return FORMS.document(result, PUBLISHED[command], **given)


def document_text(result: Any, *, command: str, **given: Any) -> str:
    """The same as indented JSON."""
    return text(document(result, command, **given))
