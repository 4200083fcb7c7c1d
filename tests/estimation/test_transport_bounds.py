"""The ends that no training makes: the dual variables of transport close the interval from below, and never overshoot."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.trials import Listener, exact_w1, pair_of, trial, two_moons
from wdist import estimate
from wdist.critics.settings import CriticSettings
from wdist.data.rows import gather
from wdist.errors import ContradictionError, UsageError
from wdist.estimation import transport_bounds as ends
from wdist.estimation.result import CLOSING, TransportBounds
from wdist.estimation.transport_bounds import (
    population_upper,
    population_upper_is_planned,
    transport_bounds,
)
from wdist.ground_metric import L2, METRICS
from wdist.training.observer import CriticStarted, SamplesBounded, Stage
from wdist.transport.coupling import Coupling

FORMULA = {"critic": "mean-difference", "baselines": "none"}
SMALL = CriticSettings(width=8, depth=2, batch_size=16)


def found_between(a, b, *, metric=L2, seconds=20.0, seed=0):
    pair = pair_of(a, b, seed=seed)
    return pair, transport_bounds(pair, metric, seed=seed, seconds=seconds)


def truth_of(pair, metric=L2):
    return exact_w1(*(gather(side.everything).numpy() for side in (pair.a, pair.b)), metric.p)


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_the_gap_is_closed_and_the_truth_is_not_exceeded(metric, seed):
    """As many samples on either side or not, in 1 to 8 dimensions, in any units."""
    random = np.random.default_rng(seed)
    n, m, dim = (int(random.integers(low, high)) for low, high in ((20, 90), (20, 90), (1, 9)))
    a, b = two_moons(n, m, dim, seed)
    scale, shift = 10.0 ** random.integers(-12, 12), float(random.choice([0, 50]))
    pair, found = found_between((a + shift) * scale, (b + shift) * scale, metric=metric)
    truth = truth_of(pair, metric)
    assert found.coupling.exact
    assert truth <= found.coupling.cost * (1 + 1e-12)
    assert found.coupling.cost == pytest.approx(truth, rel=1e-8)
    assert truth * (1 - 1e-6) <= found.lower <= truth


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("tolerance", [None, 1e-5])
def test_column_generation_brings_both_bounds_within_the_tolerance(tolerance, metric, monkeypatch):
    monkeypatch.setattr("wdist.transport.samples._solvable", lambda *arguments: False)
    monkeypatch.setattr("wdist.transport.column_generation.SMALL", 60)
    pair = pair_of(*two_moons(500, 350, 4))
    found = transport_bounds(pair, metric, seed=0, seconds=20.0, tolerance=tolerance)
    assert found.lower <= truth_of(pair, metric) <= found.coupling.cost * (1 + 1e-12)
    assert found.coupling.cost - found.lower <= (tolerance or 1e-3) * found.coupling.cost


@pytest.mark.parametrize("kind", ["duplicates", "whole numbers", "outlier", "nearly one point", "one point but one"])
@pytest.mark.parametrize("dim", [1, 3])
def test_ties_and_outliers_do_not_lift_it_above_the_truth(kind, dim):
    random = np.random.default_rng(dim)
    a, b = random.normal(size=(50, dim)), 2 * random.normal(size=(35, dim))
    match kind:
        case "duplicates":
            a, b = a[random.integers(0, 4, 50)], b[random.integers(0, 3, 35)]
        case "whole numbers":
            a, b = (3 * a).round(), (3 * b).round()
        case "outlier":
            b[3] = 1e9
        case "nearly one point":
            b[1:] = b[:1] + 1e-9 * random.normal(size=(34, dim))
        case "one point but one":
            b[1:] = b[:1]
            b[-1] += 1
    pair, found = found_between(a, b)
    truth = truth_of(pair)
    assert truth * (1 - 1e-6) <= found.lower <= truth


def test_on_the_line_thousands_of_samples_are_no_obstacle():
    """There transport is a matter of sorting, and so is the critic that closes the gap."""
    random = np.random.default_rng(0)
    _, found = found_between(random.normal(size=(20_000, 1)), random.normal(size=(7001, 1)) ** 3, seconds=1.0)
    assert found.coupling.exact
    assert found.coupling.cost * (1 - 1e-8) <= found.lower <= found.coupling.cost
    assert found.population_upper is None


def test_equal_sides_are_at_distance_0():
    a, _ = two_moons(40, 40, 2)
    _, found = found_between(a, a)
    assert (found.coupling.cost, found.coupling.exact, found.lower) == (0.0, True, 0.0)


def test_a_coupling_that_is_not_optimal_closes_nothing_and_none_at_all_says_nothing(monkeypatch):
    sides = two_moons(90, 70, 3)
    assert found_between(*sides, seconds=1e-9)[1] == TransportBounds()
    monkeypatch.setattr(ends, "planned_memory", lambda: 0)
    pair, found = found_between(*sides)
    assert not found.coupling.exact
    assert found.coupling.cost >= truth_of(pair)
    assert found.lower == 0


def test_the_tightest_interval_takes_each_end_from_whoever_proves_most():
    a, b = two_moons(90, 70, 3)
    weak, strong = trial(a, b, name="mean-difference"), trial(a, b, name="cones", steps=60)
    assert strong.samples.lower > weak.samples.lower
    _, found = found_between(a, b)
    joined = found.tightest([weak, strong])
    assert joined.lower == found.lower > strong.samples.lower
    assert (joined.lower_method, joined.upper, joined.exact) == (CLOSING, found.coupling.cost, True)
    without = TransportBounds().tightest([weak, strong])
    assert without == strong.samples
    assert (without.lower_method, without.upper) == ("cones", None)
    own = found.on(strong)
    assert (own.samples.lower, own.samples.upper) == (strong.samples.lower, found.coupling.cost)
    assert own.population == strong.population


@pytest.mark.parametrize("seed", range(4))
def test_the_upper_end_for_the_distributions_is_stated_where_it_was_planned(seed):
    """Its share of the error is set aside before anything is looked at."""
    random = np.random.default_rng(seed)
    n, m, dim = (int(random.integers(low, high)) for low, high in ((20, 300), (20, 300), (1, 30)))
    pair = pair_of(random.normal(size=(n, dim)), random.normal(size=(m, dim)) + 1)
    planned = population_upper_is_planned(pair, None)
    found = population_upper(pair, L2, alpha=0.05, diameter=None, seed=0, whole=TransportBounds())
    assert planned == (found is not None)
    if found is not None:
        assert found.value >= dim**0.5, "the distance between the distributions, which is known"
        assert found.method


def test_units_are_those_of_the_data():
    a, b = two_moons(120, 100, 2)
    plain, scaled = (
        population_upper(pair_of(a * c, b * c), L2, alpha=0.05, diameter=None, seed=0, whole=TransportBounds())
        for c in (1.0, 2.0**20)
    )
    assert scaled.value == plain.value * 2.0**20


@pytest.mark.parametrize("critic", ["auto", "mean-difference", "relu-spectral"])
def test_the_interval_that_was_asked_for_is_reached_whatever_the_critic(critic):
    a, b = two_moons(120, 90, 4)
    listener = Listener()
    training = {} if critic == "mean-difference" else {"settings": SMALL, "steps": 3}
    found = estimate(a, b, critic=critic, **training, baselines="none", tolerance=1e-6, observer=listener)
    assert found.closed
    assert found.tolerance == 1e-6
    assert found.samples.relative_gap <= 1e-6
    assert found.samples.lower <= exact_w1(a, b)
    assert found.samples.lower_method == CLOSING
    assert found.critic.samples.lower <= found.samples.lower
    kinds = [type(event) for event in listener.events]
    assert kinds.index(SamplesBounded) < kinds.index(CriticStarted), "transport comes first, and tells what it proves"
    (told,) = listener.of(SamplesBounded)
    assert (told.lower, told.upper) == (found.samples.lower, found.samples.upper)
    assert sum("transport between" in event.what for event in listener.of(Stage)) >= 1


def test_a_closed_gap_ends_the_run_without_training():
    """Only critics that the user named are trained all the same; every bound that may be stated has its share of the error."""
    a, b = two_moons(120, 90, 4)
    found = estimate(a, b, tolerance=1e-3)
    assert [critic.name for critic in found.critics] == ["mean-difference"]
    assert found.critic.population.jointly_with > 2
    named = estimate(a, b, tolerance=1e-3, baselines=("relu-spectral",), steps=2)
    assert [critic.name for critic in named.critics] == ["mean-difference", "relu-spectral"]


def test_an_open_gap_is_left_to_the_critics(monkeypatch):
    monkeypatch.setattr(ends, "planned_memory", lambda: 0)
    found = estimate(*two_moons(90, 70, 3), tolerance=1e-6, baselines="none", steps=2, settings=SMALL)
    assert not found.closed
    assert found.critic.steps > 0 or len(found.critic.tried) > 1


def test_ctrl_c_during_transport_keeps_its_bounds(monkeypatch):
    """The interval of the last round is the result; critics take no more time."""
    monkeypatch.setattr("wdist.transport.column_generation.SMALL", 60)
    monkeypatch.setattr("wdist.transport.samples._solvable", lambda *arguments: False)

    a, b = two_moons(500, 350, 4)
    found = estimate(a, b, tolerance=1e-12, observer=Listener(stop=lambda event: isinstance(event, SamplesBounded)))
    assert found.interrupted
    assert found.samples.lower <= exact_w1(a, b) <= found.samples.upper * (1 + 1e-9)
    assert found.samples.relative_gap < 0.05
    assert [critic.name for critic in found.critics] == ["mean-difference"]


def test_without_a_tolerance_nothing_is_said_to_be_closed():
    found = estimate(*two_moons(60, 60, 2), **FORMULA)
    assert found.tolerance is None
    assert not found.closed
    assert found.samples.relative_gap < 1e-6


def test_an_interval_that_stays_open_is_told_as_it_is(monkeypatch):
    monkeypatch.setattr(ends, "planned_memory", lambda: 0)
    found = estimate(*two_moons(90, 70, 3), **FORMULA, tolerance=1e-6)
    assert not found.closed
    assert found.samples.relative_gap > 1e-6


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -0.1, 2, float("nan")])
def test_a_tolerance_that_is_no_share_is_refused(tolerance):
    with pytest.raises(UsageError, match=r"tolerance must lie between 0 and 1"):
        estimate(*two_moons(60, 60, 2), **FORMULA, tolerance=tolerance)


def test_between_two_sides_without_end_there_is_nothing_to_close():
    endless = ("synthetic:gaussian?dim=2", "synthetic:gaussian?dim=2&shift=1")
    listener = Listener()
    with pytest.raises(UsageError, match=r"tolerance closes the interval between two sample sets.*save draws to files"):
        estimate(*endless, **FORMULA, tolerance=0.1, observer=listener)
    assert not listener.of(CriticStarted)


def test_equal_sets_are_closed_at_once():
    a, _ = two_moons(60, 60, 2)
    found = estimate(a, a, tolerance=0.01)
    assert found.closed
    assert (found.samples.lower, found.samples.upper) == (0, 0)
    assert torch.isfinite(torch.tensor(found.population.estimate))


def test_a_lack_of_memory_that_may_change_digits_is_told(monkeypatch):
    pair = pair_of(*two_moons(90, 70, 3))
    assert list(ends.memory_warnings(pair)) == []
    asked = []
    monkeypatch.setattr(ends, "lacking_memory", lambda nbytes: asked.append(nbytes) or nbytes == 90 * 70 * 64)
    assert list(ends.memory_warnings(pair)) == [ends.SHORT_OF_MEMORY]
    assert len(asked) == 2


def test_blocks_of_large_sets_hold_a_small_part_of_them_and_of_small_ones_what_the_machine_allows(monkeypatch):
    a, b = two_moons(60, 40, 3)
    pair = pair_of(a, b)
    assert ends._effort(1.0, pair).blocks_nbytes is None
    monkeypatch.setattr(ends, "_LARGE", a.nbytes + b.nbytes)
    assert ends._effort(1.0, pair).blocks_nbytes == (a.nbytes + b.nbytes) // 24


def test_bounds_for_the_samples_that_exclude_each_other_make_no_result():
    bounds = TransportBounds(coupling=Coupling(cost=0.9, exact=True, method="exact transport"), lower=1.0)
    result = trial(*two_moons(60, 60, 3), steps=2)
    with pytest.raises(ContradictionError, match=r"at least 1.0 .* at most 0.9"):
        bounds.tightest([result])
    with pytest.raises(ContradictionError, match="nan"):
        TransportBounds(lower=math.nan).tightest([replace(result, samples=replace(result.samples, lower=math.nan))])


def test_the_upper_bound_of_samples_a_few_subnormal_numbers_apart_is_rounded_up():
    """In standardised units the cost is exact to nine digits; the product with a subnormal spread is not."""
    random = np.random.default_rng(0)
    for seed in range(20):
        a, b = (random.integers(0, 12, (size, 1)) for size in (30, 40))
        _, found = found_between(a * 5e-324, b * 5e-324, seed=seed)
        below = [[Fraction(int((side <= k).sum()), len(side)) for k in range(12)] for side in (a, b)]
        exact = sum(abs(f - g) for f, g in zip(*below, strict=True)) * Fraction(5e-324)
        assert found.lower <= exact <= Fraction(found.coupling.cost)


def test_a_plan_that_would_not_fit_into_memory_is_not_kept_but_its_cost_is_the_upper_end(monkeypatch):
    """However many samples there are: 40 million, for example, in blocks of half a gigabyte."""
    a, b = two_moons(400, 300, 2)
    monkeypatch.setattr(ends, "_PLAN_BYTES", 1 << 40)
    monkeypatch.setattr("wdist.transport.samples._solvable", lambda *arguments: False)
    monkeypatch.setattr("wdist.transport.samples._rounds", lambda *arguments: 0)
    found = estimate(torch.tensor(a), torch.tensor(b), critic="mean-difference", baselines="none")
    assert exact_w1(a, b) <= found.samples.upper < 1.5 * exact_w1(a, b)
    assert found.transport.coupling.plan is None
    assert found.population.upper is not None
    assert set(found.transport.population_upper.plans) == {None}
    assert any("400 and 300 samples is too large to be kept" in warning for warning in found.warnings)
