"""The simulation of sequential gates: known truths, honest counting, and a test of fixed size beside them."""

from dataclasses import replace

import torch

from wdist.studies.bench import sequential
from wdist.studies.bench.sequential import CASES, STUDY, SequentialRow, _Draws, conclude, fixed_size, row_of
from wdist.studies.study import Conditions


def test_draws_are_shifted_by_w1():
    for case in CASES:
        a, b = (_Draws(case.law, case.dim, shift).draw(20_000, torch.Generator().manual_seed(0)) for shift in (0.0, case.w1))
        assert torch.allclose(b - a, case.w1 * torch.eye(1, case.dim, dtype=torch.float64))


def test_easy_verdicts_take_few_samples():
    easy = row_of(CASES[0], 0.1, runs=3, fixed_runs=3)
    assert (easy.failed, easy.wrong) == (3, 0)
    assert easy.median <= 250
    assert easy.ratio == easy.median / easy.fixed


def test_a_fail_within_the_limit_and_a_pass_far_below_w1_are_wrong(monkeypatch):
    told = replace(CASES[0], w1=4.0)
    monkeypatch.setattr(sequential, "_Draws", lambda law, dim, shift: _Draws(law, dim, shift / 4))
    assert row_of(told, 0.5, runs=2, fixed_runs=1).wrong == 2, "W1 is 1, and passes at 2"
    told = replace(CASES[0], w1=0.25)
    monkeypatch.setattr(sequential, "_Draws", lambda law, dim, shift: _Draws(law, dim, 4 * shift))
    assert row_of(told, 2.0, runs=2, fixed_runs=1).wrong == 2, "W1 is 1, and fails at 0.5"


def test_the_test_of_fixed_size_needs_more_for_a_nearer_limit():
    sizes = [fixed_size(CASES[0], maximum, runs=4) for maximum in (0.2, 0.7)]
    assert sizes[0] < sizes[1]


def row(**facts):
    counts = {"case": CASES[0].name, "limit": 0.5, "runs": 200, "passed": 0, "failed": 200, "wrong": 0, "median": 150, "most": 300}
    return SequentialRow(**{**counts, "fixed": 100, **facts})


def test_checks_follow_from_the_rows():
    good = [row(limit=0.1, median=100), row(limit=0.9, median=5000, fixed=4000)]
    assert [check.holds for check in conclude(good).checks] == [True, True, True]
    bad = [row(limit=0.1, median=1000, wrong=40), row(limit=0.9, median=9000, fixed=4000)]
    assert [check.holds for check in conclude(bad).checks] == [False, False, False]


def test_the_quick_form_measures_what_is_asked_for(monkeypatch):
    monkeypatch.setattr(sequential, "_MOST_AT_W1", 200)
    rows = list(STUDY.measure(Conditions(quick=True, trials=1, only=("equal",))))
    assert [found.limit for found in rows] == [0.0, 0.5, 1.0]
