"""The JSON document that scripts rely on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.comparisons import made_comparison, made_entry
from tests.estimates import made_critic, made_estimate
from wdist.estimation.statement import Ends
from wdist.estimation.verification import Check, Claims, Verification
from wdist.gan.files import Measured
from wdist.gan.settings import GanSettings
from wdist.gan.training import GanResult
from wdist.gates.baseline import Recorded
from wdist.gates.gate import judged
from wdist.gates.rules import Interval, Maximum, NoWorse
from wdist.report.documents.document import text
from wdist.report.documents.forms import COMMANDS, document_text, model, schema
from wdist.report.documents.forms import document as document_of


@pytest.fixture
def document(estimate):
    return json.loads(document_text(estimate, command="estimate"))


def test_the_headline_keys_are_those_that_are_promised(document):
    promised = (
        "schema_version command samples population detected truth tightness critic baselines metric a b seed converged environment "
        "warnings"
    )
    assert set(promised.split()) <= set(document)
    assert document["schema_version"] == "1"
    assert {"lower", "upper", "exact", "n_a", "n_b"} <= set(document["samples"])
    assert {"estimate", "lower", "upper", "confidence", "method", "n_a", "n_b"} <= set(document["population"])
    assert {"name", "lipschitz_bound", "certified", "steps", "seconds"} <= set(document["critic"])
    assert {"name", "certified", "samples", "population"} <= set(document["baselines"][0])


def test_numbers_keep_their_full_precision(document, estimate):
    assert document["samples"]["lower"] == estimate.samples.lower
    assert document["critic"]["lipschitz_bound"] == estimate.critic.lipschitz_bound


def test_tightness_is_the_held_out_estimate_over_the_truth(document):
    assert document["tightness"] == document["population"]["estimate"] / document["truth"]


def test_what_is_not_a_number_becomes_null():
    document = document_text(made_estimate(critic=made_critic(upper=float("inf")), truth=None), command="estimate")
    parsed = json.loads(document)
    assert parsed["samples"]["upper"] is None
    assert parsed["truth"] is None
    assert "NaN" not in document
    assert "Infinity" not in document


def test_warnings_are_in_the_document():
    assert json.loads(document_text(made_estimate(warnings=("A and B are the same file",)), command="estimate"))["warnings"] == [
        "A and B are the same file"
    ]


def test_a_document_with_an_unknown_key_is_refused(document):
    with pytest.raises(ValidationError):
        model("estimate").model_validate({**document, "surprise": 1})


def test_a_comparison_keeps_what_is_no_bound_apart_and_every_seed(comparison):
    document = json.loads(document_text(comparison, command="estimate"))
    assert document["comparison"] is True
    critics = {critic["name"]: critic for critic in document["baselines"]}
    free = critics["adversarial-lipschitz"]
    assert (free["bound_by_construction"], free["raw_value"], free["largest_slope"]) == (False, 0.71234, 1.41239)
    assert free["samples"]["lower"] == 0.000123456
    bounded = critics["relu-bjorck"]
    assert (bounded["bound_by_construction"], bounded["raw_value"], bounded["largest_slope"]) == (True, None, None)
    assert bounded["repeats"]["seeds"] == [0, 1, 2]
    assert bounded["repeats"]["lower_deviation"] == pytest.approx(0.0123)
    assert bounded["repeats"]["estimates"][0] == bounded["population"]["estimate"]


def test_the_schema_says_that_a_raw_value_is_no_bound():
    assert "NOT A BOUND" in json.loads(schema())["$defs"]["CriticDocument"]["properties"]["raw_value"]["description"]


def test_the_result_keeps_the_tightest_ends_and_the_critic_its_own(auto):
    document = json.loads(document_text(auto, command="estimate"))
    assert document["samples"]["lower_method"] == "c-transform of the optimal potentials"
    assert document["samples"]["lower"] == 1.00876
    assert document["critic"]["samples"]["lower"] == 0.98765
    assert document["population"]["upper"] == 1.23456
    assert document["population"]["upper_method"] == "mean of 8 blocks of 500, Student's t"
    assert (document["tolerance"], document["closed"]) == (0.02, True)


def test_what_was_tried_is_in_the_document_in_the_order_of_the_trials(auto, document):
    tried = json.loads(document_text(auto, command="estimate"))["critic"]["tried"]
    assert [attempt["name"] for attempt in tried] == ["mean-difference", "groupsort-bjorck", "cones", "single-cone"]
    assert [attempt["chosen"] for attempt in tried] == [False, False, True, False]
    assert tried[2] == {"name": "cones", "validation": 0.9861, "seconds": 4.2, "steps": 1033, "chosen": True}
    assert document["critic"]["tried"] == []
    assert (document["tolerance"], document["closed"]) == (None, False)


SOURCE = "address kind event_shape count dtype scale offset units bounds dropped notes columns scaling digest"
SAMPLES = "lower lower_method upper exact upper_method gap relative_gap n_a n_b"
POPULATION = "estimate lower upper upper_method confidence jointly_with method n_a n_b"
ENVIRONMENT = "wdist python torch platform device threads precision world_size"
CRITIC = (
    "name fold_names title lipschitz_bound certified steps seconds parameters samples tried bound_by_construction raw_value "
    "largest_slope repeats training_value converged interrupted settings layers history"
)
ESTIMATE = (
    "schema_version command samples population detected block noise_floor semi_discrete divergence truth tightness tolerance "
    "closed folds "
    "critic baselines comparison metric features a b seed converged interrupted seconds environment warnings"
)
ENTRY = "name source samples population detected block semi_discrete critic interrupted seconds"
KEYS = {
    "estimate": {
        "": ESTIMATE,
        "a": SOURCE,
        "b": SOURCE,
        "samples": SAMPLES,
        "population": POPULATION,
        "environment": ENVIRONMENT,
        "critic": CRITIC,
        "critic.samples": SAMPLES,
        "critic.layers": "layer bound method",
        "critic.history": "step seconds training validation",
        "critic.repeats": "seeds estimates estimate_mean estimate_deviation lowers lower_mean lower_deviation",
        "baselines": f"{CRITIC} population",
        "baselines.population": POPULATION,
    },
    "compare": {
        "": "schema_version command reference ranking noise_floor orders separations slope confidence "
        "results bounds metric features seed left_out interrupted shard seconds environment warnings",
        "reference": SOURCE,
        "ranking": f"{ENTRY} first_place last_place detected_by_judges judges",
        "ranking.source": SOURCE,
        "ranking.critic": CRITIC,
        "ranking.population": POPULATION,
        "noise_floor": ENTRY,
        "orders": "samples population reference detected block",
        "orders.population": "claims groups withheld",
        "orders.population.claims": "nearer farther p_value certain",
        "orders.samples": "claims groups withheld",
        "separations": "nearer farther times samples reason",
    },
    "gate": {
        "": f"{ESTIMATE} verdict reason what_would_decide on verdict_confidence rules recorded looks repeatable",
        "a": SOURCE,
        "rules": "asked limit tolerance passes_within fails_above verdict reason what_would_decide",
        "recorded": "document command source population samples detected",
        "recorded.population": "lower upper confidence",
    },
    "gan": {
        "": "schema_version command settings event_shape steps seconds interrupted resumed_at compared measured generator exported "
        "sheet checkpoints environment",
        "settings": "data critic latent width critic_width critic_steps batch_size learning_rate critic_learning_rate seed",
        "measured": "step lower",
        "environment": ENVIRONMENT,
    },
    "verify": {
        "": f"{ESTIMATE} proof ok claims findings",
        "claims": "samples population divergence",
        "claims.samples": "lower upper",
        "findings": "what ok detail",
    },
}
"""Every object of every document, in the order of its keys: what scripts rely on."""


@pytest.fixture
def documents(comparison):
    """A document of each command, of results made by hand; some of their numbers are none."""
    ranked = made_comparison(
        made_entry("a", (0.3, 0.4, 1.0), (0.9, 0.9)), made_entry("b", (1.2, 1.4, 1.9)), made_entry("c", (1.3, 1.5, None), (1, None))
    )
    before = Interval(on="population", lower=0.4, upper=0.5, confidence=0.95)
    recorded = Recorded(
        document="last.json",
        command="gate",
        source="x",
        reference={},
        metric="l2",
        features=None,
        population=before,
        samples=before,
    )
    rules = (Maximum(value=1.2), NoWorse(before=before, tolerance=0.05))
    trained = GanResult(
        settings=GanSettings(data="images"), folder=Path("run"), event_shape=(1, 8, 8), steps=3, seconds=1.0, interrupted=False,
        resumed_at=None, generator="g", exported=None, sheet=Path("run/s.png"), compared=5, checkpoints=("x",),
        measured=(Measured(step=1, lower=None), Measured(step=2, lower=0.3)), environment=comparison.environment,
    )  # fmt: skip
    verified = Verification(
        proof="proof.safetensors",
        estimate=replace(made_estimate(), command="verify"),
        claims=Claims(samples=Ends(lower=0.2, upper=None), population=Ends(lower=0.1, upper=0.9)),
        findings=(Check(what="samples A", ok=True, detail="as claimed"),),
    )
    return {
        "estimate": document_of(comparison, "estimate"),
        "compare": document_of(ranked, "compare"),
        "gate": document_of(judged(made_estimate(), rules, on="population", recorded=recorded), "gate"),
        "gan": document_of(trained, "gan"),
        "verify": document_of(verified, "verify"),
    }


@pytest.mark.parametrize(("command", "place"), [(command, place) for command, places in KEYS.items() for place in places])
def test_every_object_keeps_its_keys(documents, command, place):
    found = documents[command]
    for key in place.split(".") if place else ():
        found = found[key]
        found = found[0] if isinstance(found, list) else found
    assert list(found) == KEYS[command][place].split()


@pytest.mark.parametrize("command", KEYS)
def test_every_document_obeys_its_schema_and_holds_nothing_but_json(documents, command):
    document = json.loads(text(documents[command]))
    assert document == json.loads(model(command).model_validate(document).model_dump_json())
    assert set(json.loads(schema(command))["required"]) == set(document)


def test_a_number_that_is_none_is_null(documents):
    assert documents["verify"]["claims"]["samples"]["upper"] is None
    assert documents["gan"]["measured"][0]["lower"] is None


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_promises_a_schema_has_one(command):
    assert json.loads(schema(command))["properties"]["command"]


@pytest.mark.parametrize(
    ("definition", "key"), [("SamplesDocument", "lower"), ("AttemptDocument", "validation"), ("Repeats", "seeds")]
)
def test_descriptions_come_from_the_results_and_are_worded_for_json(definition, key):
    definitions = json.loads(schema())["$defs"]
    (found,) = (facts for name, facts in definitions.items() if name.startswith(definition))
    words = found["properties"][key]["description"]
    assert len(words) > 10
    assert not {"None", "True", "``"} & set(words.replace("``", " `` ").split())
