"""The level "reference": both ends hold W1 from fixed samples to a distribution that is drawn, and close in on it."""

import numpy as np
import ot
import pytest
import torch
from scipy import stats

from wdist import estimate, gate
from wdist.data.access import Access
from wdist.data.pairing import open_pair
from wdist.data.sources.source import EndlessSource, SourceInfo
from wdist.errors import SourceError, UsageError
from wdist.estimation.semi_discrete import GROUPS, SemiDiscretePlan, bounds_of, semi_discrete_bounds, semi_discrete_plan
from wdist.ground_metric import L1, L2
from wdist.report.documents.forms import document_text

POINTS = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32).astype(np.float64)
WEIGHTS = np.random.default_rng(1).dirichlet(np.ones(12))
SAMPLES = np.random.default_rng(2).normal(size=(40, 3)) + 0.3


class Atoms(EndlessSource):
    """Draws of a few points, for which W1 from any samples is a small transport problem."""

    info = SourceInfo(address="atoms", kind="synthetic", event_shape=(3,), count=None, dtype="float32")

    def draw(self, n, generator):
        chosen = torch.multinomial(torch.from_numpy(WEIGHTS), n, replacement=True, generator=generator)
        return torch.from_numpy(POINTS)[chosen].float()


def exact(metric="euclidean"):
    """W1 from the samples to the distribution, by POT."""
    return ot.emd2(np.full(40, 1 / 40), WEIGHTS, ot.dist(SAMPLES, POINTS, metric=metric))


def opened(a=SAMPLES, b=None, metric=L2):
    return open_pair(a, Atoms() if b is None else b, access=Access(), seed=0, device=torch.device("cpu"), metric=metric)


def bounds(size, *, seed=0, confidence=0.95, diameter=None, metric=L2):
    pair = opened(metric=metric)
    plan = SemiDiscretePlan(source=pair.b.endless, size=size, seconds=0.0)
    return semi_discrete_bounds(pair, metric, plan, confidence=confidence, diameter=diameter, seed=seed)


@pytest.mark.parametrize(("metric", "name"), [(L2, "euclidean"), (L1, "cityblock")], ids=["l2", "l1"])
def test_both_ends_close_in_on_the_exact_distance(metric, name):
    few, many = bounds(60, metric=metric), bounds(6000, metric=metric)
    assert few.lower < exact(name) < few.upper
    assert many.lower < exact(name) < many.upper
    assert many.upper - many.lower < 0.3 * (few.upper - few.lower)
    assert many.draws == 6000 * GROUPS and many.n == 40  # noqa: PT018


def test_ends_are_wrong_as_seldom_as_stated():
    """The lower end is an average of independent values, and the upper end also has a bias on the safe side."""
    runs, truth = 120, exact()
    found = [bounds(100, seed=seed, confidence=0.8) for seed in range(runs)]
    most = stats.binom.ppf(0.999, runs, 0.1)
    assert sum(each.lower > truth for each in found) <= most
    assert sum(each.upper < truth for each in found) <= most


def test_bounded_differences_are_wider_and_hold_at_any_number_of_draws():
    extent = float(ot.dist(np.r_[SAMPLES, POINTS], np.r_[SAMPLES, POINTS], metric="euclidean").max())
    asymptotic, bounded = bounds(200), bounds(200, diameter=extent)
    assert bounded.lower < asymptotic.lower < exact() < asymptotic.upper < bounded.upper
    assert bounded.method == "bounded-differences"
    costs, duals = np.array([1.0, 1.0]), np.full(50, 0.9)
    known = bounds_of(costs, duals, n=9, draws=100, confidence=0.9, diameter=2.0)
    assert known.upper == pytest.approx(1 + 2 * np.sqrt(np.log(20) / 200), rel=1e-5)
    assert known.lower == pytest.approx(0.9 - 2 * np.sqrt(np.log(20) / 100), rel=1e-5)


def test_it_is_planned_only_from_stored_samples_to_draws():
    assert semi_discrete_plan(opened(), seconds=10.0).size == 8 * 40
    assert semi_discrete_plan(opened(), seconds=10.0, draws=600).size == 600 // GROUPS
    assert semi_discrete_plan(opened(b=SAMPLES + 1), seconds=10.0) is None
    assert semi_discrete_plan(opened(a=Atoms()), seconds=10.0) is None
    assert semi_discrete_plan(opened(), seconds=1e-9) is None


def test_an_estimate_states_it_in_the_units_of_the_data():
    fast = {"critic": "mean-difference", "baselines": "none", "device": "cpu"}
    found = estimate(SAMPLES, Atoms(), **fast).semi_discrete
    assert found.lower < exact() < found.upper
    assert estimate(SAMPLES, SAMPLES + 1, **fast).semi_discrete is None
    assert estimate(SAMPLES, Atoms(), couplings=False, **fast).semi_discrete is None


def test_a_gate_judges_it_and_compares_it_with_an_earlier_one(tmp_path):
    options = {"on": "reference", "device": "cpu"}
    passed = gate(SAMPLES, Atoms(), maximum=1.2 * exact(), **options)
    failed = gate(SAMPLES, Atoms(), maximum=0.8 * exact(), **options)
    assert (passed.answer, failed.answer) == ("pass", "fail")
    assert "W1 from the samples of A to the distribution of B is at most" in passed.verdict.reason
    path = tmp_path / "before.json"
    path.write_text(document_text(passed, command="gate"))
    assert gate(SAMPLES, Atoms(), baseline=path, tolerance=0.5, **options).answer == "pass"
    with pytest.raises(UsageError, match="give a file as A and a generator as B"):
        gate(SAMPLES, SAMPLES + 1, maximum=1.0, **options)
    with pytest.raises(UsageError, match="needs draws of at least 300, not 299"):
        gate(SAMPLES, Atoms(), maximum=1.0, draws=299, **options)
    assert gate(SAMPLES, Atoms(), maximum=9 * exact(), draws=300, **options).answer == "pass"
    path.write_text(document_text(gate(SAMPLES, SAMPLES + 1, maximum=9.0, on="samples"), command="gate"))
    with pytest.raises(SourceError, match="does not say how far the reference is from a distribution"):
        gate(SAMPLES, Atoms(), baseline=path, **options)


def test_too_few_draws_for_it_are_told():
    options = {"critic": "mean-difference", "baselines": "none"}
    few, enough = (estimate(SAMPLES, Atoms(), draws=draws, **options) for draws in (299, 300))
    assert few.semi_discrete is None
    (sentence,) = (each for each in few.warnings if "too few to bound W1 from the samples of A" in each)
    assert sentence.endswith("give at least 300")
    assert enough.semi_discrete is not None
    assert not any("too few to bound" in each for each in enough.warnings)


def test_draws_that_do_not_vary_say_nothing_about_those_that_were_not_drawn():
    class Rare(Atoms):
        """One point, and in one of a million draws another, far away."""

        def draw(self, n, generator):
            far = torch.rand(n, 1, generator=generator) < 1e-6
            return torch.where(far, 1e6, torch.ones(3))

    pair = opened(b=Rare())
    plan = SemiDiscretePlan(source=pair.b.endless, size=50, seconds=0.0)
    assert semi_discrete_bounds(pair, L2, plan, confidence=0.95, diameter=None, seed=0) is None
    assert semi_discrete_bounds(pair, L2, plan, confidence=0.95, diameter=2e6, seed=0).upper > 1.0
