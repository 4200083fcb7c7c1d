"""A gate on real sets: its verdict follows from one estimate, repeats to the digit, and takes no needless work."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import wdist
from tests.trials import exact_w1, untimed
from wdist import estimate, gate
from wdist.bounds.mean_difference import mean_difference
from wdist.critics.settings import CriticSettings
from wdist.errors import CertificateError, SourceError, UsageError
from wdist.estimation.options import EstimateOptions
from wdist.estimation.transport_bounds import SHORT_OF_MEMORY
from wdist.gates.gate import GateResult, judged, proof_of_gate, run_gate
from wdist.gates.limits import GateLimits
from wdist.gates.rules import Answer, Maximum, NoWorse
from wdist.report.documents.forms import document_text, model
from wdist.report.documents.gate import gate_markdown
from wdist.training.observer import Stage

FORMULA = {"critic": "mean-difference"}
DRAWS = "synthetic:gaussian?dim=3"


def moved(x, distance):
    return x + np.array([distance, 0])


@pytest.fixture
def sets():
    random = np.random.default_rng(0)
    return random.normal(size=(120, 2)), moved(random.normal(size=(90, 2)), 2)


def record(path, result):
    path.write_text(document_text(result, command="gate"))
    return path


def test_the_package_offers_the_gate(sets):
    assert wdist.GateResult is GateResult
    assert isinstance(wdist.gate(*sets, maximum=9.0, on="samples"), GateResult)


@pytest.mark.parametrize(("factor", "answer"), [(0.99, Answer.FAIL), (1.01, Answer.PASS)])
def test_on_samples_exact_transport_decides_for_certain(sets, factor, answer):
    result = gate(*sets, maximum=factor * exact_w1(*sets), on="samples", **FORMULA)
    assert result.answer is answer
    assert result.passed == bool(result) == (answer is Answer.PASS)
    assert result.confidence is None
    assert result.estimate.command == "gate"
    assert result.estimate.baselines == ()


def test_both_bounds_for_the_distributions_are_judged_at_the_confidence(sets):
    result = gate(*sets, maximum=2.0, confidence=0.9, **FORMULA)
    population = result.estimate.population
    assert (result.interval.lower, result.interval.upper) == (population.lower, population.upper)
    assert result.confidence == 0.9
    assert population.lower < 2.0 < population.upper
    assert result.answer is Answer.INCONCLUSIVE
    assert judged(result.estimate, (Maximum(value=population.upper),), on="population").answer is Answer.PASS
    assert judged(result.estimate, (Maximum(value=population.lower * 0.999),), on="population").answer is Answer.FAIL


def test_what_the_critic_finds_is_judged_with_both_ends(sets):
    result = gate(*sets, maximum=9.0, on="detected", folds=3, **FORMULA)
    found, interval = result.estimate.detected, result.interval
    means = mean_difference([(each.held_out.a, each.held_out.b) for each in result.estimate.critic.folds])
    assert (interval.lower, interval.upper) == pytest.approx((means.lower(0.05), means.upper(0.05)), rel=1e-3)
    assert interval.lower <= means.lower(0.05) * (1 + 1e-9)
    assert interval.upper >= means.upper(0.05) * (1 - 1e-9)
    assert found.lower < interval.lower < found.estimate < interval.upper < found.upper
    assert result.answer is Answer.PASS
    assert result.confidence == 0.95
    limit = (found.lower + interval.lower) / 2  # only one of the two verdicts can be wrong, so it takes the whole error
    assert gate(*sets, maximum=limit, on="detected", folds=3, **FORMULA).answer is Answer.FAIL
    open_one = gate(*sets, maximum=found.estimate, on="detected", folds=3, **FORMULA)
    assert "each with 95 % confidence" in open_one.verdict.reason
    model("gate").model_validate(result.to_dict())
    assert "| what the critic finds (judged) |" in gate_markdown(result)


def test_an_open_gate_on_the_distributions_says_what_detection_would_decide():
    """In many dimensions, where no upper end for the distributions is near what critics find."""
    random = np.random.default_rng(0)
    found = gate(random.normal(size=(120, 20)), random.normal(size=(90, 20)) + 0.5, maximum=9.0, folds=3, **FORMULA).estimate
    assert found.detected.upper < found.population.upper
    limit = (found.detected.upper + found.population.upper) / 2
    result = judged(found, (Maximum(value=limit),), on="population")
    assert result.answer is Answer.INCONCLUSIVE
    assert any(each.startswith("--on detected would pass now") for each in result.verdict.suggestions)


def test_growth_of_what_critics_find_is_judged_against_a_document(sets, tmp_path):
    a, b = sets
    options = {"on": "detected", "folds": 4, **FORMULA}
    last = record(tmp_path / "last.json", gate(a, b, maximum=5.0, **options))
    assert gate(a, b, baseline=last, tolerance=0.6, **options).answer is Answer.PASS
    assert gate(a, moved(b, 2), baseline=last, **options).answer is Answer.FAIL
    both = gate(a, b, baseline=last, maximum=9.0, **options)
    assert both.confidence == pytest.approx(0.9)
    model("gate").model_validate(both.to_dict())


def test_detection_needs_independent_samples_and_no_proof(sets, tmp_path):
    with pytest.raises(UsageError, match="both sides hold the same ones"):
        gate(sets[0], sets[0], maximum=1.0, on="detected", **FORMULA)
    with pytest.raises(UsageError, match='not what on="detected" judges'):
        gate(*sets, maximum=1.0, on="detected", proof=tmp_path / "proof.safetensors")


class Stages:
    """Keeps what every stage is about."""

    def __init__(self):
        self.told = []

    def notify(self, event):
        self.told += [event.what] if isinstance(event, Stage) else []


def test_a_one_sided_gate_computes_no_coupling_and_leaves_the_whole_error_to_its_bound(sets):
    all_stages, stages = Stages(), Stages()
    two_sided = gate(*sets, maximum=1.0, **FORMULA, observer=all_stages).estimate
    result = gate(*sets, max_lower=1.0, **FORMULA, observer=stages)
    assert any("transport" in told for told in all_stages.told)
    assert not any("transport" in told for told in stages.told)
    assert result.answer is Answer.FAIL
    assert (result.estimate.population.upper, result.estimate.samples.upper) == (None, None)
    assert two_sided.population.jointly_with == 2
    assert result.estimate.population.jointly_with == 1
    assert result.interval.lower > two_sided.population.lower
    assert gate(*sets, max_lower=3.0, **FORMULA).answer is Answer.INCONCLUSIVE


def test_sample_sets_are_judged_without_training_unless_a_critic_is_described(sets):
    """Transport proves both bounds; a one-sided gate computes none, so that its verdict depends on the critic."""
    quick = {"steps": 3, "settings": None}
    result = gate(*sets, maximum=9.0, on="samples", settings=None)
    assert result.estimate.critic.name == "mean-difference"
    assert result.training_note.startswith("No critic was trained")
    assert result.answer is Answer.PASS
    for described in (
        {"on": "samples", "critic": "groupsort-bjorck"},
        {"on": "samples", "settings": CriticSettings(width=16, depth=2)},
        {"on": "population", "settings": CriticSettings(width=16, depth=2)},
    ):
        result = gate(*sets, maximum=9.0, **{**quick, **described})
        assert result.training_note is None
        assert result.estimate.critic.name != "mean-difference" or result.estimate.critic.tried
    one_sided = gate(*sets, max_lower=9.0, on="samples", steps=3, settings=None)
    assert one_sided.training_note is None
    assert one_sided.estimate.critic.tried


def test_an_open_question_about_samples_suggests_a_critic(sets):
    found = estimate(*sets, baselines="none", couplings=False, **FORMULA)
    result = judged(found, (Maximum(value=9.0),), on="samples", trained=False)
    assert "No critic was trained: one named with --critic may raise the lower bound." in result.verdict.suggestions


@pytest.mark.parametrize("on", ["population", "samples"])
def test_limits_become_rules_with_the_default_tolerance(sets, tmp_path, on):
    a, b = sets
    last = record(tmp_path / "last.json", gate(a, b, maximum=5.0, on="samples"))
    options = EstimateOptions.validated(baselines="none", **FORMULA)
    rules = [each.rule for each in run_gate(a, b, options, GateLimits(maximum=3.0, baseline=last, on=on)).judged]
    assert rules[0] == Maximum(value=3.0)
    assert isinstance(rules[1], NoWorse)
    assert (rules[1].tolerance, rules[1].before.on) == (0.05, on)


def test_a_regression_is_judged_against_a_document_of_the_same_reference(sets, tmp_path):
    a, b = sets
    last = record(tmp_path / "last.json", gate(a, b, maximum=5.0, on="samples", **FORMULA))
    same = gate(a, b, baseline=last, on="samples", **FORMULA)
    assert same.answer is Answer.PASS
    assert same.recorded.samples.upper == same.estimate.samples.upper
    assert gate(a, moved(b, 1), baseline=last, on="samples", **FORMULA).answer is Answer.FAIL
    assert gate(a, b, baseline=last, tolerance=0.0, on="samples", **FORMULA).answer is Answer.INCONCLUSIVE
    population = gate(a, b, baseline=last, maximum=50.0, **FORMULA)
    assert population.confidence == pytest.approx(0.9)
    assert [each.verdict.answer for each in population.judged] == [Answer.PASS, Answer.INCONCLUSIVE]
    assert population.answer is Answer.INCONCLUSIVE
    with pytest.raises(SourceError, match="held other samples"):
        gate(b, a, baseline=last, on="samples", **FORMULA)
    with pytest.raises(UsageError, match='metric="l2", not l1'):
        gate(a, b, baseline=last, metric="l1", **FORMULA)


def test_what_compare_records_is_a_baseline(sets, tmp_path):
    from wdist import compare

    a, b = sets
    path = tmp_path / "ranked.json"
    ranked = compare(a, [b, moved(b, 3)], names=["near", "far"], critic="mean-difference")
    path.write_text(document_text(ranked, command="compare"))
    assert gate(a, moved(b, 1), baseline=f"{path}:near", on="samples", **FORMULA).answer is Answer.FAIL
    assert gate(a, moved(b, 1), baseline=f"{path}:far", on="samples", **FORMULA).answer is Answer.PASS


def test_another_feature_space_is_not_taken_for_other_samples(sets, tmp_path):
    a, b = sets
    last = record(tmp_path / "last.json", gate(a, b, maximum=5.0, **FORMULA))
    with pytest.raises(UsageError, match="between the samples themselves, but this run measures them between features by"):
        gate(a, b, baseline=last, features=lambda x: 2 * x, **FORMULA)


def test_another_reference_is_refused_before_anything_is_trained(sets, tmp_path, monkeypatch):
    a, b = sets
    last = record(tmp_path / "last.json", gate(a, b, maximum=5.0, **FORMULA))

    def trained(*arguments, **options):
        raise AssertionError("the reference was to be checked first")

    monkeypatch.setattr("wdist.gates.gate.run_estimate", trained)
    with pytest.raises(SourceError, match="held other samples"):
        gate(a[:-1], b, baseline=last)
    with pytest.raises(UsageError, match="both sides are drawn without end"):
        gate(DRAWS, f"{DRAWS}&shift=1", maximum=1.0, on="samples")
    with pytest.raises(UsageError, match="on sample is unknown"):
        gate(a, b, maximum=1.0, on="sample")
    with pytest.raises(UsageError, match="there is no limit to check"):
        gate(a, b)


def test_draws_can_be_gated_and_compared_with_what_was_recorded_of_them(tmp_path):
    sides = (DRAWS, f"{DRAWS}&shift=1")
    first = gate(*sides, max_lower=0.5, **FORMULA)
    assert first.answer is Answer.FAIL
    last = record(tmp_path / "last.json", first)
    again = gate(DRAWS, f"{DRAWS}&shift=2", baseline=last, **FORMULA, couplings=False)
    assert again.answer is Answer.INCONCLUSIVE
    assert again.recorded.population.upper is None


def test_the_same_samples_on_both_sides_say_nothing_about_distributions(sets):
    a, _ = sets
    assert gate(a, a, maximum=0.0, on="samples").answer is Answer.PASS
    result = gate(a, a, maximum=1.0)
    assert result.answer is Answer.INCONCLUSIVE
    assert "the same samples on both sides say nothing about two distributions" in result.verdict.what_would_decide


def test_a_question_that_ctrl_c_left_open_says_so(sets):
    found = replace(estimate(*sets, baselines="none", couplings=False, **FORMULA), interrupted=True)
    (verdict,) = (each.verdict for each in judged(found, (Maximum(value=9.0),), on="population").judged)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "interrupted before it was computed" in verdict.what_would_decide


def test_a_budget_of_time_or_a_lack_of_memory_ends_repeatability(sets):
    result = gate(*sets, maximum=1.0, **FORMULA)
    assert result.repeatable
    assert gate(*sets, maximum=1.0, critic="cones", steps=3).repeatable
    assert not gate(*sets, maximum=1.0, **FORMULA, budget="1s").repeatable
    assert not replace(result, estimate=replace(result.estimate, warnings=(SHORT_OF_MEMORY,))).repeatable
    environment = replace(result.estimate.environment, device="NVIDIA H200")
    assert not replace(result, estimate=replace(result.estimate, environment=environment)).repeatable


SCRIPT = """
import sys
import numpy as np
from tests.gates.test_gate import digits_again
digits_again(*sys.argv[1:])
"""


def digits_again(a, b):
    """Prints the document of a gate that tries every kind of critic."""
    settings = CriticSettings(width=16, depth=2, batch_size=64)
    result = gate(a, b, maximum=1.0, settings=settings, steps=8)
    sys.stdout.write(document_text(result, command="gate"))


def test_the_same_inputs_and_seed_give_the_same_document_whatever_else_runs(sets, tmp_path, repository, capsys):
    """Once in this process; once in another that orders its hashes otherwise, while a third takes the processor."""
    paths = []
    for name, side in zip("ab", sets, strict=True):
        paths.append(str(tmp_path / f"{name}.npy"))
        np.save(paths[-1], side)
    capsys.readouterr()
    digits_again(*paths)
    here = json.loads(capsys.readouterr().out)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        there = subprocess.run(
            [sys.executable, "-c", SCRIPT, *paths],
            cwd=repository,
            env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
    finally:
        busy.kill()
        busy.wait()
    assert {attempt["name"] for attempt in here["critic"]["tried"]} >= {"groupsort-bjorck", "cones"}
    assert here["repeatable"]
    assert untimed(here) == untimed(json.loads(there.stdout))


def test_a_proof_made_elsewhere_is_judged_without_training(sets, tmp_path):
    path = tmp_path / "proof.safetensors"
    made = gate(*sets, maximum=9.0, steps=20, settings=CriticSettings(width=8))
    path.write_bytes(proof_of_gate(made))
    found = gate(*sets, maximum=9.0, proof=path)
    assert found.passed
    assert made.interval.lower <= found.interval.lower <= found.interval.upper <= made.interval.upper
    with pytest.raises(CertificateError, match="samples B"):
        gate(sets[0], moved(sets[1], 1e-9), maximum=9.0, proof=path)
    with pytest.raises(UsageError, match="trains nothing"):
        gate(*sets, maximum=9.0, proof=path, steps=10)
