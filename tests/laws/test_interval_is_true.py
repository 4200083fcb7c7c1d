"""Lower end <= W1 <= upper end for the samples, whatever is drawn and whichever critic is asked for, by exact transport."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from tests.trials import TRAINED, exact_w1
from wdist import estimate
from wdist.critics.settings import CriticSettings
from wdist.data.sources import pairs
from wdist.estimation.result import Estimate
from wdist.training.catalogue import CATALOGUE

EXAMPLES = 40
SMALL = CriticSettings(width=16, depth=3, batch_size=32)
PAIRS = {
    "absolute-value": lambda dim: pairs.absolute_value(),
    "cones": lambda dim: pairs.cones(dim),
    "sphere": pairs.sphere,
    "funnels": lambda dim: pairs.funnels(dim, 2 * dim),
    "shift": lambda dim: pairs.gaussian_shift(dim, 1.0),
    "scale": lambda dim: pairs.gaussian_scale(dim, 2.0),
}
ROUNDING = 1e-12
"""Relative rounding of the exact value itself, which POT computes in float64."""


@st.composite
def drawn_pairs(draw):
    """Two sample sets of a pair with known W1: 20 to 60 samples a side, 1 to 8 dimensions, in units of any size."""
    pair = PAIRS[draw(st.sampled_from(sorted(PAIRS)))](draw(st.integers(1, 8)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    a, b = (side.draw(draw(st.integers(20, 60)), generator).numpy() for side in (pair.a, pair.b))
    # Sides that are one point are refused, since files of copies are failed exports.
    a, b = (side + 1e-3 * np.arange(len(side))[:, None] if (side == side[0]).all() else side for side in (a, b))
    scale, shift = draw(st.sampled_from([1e-6, 1.0, 1.0, 255.0])), draw(st.sampled_from([0.0, 0.0, 100.0]))
    return a * scale + shift, b * scale + shift


def check(found: Estimate, a: np.ndarray, b: np.ndarray) -> None:
    """The interval of the result and the one of each of its critics hold the exact W1 of the two sets."""
    truth = exact_w1(a, b)
    tolerance = ROUNDING * (truth + np.abs(np.concatenate([a, b]) - a[0]).max())
    assert found.samples.upper is not None
    assert 0 <= found.samples.lower <= truth
    assert truth <= found.samples.upper + tolerance
    for critic in found.critics:
        assert 0 <= critic.samples.lower <= found.samples.lower + tolerance
        assert critic.samples.upper is None or truth <= critic.samples.upper + tolerance
    assert found.samples.lower_method
    assert found.samples.upper_method


@pytest.mark.slow
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(sides=drawn_pairs(), steps=st.integers(1, 30), seed=st.integers(0, 1000))
def test_the_interval_is_true_where_the_critic_is_chosen(sides, steps, seed):
    a, b = sides
    check(estimate(a, b, critic="auto", settings=SMALL, steps=steps, baselines="none", seed=seed), a, b)


@pytest.mark.parametrize("name", CATALOGUE)
@settings(
    max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
)
@given(sides=drawn_pairs(), steps=st.integers(1, 20), seed=st.integers(0, 1000))
def test_the_interval_is_true_of_each_kind(name, sides, steps, seed):
    a, b = sides
    small = SMALL if name in TRAINED else None
    limit = {"steps": steps} if CATALOGUE[name].trained else {}
    check(estimate(a, b, critic=name, settings=small, baselines="none", seed=seed, **limit), a, b)


@pytest.mark.parametrize("pair", ["funnels", "scale"])
def test_a_chosen_critic_is_no_worse_than_the_line_and_its_interval_is_worth_something(pair):
    """Bounds of 0 and infinity would keep the law as well, so these have to be tight."""
    known = PAIRS[pair](3)
    generator = torch.Generator().manual_seed(0)
    a, b = (side.draw(150, generator).numpy() for side in (known.a, known.b))
    found = estimate(a, b, critic="auto", settings=SMALL, steps=60, baselines=["mean-difference"], seed=1)
    check(found, a, b)
    assert found.critic.tried
    assert sum(attempt.chosen for attempt in found.critic.tried) == 1
    assert found.samples.relative_gap is not None
    assert found.samples.relative_gap < 0.01
    assert found.samples.lower >= found.baselines[0].samples.lower
