"""``wdist verify`` proves a saved result again, and says no when anything goes further than its evidence."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

TRAINING = ("--steps", "20", "--baselines", "none", "--device", "cpu", "--quiet")


@pytest.fixture
def saved(wdist, tmp_path, monkeypatch):
    """A directory with two sample sets and the proof of an estimate of them."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    np.save("a.npy", generator.normal(size=(200, 3)).astype(np.float32) + 1)
    np.save("b.npy", generator.normal(size=(200, 3)).astype(np.float32))
    answer = wdist("estimate", "a.npy", "b.npy", *TRAINING, "--save-proof", "proof.safetensors", "-o", "result.json")
    assert answer.status == 0, answer.err
    return tmp_path


def test_an_honest_proof_is_confirmed_and_has_the_keys_of_an_estimate(wdist, saved):
    answer = wdist("verify", "proof.safetensors", "a.npy", "b.npy", "--json", "--quiet")
    assert answer.status == 0, answer
    document, claimed = json.loads(answer.out), json.loads((saved / "result.json").read_text())
    assert document["ok"] is True
    assert document.keys() >= claimed.keys()
    for estimand in ("samples", "population"):
        for end in ("lower", "upper"):
            assert document["claims"][estimand][end] == claimed[estimand][end]
            assert document[estimand][end] == pytest.approx(claimed[estimand][end], rel=1e-8)


def test_a_divergence_is_proved_again_and_a_forged_one_is_not(wdist, saved):
    given = ("a.npy", "b.npy", "--divergence", "kl", "--lambda", "1", *TRAINING)
    answer = wdist("estimate", *given, "--save-proof", "kl.safetensors", "--json")
    assert answer.status == 0, answer.err
    claimed = json.loads(answer.out)["divergence"]
    answer = wdist("verify", "kl.safetensors", "--quiet")
    assert answer.status == 0, answer
    assert "samples: D >=" in answer.out
    document = json.loads(wdist("verify", "kl.safetensors", "--quiet", "--json").out)
    assert document["claims"]["divergence"]["population"]["lower"] == claimed["population"]["lower"]
    assert document["divergence"]["lambda"] == 1.0
    tensors = load_file("kl.safetensors")
    with safe_open("kl.safetensors", "pt") as file:
        metadata = file.metadata()
    statements = json.loads(metadata["statements"])
    statements[""]["divergence"]["population"]["lower"] += 1e-6
    save_file(tensors, "forged.safetensors", metadata | {"statements": json.dumps(statements)})
    answer = wdist("verify", "forged.safetensors", "--quiet")
    assert answer.status == 4
    assert "lower end of D, populations" in " ".join(answer.out.split())


def test_the_verdict_is_readable(wdist, saved):
    answer = wdist("verify", "proof.safetensors", "a.npy", "b.npy")
    assert answer.out.startswith("proved:")
    assert "\x1b" not in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 80


def test_a_changed_sample_is_noticed(wdist, saved):
    values = np.load("a.npy")
    values[5, 1] += 0.01
    np.save("a.npy", values)
    answer = wdist("verify", "proof.safetensors", "a.npy", "b.npy", "--quiet")
    assert answer.status == 4
    assert "NOT PROVED" in answer.out


def test_a_changed_plan_is_noticed(wdist, saved):
    tensors = load_file("proof.safetensors")
    with safe_open("proof.safetensors", "pt") as file:
        metadata = file.metadata()
    tensors["0/plan.mass"] *= 0.9
    save_file(tensors, "proof.safetensors", metadata)
    assert wdist("verify", "proof.safetensors", "a.npy", "b.npy", "--quiet").status == 4


def test_a_file_that_is_no_proof_is_refused_in_one_sentence(wdist, saved):
    (saved / "story.safetensors").write_text("once upon a time")
    answer = wdist("verify", "story.safetensors", "a.npy", "b.npy", "--quiet")
    assert answer.status == 2
    assert "story.safetensors" in answer.error


def test_a_random_choice_of_rows_is_made_anew_with_the_seed_of_the_claim(wdist, saved):
    estimated = wdist("estimate", "a.npy?limit=150", "b.npy", *TRAINING, "--seed", "3", "--save-proof", "limited.safetensors")
    assert estimated.status == 0, estimated.err
    assert wdist("verify", "limited.safetensors", "--quiet").status == 0


def test_a_comparison_saves_a_proof_of_every_source(wdist, saved):
    sources = ("b.npy", "a.npy?rows=0:100", "--names", "far,near")
    made = wdist("compare", "a.npy", *sources, "--steps", "10", "--save-proof", "c.safetensors")
    assert made.status == 0, made.err
    assert wdist("verify", "c.safetensors:far", "--quiet").status == 0
    assert wdist("verify", "c.safetensors:near", "a.npy", "a.npy?rows=0:100", "--quiet").status == 0
    unnamed = wdist("verify", "c.safetensors", "--quiet")
    assert unnamed.status == 2
    assert "c.safetensors:" in unnamed.error


@pytest.mark.parametrize("precious", ["a.npy", "b.npy", "proof.safetensors"])
def test_no_input_is_overwritten_by_the_result(wdist, saved, precious):
    before = (saved / precious).read_bytes()
    answer = wdist("verify", "proof.safetensors", "a.npy", "b.npy", "--quiet", "-o", precious)
    assert answer.status == 2
    assert f"{precious} is one of the inputs" in answer.error
    assert (saved / precious).read_bytes() == before


def test_sources_named_by_the_proof_alone_are_not_overwritten(wdist, saved):
    before = (saved / "b.npy").read_bytes()
    answer = wdist("verify", "proof.safetensors", "-o", "b.npy")
    assert answer.status == 2
    assert "b.npy is one of the inputs" in answer.error
    assert (saved / "b.npy").read_bytes() == before
