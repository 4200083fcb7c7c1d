"""``--critics``, ``--repeats``, ``--metric`` and critics put together, as a user sees them."""

import json
import re

import numpy as np
import pytest

from wdist.lipschitz.activations import ACTIVATIONS
from wdist.lipschitz.constraints import CONSTRAINTS
from wdist.report.documents.forms import model
from wdist.training.catalogue import CATALOGUE

TINY = ("--steps", "6", "--width", "16", "--depth", "3", "--batch-size", "32", "--device", "cpu")


@pytest.fixture
def sets(tmp_path):
    generator = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", generator.normal(size=(160, 2)) + 1)
    np.save(tmp_path / "b.npy", generator.normal(size=(160, 2)))
    return "a.npy", "b.npy"


def test_named_critics_stand_in_two_tables_best_first(wdist, sets):
    answer = wdist("estimate", *sets, *TINY, "--critics", "relu-spectral,mean-difference", "--quiet")
    assert answer.status == 0, answer.err
    for table in (answer.out[answer.out.index("what it proves") :], answer.out[answer.out.index("how it was trained") :]):
        assert table.index("mean-difference") < table.index("relu-spectral")
    assert "groupsort-bjorck" not in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 80


def test_all_critics_fit_80_columns_a_document_and_a_figure(wdist, sets, tmp_path):
    answer = wdist("estimate", *sets, *TINY, "--critics", "all", "--repeats", 2, "--plot", "all.png", "-o", "all.json", "--quiet")
    assert answer.status == 0, answer.err
    assert max(len(line) for line in answer.out.splitlines()) <= 80
    assert "…" not in answer.out
    document = json.loads((tmp_path / "all.json").read_text())
    model("estimate").model_validate(document)
    critics = [document["critic"], *document["baselines"]]
    assert {critic["name"] for critic in critics} == set(CATALOGUE)
    assert document["population"]["jointly_with"] == len(CATALOGUE) + (document["population"]["upper"] is not None)
    for critic in critics:
        assert critic["certified"]
        assert critic["title"]
        assert (critic["raw_value"] is None) == critic["bound_by_construction"]
        assert (critic["largest_slope"] is None) == critic["bound_by_construction"]
        assert (critic["repeats"] is None) == (critic["steps"] == 0)
        assert critic.get("samples", document["samples"])["lower"] <= document["samples"]["lower"] <= document["samples"]["upper"]
        if not critic["bound_by_construction"]:
            assert critic["name"] in answer.out[answer.out.index("not a bound") :]
    assert (tmp_path / "all.png").stat().st_size > 50_000


@pytest.mark.parametrize("metric", ["l1", "linf"])
def test_another_metric_bounds_transport_in_that_metric_and_can_be_verified(wdist, sets, metric):
    answer = wdist("estimate", *sets, *TINY, "--metric", metric, "--json", "--save-proof", "proof.safetensors")
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    assert document["metric"] == metric
    assert 0 < document["samples"]["lower"] <= document["samples"]["upper"]
    assert wdist("verify", "proof.safetensors").status == 0


def test_a_critic_put_together_heads_the_result(wdist, sets):
    words = ("--activation", "abs", "--constraint", "spectral")
    answer = wdist("estimate", *sets, *TINY, *words, "--baselines", "relu-spectral", "--json")
    document = json.loads(answer.out)
    assert document["critic"]["name"] == "abs-spectral"
    assert [baseline["name"] for baseline in document["baselines"]] == ["relu-spectral"]


def test_a_named_critic_makes_the_headline_and_nothing_else_is_tried(wdist, sets):
    document = json.loads(wdist("estimate", *sets, "--critic", "mean-difference", "--baselines", "none", "--json").out)
    assert document["critic"]["name"] == "mean-difference"
    assert document["critic"]["tried"] == []
    assert document["baselines"] == []


def test_a_chosen_critic_is_shown_with_what_it_was_chosen_from(wdist, sets):
    answer = wdist("estimate", *sets, "--steps", 6, "--device", "cpu", "--baselines", "none", "--quiet", "-o", "result.json")
    assert answer.status == 0, answer.err
    table = answer.out[answer.out.index("tried, and chosen") :]
    for name in ("mean-difference", "groupsort-bjorck", "cones"):
        assert f"\n{name} " in table
    assert max(len(line) for line in answer.out.splitlines()) <= 80


def test_a_gap_that_is_asked_for_is_reached_by_transport(wdist, sets):
    answer = wdist("estimate", *sets, "--steps", 6, "--device", "cpu", "--baselines", "none", "--tol", "0.02", "-o", "result.json")
    assert answer.status == 0, answer.err
    assert re.search("gap +at most 2 % was requested: reached", answer.out)
    assert "<= W1 <= " in answer.err, "both ends are told on the way"


def test_repeats_show_the_spread_and_keep_the_bounds(wdist, sets):
    words = ("estimate", *sets, *TINY, "--critic", "groupsort-bjorck", "--baselines", "none")
    once = json.loads(wdist(*words, "--json").out)
    thrice = json.loads(wdist(*words, "--json", "--repeats", 3, "--steps", 18).out)  # six for each seed
    assert thrice["critic"]["repeats"]["seeds"] == [0, 1, 2]
    assert thrice["critic"]["repeats"]["lower_deviation"] > 0
    assert once["critic"]["repeats"] is None
    assert (thrice["samples"]["lower"], thrice["population"]) == (once["samples"]["lower"], once["population"])
    assert re.search(r"groupsort-bjorck +[\d.]+ ±[\d.]+", wdist(*words, "--repeats", 3, "--quiet").out)


WRONG = {
    "unknown critic": (["--critics", "relu-spektral"], "relu-spectral"),
    "unknown activation": (["--activation", "swish"], "maxmin"),
    "unknown constraint": (["--constraint", "orthogonal"], "bjorck"),
    "unknown metric": (["--metric", "l3"], "linf"),
    "a critic put together among named ones": (["--critics", "all", "--activation", "relu"], "--baselines"),
    "beta without a constraint that has one": (["--beta", "0.3", "--constraint", "spectral"], "--beta makes no difference"),
    "group size of critics that have their own": (["--critics", "relu-bjorck,maxmin-bjorck", "--group-size", "4"], "leave it out"),
    "groups that do not fit": (["--activation", "group-sort:5"], "multiple of 5"),
}


@pytest.mark.parametrize(("words", "way_out"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_before_anything_is_trained(wdist, sets, words, way_out):
    answer = wdist("estimate", *sets, *TINY, *words)
    assert answer.status == 2
    assert way_out in answer.error
    assert "6 steps" not in answer.err


def test_help_names_every_activation_and_constraint(wdist):
    text = " ".join(re.sub("[│╭╰─]", " ", wdist("estimate", "--help").out).split())
    for name in (*ACTIVATIONS, *CONSTRAINTS):
        assert name.partition(":")[0] in text
