"""The published documents: which keys each class of results is written with. Scripts rely on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wdist.report.documents.document import SCHEMA_VERSION, Form, Forms, Key, plain, text

if TYPE_CHECKING:
    from pydantic import BaseModel

    from wdist.comparison.entry import Entry
    from wdist.comparison.ranking import Comparison
    from wdist.transport.solution import Transport

_RESULT, _RANKING, _GATE, _STUDY = "wdist.estimation.result", "wdist.comparison.ranking", "wdist.gates", "wdist.studies.study"
_DEPENDENCES = "wdist.dependences"
_ORDERS, _DRIFTS, _DIVERGENCE = "wdist.comparison.orders", "wdist.drifts", "wdist.estimation.divergence"
_LIPSCHITZ = "wdist.bounds.lipschitz.constant"
_EVERYWHERE = {
    "schema_version": Key("Literal['1']", "Changes when a key is removed or changes its meaning.", lambda _: SCHEMA_VERSION),
    "metric": Key(description="Ground metric: l2, l1 or linf."),
    "features": Key(description="The feature space in which all distances are measured; null for that of the samples."),
}
_OF_ESTIMATE = {
    "critic": Key("CriticResult", value="estimate.critic"),
    "metric": Key("str", "Ground metric: l2, l1 or linf.", "estimate.metric"),
    "seed": Key("int", value="estimate.seed"),
    "environment": Key("Environment", value="estimate.environment"),
    "interrupted": Key("bool", value="estimate.interrupted"),
}
"""Keys of a result that its estimate knows."""
_WORD = "Literal['pass', 'fail', 'inconclusive']"


def _command(name: str) -> Key:
    return Key(f"Literal[{name!r}]", value=lambda _: name)


def _of_rule(name: str) -> Callable[[Any], Any]:
    return lambda judged: getattr(judged.rule, name, None)


def _ranked(comparison: Comparison, entry: Entry) -> dict[str, Any]:
    first, last = comparison.places(entry)
    judges = [found.critic for found in comparison.found.get(entry.name, ())]
    return {"first_place": first, "last_place": last, "detected_by_judges": comparison.detected(entry), "judges": judges}


def _of_surface(name: str) -> Callable[[Any], Any]:
    return lambda panel: getattr(panel, name).tolist() if hasattr(panel, "z") else None


def _shard(result: Any) -> dict[str, Any] | None:
    """Number and content of a part of a result, as `wdist merge` reads them."""
    if result.shard is None:
        return None
    from wdist.checkpoints.values import as_text

    return {"number": result.shard.number + 1, "of": result.shard.of, "kept": as_text(result.shard.kept())}


_SHARD = Key("dict[str, Any] | None", "With --shard, the number and content of this part, for `wdist merge`; else null.", _shard)
_STUDY_KEYS = {
    "what": Key("str", "Name of the study.", "study.name"),
    "title": Key("str", value="study.title"),
    "quick": Key("bool", value="conditions.quick"),
    "reduced": Key("list[str]", "Settings that --quick made smaller."),
    "remarks": Key("list[str]", value="conclusion.remarks"),
    "interrupted": Key("bool", "Whether rows are missing because the run was cut short."),
    "commit": Key("str | None", "Commit of the checkout, with + if files differed from it; null outside a checkout."),
}

FORMS = Forms(
    Form(
        "SourceDocument",
        "wdist.data.sources.source:SourceInfo",
        "* digest",
        title="Where the samples of one side came from.",
        special={"digest": Key("str | None", "SHA-256 of the stored samples; null if they are drawn.")},
    ),
    Form("ColumnDocument", "wdist.data.sources.column:Column"),
    Form("FeaturesDocument", "wdist.data.features.space:Features"),
    Form("EnvironmentDocument", "wdist.environment:Environment"),
    Form(
        "SamplesDocument",
        f"{_RESULT}:SamplesInterval",
        "lower lower_method upper exact upper_method gap relative_gap n_a n_b",
        title="Bounds for W1 between the two sets of samples themselves.",
    ),
    Form(
        "PopulationDocument",
        f"{_RESULT}:PopulationBound",
        "estimate lower upper upper_method confidence jointly_with method n_a n_b",
        title="Bounds for W1 between the distributions that the samples were drawn from.",
        nullable="estimate lower",
        special={
            "method": Key(
                description="Method of the lower confidence bound: betting, empirical-bernstein, welch, or cross-fitted, which is "
                "Welch's t over folds."
            ),
        },
    ),
    Form("DetectedDocument", f"{_RESULT}:Detected", nullable="freedom"),
    Form(
        "BlockDocument",
        "wdist.estimation.blocks:Blocks",
        "size count estimate lower upper within_a within_b centred population_lower confidence method seed between_values "
        "within_a_values within_b_values",
        special={f"{name}_values": Key("list[float]") for name in ("between", "within_a", "within_b")},
    ),
    Form("NoiseFloorDocument", "wdist.estimation.noise_floor:NoiseFloor"),
    Form("SemiDiscreteDocument", "wdist.estimation.semi_discrete:SemiDiscrete"),
    Form("DivergenceSamplesDocument", f"{_DIVERGENCE}:DivergenceOfSamples", "lower lower_method upper upper_method n_a n_b"),
    Form(
        "DivergencePopulationDocument",
        f"{_DIVERGENCE}:DivergenceOfPopulations",
        "estimate lower upper confidence jointly_with method n_a n_b",
    ),
    Form("DivergenceAttemptDocument", f"{_DIVERGENCE}:DivergenceAttempt"),
    Form(
        "DivergenceCriticDocument",
        f"{_DIVERGENCE}:DivergenceCritic",
        "name trained_for lipschitz_bound low high tried",
    ),
    Form(
        "DivergenceDocument",
        f"{_DIVERGENCE}:Divergence",
        "name lambda samples population critic",
        special={"lambda": Key("float", "Largest slope of a potential, in nats per unit of distance.", "lambda_")},
    ),
    Form("LayerDocument", "wdist.lipschitz.frozen_layer:LayerBound", nullable="bound"),
    Form("HistoryDocument", "wdist.training.observer:HistoryPoint", nullable="training validation"),
    Form(
        "RepeatsDocument",
        f"{_RESULT}:Repeats",
        "seeds estimates estimate_mean estimate_deviation lowers lower_mean lower_deviation",
    ),
    Form("AttemptDocument", f"{_RESULT}:Attempt", nullable="validation"),
    Form(
        "CriticDocument",
        f"{_RESULT}:CriticResult",
        "name fold_names title lipschitz_bound certified steps seconds parameters samples tried bound_by_construction "
        "raw_value largest_slope repeats training_value converged interrupted settings layers history",
        nullable="lipschitz_bound training_value",
        special={
            "certified": Key("bool", "Whether the certificate is finite and the bounds are thus proved; always true."),
        },
    ),
    Form(
        "BaselineDocument",
        f"{_RESULT}:CriticResult",
        "population",
        title="Another critic, trained on the same split, and its own bounds.",
        base="CriticDocument",
    ),
    Form(
        "EstimateDocument",
        f"{_RESULT}:Estimate",
        "schema_version command samples population detected block noise_floor semi_discrete divergence truth tightness tolerance "
        "closed folds "
        "critic baselines comparison metric features a b seed converged interrupted seconds environment warnings",
        title="The result of `wdist estimate` or `wdist synthetic`.",
        forms={"baselines": "BaselineDocument"},
        given={"a": lambda estimate, _: {"digest": estimate.digest_a}, "b": lambda estimate, _: {"digest": estimate.digest_b}},
    ),
    Form(
        "EntryDocument",
        "wdist.comparison.entry:Entry",
        "name source samples population detected block semi_discrete critic interrupted seconds",
        title="One source against the reference, which is A throughout.",
        special={
            "block": Key("Blocks | None", "Mean distance between few samples of each side.", "estimate.block"),
            "semi_discrete": Key(
                "SemiDiscrete | None", "W1 from the samples of the reference to a distribution.", "estimate.semi_discrete"
            ),
            **_OF_ESTIMATE,
            "seconds": Key("float", value="estimate.seconds"),
        },
        given={"source": lambda entry, _: {"digest": entry.estimate.digest_b}},
    ),
    Form(
        "RankedDocument",
        "wdist.comparison.entry:Entry",
        "first_place last_place detected_by_judges judges",
        title="A source with its possible places in the ranking.",
        base="EntryDocument",
        special={
            "first_place": Key("int", "The best place that the claims allow, from 1 on."),
            "last_place": Key("int", "The worst place that the claims allow; equal to `first_place` if the place is decided."),
            "detected_by_judges": Key(
                "Number", "What the critics that judge the source find on fresh samples; the ranking is sorted by it. Not a bound."
            ),
            "judges": Key("list[str]", "For each fold, the source whose critic judges it: the one that finds most elsewhere."),
        },
    ),
    Form("ClaimDocument", f"{_ORDERS}:OrderClaim"),
    Form("OrderDocument", f"{_ORDERS}:Order", "claims groups withheld", title="The order that is claimed at one level."),
    Form("OrdersDocument", f"{_ORDERS}:Orders"),
    Form("SeparationDocument", f"{_RANKING}:Separation"),
    Form(
        "ComparisonDocument",
        f"{_RANKING}:Comparison",
        "schema_version command reference ranking noise_floor orders separations slope "
        "confidence results bounds metric features seed left_out interrupted shard seconds environment warnings",
        title="The result of `wdist compare`.",
        special={
            "shard": _SHARD,
            "command": _command("compare"),
            "noise_floor": Key(description="The reference against itself; null if it was not computed."),
        },
        forms={"ranking": "RankedDocument"},
        given={"reference": lambda comparison, _: {"digest": comparison.digest}, "ranking": _ranked},
    ),
    Form(
        "RuleDocument",
        f"{_GATE}.gate:Judged",
        "asked limit tolerance passes_within fails_above verdict reason what_would_decide",
        title="One rule, and its verdict.",
        special={
            "asked": Key("Literal['max', 'max-lower', 'baseline']", "The option that states the rule.", "rule.asked"),
            "limit": Key("Number", "The number behind --max or --max-lower; null for --baseline.", _of_rule("value")),
            "tolerance": Key(
                "Number", "Fraction by which W1 may have grown since the baseline; null for other rules.", _of_rule("tolerance")
            ),
            "passes_within": Key(
                "Number", "An upper bound of at most this passes; null if nothing passes.", "rule.limits.passes_within"
            ),
            "fails_above": Key("Number", "A lower bound above this fails; null if nothing fails.", "rule.limits.fails_above"),
            "verdict": Key(_WORD, value="verdict.answer"),
            "reason": Key("str", value="verdict.reason"),
            "what_would_decide": Key("str | None", value="verdict.what_would_decide"),
        },
    ),
    Form(
        "IntervalDocument",
        f"{_GATE}.rules:Interval",
        "lower upper confidence",
        special={"confidence": Key(description="Null for sample sets, where both bounds are certain.")},
    ),
    Form("LookDocument", f"{_GATE}.rules:Look", nullable="lower upper"),
    Form(
        "RecordedDocument",
        f"{_GATE}.baseline:Recorded",
        "document command source population samples detected",
        title="The earlier result that --baseline named.",
    ),
    Form(
        "GateDocument",
        f"{_GATE}.gate:GateResult",
        "verdict reason what_would_decide on verdict_confidence rules recorded looks repeatable",
        title="The result of `wdist gate`: an estimate, and what follows from it for the rules. The same inputs, seed "
        "and machine give the same document except for the times, unless `repeatable` is false. On another "
        "machine, bounds proved by transport agree to about nine digits and those of a trained critic to a few; "
        "they are equally valid. A verdict differs only if a limit lies between two such bounds, and then one of "
        "the two verdicts is inconclusive.",
        base="EstimateDocument",
        base_of=lambda result: result.estimate,
        special={
            "verdict": Key(_WORD, "The verdict on all rules together: fail if one fails, pass if all pass.", "answer"),
            "reason": Key("str", "A sentence for each rule; it names what was judged.", "verdict.reason"),
            "what_would_decide": Key(
                "str | None", "What would decide the verdict; null if it is decided.", "verdict.what_would_decide"
            ),
            "on": Key(
                "Literal['population', 'samples', 'detected', 'block', 'reference']", "Which interval of this document was judged."
            ),
            "verdict_confidence": Key(
                "Number", "Confidence of the verdict, reduced by the error of a baseline; null if certain.", "confidence"
            ),
            "rules": Key("list[RuleDocument]", "Each rule with its verdict.", "judged"),
            "recorded": Key(description="The result that W1 was compared with; null without --baseline."),
            "repeatable": Key(description="Another run on this machine gives the same digits; false under --budget."),
        },
    ),
    Form("DependenceOfRowsDocument", f"{_DEPENDENCES}.dependence:DependenceOfRows"),
    Form(
        "DetectedDependenceDocument",
        f"{_DEPENDENCES}.detection:DetectedDependence",
        "estimate lower upper confidence standard_error p_value rows",
    ),
    Form(
        "DependenceDocument",
        f"{_DEPENDENCES}.dependence:Dependence",
        "schema_version command found columns with rows samples population detected critic table metric seed interrupted seconds "
        "environment warnings",
        title="The result of `wdist dependence`: W1 between the joint distribution of columns and the product of its marginals.",
        special={
            "command": _command("dependence"),
            "with": Key("list[str]", "Columns y.", "with_"),
            "samples": Key("DependenceOfRows | None"),
            "population": Key(
                "PopulationBound", "Bounds for W1 between the joint distribution and the product of its marginals.", "population"
            ),
            **_OF_ESTIMATE,
        },
        given={"table": lambda found, _: {"digest": found.digest}},
    ),
    Form("ChangeDocument", f"{_DRIFTS}.changes:Change"),
    Form("ColumnDriftDocument", f"{_DRIFTS}.columns:ColumnDrift"),
    Form("PairDriftDocument", f"{_DRIFTS}.dependence:PairDrift"),
    Form("MovedRowDocument", f"{_DRIFTS}.joint:MovedRow"),
    Form(
        "DriftDocument",
        f"{_DRIFTS}.drift:Drift",
        "schema_version command verdict reason found drifted changed jointly joint_p_value columns pairs rows confidence "
        "reference current samples population detected critic metric seed interrupted seconds environment warnings",
        title="The result of `wdist drift`. All p-values are corrected, except `p_value` of a column; corrected values up to "
        "1 - `confidence` count as drift.",
        special={
            "command": _command("drift"),
            "verdict": Key(f"{_WORD} | None", "Verdict on the joint distance; null without --max.", "verdict.answer"),
            "reason": Key("str | None", "The verdict in a sentence.", "verdict.reason"),
            "drifted": Key("list[str]", "Names of the columns that drifted.", lambda drift: [each.name for each in drift.drifted]),
            "changed": Key(
                "list[list[str]]",
                "Pairs of columns whose dependence changed.",
                lambda drift: [each.columns for each in drift.changed],
            ),
            "samples": Key("SamplesInterval", "Bounds for the joint distance between the tables.", "estimate.samples"),
            "population": Key("PopulationBound", "Bounds for the joint distance between the distributions.", "estimate.population"),
            "detected": Key("Detected | None", "What the critic of the joint distance detects.", "estimate.detected"),
            **_OF_ESTIMATE,
            "metric": Key("str", "Ground metric of the joint distance: l2, l1 or linf.", "estimate.metric"),
        },
        given={
            "reference": lambda drift, _: {"digest": drift.estimate.digest_a},
            "current": lambda drift, _: {"digest": drift.estimate.digest_b},
        },
    ),
    Form("CurveDocument", "wdist.robustness.robust:CurvePoint"),
    Form(
        "RobustDocument",
        "wdist.robustness.robust:Robustness",
        "schema_version command verdict reason model data count classes eps norm clean_error attacked_error certified_error "
        "misclassified misled uncertified lipschitz_bound proof median_radius curve iterations restarts minimum seed interrupted "
        "seconds environment warnings",
        title="The result of `wdist robust`: on these samples, the error under the worst perturbations lies between "
        "`attacked_error` and `certified_error`.",
        special={
            "command": _command("robust"),
            "verdict": Key(f"{_WORD} | None", "Verdict on the accuracy; null without --min.", "answer"),
            "reason": Key("str | None", "The verdict in a sentence."),
        },
        given={"data": lambda robustness, _: {"digest": None}},
    ),
    Form(
        "LocalConstantsDocument",
        f"{_LIPSCHITZ}:LocalConstants",
        "points count radius lower upper median lowers uppers",
    ),
    Form(
        "LipschitzDocument",
        f"{_LIPSCHITZ}:LipschitzConstant",
        "schema_version command model what norm shape outputs parameters lower upper method bounds layers obstacle local "
        "interrupted seed seconds environment warnings",
        title="The result of `wdist lipschitz`.",
        special={"command": _command("lipschitz")},
    ),
    Form(
        "MeasuredDocument",
        "wdist.gan.files:Measured",
        title="A checkpoint.",
    ),
    Form(
        "GanDocument",
        "wdist.gan.training:GanResult",
        "schema_version command settings event_shape steps seconds interrupted resumed_at compared measured "
        "generator exported sheet checkpoints environment",
        title="The result of `wdist gan train`.",
        special={
            "command": _command("gan train"),
            "settings": Key("dict[str, Any]", "Settings of the training; null for those that the critic decides."),
        },
    ),
    Form("EndsDocument", "wdist.estimation.statement:Ends", "lower upper"),
    Form("DivergenceClaimsDocument", "wdist.estimation.verification:DivergenceClaims", "samples population"),
    Form("ClaimsDocument", "wdist.estimation.verification:Claims", "samples population divergence"),
    Form("FindingDocument", "wdist.estimation.verification:Check", title="One thing that was checked."),
    Form(
        "VerificationDocument",
        "wdist.estimation.verification:Verification",
        "proof ok claims findings",
        title="The result of `wdist verify`: an estimate with the bounds that were proved again, and the claims of the proof.",
        base="EstimateDocument",
        base_of=lambda verification: verification.estimate,
        special={
            "claims": Key("ClaimsDocument", "The bounds that the proof claims."),
        },
    ),
    Form("MachineDocument", "wdist.studies.machine:Machine"),
    Form("SkippedDocument", f"{_STUDY}:Skipped", title="A row that could not be measured."),
    Form("RowsDocument", f"{_STUDY}:StudyRows"),
    Form(
        "CheckDocument",
        f"{_STUDY}:ClaimCheck",
        "what ok detail",
        special={"what": Key("str", "The statement.", "claim"), "ok": Key("bool", "Whether the rows support it.", "holds")},
    ),
    Form("StatementDocument", f"{_STUDY}:ClaimCheck"),
    Form(
        "BenchDocument",
        f"{_STUDY}:StudyResult",
        "schema_version command what title quick reduced seeds budget tables skipped findings remarks interrupted "
        "shard seconds machine environment commit",
        title="The result of `wdist bench`.",
        special={
            "shard": _SHARD,
            **_STUDY_KEYS,
            "command": _command("bench"),
            "seeds": Key("list[int]", value="conditions.seeds"),
            "budget": Key("str | None", "Training time of one pair; null if the suite has no budget.", "conditions.budget"),
            "findings": Key("list[CheckDocument]", "Claims that were checked.", "conclusion.checks"),
        },
        forms={"findings": "CheckDocument"},
    ),
    Form("NumberDocument", f"{_STUDY}:ReproducedNumber", "row column ours paper difference unit", nullable="ours difference"),
    Form("SeriesDocument", "wdist.studies.panels:Series", "name x y"),
    Form(
        "PanelDocument",
        "wdist.studies.panels:Panel",
        "title x_label y_label series x y z",
        title="One panel of the figure: curves, or a function of the plane; keys of the other kind are null.",
        special={
            "x_label": Key("str | None", value=lambda panel: getattr(panel, "x_label", None)),
            "y_label": Key("str | None", value=lambda panel: getattr(panel, "y_label", None)),
            "series": Key("list[Series] | None", value=lambda panel: getattr(panel, "series", None)),
            "x": Key("list[Number] | None", value=_of_surface("x")),
            "y": Key("list[Number] | None", value=_of_surface("y")),
            "z": Key("list[list[Number]] | None", "Rows of values, one row for each y.", _of_surface("z")),
        },
    ),
    Form(
        "ReproductionDocument",
        f"{_STUDY}:StudyResult",
        "schema_version command what title source paper quick seed reduced settings comparisons skipped findings panels "
        "remarks interrupted seconds full_seconds machine environment commit",
        title="The result of `wdist reproduce`.",
        special={
            **_STUDY_KEYS,
            "command": _command("reproduce"),
            "source": Key("str", "Place in the paper.", "study.source"),
            "seed": Key("int", value="conditions.seed"),
            "settings": Key("dict[str, str | int | float]", value="conclusion.settings"),
            "comparisons": Key("list[NumberDocument]", "Our numbers beside the paper's.", "rows"),
            "findings": Key("list[StatementDocument]", "Statements of the paper, and whether they hold here.", "conclusion.checks"),
            "panels": Key("list[PanelDocument]", "Panels of the figure.", "conclusion.panels"),
            "full_seconds": Key("float", "Predicted time of the full form on this machine."),
        },
        forms={"findings": "StatementDocument", "panels": "PanelDocument"},
    ),
    Form(
        "SuiteDocument",
        f"{_STUDY}:Study",
        "what title seeds budget quick_budget",
        special={"what": Key("str", value="name")},
    ),
    Form(
        "ExperimentDocument",
        f"{_STUDY}:Study",
        "what title source quick_seconds full_seconds",
        special={"what": Key("str", value="name")},
    ),
    everywhere=_EVERYWHERE,
)

PUBLISHED = {
    "estimate": "EstimateDocument",
    "synthetic": "EstimateDocument",
    "compare": "ComparisonDocument",
    "gate": "GateDocument",
    "drift": "DriftDocument",
    "dependence": "DependenceDocument",
    "robust": "RobustDocument",
    "lipschitz": "LipschitzDocument",
    "gan": "GanDocument",
    "verify": "VerificationDocument",
    "reproduce": "ReproductionDocument",
    "bench": "BenchDocument",
}
"""Form of the document of each command."""
COMMANDS = tuple(PUBLISHED)
"""Commands with a published schema."""


def document(result: Any, command: str) -> dict[str, Any]:
    """The document of a result, as plain values; with all fields of the result if the command has no published form."""
    if command not in PUBLISHED:
        return {"schema_version": SCHEMA_VERSION, "command": command, **plain(result)}
    return FORMS.document(result, PUBLISHED[command])


def transport_document(found: Transport) -> dict[str, Any]:
    """Both bounds, the plan and the dual variables, as plain values; no command publishes it."""
    plan = {name: getattr(found.plan, name).tolist() for name in ("rows", "columns", "mass")}
    potentials = [[None if math.isnan(value) else value for value in side.tolist()] for side in found.potentials]
    bounds = {name: getattr(found, name) for name in ("lower", "upper", "exact", "relative_gap", "metric", "interrupted")}
    whole = {"schema_version": SCHEMA_VERSION, "command": "transport", **bounds, "warnings": list(found.warnings)}
    return {**whole, "plan": plan, "potentials": potentials}


def document_text(result: Any, *, command: str) -> str:
    """The document of a result, as indented JSON."""
    return text(document(result, command))


def model(command: str) -> type[BaseModel]:
    """Pydantic model that validates the documents of one of :data:`COMMANDS`."""
    return FORMS.model(PUBLISHED[command])


def schema(command: str = "estimate") -> str:
    """JSON schema of the documents of one of :data:`COMMANDS`, as indented JSON."""
    return text(model(command).model_json_schema(mode="serialization"))
