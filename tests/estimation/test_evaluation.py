"""Evaluation: no choice depends on the held-out split, and what is judged is what was certified."""

import numpy as np
import pytest
import torch

from tests.trials import SMALL, digest, judged, pair_of, trial, two_moons
from wdist import estimate
from wdist.bounds.certificate import certify
from wdist.bounds.confidence import welch
from wdist.bounds.dual import dual_value, evaluate, lower_bound
from wdist.data.measure import split
from wdist.data.rows import gather
from wdist.data.sources.arrays import open_values
from wdist.errors import UsageError
from wdist.estimation.evaluation import ErrorBudget, diameters, judge


def test_numbers_are_those_of_the_frozen_critic_on_the_stated_samples():
    a, b = two_moons(120, 90, 3)
    result = trial(a, b)
    frozen, K = result.frozen, certify(result.frozen).lipschitz_bound
    of_a, of_b = (frozen.potentials(torch.from_numpy(side)).numpy() / K for side in (a, b))
    held_a, held_b = (values[split(len(values), seed=0).held_out] for values in (of_a, of_b))
    train_a, train_b = (values[split(len(values), seed=0).train] for values in (of_a, of_b))
    assert result.lipschitz_bound == K
    assert result.samples.lower == pytest.approx(of_a.mean() - of_b.mean(), rel=1e-9)
    assert result.population.estimate == pytest.approx(held_a.mean() - held_b.mean(), rel=1e-9)
    assert result.population.lower == pytest.approx(max(0, welch(held_a, held_b, 0.05)), rel=1e-9)
    assert result.training_value == pytest.approx(train_a.mean() - train_b.mean(), rel=1e-9)
    assert (result.samples.n_a, result.samples.n_b, result.population.n_a, result.population.n_b) == (120, 90, 30, 30)
    assert result.parameters == frozen.parameters
    whole = [evaluate(frozen, [torch.from_numpy(side)]) for side in (a, b)]
    assert result.samples.lower == lower_bound(*whole, K)
    assert result.samples.lower < dual_value(*whole) / K


def test_no_choice_depends_on_held_out_samples():
    """Other held-out samples, the same critic to the last bit."""
    a, b = two_moons(120, 90, 3)
    critic = digest(trial(a, b, steps=30).frozen)
    changed_a, changed_b = a.copy(), b.copy()
    changed_a[split(120, seed=0).held_out] *= 5
    changed_b[split(90, seed=0).held_out] -= 100
    assert digest(trial(changed_a, changed_b, steps=30).frozen) == critic
    changed_a[split(120, seed=0).validation] += 1
    changed_a[split(120, seed=0).train] += 1
    assert digest(trial(changed_a, changed_b, steps=30).frozen) != critic


def test_standardisation_is_fitted_on_training_rows_alone():
    a, b = two_moons(120, 90, 3)
    before = pair_of(a, b).standardisation
    for part in ("validation", "held_out"):
        a[getattr(split(120, seed=0), part)] += 50
    after = pair_of(a, b).standardisation
    assert torch.equal(before.shift, after.shift)
    assert before.spread == after.spread
    a[split(120, seed=0).train[0]] += 50
    assert pair_of(a, b).standardisation.spread != before.spread


def test_settings_are_told_with_the_budget():
    result = estimate(*two_moons(60, 60, 2), critic="groupsort-bjorck", baselines="none", settings=SMALL, steps=3).critic
    assert result.settings["budget"] == "3 steps"
    assert result.settings["width"] == 16
    assert None not in result.settings.values()


def test_empirical_bernstein_takes_its_ranges_from_the_type():
    """Potentials of bytes scaled to [0, 1] have a range of at most sqrt d."""
    random = np.random.default_rng(0)
    images = [torch.from_numpy(random.integers(low, low + 100, (600, 3, 3), dtype=np.uint8)) for low in (0, 150)]
    pair = pair_of(*images)
    assert diameters(pair.a.info, pair.b.info) == (3.0, 3.0)
    statement = ErrorBudget(confidence=0.9, method="empirical-bernstein")
    bernstein, student = trial(*images, errors=statement, steps=60), trial(*images, steps=60)
    assert bernstein.population.method == "empirical-bernstein"
    assert bernstein.population.lower < student.population.lower
    with pytest.raises(UsageError, match='use ci="welch"'):
        trial(*two_moons(60, 60, 2), errors=statement)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.float16, torch.float32, torch.float64], ids=str)
def test_every_stored_type_gives_the_bound_of_its_values_in_float64(dtype):
    random = np.random.default_rng(0)
    a, b = (torch.from_numpy(random.integers(0, 100, (60, 2)) + shift).to(dtype) for shift in (0, 50))
    found = trial(a, b, steps=20)
    pair = pair_of(a, b)
    in_units = [gather(side.everything) for side in (pair.a, pair.b)]
    K = found.lipschitz_bound
    assert found.samples.lower == lower_bound(*(evaluate(found.frozen, [side]) for side in in_units), K)


def test_samples_that_many_batches_are_needed_for_are_all_seen(monkeypatch):
    a, b = two_moons(150, 100, 3)
    whole = trial(a, b)
    monkeypatch.setattr("wdist.estimation.evaluation._BATCH_NUMBERS", 2048)
    assert trial(a, b).samples.lower == pytest.approx(whole.samples.lower, rel=1e-12)


def test_judging_the_same_critic_again_gives_the_same_numbers():
    pair = pair_of(*two_moons(80, 80, 2))
    result = judged(pair)
    statement = ErrorBudget(confidence=0.95, method="welch")
    again = judge(result.frozen, certify(result.frozen), pair_of(*two_moons(80, 80, 2)), statement, name=result.name)
    assert (again.samples, again.population, again.training_value) == (result.samples, result.population, result.training_value)


def test_a_declared_range_counts_as_bounds_of_the_support(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((60, 4)))
    pair = pair_of(f"{tmp_path / 'a.npy'}?stored=0:2", open_values(np.random.default_rng(1).random((60, 4))))
    assert diameters(pair.a.info, pair.b.info) == (4.0, None)
