"""The JSON document that scripts rely on."""

import json

import pytest
from pydantic import ValidationError

from wdist.report.documents.document import text
from wdist.report.documents.estimate import EstimateDocument
from wdist.report.documents.schemas import schema


@pytest.fixture
def document(estimate):
    return json.loads(text(EstimateDocument.of(estimate)))


def test_the_headline_keys_are_those_that_are_promised(document):
    promised = (
        "schema_version command samples population truth tightness critic baselines metric a b seed converged environment warnings"
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


def test_what_is_not_a_number_becomes_null(estimate_of, critic_of):
    document = text(EstimateDocument.of(estimate_of(critic=critic_of(upper=float("nan")), truth=None)))
    parsed = json.loads(document)
    assert parsed["samples"]["upper"] is None
    assert parsed["truth"] is None
    assert "NaN" not in document
    assert "Infinity" not in document


def test_warnings_are_in_the_document(estimate_of):
    assert json.loads(text(EstimateDocument.of(estimate_of(warnings=("A and B are the same file",)))))["warnings"] == [
        "A and B are the same file"
    ]


def test_the_document_obeys_the_published_schema(document):
    published = json.loads(schema())
    assert set(published["required"]) == set(document)
    EstimateDocument.model_validate(document)


def test_a_document_with_an_unknown_key_is_refused(document):
    with pytest.raises(ValidationError):
        EstimateDocument.model_validate({**document, "surprise": 1})


def test_a_comparison_keeps_what_is_no_bound_apart_and_every_seed(comparison):
    document = json.loads(text(EstimateDocument.of(comparison)))
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
    document = json.loads(text(EstimateDocument.of(auto)))
    assert document["samples"]["lower_method"] == "c-transform of the optimal potentials"
    assert document["samples"]["lower"] == 1.00876
    assert document["critic"]["samples"]["lower"] == 0.98765
    assert document["population"]["upper"] == 1.23456
    assert document["population"]["upper_method"] == "mean of 8 blocks of 500, Student's t"
    assert (document["tolerance"], document["closed"]) == (0.02, True)


def test_what_was_tried_is_in_the_document_in_the_order_of_the_trials(auto, document):
    tried = json.loads(text(EstimateDocument.of(auto)))["critic"]["tried"]
    assert [attempt["name"] for attempt in tried] == ["mean-difference", "groupsort-bjorck", "cones", "single-cone"]
    assert [attempt["chosen"] for attempt in tried] == [False, False, True, False]
    assert tried[2] == {"name": "cones", "validation": 0.9861, "seconds": 4.2, "steps": 1033, "chosen": True}
    assert document["critic"]["tried"] == []
    assert (document["tolerance"], document["closed"]) == (None, False)
