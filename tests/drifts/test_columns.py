"""Drift of single columns: exact distances, true intervals, and p-values that keep their level."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from wdist.drifts import columns
from wdist.drifts.columns import ColumnSamples, column_drifts, distance_of, fitted_potential

LEVELS = ("a", "b", "c", "d")


def numbers(a, b, name="x"):
    return ColumnSamples(name=name, reference=np.asarray(a, dtype=float), current=np.asarray(b, dtype=float))


def category(a, b, name="c"):
    return ColumnSamples(name=name, reference=np.asarray(a), current=np.asarray(b), levels=LEVELS, type="category")


def test_levels_are_one_apart():
    column = category([0, 0, 1, 2], [1, 1, 1, 3])
    assert distance_of(column) == pytest.approx(0.75)
    ot = pytest.importorskip("ot")
    shares = [np.bincount(side, minlength=4) / 4 for side in (column.reference, column.current)]
    assert distance_of(column) == pytest.approx(ot.emd2(*shares, 1.0 - np.eye(4)))


@pytest.mark.parametrize("seed", range(5))
def test_the_fitted_potential_attains_the_distance_and_is_1_lipschitz(seed):
    random = np.random.default_rng(seed)
    a, b = random.normal(size=80).round(1), 1.3 * random.normal(size=60).round(1) + 0.2
    f = fitted_potential(a, b, None)
    assert f(a).mean() - f(b).mean() == pytest.approx(stats.wasserstein_distance(a, b))
    points = np.sort(random.uniform(-9, 9, 500))
    assert (np.abs(np.diff(f(points))) <= np.diff(points) + 1e-12).all()
    a, b = random.choice(4, 50, p=(0.4, 0.3, 0.2, 0.1)), random.choice(4, 70)
    f = fitted_potential(a, b, 4)
    assert f(a).mean() - f(b).mean() == pytest.approx(distance_of(category(a, b)))
    assert np.ptp(f(np.arange(4))) <= 1


DRAWS = {
    "same": (lambda random, n: (random.normal(size=n), random.normal(size=n)), 0.0),
    "moved": (lambda random, n: (random.normal(size=n), random.normal(size=n) + 0.2), 0.2),
    "heavy tails": (lambda random, n: (random.exponential(size=n), 1.2 * random.exponential(size=n)), 0.2),
}


@pytest.mark.parametrize("name", DRAWS)
def test_intervals_hold(name, monkeypatch):
    """Each end at 97.5 %: of 150 runs, more than 12 wrong ones would be chance in less than one of 2,000 cases."""
    monkeypatch.setattr(columns, "_PERMUTATIONS", 1)
    draw, truth = DRAWS[name]
    random = np.random.default_rng(5)
    found = [column_drifts([numbers(*draw(random, 200))], confidence=0.95, seed=run)[0] for run in range(150)]
    assert sum(each.lower > truth for each in found) <= 12
    assert sum(each.upper < truth for each in found) <= 12


def test_the_upper_end_allows_for_chance_where_shares_agree():
    """One in twenty pairs of 100 tosses of a fair coin and one with 55 % agree; they prove no equality."""
    same, three = category([0, 1] * 50, [0, 1] * 50), category([0, 1, 2, 2] * 25, [0, 1, 2, 2] * 25)
    margin = stats.norm.ppf(0.975) * np.sqrt(2 * 0.25 / 99)
    for column in (same, three):
        assert column_drifts([column], confidence=0.95, seed=0)[0].upper == pytest.approx(margin)


@pytest.mark.parametrize("kind", ["boolean", "category"])
def test_intervals_allow_for_rare_levels_that_neither_table_holds(kind):
    """Three in ten pairs of 300 rows, of which none and one in 250 are true, show no true one at all."""
    none = np.zeros(300)
    column = category(none.astype(int), none.astype(int)) if kind == "category" else replace(numbers(none, none), type=kind)
    found = column_drifts([column], confidence=0.95, seed=0)[0]
    assert found.distance == found.lower == 0
    assert 1 - 0.025 ** (1 / 300) <= found.upper <= 0.03, "the exact bound of one side"


@pytest.mark.parametrize("probabilities", [(0.4, 0.3, 0.2, 0.1), (0.9, 0.04, 0.03, 0.03)])
def test_intervals_of_categories_hold(probabilities, monkeypatch):
    """As for numbers; the second distribution moves a tenth of the most frequent level to the least."""
    monkeypatch.setattr(columns, "_PERMUTATIONS", 1)
    moved = np.add(probabilities, (-0.1, 0, 0, 0.1))
    random = np.random.default_rng(5)
    draws = [(random.choice(4, 200, p=probabilities), random.choice(4, 150, p=moved)) for _ in range(150)]
    found = [column_drifts([category(*draw)], confidence=0.95, seed=run)[0] for run, draw in enumerate(draws)]
    assert sum(each.lower > 0.1 for each in found) <= 12
    assert sum(each.upper < 0.1 for each in found) <= 12


@pytest.mark.parametrize("kind", ["numbers", "few values", "levels"])
def test_p_values_are_uniform_where_nothing_differs(kind, monkeypatch):
    monkeypatch.setattr(columns, "_PERMUTATIONS", 499)
    random = np.random.default_rng(6)
    p_values = []
    for run in range(150):
        if kind == "levels":
            column = category(*(random.choice(4, 60, p=(0.4, 0.3, 0.2, 0.1)) for _ in range(2)))
        else:
            column = numbers(*(random.normal(size=60).round(9 if kind == "numbers" else 0) for _ in range(2)))
        p_values.append(column_drifts([column], confidence=0.95, seed=run)[0].p_value)
    for alpha in (0.05, 0.2, 0.5):
        assert sum(p <= alpha for p in p_values) <= stats.binom.isf(1e-4, 150, alpha)
    if kind == "numbers":
        assert stats.kstest(p_values, "uniform").pvalue > 1e-4


def test_the_p_value_is_that_of_all_divisions_of_a_few_rows():
    """Four rows against four: W1 is largest for 2 of the 70 divisions, up to the error of the random ones."""
    (found,) = column_drifts([numbers([1, 2, 3, 4], [5, 6, 7, 8])], confidence=0.95, seed=0)
    assert found.p_value == pytest.approx(2 / 70, abs=0.015)


def test_one_of_many_columns_is_found():
    random = np.random.default_rng(7)
    table = [numbers(*random.normal(size=(2, 400)), name=str(k)) for k in range(20)]
    table[4] = numbers(random.normal(size=400), random.normal(size=400) + 0.5, name="moved")
    found = column_drifts(table, confidence=0.95, seed=0)
    assert [each.name for each in found if each.adjusted <= 0.05] == ["moved"]
    assert found[4].scaled == pytest.approx(0.5, abs=0.2)
    assert found[4].lower > 0


def test_a_constant_column_does_not_drift():
    (found,) = column_drifts([numbers(np.ones(30), np.ones(40))], confidence=0.95, seed=0)
    assert (found.distance, found.scaled, found.p_value) == (0.0, 0.0, 1.0)
