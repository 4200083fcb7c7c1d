"""Critics side by side are the critics that they are made of: the same potentials and steps, and weights that they share."""

from dataclasses import replace

import pytest
import torch

from tests.trials import SMALL, TRAINED, network
from wdist.critics.networks import fits_side_by_side, side_by_side
from wdist.training.optimizers import make_optimizers
from wdist.training.step import TrainingStep

SEEDS = (3, 4, 5)
DIM = 6


def members(name, **settings):
    """In float64, in which rounding cannot be taken for a difference."""
    chosen = replace(SMALL, **settings)
    return [network(name, DIM, chosen, torch.Generator().manual_seed(seed)).double() for seed in SEEDS]


FITTING = [name for name in TRAINED if name != "groupsort-conv" and fits_side_by_side(members(name)[0])]


def sides(generator, n=40):
    x = torch.randn(2, len(SEEDS), n, DIM, generator=generator, dtype=torch.float64)
    return x[0], 0.5 * x[1] + 0.4


def test_the_paper_s_critic_and_the_baselines_fit():
    assert {"groupsort-bjorck", "maxmin-bjorck", "fullsort-bjorck", "relu-bjorck", "relu-spectral"} <= set(FITTING)
    assert not {"householder-bjorck", "groupsort-cayley", "linf-groupsort"} & set(FITTING)


@pytest.mark.parametrize("name", FITTING)
def test_potentials_are_those_of_the_members(name, generator):
    alone, x = members(name), sides(generator)[0]
    together = side_by_side(members(name))
    assert together(x).shape == (3, 40)
    for critic, part, potentials in zip(alone, x, together(x), strict=True):
        torch.testing.assert_close(potentials, critic(part))


@pytest.mark.parametrize("rows", [4, 40])
@pytest.mark.parametrize("optimizer", ["muon", "orthogonal-sgd", "adam", "aggmo"])
@pytest.mark.parametrize("name", FITTING)
def test_steps_are_those_that_each_member_takes_alone(name, optimizer, rows, generator):
    """Few rows and many, since gradients are computed differently; and past the first return to the constraint."""
    a, b = sides(generator, rows)
    alone, own = members(name), members(name)
    together = side_by_side(own)
    step = TrainingStep(together, make_optimizers(together, name=optimizer, learning_rate=1e-3, side_by_side=True))
    duals = torch.stack([step(a, b, factor=1.0) for _ in range(5)])
    for number, critic in enumerate(alone):
        its = TrainingStep(critic, make_optimizers(critic, name=optimizer, learning_rate=1e-3))
        expected = torch.stack([its(a[number], b[number], factor=1.0) for _ in range(5)])
        torch.testing.assert_close(duals[:, number], expected, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(own[number].state_dict(), critic.state_dict(), rtol=1e-5, atol=1e-7)


def test_members_keep_their_weights_where_the_others_are(generator):
    own = members("groupsort-bjorck")
    together = side_by_side(own)
    with torch.no_grad():
        own[1].layers[0].bias.fill_(7.0)
    assert together.layers[0].bias[1].eq(7).all()
    assert not together.layers[0].bias[[0, 2]].eq(7).any()
    own[1].load_state_dict(members("groupsort-bjorck")[1].state_dict())
    assert together.layers[0].bias[1].eq(0).all()


def test_one_that_is_not_finite_leaves_the_others_as_they_are(generator):
    a, b = sides(generator)
    spoilt, whole = members("groupsort-bjorck"), members("groupsort-bjorck")
    with torch.no_grad():
        spoilt[1].layers[0].weight.fill_(torch.nan)
    for own in (spoilt, whole):
        together = side_by_side(own)
        step = TrainingStep(together, make_optimizers(together, name="muon", learning_rate=0.02, side_by_side=True))
        for _ in range(9):
            step(a, b, factor=1.0)
    assert not bool(torch.isfinite(spoilt[1].layers[0].weight).any())
    for number in (0, 2):
        torch.testing.assert_close(spoilt[number].state_dict(), whole[number].state_dict(), rtol=1e-6, atol=1e-9)
