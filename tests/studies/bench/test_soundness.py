"""The soundness suite: truths that are true, wrong bounds that are caught and shrunk, and no wrong bound in a small run."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import count, permutations

import numpy as np
import pytest
import torch

from tests.divergences import exact_divergence
from wdist.critics.frozen import FrozenCritic
from wdist.errors import SourceError
from wdist.estimation.result import SamplesInterval
from wdist.estimation.verification import verify
from wdist.ground_metric import L1, METRICS
from wdist.studies.bench import soundness, soundness_paths
from wdist.studies.bench.soundness import STUDY, SoundnessRow, WrongBound, conclude, is_wrong, outcome, rows_of
from wdist.studies.bench.soundness_divergence import divergence
from wdist.studies.bench.soundness_paths import PATHS, Claim
from wdist.studies.bench.soundness_problems import KINDS, Problem, draw_problem, draw_translation
from wdist.studies.bench.soundness_truth import Extended, Truth, w1, w1_of_translation, w1_on_the_line
from wdist.studies.study import Conditions

BY_NAME = {path.name: path for path in PATHS}


def extended(values):
    return np.asarray(values, dtype=np.float64).astype(Extended)


def test_shares_add_up():
    assert sum(path.share for path in PATHS) == pytest.approx(1)


@pytest.mark.parametrize("p", [1, math.inf])
@pytest.mark.parametrize("by_program", [False, True])
def test_the_truth_contains_the_best_of_all_assignments_in_rational_numbers(p, by_program):
    random = np.random.default_rng(0)
    for _ in range(5):
        x, y = random.normal(size=(2, 4, 3)) * 10.0 ** random.integers(-300, 300)
        costs = [[[abs(Fraction(a) - Fraction(b)) for a, b in zip(row, other, strict=True)] for other in y] for row in x]
        costs = [[sum(each) if p == 1 else max(each) for each in row] for row in costs]
        best = min(sum(costs[i][j] for i, j in enumerate(order)) for order in permutations(range(4))) / 4
        truth = w1(extended(x), extended(y), p, by_program=by_program)
        assert as_fraction(truth.low) <= best <= as_fraction(truth.high)
        assert truth.spread < 1e-15


def as_fraction(value):
    """An extended number in two parts, each of which float64 represents."""
    high = float(value)
    return Fraction(high) + Fraction(float(value - Extended(high)))


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_different_counts_and_both_solvers_agree(metric):
    random = np.random.default_rng(1)
    for n, m in ((4, 6), (7, 5), (1, 9), (20, 13)):
        x, y = extended(random.normal(size=(n, 3))), extended(random.normal(size=(m, 3)) + 1)
        first, second = (w1(x, y, metric.p, by_program=each) for each in (False, True))
        assert max(first.low, second.low) <= min(first.high, second.high)
        assert max(first.spread, second.spread) < 1e-12


def test_the_line_and_translations_agree_with_the_general_truth():
    random = np.random.default_rng(2)
    x = extended(random.normal(size=(12, 1)))
    for y in (extended(random.normal(size=(9, 1))), x[::-1] + 3):
        line, general = w1_on_the_line(x[:, 0], y[:, 0]), w1(x, y, 2)
        assert max(line.low, general.low) <= min(line.high, general.high)
        assert line.spread < 1e-15
    for metric in METRICS.values():
        moved = w1_of_translation(x, x + Extended(0.7), metric.p)
        assert moved.low <= Extended(0.7) * (1 + Extended(1e-18))
        assert moved.high >= Extended(0.7) * (1 - Extended(1e-18))
        assert moved.spread < 1e-15


def test_problems_are_finite_and_cover_all_kinds_and_types():
    random = np.random.default_rng(3)
    problems = [draw_problem(random) for _ in range(400)]
    assert all(bool(torch.isfinite(side.double()).all()) for each in problems for side in (each.x, each.y))
    assert {each.kind for each in problems} == set(KINDS)
    assert len({each.x.dtype for each in problems}) == 10
    assert {each.metric.name for each in problems} == set(METRICS)


def test_bytes_are_measured_in_units_of_255():
    largest, least = torch.tensor([[255]], dtype=torch.uint8), torch.tensor([[0]], dtype=torch.uint8)
    problem = Problem(kind="bytes", x=largest, y=least, metric=L1, seed=0)
    assert problem.exact[0] == 1
    assert replace(problem, x=largest.short()).exact[0] == 255


@pytest.mark.parametrize("path", [path for path in PATHS if path.name != "thousands"], ids=lambda path: path.name)
def test_no_bound_is_wrong_in_a_small_run(path):
    row, *wrong = rows_of(path, trials=25, seed=0, conditions=Conditions())
    assert wrong == []
    assert (row.path, row.trials, row.wrong) == (path.name, 25, 0)
    assert row.refused < 15
    assert row.lower > 0


def test_critics_of_optimal_potentials_nearly_attain_the_truth():
    (row,) = rows_of(BY_NAME["optimal critics"], trials=40, seed=1, conditions=Conditions())
    assert 0 <= row.closest_lower < 1e-13
    assert row.closest_upper is None


def test_bounds_without_their_rounding_are_caught(monkeypatch):
    """The suite can tell: a critic that forgets its rounding exceeds W1 by less than 1e-15 of it."""
    evaluate = FrozenCritic.evaluate
    monkeypatch.setattr(soundness, "_SHRINKING_SECONDS", 0.0)
    monkeypatch.setattr(FrozenCritic, "evaluate", lambda self, x: replace(evaluate(self, x), rounding=0.0))
    row, *wrong = rows_of(BY_NAME["optimal critics"], trials=60, seed=0, conditions=Conditions())
    assert row.wrong > 5
    assert len(wrong) == 5


def exaggerated(problem, truth):
    yield Claim(end="lower", value=float(truth.high) * (1 + 1e-12) if len(problem.x) > 3 else 0.0, what="made up")


def test_a_wrong_bound_is_shrunk_to_the_smallest_sets_that_show_it():
    path = replace(BY_NAME["exact transport"], claims=exaggerated, least=1)
    row, wrong, *_ = rows_of(path, trials=1, seed=5, conditions=Conditions())
    assert row.wrong == 1
    assert isinstance(wrong, WrongBound)
    assert "4 and 1 samples in 1 dimensions" in wrong.problem
    assert wrong.what.startswith("lower bound")
    assert "made up" in wrong.what
    assert np.array(eval(wrong.a)).shape == (4, 1)
    check = conclude([row, wrong]).checks[0]
    assert not check.holds
    assert "1 wrong of 1 trials" in check.detail


def test_errors_that_are_sentences_are_refusals_and_others_are_wrong():
    def refusing(problem, truth):
        raise SourceError("all samples are equal; give others")
        yield

    def failing(problem, truth):
        raise ZeroDivisionError("division by zero")
        yield

    transport = BY_NAME["exact transport"]
    (row,) = rows_of(replace(transport, claims=refusing), trials=3, seed=0, conditions=Conditions())
    assert (row.refused, row.wrong, row.lower) == (3, 0, 0)
    problem = transport.draw(np.random.default_rng(0))
    assert outcome(replace(transport, claims=failing), problem) == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("end", "value", "wrong"),
    [("lower", 1.0, False), ("lower", 1.5, True), ("upper", 1.0, False), ("upper", 0.5, True), ("lower", math.nan, True)],
)
def test_a_bound_is_wrong_only_beyond_the_truth(end, value, wrong):
    assert is_wrong(Claim(end=end, value=value, what=""), Truth(low=Extended(1), high=Extended(1))) == wrong


def test_ctrl_c_keeps_the_trials_that_are_done():
    conditions, numbers = Conditions(), count()

    def interrupting(problem, truth):
        if next(numbers) == 2:
            raise KeyboardInterrupt
        yield Claim(end="lower", value=0.0, what="nothing")

    (row,) = rows_of(replace(BY_NAME["exact transport"], claims=interrupting), trials=9, seed=0, conditions=conditions)
    assert (row.trials, row.lower, row.wrong) == (2, 2, 0)
    assert conditions.interruption.requested


def test_the_number_of_trials_and_names_choose_what_is_run(monkeypatch):
    rows = list(STUDY.measure(Conditions(trials=100, only=("the line",), seeds=(3, 4))))
    assert [(row.path, row.seed, row.trials) for row in rows] == [("the line", 3, 8), ("the line", 4, 8)]
    assert conclude(rows).checks[0].holds
    assert all(isinstance(row, SoundnessRow) for row in rows)
    monkeypatch.setattr(soundness, "PATHS", ())
    assert list(STUDY.measure(Conditions())) == []


def test_a_translation_of_thousands_is_known_in_every_metric():
    problem = draw_translation(np.random.default_rng(0), n=300, dim=3)
    for metric in METRICS.values():
        truth = w1_of_translation(*problem.exact, metric.p)
        assert truth.spread < 1e-9


def test_forged_proofs_are_refused_denied_or_true():
    row, *wrong = rows_of(BY_NAME["proofs"], trials=12, seed=1, conditions=Conditions())
    assert wrong == []
    assert row.lower > 12 * 3


def test_forged_proofs_of_divergences_are_refused_denied_or_true():
    row, *wrong = rows_of(BY_NAME["divergences"], trials=12, seed=1, conditions=Conditions())
    assert wrong == []
    assert row.lower > 12 * 3


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_the_truth_of_a_divergence_is_the_largest_value_of_any_potential(scale):
    random = np.random.default_rng(5)
    x, y = random.normal(size=(5, 2)), random.normal(size=(7, 2)) + 1
    truth = divergence(extended(x), extended(y), 2, scale)
    assert truth.low <= truth.high
    assert truth.spread < 1e-4
    assert float(truth.low) * (1 - 1e-4) <= exact_divergence(x, y, scale) <= float(truth.high) * (1 + 1e-4)
    assert truth.low <= Extended(scale) * w1(extended(x), extended(y), 2).high
    assert divergence(extended(x), extended(x[:1]).repeat(3, 0) * Extended(1e9), 2, scale) is None


def test_proofs_about_subnormal_samples_are_true():
    """Undoing the standardisation rounds by more than the margin of a cost."""
    x, y = (torch.from_numpy(KINDS["subnormal"](np.random.default_rng(seed), 20, 3)) for seed in (0, 1))
    for seed in range(8):
        problem = Problem(kind="subnormal", x=x, y=torch.cat([x[seed:], y[:seed]]), metric=L1, seed=seed)
        assert outcome(BY_NAME["proofs"], problem) == ""


@pytest.mark.parametrize(("name", "words"), [("proofs", "as claimed"), ("divergences", "of the divergence, as claimed")])
def test_a_forged_claim_that_is_confirmed_is_caught(monkeypatch, name, words):
    """The suite can tell: a verification that believes what a proof claims confirms forged claims."""
    monkeypatch.setattr(soundness, "_SHRINKING_SECONDS", 0.0)
    monkeypatch.setattr(soundness_paths, "verify", lambda *arguments: believing(verify(*arguments)))
    row, *wrong = rows_of(BY_NAME[name], trials=20, seed=1, conditions=Conditions())
    assert row.wrong > 0
    assert any(words in each.what for each in wrong)


def believing(verification):
    return replace(verification, findings=tuple(replace(finding, ok=True) for finding in verification.findings))


def test_an_infinite_upper_bound_is_true():
    """A forged plan of huge masses proves no more."""
    random = np.random.default_rng([0, 920, *b"proofs"])
    path = BY_NAME["proofs"]
    assert outcome(path, path.draw(random)) == ""
    claims = list(soundness_paths._of_interval(SamplesInterval(lower=1.0, upper=math.inf, n_a=20, n_b=20), "a forged plan"))
    assert {claim.value for claim in claims} == {1.0, math.inf}
