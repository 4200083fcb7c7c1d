"""``wdist gate``: three exit statuses, five formats, and one sentence for what cannot be asked."""

import json
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.estimates import made_estimate
from wdist.data.sources.opening import open_source
from wdist.data.survey import survey
from wdist.gates import gate as gating

ASKED = ("gate", "a.npy", "b.npy", "--max", "2")


@pytest.fixture
def estimated(monkeypatch, tmp_path):
    """Puts 0.97765 <= W1 <= 1.5 in the place of every estimation, and two files in the folder; collects what was asked for."""
    random = np.random.default_rng(0)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", random.normal(size=(40, 2)))
    found = made_estimate(truth=None, command="gate", baselines=())
    population = replace(found.critic.population, upper=1.5, upper_method="blocks")
    recorded = SimpleNamespace(asked=[], result=replace(found, critic=replace(found.critic, population=population)))

    def run_estimate(a, b, options, **facts):
        recorded.asked.append(options)
        return recorded.result

    monkeypatch.setattr(gating, "run_estimate", run_estimate)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    return recorded


@pytest.mark.parametrize(("maximum", "status", "word"), [("2", 0, "PASS"), ("0.5", 1, "FAIL"), ("1.2", 3, "INCONCLUSIVE")])
def test_the_exit_status_is_the_verdict(wdist, estimated, maximum, status, word):
    answer = wdist("gate", "a.npy", "b.npy", "--max", maximum)
    assert answer.status == status
    assert answer.out.startswith(word)
    assert "Traceback" not in answer.err


def test_an_open_question_may_be_accepted_and_a_fail_may_not(wdist, estimated):
    assert wdist("gate", "a.npy", "b.npy", "--max", "1.2", "--accept-inconclusive").status == 0
    assert wdist("gate", "a.npy", "b.npy", "--max", "0.5", "--accept-inconclusive").status == 1


def test_a_one_sided_gate_never_passes(wdist, estimated):
    answer = wdist("gate", "a.npy", "b.npy", "--max-lower", "3")
    assert answer.status == 3
    assert "nothing is proved" in " ".join(answer.out.split())
    assert estimated.asked[-1].couplings is False
    assert wdist("gate", "a.npy", "b.npy", "--max-lower", "0.5").status == 1
    wdist(*ASKED)
    assert estimated.asked[-1].couplings is True


def test_options_of_the_estimation_reach_it(wdist, estimated):
    wdist(*ASKED, "--steps", "7", "--seed", "3", "--metric", "l1", "--confidence", "0.9", "--critic", "cones")
    asked = estimated.asked[-1]
    assert asked.budget.steps == 7
    assert (asked.seed, asked.metric, asked.confidence, asked.critic, asked.baselines) == (3, "l1", 0.9, "cones", "none")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "there is no limit to check"),
        (("--max", "-1"), "--max is a distance"),
        (("--max", "nan"), "--max is a distance"),
        (("--max-lower", "inf"), "--max-lower is a distance"),
        (("--max", "1", "--max-lower", "1"), "--max-lower computes no upper bound, which --max needs"),
        (("--max-lower", "1", "--baseline", "x.json"), "which --baseline needs"),
        (("--max", "1", "--tolerance", "5%"), "--tolerance is how much W1 may have grown since --baseline"),
        (("--baseline", "x.json", "--tolerance", "5"), "would be 500 %; write 5%"),
        (("--baseline", "x.json", "--tolerance", "a bit"), "'a bit' is not a fraction"),
        (("--baseline", "x.json", "--tolerance=-3%"), "--tolerance is a fraction of at least 0"),
        (("--baseline", "absent.json"), "absent.json cannot be read"),
        (("--max", "1", "--on", "both"), "--on both is unknown"),
        (("--max", "1", "--format", "mardown"), "did you mean markdown"),
        (("--max", "1", "--json", "--format", "junit"), "--json and --format junit are two formats for stdout"),
        (("--max", "1", "--junit", "no/such/folder.xml"), "there is no directory"),
        (("--max", "1", "-o", "x", "--markdown", "x"), "-o and --markdown name the same file"),
        (("--max", "1", "-o", "a.npy"), "is one of the inputs"),
        (("--max", "1", "--tol", "0.1"), "there is no option --tol"),
        (("--max", "1", "--max-samples", "500"), "add --until-decided"),
        (("--max", "1", "--until-decided", "--proof", "p.safetensors"), "--until-decided draws new samples, but --proof"),
        (("--max", "1", "--until-decided", "--save-proof", "p.safetensors"), "leave out --save-proof"),
        (("--max", "1", "--until-decided", "--on", "population"), "not --on population; leave out --on"),
        (("--max", "1", "--until-decided", "--max-samples", "5"), "--max-samples must be at least 40"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_is_refused_in_one_sentence_before_any_work(wdist, estimated, words, sentence):
    answer = wdist("gate", "a.npy", "b.npy", *words)
    assert answer.status == 2
    assert sentence in answer.error
    assert answer.out == ""
    assert estimated.asked == []


@pytest.mark.parametrize(("words", "share"), [("5%", 0.05), ("5 %", 0.05), ("0.07", 0.07), ("150%", 1.5), ("0", 0.0), (None, 0.05)])
def test_a_tolerance_is_a_share_or_per_cent(wdist, estimated, words, share):
    # The result made by hand carries no digest of the files.
    estimated.result = replace(estimated.result, digest_a=survey(open_source("a.npy")).digest)
    assert wdist(*ASKED, "-o", "last.json", "--quiet").status == 0
    tolerance = () if words is None else ("--tolerance", words)
    answer = wdist("gate", "a.npy", "b.npy", "--baseline", "last.json", *tolerance, "--json")
    (rule,) = json.loads(answer.out)["rules"]
    assert rule["tolerance"] == pytest.approx(share)
    assert answer.status == {"pass": 0, "inconclusive": 3}[rule["verdict"]]


def test_each_format_is_the_only_thing_on_stdout(wdist, estimated):
    document = wdist(*ASKED, "--json").out
    assert json.loads(document)["verdict"] == "pass"
    assert wdist(*ASKED, "--format", "json").out == document
    assert wdist(*ASKED, "--format", "markdown").out.startswith("### wdist gate: pass\n")
    assert wdist(*ASKED, "--format", "github").out.startswith("::notice title=")
    assert ElementTree.fromstring(wdist(*ASKED, "--format", "junit").out.encode()).tag == "testsuites"


def test_files_hold_what_the_formats_print(wdist, estimated, tmp_path):
    answer = wdist(*ASKED, "-o", "r.json", "--junit", "r.xml", "--markdown", "r.md")
    assert answer.status == 0
    for name, form in (("r.json", "json"), ("r.xml", "junit"), ("r.md", "markdown")):
        assert (tmp_path / name).read_text() == wdist(*ASKED, "--format", form).out
        assert f"saved as {name}" in answer.err


def test_github_gets_a_summary_and_outputs_behind_those_of_other_steps(wdist, estimated, tmp_path, monkeypatch):
    for variable, name in (("GITHUB_STEP_SUMMARY", "summary"), ("GITHUB_OUTPUT", "output")):
        (tmp_path / name).write_text("before\n")
        monkeypatch.setenv(variable, str(tmp_path / name))
    assert wdist(*ASKED, "--format", "text").status == 0
    assert (tmp_path / "summary").read_text() == "before\n", "only where it is asked for"
    assert wdist("gate", "a.npy", "b.npy", "--max", "0.5", "--format", "github").status == 1
    assert (tmp_path / "summary").read_text().startswith("before\n### wdist gate: fail\n")
    assert (tmp_path / "output").read_text().startswith("before\nverdict=fail\non=population\n")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "no" / "folder"))
    answer = wdist(*ASKED, "--format", "github")
    assert answer.status == 2
    assert "$GITHUB_OUTPUT" in answer.error


def test_a_time_is_told_not_to_repeat(wdist, estimated):
    answer = wdist(*ASKED, "--budget", "1s", "--json")
    assert json.loads(answer.out)["repeatable"] is False
    assert "another run gives different digits" in answer.err
    assert json.loads(wdist(*ASKED, "--json").out)["repeatable"] is True


def test_after_ctrl_c_the_verdict_on_what_is_proved_is_told_and_the_status_is_that_of_ctrl_c(wdist, estimated):
    estimated.result = replace(estimated.result, interrupted=True)
    answer = wdist(*ASKED)
    assert answer.status == 130
    assert answer.out.startswith("PASS")
    assert "interrupted" in answer.err


def test_the_schema_is_published(wdist):
    schema = json.loads(wdist("schema", "gate").out)
    assert schema["properties"]["verdict"]["enum"] == ["pass", "fail", "inconclusive"]
    assert {"verdict", "samples", "population", "environment", "rules"} <= set(schema["required"])


def test_a_sequential_gate_draws_until_it_is_decided(wdist):
    words = ("--until-decided", "--critic", "mean-difference", "--max-samples", "400")
    sides = ("synthetic:gaussian?dim=2", "synthetic:gaussian?dim=2&shift=1")
    failed = wdist("gate", *sides, "--max", "0.1", *words)
    assert failed.status == 1
    assert "samples of each side" in " ".join(failed.out.split())
    assert wdist("gate", *sides, "--max", "9", *words, "--json").status == 0
    answer = wdist("gate", *sides, "--max", "1", *words, "--json", "--max-time", "1h")
    assert answer.status == 3
    document = json.loads(answer.out)
    assert document["on"] == "detected"
    assert 380 < document["looks"][-1]["samples"] <= 400
    assert document["repeatable"] is False
    assert "a different number of samples" in answer.err
