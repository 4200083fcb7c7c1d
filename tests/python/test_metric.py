"""``wdist.W1``: a metric with update, compute and reset; a loss that moves a generator; a callback; and every number is a bound."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import wdist
from samples.train_generator import main as train_generator
from tests.trials import exact_w1

SMALL = {"width": 16, "depth": 2, "seed": 1}


def draws(n, shift=0.0, *, seed, dim=3):
    """Standard normal samples, moved by ``shift`` along the first axis, so that W1 to the unmoved distribution is the shift."""
    x = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    x[:, 0] += shift
    return x


def trained(shift, *, steps=60):
    """A metric whose loss has trained a critic between the standard normal distribution and a moved one."""
    w1 = wdist.W1(**SMALL)
    for step in range(steps):
        w1(draws(128, seed=step), draws(128, shift, seed=10_000 + step))
    return w1


def test_the_metric_bounds_a_known_distance():
    w1 = wdist.W1(steps=60, critic="groupsort-bjorck", width=16)
    for seed in range(4):
        w1.update(draws(100, seed=seed), draws(100, 2.0, seed=100 + seed))
    value = w1.compute()
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert 1.2 < float(value) <= 2.0
    assert w1.result.samples.n_a == 400
    w1.reset()
    with pytest.raises(wdist.WdistError, match="at least 30 samples of each side, not 0"):
        w1.compute()


def test_bounds_by_the_critic_of_the_loss_exceed_w1_no_oftener_than_they_say():
    """Fresh samples every time, one critic: at 80 %, at most a fifth of the bounds are wrong, plus what 150 trials allow."""
    w1 = trained(0.0, steps=20)
    w1._options = replace(w1._options, confidence=0.8)
    wrong = 0
    for trial in range(150):
        w1.reset()
        w1.update(draws(60, seed=50_000 + trial), draws(60, seed=60_000 + trial))
        wrong += float(w1.compute()) > 0
    assert wrong <= 150 * 0.2 + 3 * math.sqrt(150 * 0.2 * 0.8)
    assert wrong > 0  # the difference of the means is above 0 half of the time


def test_the_critic_of_the_loss_proves_most_of_a_shift():
    w1 = trained(2.0)
    w1.update(draws(2000, seed=1), draws(2000, 2.0, seed=2))
    lower = float(w1.compute())
    assert 1.8 < lower < w1.result.estimate <= exact_w1(draws(2000, seed=1).numpy(), draws(2000, 2.0, seed=2).numpy())
    assert w1.result.lipschitz_bound == pytest.approx(1, abs=1e-6)


def test_the_loss_is_the_held_out_value_up_to_the_constraint():
    w1 = trained(2.0)
    w1.eval()
    x, y = draws(2000, seed=1), draws(2000, 2.0, seed=2)
    loss = float(w1(x, y))
    w1.update(x, y)
    w1.compute()
    assert loss == pytest.approx(w1.result.estimate, rel=0.02)


def test_the_loss_moves_a_generator_to_the_data():
    shift = nn.Parameter(torch.tensor([3.0, 0.0, 0.0]))
    optimizer, w1, path = torch.optim.SGD([shift], lr=0.1), wdist.W1(**SMALL), []
    for step in range(160):
        optimizer.zero_grad()
        w1(draws(128, seed=step), draws(128, seed=9000 + step) + shift).backward()
        optimizer.step()
        path.append(shift.detach().clone())
    # It circles around 0, as the critic follows.
    assert float(torch.stack(path[-100:]).mean(0).norm()) < 1.0


def test_gradients_reach_the_batches_and_not_the_critic():
    w1 = trained(1.0, steps=3)
    real, fake = draws(20, seed=1).requires_grad_(), draws(30, seed=2).requires_grad_()
    w1.eval()
    before = [parameter.grad.clone() for parameter in w1.parameters()]
    w1(real, fake).backward()
    assert 0 < float(real.grad.norm(dim=1).max()) * 20 < 1.1
    assert 0 < float(fake.grad.norm(dim=1).max()) * 30 < 1.1
    assert all(torch.equal(parameter.grad, grad) for parameter, grad in zip(w1.parameters(), before, strict=True))


def test_in_evaluation_mode_the_critic_stays_as_it_is():
    w1 = trained(1.0, steps=3)
    before = copy.deepcopy(w1.state_dict())
    w1.eval()
    w1(draws(20, seed=1), draws(20, seed=2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in w1.state_dict().items())
    w1.train()
    w1(draws(20, seed=1), draws(20, seed=2))
    assert any(not torch.equal(tensor, before[name]) for name, tensor in w1.state_dict().items())


class Collection:
    """A collection of metrics, which calls its members as that of torchmetrics does."""

    def __init__(self, metrics):
        self.metrics = metrics

    def update(self, *batch):
        for metric in self.metrics.values():
            metric.update(*batch)

    def compute(self):
        return {name: metric.compute() for name, metric in self.metrics.items()}

    def reset(self):
        for metric in self.metrics.values():
            metric.reset()


def test_collections_of_metrics_can_hold_it():
    collection = Collection({"w1": wdist.W1(critic="mean-difference"), "other": wdist.W1(critic="mean-difference", metric="l1")})
    collection.update(draws(60, seed=1), draws(60, 3.0, seed=2))
    found = collection.compute()
    assert 2 < float(found["w1"]) <= 3.0
    collection.reset()
    assert copy.deepcopy(collection).metrics.keys() == {"w1", "other"}


def test_the_callback_reports_every_n_steps_from_fresh_samples():
    w1, seeds = trained(1.0), iter(range(10**6))
    report = w1.every(10, lambda: draws(64, seed=next(seeds)), lambda: draws(64, 1.0, seed=next(seeds)), samples=200)
    found = [report(step) for step in range(1, 31)]
    assert [bound.step for bound in found if bound is not None] == [10, 20, 30]
    assert report.history == [bound for bound in found if bound is not None]
    assert all(0.6 < bound.lower <= 1.0 for bound in report.history)
    assert all(bound.n_a == 256 for bound in report.history)
    assert str(report.history[0]).startswith("step 10: W1 >= 0.")


def test_without_a_loss_the_callback_estimates():
    w1 = wdist.W1(critic="mean-difference")
    report = w1.every(1, lambda: draws(50, seed=1), lambda: draws(50, 2.0, seed=2), samples=50)
    assert 0 < report(1).lower <= 2.0


def test_of_many_samples_a_random_choice_is_kept():
    """The mean of a kept sample is the mean of all that were offered, whenever they came."""
    w1 = wdist.W1(most=400, critic="mean-difference")
    for step in range(40):
        batch = torch.full((50, 1), float(step)) + torch.rand(50, 1)
        w1.update(batch, batch)
    kept = w1._kept[0].values
    assert len(kept) == 400
    assert float(kept.mean()) == pytest.approx(20, abs=4 * 11.5 / 20)


def test_bytes_are_images_in_the_unit_interval():
    w1 = wdist.W1(critic="mean-difference")
    low, high = torch.zeros(60, 3, 4, 4, dtype=torch.uint8), torch.full((60, 3, 4, 4), 51, dtype=torch.uint8)
    low[::2, 0], high[::2, 0] = 10, 61
    w1.update(low, high)
    assert 0 < float(w1.compute()) <= 0.2 * math.sqrt(48)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"critic_steps": 0}, "critic_steps must be at least 1"),
        ({"most": 3}, "most must be at least 60"),
        ({"confidence": 2}, "confidence"),
        ({"budgett": 2}, "did you mean budget"),
    ],
)
def test_wrong_options_are_named(wrong, words):
    with pytest.raises(wdist.WdistError, match=words):
        wdist.W1(**wrong)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wdist.W1()(draws(9, seed=0), draws(9, seed=0, dim=2)), r"fake has samples of shape \(2,\)"),
        (lambda: wdist.W1()(None, draws(9, seed=0)), "real must be a tensor"),
        (lambda: wdist.W1()(draws(0, seed=0), draws(9, seed=0)), "at least one sample"),
        (lambda: wdist.W1(critic="cones")(draws(9, seed=0), draws(9, seed=0)), "'cones' cannot be a loss; choose one of group"),
        (lambda: wdist.W1(critic="none-such")(draws(9, seed=0), draws(9, seed=0)), "cannot be a loss"),
        (lambda: wdist.W1(width=7, group_size=3)(draws(9, seed=0), draws(9, seed=0)), "group_size"),
        (lambda: wdist.W1().every(0, None, None), "steps must be at least 1"),
    ],
)
def test_wrong_batches_are_sentences(call, words):
    with pytest.raises(wdist.WdistError, match=words):
        call()


def test_arrays_update_the_metric():
    w1 = wdist.W1(critic="mean-difference")
    w1.update(np.zeros((40, 2)) + np.arange(40)[:, None] / 40, np.ones((40, 2)) + np.arange(40)[:, None] / 40)
    assert 1 < float(w1.compute()) <= math.sqrt(2)


def test_the_example_trains_a_generator_of_digits(capsys):
    """Its certified distance falls, and it prints what it returns."""
    history = train_generator(160, 40)
    assert history[-1].lower < 0.6 * history[0].lower
    assert len(capsys.readouterr().out.splitlines()) == len(history) == 4
