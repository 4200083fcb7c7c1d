"""Baselines are read from the documents of three commands, and must have the same reference."""

import json
from dataclasses import replace

import pytest

from wdist.data.features.space import Features
from wdist.data.sources.source import SourceInfo
from wdist.errors import SourceError, UsageError
from wdist.gates.baseline import read_recorded

DIGEST = "ab" * 32
INFO = SourceInfo(address="data.h5", kind="array", event_shape=(2,), count=100, dtype="float32")
REFERENCE = {"address": "data.h5", "kind": "array", "digest": DIGEST, "scale": 1.0, "offset": 0.0, "dropped": 0}
POPULATION = {"lower": 1.0, "upper": 2.0, "confidence": 0.9, "method": "betting", "upper_method": "W1 of all samples"}
RESULT = {"population": POPULATION, "samples": {"lower": 1.4, "upper": None}}
ESTIMATE = {
    "schema_version": "1",
    "command": "estimate",
    "metric": "l2",
    "features": None,
    "a": REFERENCE,
    "b": {"address": "b.h5"},
    **RESULT,
}
COMPARISON = {
    "schema_version": "1",
    "command": "compare",
    "metric": "l2",
    "reference": REFERENCE,
    "ranking": [
        {"name": "late", **RESULT},
        {"name": "early", "population": {**POPULATION, "lower": 1.5}, "samples": RESULT["samples"]},
    ],
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def to_file(document, name="last.json"):
        (tmp_path / name).write_text(document if isinstance(document, str) else json.dumps(document))
        return name

    return to_file


def test_both_intervals_are_read(write):
    recorded = read_recorded(write(ESTIMATE))
    assert (recorded.population.lower, recorded.population.upper, recorded.population.confidence) == (1.0, 2.0, 0.9)
    assert (recorded.samples.lower, recorded.samples.upper, recorded.samples.confidence) == (1.4, None, None)
    assert recorded.interval("samples") is recorded.samples
    assert (recorded.source, recorded.command, recorded.document) == ("b.h5", "estimate", "last.json")
    assert not recorded.population.asymptotic
    assert read_recorded(write({**ESTIMATE, "population": {**POPULATION, "method": "welch"}})).population.asymptotic


def test_what_was_detected_is_read_where_it_is_recorded(write):
    facts = {"estimate": 1.2, "lower": 1.1, "upper": 1.3, "confidence": 0.95, "method": "cross-fitted", "n_a": 100, "n_b": 90}
    document = {**ESTIMATE, "detected": {**facts, "error_a": 0.03, "error_b": 0.04}, "critic": {"converged": False}}
    found = read_recorded(write(document)).interval("detected")
    assert (found.lower, found.estimate, found.upper, found.errors) == (1.1, 1.2, 1.3, (0.03, 0.04))
    assert found.asymptotic
    assert not found.converged
    with pytest.raises(SourceError, match="does not say what its critic detected, because an older wdist or a sequential gate"):
        read_recorded(write(ESTIMATE)).interval("detected")


def test_a_comparison_is_read_by_the_names_that_it_ranks(write):
    path = write(COMPARISON)
    assert read_recorded(f"{path}:early").population.lower == 1.5
    with pytest.raises(UsageError, match=r"ranks 2 sources; name one of late, early: last\.json:late"):
        read_recorded(path)
    with pytest.raises(UsageError, match="did you mean 'early'"):
        read_recorded(f"{path}:earli")
    assert read_recorded(write({**COMPARISON, "ranking": COMPARISON["ranking"][:1]})).source == "late"
    with pytest.raises(UsageError, match="only the result of compare ranks several"):
        read_recorded(f"{write(ESTIMATE)}:late")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "it is not a JSON document"),
        ("[1]", "is not a result of wdist"),
        ({**ESTIMATE, "command": "verify"}, "is not a result of wdist"),
        ({**ESTIMATE, "schema_version": "0"}, "has schema version 0; this wdist reads 1"),
        ({**ESTIMATE, "a": {"address": "data.h5"}}, "is damaged or was changed"),
        ({**ESTIMATE, "samples": None}, "is damaged or was changed"),
        ({**ESTIMATE, "samples": {"lower": "1", "upper": 2}}, "is damaged or was changed"),
        ('{"schema_version": "1", "command": "gate", "population": {"lower": NaN}}', "is damaged or was changed"),
    ],
)
def test_other_files_are_refused_in_one_sentence(write, document, words):
    with pytest.raises(SourceError, match=words) as refusal:
        read_recorded(write(document))
    assert "record one with `wdist gate A B -o FILE`" in str(refusal.value)


def test_a_file_that_is_missing_is_named(write):
    with pytest.raises(SourceError, match=r"absent\.json cannot be read \(No such file"):
        read_recorded("absent.json")


def test_the_reference_must_be_the_same(write):
    recorded = read_recorded(write(ESTIMATE))
    recorded.check_reference(INFO, DIGEST)
    recorded.check_reference(replace(INFO, address="moved/data.h5"), DIGEST)
    other = r"held other samples: data\.h5 with digest abababababab\.\.\., but A is now data\.h5 with cdcd"
    with pytest.raises(SourceError, match=other):
        recorded.check_reference(INFO, "cd" * 32)
    with pytest.raises(SourceError, match="was read with scale 1, but now with 2"):
        recorded.check_reference(replace(INFO, scale=2.0), DIGEST)
    with pytest.raises(SourceError, match="endless draws have no digest"):
        recorded.check_reference(INFO, None)


def test_draws_are_known_to_be_the_same_only_where_their_address_defines_them(write):
    synthetic = {**REFERENCE, "address": "synthetic:sphere?dim=3", "kind": "synthetic", "digest": None}
    recorded = read_recorded(write({**ESTIMATE, "a": synthetic}))
    info = replace(INFO, address="synthetic:sphere?dim=3", kind="synthetic")
    recorded.check_reference(info, None)
    for other in (replace(info, address="synthetic:sphere?dim=4"), replace(info, kind="generator"), INFO):
        with pytest.raises(SourceError, match="cannot be checked against"):
            recorded.check_reference(other, None)


def test_metric_and_features_must_be_the_same(write):
    recorded = read_recorded(write(ESTIMATE))
    recorded.check_space("l2", None)
    with pytest.raises(UsageError, match='metric="l2", not l1'):
        recorded.check_space("l1", None)
    features = Features(spec="m:f", what="m:f", dim=3, digest="00")
    with pytest.raises(UsageError, match="between the samples themselves, but this run measures them between features by m:f"):
        recorded.check_space("l2", features)
    with_features = read_recorded(write({**ESTIMATE, "features": vars(features)}))
    with_features.check_space("l2", features)
    with pytest.raises(UsageError, match="with another digest; give the same features"):
        with_features.check_space("l2", replace(features, digest="11"))
