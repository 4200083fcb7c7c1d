"""The noise floor: W1 between two parts of the reference."""

import numpy as np
import pytest

from tests.trials import exact_w1
from wdist import estimate


def floor_of(a, **options):
    b = np.random.default_rng(1).normal(size=(50, a.shape[1]))
    return estimate(a, b, critic="mean-difference", baselines="none", **{"blocks": 0, **options}).noise_floor


def test_it_is_exact_transport_between_two_halves_in_the_units_of_the_data():
    a = np.random.default_rng(0).normal(size=(60, 2))
    found = floor_of(a)
    assert found.n == 30
    assert floor_of(a * 1000).value == pytest.approx(1000 * found.value)
    halves = [np.random.default_rng(seed).permutation(a) for seed in range(200)]
    possible = [exact_w1(each[:30], each[30:]) for each in halves]
    assert min(possible) <= found.value <= max(possible)


def test_larger_parts_are_nearer_to_each_other():
    a = np.random.default_rng(0).normal(size=(1200, 3))
    few, many = floor_of(a[:60]), floor_of(a)
    assert (few.n, many.n) == (30, 500)
    assert many.value < 0.7 * few.value


def test_draws_have_one_too_and_without_transport_there_is_none():
    drawn = ("synthetic:gaussian?dim=2", "synthetic:gaussian?dim=2&shift=1")
    assert estimate(*drawn, critic="mean-difference", baselines="none", draws=1200).noise_floor.n == 500
    a = np.random.default_rng(0).normal(size=(60, 2))
    assert floor_of(a, couplings=False) is None


def test_the_report_and_the_document_show_it():
    a = np.random.default_rng(0).normal(size=(60, 2))
    found = estimate(a, a + 1, critic="mean-difference", baselines="none")
    assert found.to_dict()["noise_floor"] == {"value": found.noise_floor.value, "n": 30}
    assert "between two parts of A, 30 samples each" in str(found)
    assert "between two parts of A" in found._repr_html_()
