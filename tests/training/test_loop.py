"""The training loop: what it keeps, how it ends, and that it repeats."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.trials import SMALL, Listener, digest, network, trial, two_moons
from wdist.errors import TrainingDiverged
from wdist.interruption import Interruption
from wdist.lipschitz.linalg.orthonormalise import orthonormality_defect
from wdist.training import loop
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE
from wdist.training.loop import VALIDATIONS, TrainingOutcome, TrainingPlan, TrainingRun, train
from wdist.training.observer import Progress, Silent
from wdist.training.optimizers import make_optimizers
from wdist.training.step import Readback, TrainingStep


class Slope(nn.Module):
    """f(x) = w x: as small as a critic can be."""

    constrain_every = 4

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.constrained = []

    def forward(self, x):
        return (x @ self.weight.mT + self.bias).squeeze(-1)

    def constrain_(self, *, tightly=False):
        self.constrained.append(tightly)


def run(
    critic=None,
    *,
    minibatch=None,
    validate=None,
    budget=None,
    observer=None,
    penalty=None,
    learning_rate=0.01,
    decay="constant",
    between=1,
    **options,
):
    critic = critic or Slope()
    validate = validate or (lambda critic: float(critic.weight.detach()))
    plan = TrainingPlan(
        ascend=TrainingStep(critic, make_optimizers(critic, name="adam", learning_rate=learning_rate), penalty=penalty),
        minibatch=minibatch or (lambda: (torch.ones(4, 1), torch.zeros(4, 1))),
        budget=budget or Budget(steps=100),
        decay=decay,
        between=between,
        interruption=Interruption(),
    )
    training = TrainingRun(critic, validate=validate, observer=observer or Silent(), **{"unit": 1.0, "name": "slope", **options})
    return critic, train(training, plan)


def test_it_maximises_the_dual_value():
    critic, trained = run()
    assert float(critic.weight.detach()) > 0.5
    assert trained.steps == 100
    assert not trained.interrupted
    assert [point.step for point in trained.history] == sorted({point.step for point in trained.history})
    assert trained.history[0].step == 0
    assert trained.history[-1].step == 100


@pytest.mark.parametrize("between", [1, 5])
@pytest.mark.parametrize("steps", [1, 3, 40, 41, 100, 1000])
def test_validations_are_spread_evenly_whatever_the_budget(steps, between):
    _, trained = run(budget=Budget(steps=steps), between=between)
    assert abs(len(trained.history) - min(-(-steps // between), VALIDATIONS) - 1) <= 1
    *gaps, last = np.diff([point.step for point in trained.history])
    assert last >= 1
    assert all(between <= gap <= max(between, steps / VALIDATIONS + 2) for gap in gaps)


def test_a_length_of_time_is_not_spent_on_validations_alone():
    _, trained = run(budget=Budget(seconds=0.2), between=10)
    assert len(trained.history) <= trained.steps / 10 + 2


def test_what_was_best_by_validation_is_kept():
    """A validation that prefers the middle of the way."""
    critic, trained = run(validate=lambda critic: -abs(float(critic.weight.detach()) - 0.3), learning_rate=0.02)
    best = max(trained.history, key=lambda point: point.validation)
    assert 0 < best.step < 100
    assert -abs(float(critic.weight.detach()) - 0.3) == trained.best == best.validation


@pytest.mark.parametrize("polls", [1, 3, 1000])
def test_validations_that_arrive_late_are_noted_as_if_they_had_come_at_once(polls, monkeypatch):
    """As on a GPU, which is some steps behind: what is kept are the weights that were validated, not those of the moment."""

    class Late(Readback):
        left = polls

        @property
        def arrived(self):
            self.left -= 1
            return self.left <= 0

    def middle(critic):
        return -abs(float(critic.weight.detach()) - 0.3)

    at_once, trained = run(validate=middle, learning_rate=0.02)
    monkeypatch.setattr(loop, "Readback", Late)
    observer = Listener()
    late, found = run(validate=middle, learning_rate=0.02, observer=observer)
    assert [(p.step, p.validation, p.training) for p in found.history] == [
        (p.step, p.validation, p.training) for p in trained.history
    ]
    assert torch.equal(late.weight, at_once.weight)
    assert [event.step for event in observer.of(Progress)] == [point.step for point in found.history]


def test_the_constraint_is_met_before_every_validation_and_in_between():
    critic, trained = run(budget=Budget(steps=80))
    assert critic.constrained.count(True) == len(trained.history)
    assert critic.constrained.count(False) == 80 // 4


def test_values_are_told_in_the_units_of_the_data():
    observer = Listener()
    _, trained = run(unit=1e6, observer=observer)
    progress = observer.of(Progress)
    assert [event.validation for event in progress] == [point.validation for point in trained.history]
    assert trained.best > 0.5e6
    assert progress[-1].training > 0.5e6
    assert [event.best for event in progress] == list(np.maximum.accumulate([event.validation for event in progress]))
    assert progress[0].fraction == 0
    assert progress[-1].fraction == 1
    assert progress[0].seconds_left is None
    assert progress[-1].seconds_left == 0


@pytest.mark.parametrize("after", [0, 1, 2, 7, 50])
def test_ctrl_c_ends_the_training_and_what_was_best_stands(after):
    calls = []

    def minibatch():
        calls.append(None)
        if len(calls) > after:
            raise KeyboardInterrupt
        return torch.ones(4, 1), torch.zeros(4, 1)

    critic, trained = run(minibatch=minibatch)
    assert trained.interrupted
    assert trained.steps == after
    assert not trained.converged
    assert float(critic.weight.detach()) == trained.best


def test_ctrl_c_in_the_first_validation_leaves_the_first_weights():
    def validate(critic):
        calls.append(None)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return 0.0

    calls = []
    critic, trained = run(validate=validate)
    assert trained.interrupted
    assert trained.steps == 0
    assert not trained.converged
    assert float(critic.weight.detach()) == 0 == trained.best


def test_ctrl_c_loses_nothing_that_was_gained_since_the_last_validation():
    calls = []

    def minibatch():
        calls.append(None)
        if len(calls) == 35:
            raise KeyboardInterrupt
        return torch.ones(4, 1), torch.zeros(4, 1)

    critic, trained = run(minibatch=minibatch, budget=Budget(steps=1000))
    assert [point.step for point in trained.history] == [0, 25, 34]
    assert float(critic.weight.detach()) == trained.history[-1].validation


def test_a_training_that_diverges_at_once_is_an_error():
    with pytest.raises(TrainingDiverged, match="slope gave no finite value at step 0; try a lower learning_rate"):
        run(validate=lambda critic: math.nan)


def test_a_training_that_diverges_later_keeps_what_was_best():
    critic, trained = run(
        validate=lambda critic: math.nan if float(critic.weight.detach()) > 0.4 else float(critic.weight.detach())
    )
    assert 0 < float(critic.weight.detach()) <= 0.4
    assert trained.steps < 100
    assert all(math.isfinite(point.validation) for point in trained.history)


def test_a_minibatch_of_nan_does_not_spoil_what_was_best():
    def minibatch():
        calls.append(None)
        return (torch.full((4, 1), math.nan) if len(calls) > 50 else torch.ones(4, 1)), torch.zeros(4, 1)

    calls = []
    critic, trained = run(minibatch=minibatch)
    assert 0.3 < float(critic.weight.detach()) == trained.best


def test_a_budget_in_seconds_is_kept():
    _, trained = run(budget=Budget(seconds=0.3))
    assert 0.3 <= trained.seconds < 1.5
    assert trained.steps > 10
    assert trained.history[-1].seconds <= trained.seconds


def test_convergence_is_a_last_quarter_without_gain():
    def trained(*values):
        points = run(budget=Budget(steps=1))[1].history
        history = tuple(type(points[0])(step=i, seconds=0.0, training=0.0, validation=v) for i, v in enumerate(values))
        return TrainingOutcome(steps=len(values), seconds=0.0, history=history, interrupted=False)

    assert trained(0, 1, 1, 1, 1, 1, 1, 1.005).converged
    assert not trained(0, 1, 1, 1, 1, 1, 1, 1.2).converged
    assert not trained(0, 1, 1).converged


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_same_seed_gives_the_same_digits(name):
    a, b = two_moons(80, 60, 3)
    first, again, other = (trial(a, b, name=name, seed=seed, steps=20) for seed in (0, 0, 1))
    assert digest(first.frozen) == digest(again.frozen) != digest(other.frozen)
    assert (first.samples, first.population) == (again.samples, again.population)
    assert [(p.step, p.validation, p.training) for p in first.history] == [
        (p.step, p.validation, p.training) for p in again.history
    ]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "step", "constant"])
@pytest.mark.parametrize("optimizer", ["muon", "orthogonal-sgd", "adam", "aggmo"])
def test_every_optimiser_and_schedule_brings_a_bound(optimizer, schedule):
    a, b = two_moons(100, 100, 2)
    result = trial(a, b, settings=replace(SMALL, optimizer=optimizer, schedule=schedule), steps=150)
    assert result.population.estimate > 0.5
    assert result.settings["optimizer"] == optimizer
    assert result.settings["schedule"] == schedule


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_every_bjorck_order_keeps_weights_orthonormal(order, generator):
    critic = network("groupsort-bjorck", 3, replace(SMALL, bjorck_order=order), generator)
    x = torch.randn(2, 64, 3, generator=generator) + torch.tensor([[[0.0]], [[1.0]]])
    plan = TrainingPlan(
        ascend=TrainingStep(critic, make_optimizers(critic, name="muon", learning_rate=0.05)),
        minibatch=lambda: (x[0], x[1]),
        budget=Budget(steps=60),
        decay="constant",
        interruption=Interruption(),
    )
    train(TrainingRun(critic, validate=lambda critic: 1.0, unit=1.0, observer=Silent(), name=""), plan)
    critic.constrain_(tightly=True)
    assert max(float(orthonormality_defect(layer.weight.detach())) for layer in critic.layers) < 1e-5


def test_a_training_ends_once_its_validation_values_no_longer_change():
    _, flat = run(validate=lambda critic: 3.0, budget=Budget(steps=4000))
    assert flat.steps < 1500
    assert flat.best == 3.0
    assert flat.converged
    values = iter(range(10**6))
    _, rising = run(validate=lambda critic: float(next(values)), budget=Budget(steps=4000))
    assert rising.steps == 4000


def test_the_average_is_what_is_validated_and_kept_and_the_path_goes_on_without_it():
    """The weight rises by the same length in every step; its mean over the last tenth of the path lags behind."""
    seen = []

    def validate(critic):
        seen.append(float(critic.weight.detach()))
        return seen[-1]

    plain, _ = run(budget=Budget(steps=400))
    averaged, found = run(validate=validate, budget=Budget(steps=400), averaged=True)
    end = float(plain.weight.detach())
    assert float(averaged.weight.detach()) == max(seen) == found.best
    assert 0.85 * end < max(seen) < 0.95 * end
    assert seen == sorted(seen)
