"""``wdist schema`` publishes what ``--json`` gives."""

import json

import pytest


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


@pytest.mark.parametrize(
    ("command", "key"), [("synthetic", "truth"), ("verify", "findings"), ("bench", "tables"), ("reproduce", "comparisons")]
)
def test_other_commands_have_their_own(wdist, command, key):
    assert key in json.loads(wdist("schema", command).out)["required"]
    assert (wdist("schema", command).out == wdist("schema").out) == (command == "synthetic")


def test_a_command_without_a_schema_is_named(wdist):
    answer = wdist("schema", "inspect")
    assert answer.status == 2
    assert "'inspect'" in answer.error
    assert "verify" in answer.error
