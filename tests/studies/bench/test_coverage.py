"""The simulation of coverage: known truths, honest counting, and bounds that hold."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.trials import exact_w1
from wdist.bounds.certificate import certify
from wdist.studies.bench.coverage import LEVEL, PAIRS, STUDY, CoverageRow, _over_folds, _row, conclude, rows_of
from wdist.studies.study import Conditions


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_truths_are_those_of_many_samples(pair):
    """The dual value of the optimal critic tends to W1; exact transport between samples is not far above it."""
    random = np.random.default_rng(0)
    a, b = (draw(random, (1, 200_000))[0] for draw in (pair.a, pair.b))
    assert a.shape == b.shape == (200_000, pair.dim)
    assert certify(pair.critic).lipschitz_bound == pytest.approx(1, rel=1e-12)
    potentials = [pair.critic.potentials(torch.from_numpy(side)).numpy() for side in (a, b)]
    dual = potentials[0].mean() - potentials[1].mean()
    noise = math.hypot(*(values.std() / len(values) ** 0.5 for values in potentials))
    assert abs(dual - pair.w1) < 5 * noise + 1e-12
    if pair.diameter is not None:
        assert min(values.min() for values in potentials) >= 0
        assert max(values.max() for values in potentials) <= pair.diameter
        assert abs(exact_w1(a[:400], b[:400]) - pair.w1) < 0.1 * pair.w1 + 0.06 * pair.diameter


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_bounds_that_hold_at_every_sample_size_do(pair):
    rows = list(rows_of(pair, (20, 30), runs=40))
    assert {row.end for row in rows} == {"lower", "upper"}
    assert {row.method for row in rows if not row.asymptotic} == (
        set() if pair.diameter is None else {"empirical-bernstein", "betting", "McDiarmid or betting"}
    )
    for row in rows:
        assert (row.pair, row.samples, row.samples_b, row.runs, row.w1) == (pair.name, 20, 30, 40, pair.w1)
        assert row.asymptotic or row.holds, row


def test_a_method_that_is_wrong_too_often_is_caught():
    """Differences of means, without any margin, exceed the truth in more than every second run: a rare value is seldom seen."""
    rare = next(pair for pair in PAIRS if "one of twenty" in pair.name)
    a, b = (draw(np.random.default_rng(seed), (200, 10))[..., 0] for seed, draw in enumerate((rare.a, rare.b)))
    without_margin = _row(rare, (10, 10), "lower", "welch", (a - b).mean(axis=1))
    assert without_margin.share_wrong > 0.5
    assert not without_margin.holds
    checks = conclude([without_margin]).checks
    assert len(checks) == 1
    assert "1 of 1 cases exceed the level" in checks[0].detail


def test_critics_that_other_folds_chose_keep_the_level_without_a_difference():
    """Where the distributions are equal, the samples decide which critic each fold has."""
    equal = next(pair for pair in PAIRS if pair.w1 == 0)
    sides = (draw(np.random.default_rng(seed), (300, 60)) for seed, draw in enumerate((equal.a, equal.b)))
    found = _row(equal, (60, 60), "lower", "cross-fitted", np.array([_over_folds(a, b) for a, b in zip(*sides, strict=True)]))
    assert found.asymptotic
    assert found.holds


def test_folds_have_ten_samples_or_more():
    methods = [{row.method for row in rows_of(PAIRS[0], sizes, runs=2)} for sizes in ((49, 60), (50, 60))]
    assert methods[1] - methods[0] == {"cross-fitted"}


def test_ends_are_wrong_on_their_own_side():
    bounds = np.array([0.5, 1.0, 1.0 + 1e-15, 1.5, 2.0])
    pair = PAIRS[0]
    assert pair.w1 == 1
    assert _row(pair, (5, 5), "lower", "welch", bounds).wrong == 2
    assert _row(pair, (5, 5), "upper", "betting", bounds).wrong == 1


def row(wrong, *, method="betting", runs=1000):
    counts = {"samples": 30, "samples_b": 30, "runs": runs, "wrong": wrong}
    return CoverageRow(pair="p", end="lower", method=method, asymptotic=method == "welch", **counts, w1=2.0, mean=1.0)


def test_as_often_as_stated_is_allowed_with_the_noise_of_counting_and_no_more():
    most = int(stats.binom.ppf(0.999, 1000, 1 - LEVEL))
    assert 50 < most < 80
    assert row(most).holds
    assert not row(most + 1).holds
    assert row(50).noise == pytest.approx(2 * (0.05 * 0.95 / 1000) ** 0.5)
    assert row(50).share_of_truth == 0.5
    assert conclude([row(40)]).checks[0].holds
    assert not conclude([row(40), row(100)]).checks[0].holds


def test_names_choose_pairs():
    rows = list(STUDY.measure(Conditions(quick=True, trials=20, only=("Pareto",), seeds=(3,))))
    assert {row.pair for row in rows} == {"Pareto of index 2.2, twice as far out"}
    assert {row.samples for row in rows} == {10, 100}
    assert all(row.runs == 20 for row in rows)
    assert len(conclude(rows).panels) == 2
