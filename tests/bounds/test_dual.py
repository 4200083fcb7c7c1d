"""The lower bound from potentials never exceeds that of exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.trials import trial, two_moons
from wdist.bounds.dual import PROOF, ExactSum, dual_value, evaluate, exact_mean, lower_bound, summarise, summarised_together
from wdist.critics.frozen import Potentials


def potentials(values, rounding=0.0):
    return Potentials(values=np.asarray(values, dtype=np.float64), rounding=rounding)


def exact(values):
    return sum(map(Fraction, np.asarray(values).tolist()), Fraction(0)) / len(values)


@pytest.mark.parametrize("seed", range(50))
def test_the_bound_never_exceeds_the_exact_quotient(seed):
    """Compared with rational arithmetic, for offsets that cancel and scales from 1e-320 to 1e300."""
    random = np.random.default_rng(seed)
    scale = float(random.choice([1e-320, 1e-300, 1e-30, 1e-3, 1.0, 1e5, 1e30, 1e300]))
    offset = scale * float(random.choice([0, 1, 1e3, 1e7, -1e7]))
    if not np.isfinite(offset):
        offset = 0.0
    a, b = (offset + scale * random.normal(size=random.integers(1, 300)) for _ in range(2))
    a += scale * float(random.choice([0, 1e-12, 1e-3, 1, 10]))
    rounding = scale * float(random.choice([0, 1e-15, 1e-10]))
    K = float(random.choice([1.0, 1 + 1e-10, 0.3, 7.0, 1e5]))
    found = lower_bound(potentials(a, rounding), potentials(b, rounding), K, margin=PROOF)
    assert lower_bound(potentials(a, rounding), potentials(b, rounding), K) <= found, "what is claimed is proved"
    certain = (exact(a) - exact(b) - 2 * Fraction(rounding)) / Fraction(K)
    assert 0 <= found
    assert Fraction(found) <= max(certain, 0)
    given_away = Fraction(1e-14) * (abs(exact(a)) + abs(exact(b))) / Fraction(K) + Fraction(1e-315)
    assert Fraction(found) >= certain - given_away, "it loses no more than rounding"


def test_the_mean_is_rounded_once():
    assert exact_mean(np.array([1e16, 1.0, -1e16, 1.0])) == 0.5
    values = np.random.default_rng(0).normal(size=1001) * np.logspace(-20, 20, 1001)
    assert exact_mean(values) == pytest.approx(float(exact(values)), rel=1e-15)
    assert exact_mean(values) == exact_mean(values[::-1])


@pytest.mark.parametrize("size", [1, 7, 100, 1001])
@pytest.mark.parametrize("scale", [1.0, 1e-310, 1e306])
def test_a_mean_in_pieces_has_the_digits_of_the_mean_of_all(size, scale):
    random = np.random.default_rng(0)
    values = random.normal(size=1001) * np.logspace(-20, 0, 1001) * scale
    values[random.integers(1001, size=200)] += scale
    total = ExactSum()
    for start in range(0, 1001, size):
        total.add(values[start : start + size])
    assert total.count == 1001
    assert total.mean == exact_mean(values)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 1e-310, 1e306, 1e307])
def test_sums_of_shards_have_the_digits_of_the_sum_of_all(parts, scale):
    values = np.random.default_rng(0).normal(size=1001) * np.logspace(-20, 0, 1001) * scale + scale
    total = ExactSum()
    for part in np.array_split(values, parts):
        own = ExactSum()
        own.add(part)
        total.join(own)
    assert total.count == 1001
    assert total.mean == exact_mean(values)


def test_a_mean_in_pieces_survives_a_sum_that_overflows():
    total, values = ExactSum(), np.full(1000, 1e307)
    for _ in range(3):
        total.add(values)
    assert total.mean == exact_mean(np.full(3000, 1e307)) == 1e307
    total.add(np.array([np.nan]))
    assert np.isnan(total.mean)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1, 37, 600])
def test_a_summary_knows_the_mean_and_the_most_extreme_potentials_of_all(sign, size):
    frozen = trial(*two_moons(60, 50, 2), steps=5).frozen
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).double().round(decimals=1)
    found, expected = summarise([frozen], x.split(size), sign=sign, most=20)[0], evaluate(frozen, x.split(size))
    assert found.count == 500
    assert found.mean == exact_mean(expected.values)
    assert found.rounding == expected.rounding
    assert np.array_equal(found.values, expected.values[found.rows])
    assert torch.equal(found.samples, x[found.rows])
    assert np.array_equal(sign * found.values, np.sort(sign * expected.values)[::-1][:20])
    parts = [summarise([frozen], part.split(size), sign=sign, most=20)[0] for part in x.split(-(-200 // size) * size)]
    together = summarised_together(parts, sign=sign, most=20)
    assert (together.mean, together.rounding) == (found.mean, found.rounding)
    assert together.rows.tolist() == found.rows.tolist()
    assert torch.equal(together.samples, found.samples)


def test_the_dual_value_is_the_difference_of_means():
    assert dual_value(potentials([1.0, 2.0, 6.0]), potentials([1.0, 0.0])) == 2.5
    assert lower_bound(potentials([1.0, 2.0, 6.0]), potentials([1.0, 0.0]), 1.0) == pytest.approx(2.5, rel=1e-9)
    assert lower_bound(potentials([1.0, 2.0, 6.0]), potentials([1.0, 0.0]), 5.0) == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "rounding", "K"),
    [
        ([0.0], [1.0], 0.0, 1.0),
        ([1.0], [1.0], 0.0, 1.0),
        ([1.0], [0.0], 2.0, 1.0),
        ([1.0], [0.0], float("inf"), 1.0),
        ([1.0], [0.0], float("nan"), 1.0),
        ([float("nan")], [0.0], 0.0, 1.0),
        ([1.0], [0.0], 0.0, 0.0),
        ([1.0], [0.0], 0.0, float("nan")),
    ],
    ids=["negative", "equal", "drowned in rounding", "rounding inf", "rounding nan", "nan", "constant critic", "K nan"],
)
def test_the_bound_is_0_if_nothing_is_proved(a, b, rounding, K):
    assert lower_bound(potentials(a, rounding), potentials(b), K) == 0.0


def test_potentials_do_not_depend_on_the_batches():
    a, b = two_moons(90, 70, 4)
    frozen = trial(a, b).frozen
    x = torch.from_numpy(a)
    whole = evaluate(frozen, [x])
    parts = evaluate(frozen, x.split(13))
    np.testing.assert_allclose(parts.values, whole.values, rtol=0, atol=whole.rounding)
    assert parts.rounding == pytest.approx(whole.rounding)
    assert parts.rounding >= max(frozen.evaluate(part).rounding for part in x.split(13))
