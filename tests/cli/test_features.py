"""``--features``: what a user types and what the result says."""

import json

import numpy as np
import pytest

from tests.estimates import made_estimate
from wdist.data.features.space import Features
from wdist.report.documents.forms import document_text

CHEAP = ("--critic", "mean-difference", "--baselines", "none", "-q")
FACTS = Features(spec="embed.py:f", what="the function embed.py:f", dim=3, digest=None)


@pytest.fixture
def sets(tmp_path):
    """Two sets of small images, and a function."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", random.random((80, 4, 4), dtype=np.float32))
    np.save(tmp_path / "b.npy", random.random((80, 4, 4), dtype=np.float32) ** 2)
    (tmp_path / "embed.py").write_text("def f(x):\n    return x.flatten(1)[:, :3] * 2\n")


def test_the_result_says_in_which_space_the_distance_is(wdist, sets):
    answer = wdist("estimate", "a.npy", "b.npy", "--features", "embed.py:f", "--trust", *CHEAP, "-o", "r.json")
    assert answer.status == 0
    assert "W1 in the space of the features embed.py:f" in " ".join(answer.out.split())
    with open("r.json") as file:
        document = json.load(file)
    assert document["features"]["dim"] == 3
    assert document["features"]["spec"] == "embed.py:f"
    assert len(document["features"]["digest"]) == 64
    assert document["a"]["event_shape"] == [3]
    plain = wdist("estimate", "a.npy", "b.npy", *CHEAP, "--json")
    assert json.loads(plain.out)["features"] is None
    assert json.loads(plain.out)["a"]["digest"] != document["a"]["digest"]


def test_a_proof_about_features_is_saved_and_verified(wdist, sets):
    made = wdist("estimate", "a.npy", "b.npy", "--features", "embed.py:f", "--trust", *CHEAP, "--save-proof", "c.safetensors")
    assert made.status == 0
    assert wdist("verify", "c.safetensors", "--features", "embed.py:f", "--trust", "-q").status == 0
    assert "--trust covers only what you type" in wdist("verify", "c.safetensors", "--trust", "-q").error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--features", "embed.py:f"), "--trust"),
        (("--features", "embed.py:g", "--trust"), "has no 'g'"),
        (("--features", "resnet18"), "needs weights"),
    ],
)
def test_what_is_no_feature_space_is_one_sentence(wdist, sets, arguments, sentence):
    answer = wdist("estimate", "a.npy", "b.npy", *arguments, *CHEAP)
    assert answer.status == 2
    assert sentence in answer.error


def test_a_built_in_pair_has_no_feature_space(wdist):
    assert "known" in wdist("synthetic", "--cones", "3", "--features", "embed.py:f").error


def test_the_library_is_told(wdist, calls, sets):
    wdist("estimate", "a.npy", "b.npy", "--features", "embed.py:f", *CHEAP)
    assert calls.asked[0].options.features == "embed.py:f"


def test_a_document_carries_the_space():
    from dataclasses import replace

    document = json.loads(document_text(replace(made_estimate(), features=FACTS), command="estimate"))
    assert document["features"] == {"spec": "embed.py:f", "what": "the function embed.py:f", "dim": 3, "digest": None}
