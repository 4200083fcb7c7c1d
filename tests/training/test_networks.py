"""Networks trained side by side: as good as those trained alone, each with a seed or a pair of its own."""

import numpy as np
import pytest
import torch

from tests.trials import CPU, SMALL, Listener, digest, pair_of, two_moons
from wdist.bounds.certificate import certify
from wdist.bounds.dual import dual_value
from wdist.errors import TrainingDiverged
from wdist.estimation.evaluation import evaluate_rows
from wdist.ground_metric import L2
from wdist.interruption import Interruption
from wdist.training import networks
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE
from wdist.training.kind import DataShape, TrainingJob
from wdist.training.observer import Progress, Silent

NAME = "groupsort-bjorck"


@pytest.fixture
def pair():
    pair = pair_of(*two_moons(120, 100, 3))
    yield pair
    pair.close()


def jobs_of(*pairs, seeds=(0, 1, 2), observer=None):
    interruption, pairs = Interruption(), pairs * len(seeds) if len(pairs) == 1 else pairs
    return [
        TrainingJob(pair=pair, seed=seed, device=CPU, observer=observer or Silent(), interruption=interruption)
        for pair, seed in zip(pairs, seeds, strict=True)
    ]


def fitted(jobs, *, name=NAME, steps=60, seconds=None):
    spec = CATALOGUE[name].resolve(SMALL, DataShape.of(jobs[0].pair))
    return spec.kind.fit_together(spec, jobs, Budget(steps=steps) if seconds is None else Budget(seconds=seconds))


def held_out(trained, pair):
    a, b = (evaluate_rows(trained.critic, side.held_out) for side in (pair.a, pair.b))
    return dual_value(a, b) / certify(trained.critic, L2).lipschitz_bound


def side_by_side_only(monkeypatch):
    """Fails the test if a critic is trained alone."""
    monkeypatch.setattr(networks, "train", lambda *_, **__: pytest.fail("trained alone"))


def test_each_seed_has_a_critic_of_its_own_that_is_as_good_as_one_trained_alone(pair, monkeypatch):
    alone = [held_out(fitted([job])[0], pair) for job in jobs_of(pair)]
    side_by_side_only(monkeypatch)
    found = fitted(jobs_of(pair))
    assert len({digest(each.critic) for each in found}) == 3
    assert np.mean([held_out(each, pair) for each in found]) == pytest.approx(np.mean(alone), rel=0.1)
    for each in found:
        assert certify(each.critic, L2).lipschitz_bound == pytest.approx(1, abs=1e-9)
        assert each.outcome.steps == 60
        assert each.outcome.best == max(point.validation for point in each.outcome.history)


def test_pairs_of_one_shape_go_together_and_each_learns_its_own(monkeypatch):
    random = np.random.default_rng(0)
    sets = [random.normal(size=(90, 2)) for _ in range(3)]
    pairs = [pair_of(sets[0], sets[1] + 0.5), pair_of(sets[0], sets[2] + 3.0)]
    side_by_side_only(monkeypatch)
    near, far = (held_out(each, pair) for each, pair in zip(fitted(jobs_of(*pairs, seeds=(0, 0))), pairs, strict=True))
    assert 0.3 < near < 1.2
    assert 3.5 < far < 5


@pytest.mark.parametrize("name", ["householder-bjorck", "gradient-penalty", "cones", NAME])
def test_what_cannot_go_together_is_trained_one_after_the_other(name, pair, monkeypatch):
    monkeypatch.setattr(networks, "train_together", lambda *_, **__: pytest.fail("trained side by side"))
    smaller = pair_of(*two_moons(20, 20, 3))  # its minibatches are smaller
    jobs = jobs_of(pair, smaller, seeds=(0, 1)) if name == NAME else jobs_of(pair, seeds=(0, 1))
    first, second = fitted(jobs, name=name, steps=4)
    assert first.name == second.name == name
    assert digest(first.critic) != digest(second.critic)


def test_one_that_diverges_is_an_error_in_its_place_and_the_others_are_there(pair, monkeypatch):
    real = networks.NetworkKind.build
    made = []

    def spoilt(self, spec, shape, generator):
        critic = real(self, spec, shape, generator)
        made.append(critic)
        if len(made) == 2:
            with torch.no_grad():
                critic.layers[0].bias.fill_(torch.inf)
        return critic

    monkeypatch.setattr(networks.NetworkKind, "build", spoilt)
    first, second, third = fitted(jobs_of(pair), steps=10)
    assert isinstance(second, TrainingDiverged)
    assert first.name == third.name == NAME


def test_a_length_of_time_is_shared(pair):
    for each in fitted(jobs_of(pair), seconds=0.6):
        assert 0.6 <= each.outcome.seconds < 1.5


def test_one_of_them_tells_the_progress_of_all(pair):
    listener = Listener()
    fitted(jobs_of(pair, observer=listener), steps=8)
    assert [event.step for event in listener.of(Progress)] == list(range(9))


def test_ctrl_c_keeps_what_all_of_them_have(pair):
    found = fitted(jobs_of(pair, observer=Listener(stop=lambda event: event.step > 5)), steps=200)
    assert all(each.outcome.interrupted and each.outcome.steps < 200 for each in found)
