"""``estimate(..., divergence="kl")``: its bounds beside those for W1, what proves them, and what is refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import wdist
from tests.divergences import exact_divergence, shifted_gaussians
from tests.trials import SMALL, Listener, pair_of
from wdist import estimate
from wdist.bounds.divergence import divergence_value
from wdist.errors import ContradictionError, UsageError
from wdist.estimation.divergence import DivergenceOfSamples
from wdist.report.documents.forms import document, model
from wdist.report.sentences import divergence_verdict
from wdist.training.kind import TrainingJob
from wdist.training.observer import CriticStarted, Stage

FAST = {"settings": SMALL, "steps": 60, "blocks": 0}


def gaussians(n, *, shift=1.0, dim=2, seed=0):
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(n, dim)), random.normal(size=(n, dim))
    a[:, 0] += shift
    return a, b


@pytest.fixture(scope="module")
def found():
    return wdist.estimate(*gaussians(400), divergence="kl", lambda_=2.0, **FAST)


def test_the_intervals_hold_the_truth_and_w1_stands_beside_them(found):
    kl = found.divergence
    assert (kl.name, kl.lambda_) == ("kl", 2.0)
    assert 0 < kl.population.lower <= shifted_gaussians(2.0, 1.0) <= kl.population.upper
    assert kl.population.upper == pytest.approx(2 * found.population.upper)
    assert 0 < kl.samples.lower <= kl.samples.upper <= 2 * found.samples.upper
    assert kl.samples.upper - kl.samples.lower <= 0.01 * kl.samples.upper
    assert kl.samples.upper_method == "semi-relaxed transport"
    assert found.samples.exact
    assert found.population.lower > kl.population.lower, "W1 is 1 here, and the divergence one half"
    assert kl.population.method == "betting", "clipped potentials are bounded on any support"
    assert (kl.population.n_a, kl.population.n_b) == (found.population.n_a, found.population.n_b)


def test_its_bound_shares_the_error(found):
    plain = estimate(*gaussians(400), **FAST, baselines="none")
    assert found.population.jointly_with == plain.population.jointly_with + 1
    assert found.divergence.population.jointly_with == found.population.jointly_with
    assert found.divergence.population.confidence == 0.95
    assert not found.baselines, "its critic takes the time of the usual ones"


def test_its_critic_keeps_to_lambda_and_is_chosen_among_several(found):
    critic = found.divergence.critic
    assert critic.lipschitz_bound <= 2.0
    assert [each.trained_for for each in critic.tried] == ["kl", "w1"]
    assert [each.chosen for each in critic.tried].count(True) == 1
    assert critic.low < critic.high
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = critic.potential(x)
    assert values.shape == (50,)
    assert values.min() >= critic.low
    assert values.max() <= critic.high
    slopes = np.abs(np.subtract.outer(values, values)) / (torch.cdist(x, x).numpy() + 1e-12)
    assert slopes.max() <= 2.0 * (1 + 1e-9)


def test_bounds_of_few_samples_enclose_convex_programming():
    a, b = gaussians(5, seed=3)
    for scale in (0.2, 5.0):
        kl = estimate(np.repeat(a, 4, axis=0), np.repeat(b, 4, axis=0), divergence="kl", lambda_=scale, **FAST).divergence
        truth = exact_divergence(a, b, scale)
        assert kl.samples.lower <= truth * (1 + 1e-5)
        assert truth * (1 - 1e-5) <= kl.samples.upper
        assert kl.samples.upper - kl.samples.lower <= 2e-3 * truth


def test_between_many_samples_lambda_times_w1_bounds_it(monkeypatch):
    monkeypatch.setattr("wdist.transport.relaxed._SECONDS_PER_PAIR", 1.0)
    kl = estimate(*gaussians(60), divergence="kl", lambda_=0.1, **FAST).divergence
    assert kl.samples.upper_method == "lambda W1"
    assert kl.samples.lower_method == kl.critic.name
    assert 0.5 * kl.samples.upper < kl.samples.lower <= kl.samples.upper


def test_equal_sides_have_none():
    a, _ = gaussians(60)
    kl = estimate(a, a, divergence="kl", lambda_=1.0, **FAST).divergence
    assert (kl.samples.lower, kl.samples.upper) == (0.0, 0.0)
    assert kl.population.lower == 0.0


def test_the_network_is_trained_for_the_divergence():
    """B is skewed: a potential of W1, scaled at best, proves less than one that bends."""
    random = np.random.default_rng(0)
    b = random.normal(size=(4000, 1))
    a = random.normal(size=(4000, 1)) * 0.3
    kl = estimate(a, b, divergence="kl", lambda_=3.0, critic="mean-difference", steps=300, blocks=0, couplings=False).divergence
    trained, scaled = kl.critic.tried
    assert (trained.trained_for, trained.chosen) == ("kl", True)
    assert trained.expected > scaled.expected + 0.3
    truth = -math.log(0.3) - (1 - 0.3**2) / 2  # the divergence itself, which lambda lowers
    assert 0.5 * truth < kl.population.lower < truth
    assert 0 < trained.steps <= 100, "a third of the budget"


def test_objective_in_training_is_the_value_over_lambda():
    pair = pair_of(*gaussians(40))
    job = TrainingJob(pair=pair, seed=0, device=torch.device("cpu"), scale=3.0)
    a, b = torch.randn(2, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nats = 3.0 * pair.standardisation.spread
    assert float(job.objective(a, b)) == pytest.approx(divergence_value(nats * a.numpy(), nats * b.numpy()) / nats)
    for scale in (1e-6, 1e-3):
        small = replace(job, scale=scale).objective(a.float() + 5, b.float() + 5)
        assert float(small) == pytest.approx(float(a.mean() - b.mean()) - scale * nats / 6, rel=1e-2)
    pair.close()


def test_the_document_has_its_own_keys(found):
    written = json.loads(found.to_json())
    model("estimate").model_validate(written)
    kl = written["divergence"]
    assert set(kl) == {"name", "lambda", "samples", "population", "critic"}
    assert kl["lambda"] == 2.0
    assert kl["population"]["lower"] == found.divergence.population.lower
    assert written["population"]["lower"] == found.population.lower
    assert document(replace(found, divergence=None), "estimate")["divergence"] is None


def test_the_report_says_what_is_bounded(found):
    text = " ".join(str(found).split())
    assert "D, the Lipschitz-regularised KL divergence of A from B at lambda 2, is at least 0." in text
    assert "so is the KL divergence itself, which is never smaller." in text
    assert "KL samples" in text
    assert "D is the Kullback-Leibler divergence of A from B, in nats" in text
    assert "D, the Lipschitz-regularised KL divergence" in found.summary()


def test_an_upper_bound_is_not_passed_off_as_one_of_the_divergence_itself(found):
    unproved = replace(found.divergence, population=replace(found.divergence.population, lower=0.0))
    assert "and the KL divergence itself may be larger" in divergence_verdict(unproved)
    open_ended = replace(unproved, population=replace(unproved.population, upper=None))
    assert divergence_verdict(open_ended).endswith("at lambda 2, is not proved to exceed 0 at this sample size")


def test_after_an_interruption_the_critics_of_w1_bound_it():
    stop = Listener(lambda event: isinstance(event, CriticStarted) and event.position == 2)
    found = estimate(*gaussians(80), divergence="kl", lambda_=1.0, observer=stop, **FAST)
    assert found.interrupted
    assert [each.trained_for for each in found.divergence.critic.tried] == ["w1"]
    assert found.divergence.samples.upper_method == "lambda W1"
    last = Listener(lambda event: isinstance(event, Stage) and event.what.startswith("semi-relaxed"))
    found = estimate(*gaussians(80), divergence="kl", lambda_=1.0, observer=last, **FAST)
    assert found.divergence.samples.upper_method == "lambda W1"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"divergence": "kl"}, "needs lambda_"),
        ({"lambda_": 1.0}, "lambda_ belongs to divergence"),
        ({"divergence": "js", "lambda_": 1.0}, "unknown; write kl"),
        ({"divergence": "kl", "lambda_": 0.0}, "must lie between"),
        ({"divergence": "kl", "lambda_": float("nan")}, "lambda"),
        ({"divergence": "kl", "lambda_": 1.0, "folds": 3}, "leave folds out"),
        ({"divergence": "kl", "lambda_": 1.0, "repeats": 3}, "leave repeats out"),
        ({"divergence": "kl", "lambda_": 1.0, "critics": "default"}, "leave critics out"),
        ({"divergence": "kl", "lambda_": 1.0, "tolerance": 0.1}, "leave tolerance out"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        wdist.estimate(*gaussians(40), **given)


def test_other_commands_refuse_it():
    a, b = gaussians(40)
    for command in (lambda **options: wdist.gate(a, b, maximum=1.0, **options), lambda **options: wdist.compare(a, [b], **options)):
        with pytest.raises(UsageError, match="divergence belongs to wdist estimate"):
            command(divergence="kl", lambda_=1.0)


def test_bounds_that_exclude_each_other_are_an_error():
    facts = {"lower_method": "x", "upper_method": "y", "n_a": 1, "n_b": 1}
    with pytest.raises(ContradictionError):
        DivergenceOfSamples(lower=1.0, upper=0.5, **facts)
