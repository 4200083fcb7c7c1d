"""One step of training: what it changes, what it gives back, and when weights return to their constraint."""

import pytest
import torch

from tests.trials import network
from wdist.critics.settings import CriticSettings
from wdist.lipschitz.linalg.orthonormalise import orthonormality_defect
from wdist.training.optimizers import make_optimizers
from wdist.training.step import Cadence, Readback, TrainingStep

SMALL = CriticSettings(width=16, depth=3, group_size=4)


@pytest.fixture
def sides(generator):
    x = torch.randn(2, 32, 5, generator=generator)
    return x[0], 0.5 * x[1] + 0.3


def trained(sides, *, steps, apart=False, factor=1.0, optimizer="adam"):
    critic = network("groupsort-bjorck", 5, SMALL, torch.Generator().manual_seed(0))
    step = TrainingStep(critic, make_optimizers(critic, name=optimizer, learning_rate=0.01), apart=apart)
    return critic, [float(step(*sides, factor=factor)) for _ in range(steps)]


@pytest.mark.parametrize("optimizer", ["muon", "orthogonal-sgd", "adam", "aggmo"])
def test_steps_raise_the_dual_value_and_keep_weights_near_the_manifold(optimizer, sides):
    critic, duals = trained(sides, steps=40, optimizer=optimizer)
    assert duals[-1] > duals[0]
    critic.constrain_(tightly=True)
    assert max(float(orthonormality_defect(layer.weight.detach())) for layer in critic.layers) < 1e-5


def test_what_is_given_back_is_the_dual_value_before_the_step(sides):
    critic, (dual,) = trained(sides, steps=1, factor=0.0)
    with torch.no_grad():
        expected = critic(sides[0]).mean() - critic(sides[1]).mean()
    assert dual == pytest.approx(float(expected), abs=1e-6)


def test_one_forward_pass_for_both_sides_is_as_good_as_two(sides):
    assert trained(sides, steps=10)[1] == pytest.approx(trained(sides, steps=10, apart=True)[1], rel=1e-4)


def test_the_factor_is_on_the_rates_of_the_start(sides):
    """Not on those of the step before, which would compound."""
    critic = network("groupsort-bjorck", 5, SMALL, torch.Generator().manual_seed(0))
    optimizers = make_optimizers(critic, name="adam", learning_rate=0.01)
    step = TrainingStep(critic, optimizers)
    for factor in (0.5, 0.5, 0.25):
        step(*sides, factor=factor)
    assert optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0025)


def test_weights_return_less_often_when_they_have_hardly_moved():
    cadence = Cadence(4)
    seen = []
    for defect in (0.3, 0.005, 0.005, 0.005, 0.005, 0.005):
        cadence.met(defect)
        seen.append(cadence.steps)
    assert seen == [4, 8, 16, 32, 32, 32]


def test_weights_return_more_often_when_they_have_moved_far():
    cadence = Cadence(4)
    for _ in range(4):
        cadence.met(1.5)
    assert cadence.steps == 1


def test_a_constraint_of_every_step_stays_so():
    cadence = Cadence(1)
    cadence.met(0.0)
    assert cadence.steps == 1


def test_a_number_read_back_is_that_of_the_moment_it_was_asked_for():
    value = torch.tensor(2.0)
    readback = Readback(value)
    value += 1
    assert readback.read() == 2.0


@pytest.mark.gpu
def test_a_number_is_read_back_from_the_device():
    value = torch.tensor(2.0, device="cuda")
    readback = Readback(value)
    value += 1
    assert readback.read() == 2.0
