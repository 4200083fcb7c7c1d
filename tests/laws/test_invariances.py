"""W1(cX + t, cY + t) = c W1(X, Y) and W1(X, Y) = W1(Y, X): an estimate must not depend on units or order either."""

import numpy as np
import pytest

from tests.trials import SMALL, trial, two_moons
from wdist import estimate
from wdist.training.catalogue import CATALOGUE


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("exponent", [-300, -20, 3, 200])
def test_powers_of_two_scale_every_digit(name, exponent):
    a, b = two_moons(70, 90, 3)
    factor = 2.0**exponent
    plain, scaled = trial(a, b, name=name), trial(a * factor, b * factor, name=name)
    assert scaled.samples.lower == plain.samples.lower * factor
    assert scaled.population.estimate == plain.population.estimate * factor
    assert scaled.population.lower == plain.population.lower * factor
    assert scaled.lipschitz_bound == plain.lipschitz_bound
    assert [p.validation for p in scaled.history] == [p.validation * factor for p in plain.history]


@pytest.mark.parametrize("factor", [1e-30, 0.3, 7.0, 1e30])
def test_other_factors_scale_closely(factor):
    a, b = two_moons(150, 120, 3)
    plain, scaled = (estimate(a * c, b * c, steps=80, baselines="none", settings=SMALL) for c in (1.0, factor))
    assert scaled.samples.lower == pytest.approx(plain.samples.lower * factor, rel=0.02)
    assert scaled.samples.upper == pytest.approx(plain.samples.upper * factor, rel=1e-8)
    assert scaled.population.estimate == pytest.approx(plain.population.estimate * factor, rel=0.05)


@pytest.mark.parametrize("shift", [1.0, -1e3, 1e8])
def test_shifting_both_sides_changes_nothing(shift):
    a, b = two_moons(150, 120, 3)
    plain, shifted = (estimate(a + t, b + t, steps=80, baselines="none", settings=SMALL) for t in (0.0, shift))
    assert shifted.samples.lower == pytest.approx(plain.samples.lower, rel=0.02)
    assert shifted.samples.upper == pytest.approx(plain.samples.upper, rel=1e-6)


def test_mirroring_and_permuting_coordinates_keep_the_distance():
    """Isometries: the upper end to rounding, the lower end as training goes."""
    a, b = two_moons(150, 120, 3)
    plain = estimate(a, b, steps=80, baselines="none", settings=SMALL)
    for move in (lambda x: -x, lambda x: x[:, ::-1], lambda x: x @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]):
        moved = estimate(move(a), move(b), steps=80, baselines="none", settings=SMALL)
        assert moved.samples.upper == pytest.approx(plain.samples.upper, rel=1e-8)
        assert moved.samples.lower == pytest.approx(plain.samples.lower, rel=0.15)


def test_swapping_the_sides_keeps_the_upper_bound_and_a_comparable_lower_one():
    a, b = two_moons(150, 120, 3)
    forth, back = (estimate(*sides, steps=150, baselines="none", settings=SMALL) for sides in ((a, b), (b, a)))
    assert back.samples.upper == pytest.approx(forth.samples.upper, rel=1e-9)
    assert back.samples.lower == pytest.approx(forth.samples.lower, rel=0.1)
    assert (back.samples.n_a, back.samples.n_b) == (forth.samples.n_b, forth.samples.n_a)


def test_event_shapes_are_a_matter_of_layout():
    a, b = two_moons(60, 50, 4)
    flat, square = trial(a, b), trial(a.reshape(60, 2, 2), b.reshape(50, 2, 2))
    assert flat.samples.lower == square.samples.lower
