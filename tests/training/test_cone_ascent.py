"""The ascent of cones: near the truth within few steps, whatever the units, and without cones that do nothing."""

import pytest
import torch

from wdist.critics.cones import ConeCritic
from wdist.data.sources.pairs import cones, funnels, sphere
from wdist.ground_metric import METRICS
from wdist.training.cone_ascent import ConeAscent

L2 = METRICS["l2"]


def ascended(a, b, *, count=16, steps=60, rate=0.5, sign=1, metric=L2, seed=0):
    """A critic whose centres begin on samples of the low side."""
    low = b if sign > 0 else a
    chosen = torch.randperm(len(low), generator=torch.Generator().manual_seed(seed))[:count]
    critic = ConeCritic(low[chosen], sign=sign, metric=metric)
    step = ConeAscent(critic, rate=rate)
    for k in range(steps):
        step(a, b, factor=1 - k / steps)
    return critic


def dual(critic, a, b):
    return float((critic(a).double().mean() - critic(b).double().mean()).detach())


def drawn(pair, count, seed=0):
    return tuple(side.draw(count, torch.Generator().manual_seed(seed + k)).float() for k, side in enumerate((pair.a, pair.b)))


@pytest.mark.parametrize("name", ["three cones", "four funnels", "a sphere"])
def test_few_steps_come_near_the_truth(name):
    pair, share = {
        "three cones": (cones(3), 0.97),
        "four funnels": (funnels(2, 4), 0.9),
        "a sphere": (sphere(8), 0.97),
    }[name]
    reached = {}
    for sign in (1, -1):
        critic = ascended(*drawn(pair, 4000), sign=sign)
        reached[sign] = dual(critic, *drawn(pair, 20_000, seed=5)) / pair.w1
    assert share < max(reached.values()) < 1.05, reached


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_ascent_ascends_in_every_metric(metric, generator):
    a = 3 * torch.randn(2000, 4, generator=generator)
    b = torch.randn(2000, 4, generator=generator).sign() + 0.1 * torch.randn(2000, 4, generator=generator)
    before, after = (dual(ascended(a, b, steps=steps, metric=metric), a, b) for steps in (0, 60))
    assert after > 1.02 * before > 0


def test_it_tells_the_value_before_the_step(generator):
    a, b = torch.randn(500, 2, generator=generator) * 3, torch.randn(400, 2, generator=generator)
    critic = ConeCritic(b[:10], sign=-1)
    expected = dual(critic, a, b)
    told = ConeAscent(critic, rate=0.5)(a, b, factor=1.0)
    assert told.shape == ()
    # Potentials of cones that point down are the negative ones, and so is their difference.
    assert abs(float(told)) == pytest.approx(abs(expected), rel=1e-5)


@pytest.mark.parametrize("scale", [2.0**-4, 2.0**7])
def test_units_make_no_difference(scale, generator):
    """Steps are in radii of cells; a shift that float32 holds exactly moves everything along."""
    a, b = ((torch.randn(600, 3, generator=generator) * s * 1024).round() / 1024 for s in (3, 1))
    plain = ascended(a, b, steps=20)
    scaled = ascended(a * scale, b * scale, steps=20)
    torch.testing.assert_close(scaled.centres, plain.centres * scale, rtol=1e-3, atol=1e-3 * scale)
    torch.testing.assert_close(scaled.offsets, plain.offsets * scale, rtol=1e-3, atol=1e-3 * scale)
    shift = torch.tensor([4.0, -2.0, 1.0])
    moved = ascended(a + shift, b + shift, steps=20)
    assert dual(moved, a + shift, b + shift) == pytest.approx(dual(plain, a, b), rel=5e-3)


def test_a_cone_without_a_cell_is_set_anew_where_it_changes_nothing_else(generator):
    a, b = torch.randn(1000, 2, generator=generator) * 3, torch.randn(1000, 2, generator=generator)
    critic = ConeCritic(b[:8], sign=1)
    critic.offsets[3] = 1e6  # above all others everywhere
    step = ConeAscent(critic, rate=0.5)
    for _ in range(4):
        step(a, b, factor=1.0)
        assert not bool((critic.lowest(torch.cat([a, b]))[1] == 3).any())
    step(a, b, factor=1.0)
    assert bool((b == critic.centres[3]).all(1).any()), "upon a sample of the low side"
    values, _ = critic.lowest(torch.cat([a, b]))
    offset = float(critic.offsets[3])
    critic.offsets[3] = 1e6
    without, _ = critic.lowest(torch.cat([a, b]))
    assert float((without - values).max()) < 0.1, "hardly below what was there"
    critic.offsets[3] = offset
    for _ in range(20):
        step(a, b, factor=1.0)
    assert bool((critic.lowest(torch.cat([a, b]))[1] == 3).any()), "after some rounds it has a cell"


def test_towards_the_end_no_cone_is_set_anew(generator):
    """The last ones could not settle."""
    a, b = torch.randn(300, 2, generator=generator), torch.randn(300, 2, generator=generator)
    critic = ConeCritic(b[:8], sign=1)
    critic.offsets[3] = 1e6
    step = ConeAscent(critic, rate=0.5)
    for _ in range(10):
        step(a, b, factor=0.2)
    assert float(critic.offsets[3]) == 1e6
    assert torch.equal(critic.centres[3], b[3])


@pytest.mark.parametrize("sign", [1, -1])
def test_samples_upon_a_tip_and_sides_that_are_one_point_are_no_obstacle(sign):
    """Distances of 0, and no direction at all."""
    a, b = torch.ones(50, 3), torch.zeros(50, 3)
    critic = ascended(a, b, count=4, sign=sign, steps=12)
    assert bool(torch.isfinite(critic.centres).all() and torch.isfinite(critic.offsets).all())
    assert dual(critic, a, b) == pytest.approx(3**0.5, rel=0.05)


def test_the_same_steps_lead_to_the_same_cones(generator):
    a, b = torch.randn(500, 5, generator=generator) * 2, torch.randn(500, 5, generator=generator)
    first, again = ascended(a, b, count=60), ascended(a, b, count=60)
    assert torch.equal(first.centres, again.centres)
    assert torch.equal(first.offsets, again.offsets)
