"""No certified value exceeds the exact W1 of the same samples: any critic, any architecture, any data, any metric, any seed."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, target

from tests.trials import exact_w1, judged, pair_of
from wdist.critics.settings import CriticSettings
from wdist.data.rows import gather
from wdist.errors import CertificateError, TrainingDiverged
from wdist.ground_metric import METRICS
from wdist.lipschitz.constraints import CONSTRAINTS
from wdist.training.catalogue import CATALOGUE

EXAMPLES = 150
ACTIVATIONS = [
    "group-sort:2",
    "group-sort:4",
    "maxmin",
    "full-sort",
    "relu",
    "leaky-relu:0.1",
    "abs",
    "maxout:2",
    "maxout:4",
    "householder",
    "tanh",
    "sigmoid",
    "identity",
]


@st.composite
def sample_sets(draw):
    """Two sets of 20 to 40 samples in 1 to 6 dimensions: of several shapes, at any scale, with duplicates and outliers."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dim = draw(st.integers(1, 6))
    sides = []
    for _ in range(2):
        x = random.normal(size=(draw(st.integers(20, 40)), dim)) ** draw(st.sampled_from([1, 1, 3]))
        x = x * draw(st.sampled_from([0.0, 1e-3, 1.0, 5.0])) + random.normal(size=dim) * draw(st.sampled_from([0, 1, 10]))
        if draw(st.booleans()):
            x = x.round(1)
        x[-1] += draw(st.sampled_from([1e-9, 1.0, 1e6]))
        sides.append(x)
    scale = 10.0 ** draw(st.sampled_from([-20, 0, 0, 0, 12]))
    return tuple(side * scale for side in sides)


@st.composite
def architectures(draw):
    """Any critic of the catalogue as it is, or one with another activation and another constraint."""
    chosen = draw(st.booleans())
    return draw(st.sampled_from(sorted(CATALOGUE))), CriticSettings(
        width=draw(st.sampled_from([4, 8, 12])),
        depth=draw(st.integers(2, 4)),
        group_size=draw(st.sampled_from([1, 2, 4])),
        batch_size=8,
        lipschitz=draw(st.sampled_from([None, 0.1, 30.0])),
        bjorck_order=draw(st.sampled_from([None, None, 2, 4])),
        learning_rate=draw(st.sampled_from([None, None, 0.3])),
        activation=draw(st.sampled_from(ACTIVATIONS)) if chosen else None,
        constraint=draw(st.sampled_from(sorted(CONSTRAINTS))) if chosen else None,
    )


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    sides=sample_sets(),
    critic=architectures(),
    metric=st.sampled_from(sorted(METRICS)),
    steps=st.integers(1, 25),
    seed=st.integers(0, 1000),
)
def test_no_certified_value_is_above_exact_transport(sides, critic, metric, steps, seed):
    (name, chosen), metric = critic, METRICS[metric]
    pair = pair_of(*sides, seed=seed)
    truth = exact_w1(gather(pair.a.everything).numpy(), gather(pair.b.everything).numpy(), metric.p)
    try:
        result = judged(pair, name=name, settings=chosen, steps=steps, seed=seed, metric=metric)
    except (TrainingDiverged, CertificateError):
        return  # nothing is claimed
    assert 0 <= result.samples.lower <= truth
    target(result.samples.lower / truth if truth else 0.0)


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_bound_is_worth_something_in_every_metric(name, metric):
    """A shift along the diagonal in three dimensions: of a bound of 0 the law above would be true as well."""
    random = np.random.default_rng(5)
    a = random.normal(size=(60, 3)) * 0.1
    b = a[:50] + 1
    result = judged(pair_of(a, b), name=name, steps=60, metric=metric)
    truth = exact_w1(a, b, metric.p)
    assert 0.05 * truth < result.samples.lower <= truth
