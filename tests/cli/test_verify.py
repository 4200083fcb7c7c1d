"""``wdist verify`` re-checks a saved critic, and says no when anything was changed."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

TRAINING = ("--steps", "20", "--baselines", "none", "--device", "cpu", "--quiet")


@pytest.fixture
def saved(wdist, tmp_path, monkeypatch):
    """A directory with two sample sets and a critic that was trained on them."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    np.save("a.npy", generator.normal(size=(200, 3)).astype(np.float32) + 1)
    np.save("b.npy", generator.normal(size=(200, 3)).astype(np.float32))
    answer = wdist("estimate", "a.npy", "b.npy", *TRAINING, "--save-critic", "critic.safetensors", "-o", "result.json")
    assert answer.status == 0, answer.err
    return tmp_path


def test_an_honest_critic_is_verified_and_its_numbers_are_those_of_the_estimate(wdist, saved):
    answer = wdist("verify", "critic.safetensors", "a.npy", "b.npy", "--json", "--quiet")
    assert answer.status == 0, answer
    document = json.loads(answer.out)
    claimed = json.loads((saved / "result.json").read_text())
    assert document["ok"] is True
    assert document["lower"] == pytest.approx(claimed["critic"]["samples"]["lower"], rel=1e-9)
    assert document["claimed_lower"] == claimed["critic"]["samples"]["lower"]


def test_the_verdict_is_readable(wdist, saved):
    answer = wdist("verify", "critic.safetensors", "a.npy", "b.npy")
    assert "verified" in answer.out
    assert "\x1b" not in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 80


def test_a_changed_sample_is_noticed(wdist, saved):
    values = np.load("a.npy")
    values[5, 1] += 0.01
    np.save("a.npy", values)
    answer = wdist("verify", "critic.safetensors", "a.npy", "b.npy", "--quiet")
    assert answer.status == 4
    assert "NO" in answer.out


def test_a_changed_weight_is_noticed(wdist, saved):
    weights = load_file("critic.safetensors")
    with safe_open("critic.safetensors", "pt") as file:
        metadata = file.metadata()
    name = max(weights, key=lambda name: weights[name].numel())
    weights[name] = weights[name] * 1.5
    save_file(weights, "critic.safetensors", metadata)
    assert wdist("verify", "critic.safetensors", "a.npy", "b.npy", "--quiet").status == 4


def test_a_file_that_is_no_critic_is_refused_in_one_sentence(wdist, saved):
    (saved / "story.safetensors").write_text("once upon a time")
    answer = wdist("verify", "story.safetensors", "a.npy", "b.npy", "--quiet")
    assert answer.status == 2
    assert "story.safetensors" in answer.error


def test_a_random_choice_of_rows_is_made_anew_with_the_seed_of_the_claim(wdist, saved):
    estimated = wdist("estimate", "a.npy?limit=150", "b.npy", *TRAINING, "--seed", "3", "--save-critic", "limited.safetensors")
    assert estimated.status == 0, estimated.err
    assert wdist("verify", "limited.safetensors", "--quiet").status == 0


@pytest.mark.parametrize("precious", ["a.npy", "b.npy", "critic.safetensors"])
def test_no_input_is_overwritten_by_the_result(wdist, saved, precious):
    before = (saved / precious).read_bytes()
    answer = wdist("verify", "critic.safetensors", "a.npy", "b.npy", "--quiet", "-o", precious)
    assert answer.status == 2
    assert f"{precious} is one of the inputs" in answer.error
    assert (saved / precious).read_bytes() == before


def test_sources_named_by_the_critic_alone_are_not_overwritten(wdist, saved):
    before = (saved / "b.npy").read_bytes()
    answer = wdist("verify", "critic.safetensors", "-o", "b.npy")
    assert answer.status == 2
    assert "b.npy is one of the inputs" in answer.error
    assert (saved / "b.npy").read_bytes() == before
