"""``wdist schema`` publishes what ``--json`` gives."""

import json


def test_the_schema_is_printed(wdist):
    answer = wdist("schema")
    assert (answer.status, answer.err) == (0, "")
    schema = json.loads(answer.out)
    assert {"schema_version", "samples", "population", "truth", "critic", "baselines"} <= set(schema["required"])
    assert schema["properties"]["schema_version"]["const"] == "1"


def test_every_headline_number_is_explained(wdist):
    definitions = json.loads(wdist("schema").out)["$defs"]
    for part in ("SamplesDocument", "PopulationDocument"):
        for name, fact in definitions[part]["properties"].items():
            assert fact.get("description"), (part, name)


def test_the_document_of_verify_has_a_schema_too(wdist):
    assert "findings" in json.loads(wdist("schema", "verify").out)["required"]
    assert wdist("schema", "synthetic").out == wdist("schema").out


def test_suites_and_reproductions_have_theirs(wdist):
    assert {"tables", "findings", "machine", "commit"} <= set(json.loads(wdist("schema", "bench").out)["required"])
    assert "comparisons" in json.loads(wdist("schema", "reproduce").out)["required"]


def test_a_command_without_a_schema_is_named(wdist):
    answer = wdist("schema", "inspect")
    assert answer.status == 2
    assert "'inspect'" in answer.error
    assert "verify" in answer.error
