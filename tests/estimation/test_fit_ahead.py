"""Networks trained side by side for several tasks: as good as those trained alone, and each on the shelf of its own task."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trials import CPU, SMALL, pair_of, two_moons
from wdist.bounds.certificate import certify
from wdist.bounds.dual import dual_value
from wdist.critics.catalogue import RECIPES, auto
from wdist.critics.settings import CriticSettings
from wdist.estimation import fit_network as network
from wdist.estimation.fit import fit, fit_ahead
from wdist.estimation.model_selection import choose, choose_ahead
from wdist.estimation.samples import evaluate_rows
from wdist.estimation.task import Task
from wdist.ground_metric import L2
from wdist.training.budget import Budget
from wdist.training.observer import CriticFinished, CriticStarted, Progress, Silent

NETWORK = RECIPES["groupsort-bjorck"]


class Listener:
    """Keeps every event, and may press Ctrl-C once."""

    def __init__(self, stop=None):
        self.events, self.stop = [], stop

    def notify(self, event):
        self.events.append(event)
        if self.stop is not None and self.stop(event):
            self.stop = None
            raise KeyboardInterrupt

    def count(self, kind):
        return sum(isinstance(event, kind) for event in self.events)


@pytest.fixture
def pair():
    pair = pair_of(*two_moons(120, 100, 3))
    yield pair
    pair.close()


def tasks_of(pair, *, seeds=(0, 1, 2), steps=60, seconds=None, settings=SMALL, observer=None):
    budget = Budget(steps=steps) if seconds is None else Budget(seconds=seconds)
    task = Task(pair=pair, settings=settings, budget=budget, seed=0, device=CPU, observer=observer or Silent())
    return [replace(task, seed=seed) for seed in seeds]


def held_out(fitted, pair):
    a, b = (evaluate_rows(fitted.critic, side.held_out) for side in (pair.a, pair.b))
    return dual_value(a, b) / certify(fitted.critic, L2).lipschitz_bound


def test_each_seed_has_a_critic_of_its_own_that_is_as_good_as_one_trained_alone(pair):
    tasks = tasks_of(pair)
    fit_ahead(NETWORK, tasks)
    found = [fit(NETWORK, task) for task in tasks]
    assert {key[:2] for key in tasks[0].shelf} == {("groupsort-bjorck", seed) for seed in (0, 1, 2)}
    assert len({each.critic.digest() for each in found}) == 3
    together = [held_out(each, pair) for each in found]
    alone = [held_out(fit(NETWORK, task), pair) for task in tasks_of(pair)]
    assert np.mean(together) == pytest.approx(np.mean(alone), rel=0.1)
    for each in found:
        assert certify(each.critic, L2).lipschitz_bound == pytest.approx(1, abs=1e-9)
        assert each.trained.steps == 60
        assert each.settings["budget"] == "60 steps"
        assert each.trained.best == max(point.validation for point in each.trained.history)


def test_pairs_of_one_shape_go_together_and_each_learns_its_own():
    shifts = (0.5, 3.0)
    random = np.random.default_rng(0)
    sets = [random.normal(size=(90, 2)) for _ in range(3)]
    pairs = [pair_of(sets[0], sets[1 + number] + shift) for number, shift in enumerate(shifts)]
    tasks = [replace(task, pair=pair, shelf={}) for pair, task in zip(pairs, tasks_of(pairs[0], seeds=(0, 0)), strict=True)]
    fit_ahead(NETWORK, tasks)
    near, far = (held_out(task.shelf["groupsort-bjorck", 0, 1.0], task.pair) for task in tasks)
    assert 0.3 < near < 1.2
    assert 3.5 < far < 5


def test_what_cannot_go_together_is_left_to_be_trained_alone(pair):
    other = pair_of(*two_moons(20, 20, 3))  # its minibatches are smaller
    different = [tasks_of(pair, seeds=(0,))[0], replace(tasks_of(other, seeds=(0,))[0], shelf={})]
    for recipe, tasks in (
        (RECIPES["householder-bjorck"], tasks_of(pair)),
        (RECIPES["gradient-penalty"], tasks_of(pair)),
        (RECIPES["cones"], tasks_of(pair)),
        (NETWORK, tasks_of(pair, seeds=(0,))),
        (NETWORK, different),
    ):
        fit_ahead(recipe, tasks)
        assert not any(task.shelf for task in tasks)


def test_one_that_diverges_is_not_on_the_shelf_and_the_others_are(pair, monkeypatch):
    real = network.PreparedNetwork.of.__func__

    def spoilt(cls, recipe, task, settings):
        prepared = real(cls, recipe, task, settings)
        if task.seed == 1:
            with torch.no_grad():
                prepared.critic.layers[0].bias.fill_(torch.inf)
        return prepared

    monkeypatch.setattr(network.PreparedNetwork, "of", classmethod(spoilt))
    tasks = tasks_of(pair, steps=10)
    fit_ahead(NETWORK, tasks)
    assert {seed for _, seed, _ in tasks[0].shelf} == {0, 2}


def test_of_a_length_of_time_they_have_together_what_they_would_have_in_turn(pair):
    tasks = tasks_of(pair, seconds=0.2)
    fit_ahead(NETWORK, tasks)
    for found in tasks[0].shelf.values():
        assert found.trained.seconds >= 0.6
        assert found.settings["budget"] == "0.2 s"


def test_whoever_waits_is_told_of_one_training(pair):
    listener = Listener()
    fit_ahead(NETWORK, tasks_of(pair, steps=8, observer=listener))
    assert (listener.count(CriticStarted), listener.count(CriticFinished)) == (1, 1)
    assert listener.events[0].budget == "8 steps, 3 at once"
    assert [event.step for event in listener.events if isinstance(event, Progress)] == list(range(9))


def test_a_choice_finds_its_network_trained_and_chooses_as_ever(pair):
    settings = CriticSettings(width=16, depth=3, batch_size=32)
    tasks = tasks_of(pair, settings=settings, steps=30)
    choose_ahead(auto(L2), tasks)
    assert {seed for _, seed, _ in tasks[0].shelf} == {0, 1, 2}
    listener = Listener()
    found = choose(auto(L2), replace(tasks[1], observer=listener))
    names = [attempt.name for attempt in found.tried]
    assert {"groupsort-bjorck", "cones", "mean-difference"} <= set(names)
    started = [event.critic for event in listener.events if isinstance(event, CriticStarted)]
    assert "cones" in started
    assert "groupsort-bjorck" not in started


def test_after_ctrl_c_ahead_nothing_more_is_trained_and_what_was_is_kept(pair):
    settings = CriticSettings(width=16, depth=3, batch_size=32)
    listener = Listener(stop=lambda event: isinstance(event, Progress) and event.step > 5)
    tasks = tasks_of(pair, settings=settings, steps=200, observer=listener)
    choose_ahead(auto(L2), tasks)
    assert tasks[0].interrupted
    found = choose(auto(L2), tasks[0])
    assert found.interrupted
    names = {attempt.name for attempt in found.tried}
    assert "groupsort-bjorck" in names
    assert "cones" not in names
