"""The tightness suite: its pairs, its rows, what it concludes, that critics are judged rightly, and estimates for contrast."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.trials import SMALL, trial
from wdist.critics.frozen import FrozenCritic
from wdist.errors import SourceError
from wdist.estimation.result import Attempt
from wdist.report.documents.forms import document_text, model
from wdist.studies import progress
from wdist.studies.bench import tightness
from wdist.studies.bench.tightness import linear_share, minibatch_w1, single_cone_share, sinkhorn_divergence
from wdist.studies.bench.tightness_cases import FINITE, KNOWN, PUBLISHED
from wdist.studies.bench.tightness_rows import FiniteRow, KnownRow, SeedRun, conclude
from wdist.studies.study import Conditions
from wdist.training.observer import CriticFinished, CriticStarted, HistoryPoint, Progress

STUDY = tightness.STUDY


def run_of(fresh, *, seed=0, **changes):
    samples = {"samples_lower": 0.9, "samples_upper": 1.0, "exact": True}
    population = {"held_out": fresh, "population_lower": 0.8, "population_upper": None}
    training = {"critic": "cones", "certificate": 1.0, "steps": 100, "seconds": 3.0}
    return SeedRun(seed=seed, fresh=fresh, **{**samples, **population, **training, **changes})


def runs_of(values):
    return tuple(run_of(value, seed=seed) for seed, value in enumerate(values))


def known(*values, **changes):
    case = {"name": "funnels-4-dim-2", "samples": None, "dim": 2, "budget_seconds": 120.0, "family": "funnels", "published": 0.93}
    truth = {"truth": 1.0, "truth_error": 0.0}
    others = {"linear": 0.4, "single_cone": 0.3, "minibatch": 1.2, "sinkhorn": 1.1}
    found = {"runs": runs_of(values), "course": ((0.1, 0.2), (1.0, 0.9))}
    return KnownRow(**{**case, **truth, **others, **found, **changes})


def finite(*values, **changes):
    case = {"name": "mnist-3-8", "samples": 3000, "dim": 784, "budget_seconds": 120.0, "judged_on": "fresh samples"}
    others = {"minibatch": 9.0, "sinkhorn": 8.0}
    return FiniteRow(**{**case, **others, "runs": runs_of(values), "course": (), **changes})


@pytest.fixture
def quickly(monkeypatch):
    """Puts a small critic in the place of every estimate; collects how each was asked for."""
    asked = []

    def estimate(a, b, **options):
        asked.append({"a": a, "b": b, **options})
        options["observer"].notify(CriticStarted(critic="inner", position=1, critics=9, budget="x"))
        options["observer"].notify(
            Progress(critic="inner", step=7, fraction=0.5, seconds=1.0, training=0.4, validation=0.4, best=0.4)
        )
        critic = trial(a, b, steps=8, seed=options["seed"], settings=SMALL)
        return SimpleNamespace(critic=critic, samples=critic.samples, population=critic.population, seconds=1.0, interrupted=False)

    monkeypatch.setattr(progress, "estimated", estimate)
    return asked


def test_the_suite_has_the_pairs_that_it_is_to_have():
    names = [case.name for case in KNOWN]
    assert len(names) == len(set(names))
    assert sum(case.family == "funnels" for case in KNOWN) == 7 * 4
    assert {"absolute-value", "cones-3", "sphere-128", "sphere-512", "gaussian-shift-dim-100", "gaussian-scale-dim-10"} <= set(
        names
    )
    assert {case.name for case in KNOWN if case.published is not None} == {
        f"funnels-{n}-dim-{d}" for d, of in PUBLISHED.items() for n in of
    }


@pytest.mark.parametrize("case", [case for case in KNOWN if case.quick], ids=lambda case: case.name)
def test_the_known_potential_reaches_all_of_the_truth_on_the_rows_that_critics_are_judged_by(case):
    pair = case.make(None)
    x, y = (side[:2000] for side in tightness.coupled_rows(pair, case.dim))
    share = float((pair.potential(x) - pair.potential(y)).mean() / torch.linalg.vector_norm(x - y, dim=1).mean())
    assert share == pytest.approx(1.0, abs=1e-6)


def test_a_pair_is_measured_with_every_seed_and_held_against_the_rest(quickly):
    result = STUDY.run(Conditions(only=("cones-3 2k", "funnels-4-dim-2 endless"), seeds=(3, 4), budget="2s"))
    endless, drawn = sorted(result.rows, key=lambda row: row.name, reverse=True)
    assert (drawn.name, drawn.samples) == ("cones-3", 2000)
    assert (endless.name, endless.samples, endless.published) == ("funnels-4-dim-2", None, 0.93)
    assert [run.seed for run in endless.runs] == [3, 4]
    assert len(quickly) == 4
    assert all(options["critic"] == "auto" and options["budget"] == "2s" for options in quickly)
    assert quickly[0]["a"].shape == (2000, 2)
    assert not torch.equal(quickly[0]["a"], quickly[1]["a"])
    for row in result.rows:
        assert 0 < row.fresh <= 1
        assert row.minibatch > 0.9
    model("bench").model_validate(json.loads(document_text(result, command="bench")))


def test_a_point_mass_is_drawn_without_end_since_a_file_of_copies_is_refused(quickly):
    STUDY.run(Conditions(only=("absolute-value 2k",)))
    assert quickly[0]["a"].shape == (2000, 1)
    assert quickly[0]["b"].info.count is None


def test_sets_that_are_missing_are_skipped_with_a_reason(quickly, tmp_path):
    result = STUDY.run(Conditions(only=("mnist", "cifar"), data=tmp_path))
    assert result.rows == ()
    moved = {f"curves-cifar {size}" for size in ("endless", "2k", "20k")}
    assert {each.name for each in result.skipped} == {"mnist-3-8", "mnist-gaussian", "cifar-planes-cars"} | moved
    assert all(str(tmp_path) in each.reason for each in result.skipped)
    assert "data" in STUDY.run(Conditions(only=("mnist-3-8",))).skipped[0].reason


def test_the_digits_are_judged_on_their_held_out_split(quickly):
    (row,) = STUDY.run(Conditions(quick=True, only=("digits",))).rows
    assert (row.samples, row.dim, row.judged_on) == (896, 64, "held-out split")
    assert row.fresh == row.runs[0].held_out


def test_fresh_samples_judge_where_there_are_some(quickly, monkeypatch):
    random = np.random.default_rng(0)
    sets = tightness.FiniteCase(
        name="made",
        open=lambda data, seed: SimpleNamespace(
            a=random.normal(size=(90, 2)) + 1, b=random.normal(size=(80, 2)), fresh=(np.ones((50, 2)), np.zeros((40, 2)))
        ),
    )
    monkeypatch.setattr(tightness, "FINITE", (sets,))
    (row,) = STUDY.run(Conditions(only=("made",))).rows
    assert (row.samples, row.judged_on) == (80, "fresh samples")
    assert 0 < row.fresh <= 2**0.5


def test_ctrl_c_between_two_seeds_keeps_the_first(quickly, monkeypatch):
    inner = progress.estimated

    def estimate(*sides, seed, **options):
        if seed == 1:
            raise KeyboardInterrupt
        return inner(*sides, seed=seed, **options)

    monkeypatch.setattr(progress, "estimated", estimate)
    result = STUDY.run(Conditions(only=("cones-3",), seeds=(0, 1, 2)))
    assert result.interrupted
    assert [len(row.runs) for row in result.rows] == [1]


def test_each_run_is_told_as_one_critic_among_all(quickly):
    heard = []
    STUDY.run(Conditions(only=("cones-3 2k",), seeds=(0, 1), observer=SimpleNamespace(notify=heard.append)))
    assert [type(event) for event in heard] == [CriticStarted, Progress, CriticFinished] * 2
    assert [(event.critic, event.position, event.critics) for event in heard[::3]] == [
        ("cones-3 2k, seed 0", 1, 2),
        ("cones-3 2k, seed 1", 2, 2),
    ]
    assert heard[2].best == 0.4


def test_the_course_counts_the_time_of_what_was_not_chosen_and_never_falls():
    def attempt(name, validation, seconds):
        return Attempt(name=name, validation=validation, seconds=seconds, steps=1, chosen=name == "cones")

    points = [HistoryPoint(step=i, seconds=i, training=0.0, validation=value) for i, value in ((0, 0.1), (1, 1.2), (2, 1.0))]
    critic = SimpleNamespace(
        history=points, seconds=8.0, tried=(attempt("line", 0.4, 1.0), attempt("cones", 1.2, 2.0), attempt("last", 0.9, 5.0))
    )
    assert tightness._course(critic, 2.0) == ((1.0, 0.2), (1.0, 0.2), (2.0, 0.6), (3.0, 0.6), (3.0, 0.6), (8.0, 0.6))
    alone = SimpleNamespace(history=points[:2], tried=(), name="cones", seconds=1.0, steps=1)
    assert tightness._course(alone, 1.0) == ((0, 0.1), (1, 1.2), (1.0, 1.2))


def test_a_row_shows_median_spread_and_the_seed_in_the_middle():
    row = known(0.9, 0.99, 0.97)
    assert row.fresh == 0.97
    assert row.spread == pytest.approx(0.045)
    assert row.middle.seed == 2
    assert known(0.9).spread is None
    mixed = replace(row, runs=(*row.runs, run_of(0.5, critic="groupsort-bjorck")))
    assert mixed.critics == "cones, groupsort-bjorck"


def held(rows):
    return {check.claim: (check.holds, check.detail) for check in conclude(rows).checks}


def test_a_bound_above_the_truth_is_found():
    good = held([known(0.98)])
    assert all(holds for holds, _ in list(good.values())[:3])
    above = known(0.98, runs=(run_of(0.98, samples_lower=1.01),))
    assert held([above])["No lower bound for the samples exceeds their exact W1."] == (False, "1 of 1 do")
    steep = known(1.01)
    assert held([steep])["No critic's value on fresh samples exceeds the truth."] == (False, "1 of 1 do")
    wrong = known(0.9, runs=(run_of(0.9, population_lower=1.1), run_of(0.9, population_upper=0.7), run_of(0.9)))
    claim = "The population interval misses the truth in at most one of twenty runs."
    assert held([wrong])[claim] == (False, "1 of 3 lower bounds are above it, 1 upper bounds below")


def test_finite_sets_are_checked_for_their_samples_only():
    assert list(held([finite(5.5)])) == ["No lower bound for the samples exceeds their exact W1."]
    assert held([]) == {}


def test_the_picture_names_the_pairs_and_shows_the_course():
    rows = [known(0.96, 0.98), known(0.9, name="funnels-4-dim-4", samples=2000, published=None)]
    tight, course = conclude(rows).panels
    assert tight.ticks == ("funnels-4-dim-2", "funnels-4-dim-4")
    assert {series.name for series in tight.series} >= {"endless samples", "2,000 samples", "published GroupSort"}
    assert [series.name for series in course.series] == ["funnels, endless", "funnels, from files"]
    assert course.series[0].x == (0.1, 1.0)


def test_the_frozen_critic_is_what_is_judged(quickly):
    """Its fall from x to y over its certificate and over the way, so that no row can exceed 1."""
    critic = trial(torch.randn(60, 3).numpy() + 1, torch.randn(60, 3).numpy(), steps=5)
    assert isinstance(critic.frozen, FrozenCritic)
    x = torch.randn(100, 3, dtype=torch.float64)
    y = x + torch.randn(100, 3, dtype=torch.float64)
    assert abs(tightness.fall(critic, x, y)) <= 1


@pytest.mark.parametrize("case", FINITE, ids=lambda case: case.name)
def test_finite_sets_are_there_or_say_what_is_missing(case, repository):
    data = repository.parent / "shared" / "data"
    if case.name == "mnist-gaussian":
        pytest.skip("takes a gigabyte; its parts are those of mnist-3-8")
    if not data.is_dir() and case.name != "digits":
        with pytest.raises(SourceError, match="data"):
            case.open(None, 0)
        return
    sets = case.open(data, 0)
    a, b = tightness._values(sets.a), tightness._values(sets.b)
    assert a.shape[1] == b.shape[1]
    assert 0 <= min(a.min(), b.min()) < max(a.max(), b.max()) <= 1


@pytest.fixture
def shifted():
    random = np.random.default_rng(0)
    b = random.normal(size=(500, 3))
    return b + np.array([2.0, 0.0, 0.0]), b


def test_minibatches_overshoot_and_agree_where_one_side_is_a_point(shifted):
    a, b = shifted
    assert minibatch_w1(a, b, seed=0) > 2.0
    assert minibatch_w1(a, b, seed=0) == minibatch_w1(a, b, seed=0)
    assert minibatch_w1(np.ones((100, 1)), np.zeros((90, 1)), seed=1) == pytest.approx(1.0)


def test_the_sinkhorn_divergence_of_equal_sets_is_0_and_of_a_shift_near_it(shifted):
    a, b = shifted
    assert sinkhorn_divergence(b[:300], b[:300], seed=0) == pytest.approx(0.0, abs=0.05)
    assert sinkhorn_divergence(a, b, seed=0) == pytest.approx(2.0, abs=0.4)
    assert sinkhorn_divergence(np.zeros((5, 2)), np.zeros((5, 2)), seed=0) == 0.0


def test_a_shift_is_all_that_a_linear_critic_sees(shifted):
    a, b = shifted
    assert linear_share(a, b, b + np.array([2.0, 0.0, 0.0]), b) == pytest.approx(1.0, abs=0.01)
    assert linear_share(b, b, a, b) == 0.0


@pytest.mark.parametrize("outer_first", [True, False])
def test_a_scaling_is_all_that_a_single_cone_sees_whichever_side_is_the_wider(outer_first):
    random = np.random.default_rng(0)
    y = random.normal(size=(4000, 20))
    sides = (2 * y, y) if outer_first else (y, 2 * y)
    assert single_cone_share(*sides, *sides) == pytest.approx(1.0, abs=0.01)
