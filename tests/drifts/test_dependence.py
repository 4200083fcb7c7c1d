"""Drift of dependence: rank correlations, their variance, and p-values that are corrected for all pairs."""

import numpy as np
import pytest
from scipy import stats

from wdist.drifts.columns import ColumnSamples
from wdist.drifts.dependence import _coordinates, pair_drifts


def samples(a, b, names="abcdefgh"):
    return [ColumnSamples(name=name, reference=x, current=y) for name, x, y in zip(names, a.T, b.T, strict=False)]


def correlated(random, n, correlation):
    z = random.normal(size=(n, 4))
    z[:, 1] = correlation * z[:, 0] + np.sqrt(1 - correlation**2) * z[:, 1]
    return z


def test_correlations_are_those_of_spearman_ties_included():
    random = np.random.default_rng(0)
    x = correlated(random, 300, 0.6).round(1)
    coordinates = _coordinates(samples(x, x))
    found, _ = coordinates.correlations(np.arange(300))
    assert found == pytest.approx(stats.spearmanr(x).statistic, abs=1e-12)


def test_the_variance_is_that_of_repeated_draws():
    random = np.random.default_rng(1)
    estimates, variances = [], []
    for _ in range(200):
        x = correlated(random, 400, 0.5)
        r, variance = _coordinates(samples(x, x)).correlations(np.arange(400))
        estimates.append(r[0, 1])
        variances.append(variance[0, 1])
    assert np.mean(variances) == pytest.approx(np.var(estimates), rel=0.35)


def test_a_changed_correlation_between_unchanged_columns_is_found_first():
    random = np.random.default_rng(2)
    a, b = correlated(random, 400, 0.0), correlated(random, 400, 0.5)
    first, *others = pair_drifts(samples(a, np.exp(b)), seed=0)  # ranks do not see what becomes of each column
    assert first.columns == ("a", "b")
    assert first.adjusted <= 0.01
    assert (first.reference, first.current) == pytest.approx((0.0, 0.48), abs=0.12)
    assert len(others) == 5
    assert all(pair.adjusted > 0.05 for pair in others)


def test_levels_that_follow_a_number_are_found():
    random = np.random.default_rng(3)
    x, y = random.normal(size=(2, 500))
    before, after = random.choice(3, 500), np.digitize(y + 0.5 * random.normal(size=500), [-0.5, 0.5])
    columns = [
        ColumnSamples(name="x", reference=x, current=y),
        ColumnSamples(name="c", reference=before, current=after, levels=("low", "middle", "high")),
    ]
    (pair,) = pair_drifts(columns, seed=0)
    assert pair.adjusted <= 0.01
    assert pair.levels in ((None, "low"), (None, "high"))


def test_false_alarms_are_rare_and_corrected_for_all_pairs():
    random = np.random.default_rng(4)
    smallest = [min(pair.adjusted for pair in pair_drifts(samples(*random.normal(size=(2, 60, 4))), seed=run)) for run in range(40)]
    assert sum(p <= 0.1 for p in smallest) <= stats.binom.isf(1e-4, 40, 0.1)


@pytest.mark.parametrize("counts", [(60, 60), (300, 60)], ids=str)
def test_false_alarms_are_as_rare_where_a_part_of_the_rows_is_tested(monkeypatch, counts):
    """Also in columns that are 0 in nearly all rows."""
    monkeypatch.setattr("wdist.drifts.dependence._MOST_ROWS", 30)
    monkeypatch.setattr("wdist.drifts.dependence._MOST_VALUES", 0)
    random, runs = np.random.default_rng(6), 150
    mostly_zero = [np.where(random.random((sum(counts), 5)) < 0.04, random.normal(size=(sum(counts), 5)), 0.0) for _ in range(runs)]
    found = [pair_drifts(samples(rows[: counts[0]], rows[counts[0] :]), seed=run) for run, rows in enumerate(mostly_zero)]
    alarms = sum(min(pair.adjusted for pair in pairs) <= 0.05 for pairs in found)
    assert alarms <= stats.binom.isf(1e-3, runs, 0.05)


def test_a_single_column_has_no_pairs():
    x = np.random.default_rng(5).normal(size=(50, 1))
    assert pair_drifts(samples(x, x), seed=0) == ()
