"""The simulation of gates: known truths, honest counting, and verdicts that hold."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.trials import exact_w1
from wdist import estimate
from wdist.studies import progress
from wdist.studies.bench import gates
from wdist.studies.bench.gates import CASES, GROWTH, STUDY, GateRow, conclude, regression_rows, rows_of
from wdist.studies.study import Conditions


@pytest.mark.parametrize("case", [case for case in CASES if case.on == "samples"], ids=lambda case: case.name)
def test_truths_of_sample_sets_are_exact(case):
    a, b = (side / 255 for side in case.draw(np.random.default_rng(0), case.samples))
    assert exact_w1(a, b) == pytest.approx(case.w1, rel=1e-9)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.on == "population"], ids=lambda case: f"{case.name} {case.samples}"
)
def test_truths_of_distributions_are_the_distance_of_the_means_of_many_samples(case):
    """All of these pairs are moved along one direction, or lie on the line with one side above the other."""
    random = np.random.default_rng(0)
    draws = [case.draw(random, case.samples) for _ in range(50)]
    a, b = (np.concatenate(side).astype(np.float64) for side in zip(*draws, strict=True))
    unit = 255 if draws[0][0].dtype == np.uint8 else 1
    noise = (a.std() + b.std()) / unit / math.sqrt(len(a))
    # Noise in the other coordinates only lengthens the way.
    assert abs(np.linalg.norm(a.mean(0) - b.mean(0)) / unit - case.w1) < 5 * noise


def test_sample_sets_are_never_judged_wrongly_and_decided_off_the_truth():
    case = next(case for case in CASES if "doubled" in case.name)
    below, at, above = rows_of(case, runs=3, limits=(0.95, 1.0, 1.05))
    assert (below.failed, above.passed) == (3, 3)
    assert at.wrong == below.wrong == above.wrong == 0
    assert below.stated == 0
    assert below.holds


@pytest.mark.parametrize(("told", "limit"), [(2.0, 0.75), (0.5, 1.5)])
def test_a_gate_that_contradicts_the_truth_is_counted_as_wrong(told, limit):
    """Told of twice the W1, a pass at 1.5 times the real one looks wrong; told of half of it, a fail at 0.75 times does."""
    case = next(case for case in CASES if case.on == "samples")
    (found,) = rows_of(replace(case, w1=told * case.w1), runs=2, limits=(limit,))
    assert found.wrong == 2
    assert (found.passed, found.failed) == ((2, 0) if told > 1 else (0, 2))


def test_a_regression_is_judged_with_the_errors_of_both_results():
    rows = list(regression_rows(runs=2, growth=(min(GROWTH), 3.0)))
    assert [row.rule for row in rows] == ["baseline", "baseline"]
    assert [row.limit for row in rows] == pytest.approx([1.05 / 0.5, 1.05 / 3])
    assert all(row.stated == pytest.approx(0.1) for row in rows)
    assert rows[1].failed == 2
    assert sum(row.wrong for row in rows) == 0


def test_on_what_critics_find_the_truth_is_that_of_each_run(monkeypatch):
    case = next(case for case in CASES if case.on == "detected" and case.samples == 300 and case.w1 == 1)
    below, above = rows_of(case, runs=3, limits=(0.5, 2.0))
    assert (below.failed, above.passed) == (3, 3)
    assert below.wrong == above.wrong == 0
    monkeypatch.setattr(gates, "_expected_detected", lambda found, fresh: 0.4)
    assert [found.wrong for found in rows_of(case, runs=2, limits=(0.5, 2.0))] == [2, 0]
    monkeypatch.setattr(gates, "_expected_detected", lambda found, fresh: 3.0)
    assert [found.wrong for found in rows_of(case, runs=2, limits=(0.5, 2.0))] == [0, 2]


def test_what_clipped_critics_find_is_less_than_w1_and_more_than_half():
    case = next(case for case in CASES if "clipped" in case.name)
    (found,) = rows_of(case, runs=2, limits=(2.0,))
    assert (found.passed, found.wrong) == (2, 0)
    result = estimate(*case.draw(np.random.default_rng(0), case.samples), baselines="none", **dict(case.options))
    assert 0.5 < gates._expected_detected(result, case.fresh) < 1


def test_growth_of_what_critics_find_has_the_error_of_one_test():
    grown, same = regression_rows(runs=2, growth=(3.0, 1.0), on="detected")
    assert grown.failed == 2
    assert (same.wrong, same.stated) == (0, pytest.approx(0.05))


def test_equal_distributions_are_judged_at_a_limit_of_zero():
    case = next(case for case in CASES if case.w1 == 0)
    zero, one = rows_of(case, runs=2, limits=(1.0,))
    assert (zero.limit, zero.passed, one.limit) == (0.0, 0, 1.0)


def row(wrong, *, on="population", runs=200, limit=2.0, passed=200):
    counts = {"runs": runs, "passed": passed, "failed": wrong, "wrong": wrong}
    stated = 0.05 if on == "population" else 0.0
    return GateRow(case="c", rule="max", on=on, samples=1000, limit=limit, stated=stated, **counts)


def test_as_often_as_stated_is_allowed_with_the_noise_of_counting_and_on_samples_nothing():
    assert row(10, passed=190).holds
    assert not row(30, passed=170).holds
    assert row(0, on="samples").holds
    assert not row(1, on="samples", passed=199).holds
    good = conclude([row(2, passed=150), row(0, on="samples")])
    assert [check.holds for check in good.checks] == [True, True]
    bad = conclude([row(30, passed=170), row(1, on="samples", passed=199)])
    assert [check.holds for check in bad.checks] == [False, False]
    assert row(0, passed=150).share_inconclusive == 0.25


def test_ctrl_c_ends_the_suite_and_not_one_estimation_only(monkeypatch):
    found = estimate(
        *CASES[0].draw(np.random.default_rng(0), CASES[0].samples), critic="mean-difference", baselines="none", couplings=False
    )
    monkeypatch.setattr(progress, "run_estimate", lambda *sides, **options: replace(found, interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        list(rows_of(CASES[0], runs=2))


def test_the_suite_judges_growth_at_both_levels(monkeypatch):
    monkeypatch.setattr(gates, "_QUICK_RUNS", 2)
    rows = list(STUDY.measure(Conditions(quick=True, only=("that grew",))))
    assert [row.on for row in rows] == [on for on in ("population", "detected") for _ in GROWTH]


def test_names_choose_cases(monkeypatch):
    monkeypatch.setattr(gates, "_QUICK_RUNS", 2)
    rows = list(STUDY.measure(Conditions(quick=True, only=("doubled",), seeds=(3,))))
    assert {row.case for row in rows} == {"a set and itself moved and doubled"}
    assert [row.limit for row in rows] == list(gates.LIMITS)
    assert all(row.runs == 2 for row in rows)
    assert [panel.title for panel in conclude(rows).panels] == ["inconclusive", "wrong"]
