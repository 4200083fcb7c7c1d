"""A proof of a divergence: confirmed as it was saved; forged, it is refused, denied, or claims what is true all the same."""

import json

import numpy as np
import pytest
import torch

from tests.divergences import exact_divergence
from tests.forgeries import changed_at, forged, wrong
from tests.trials import SMALL
from wdist import estimate
from wdist.errors import SourceError
from wdist.estimation.proof import save_proof
from wdist.estimation.verification import verify

SCALE = 2.0
FAST = {"settings": SMALL, "steps": 30, "blocks": 0, "baselines": "none", "divergence": "kl", "lambda_": SCALE}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """A folder with a proof and its two files, the estimate, and the divergence of the samples by convex programming."""
    folder, random = tmp_path_factory.mktemp("divergence"), np.random.default_rng(3)
    a, b = random.normal(size=(6, 2)) + 1, random.normal(size=(5, 2))
    np.save(folder / "a.npy", np.repeat(a, 50, axis=0))
    np.save(folder / "b.npy", np.repeat(b, 60, axis=0))
    found = estimate(folder / "a.npy", folder / "b.npy", **FAST)
    save_proof(found, folder / "proof.safetensors")
    return folder, found, exact_divergence(a, b, SCALE)


def confirmed(found, path, *sides):
    """The verification of a result, all ends of whose divergence are proved again, closely."""
    save_proof(found, path)
    checked = verify(path, *sides)
    assert checked.ok, wrong(checked)
    for claimed, proved in (
        (checked.claims.divergence.samples, checked.estimate.divergence.samples),
        (checked.claims.divergence.population, checked.estimate.divergence.population),
    ):
        assert claimed.lower <= proved.lower == pytest.approx(claimed.lower, rel=1e-8, abs=1e-12)
        assert (claimed.upper is None) == (proved.upper is None)
        assert claimed.upper is None or claimed.upper >= proved.upper == pytest.approx(claimed.upper, rel=1e-5)
    return checked


def test_all_ends_are_proved_again_and_enclose_the_truth(evidence, tmp_path):
    _, found, truth = evidence
    checked = confirmed(found, tmp_path / "proof.safetensors")
    kl = checked.estimate.divergence
    assert kl.samples.lower * (1 - 1e-5) <= truth <= kl.samples.upper * (1 + 1e-5)
    assert kl.samples.upper - kl.samples.lower <= 2e-3 * truth
    assert (kl.lambda_, kl.critic.name, kl.critic.trained_for) == (SCALE, found.divergence.critic.name, kl.critic.trained_for)
    assert kl.critic.lipschitz_bound <= SCALE
    assert kl.population.lower > 0
    assert "D at lambda 2" in checked.summary()
    claimed = json.loads(checked.to_json())["claims"]["divergence"]
    assert claimed["population"] == {"lower": found.divergence.population.lower, "upper": found.divergence.population.upper}


@pytest.mark.parametrize(
    "given",
    [
        {"metric": "l1"},
        {"metric": "linf", "lambda_": 0.3},
        {"couplings": False},
        {"ci": "empirical-bernstein", "lambda_": 40.0},
        {"lambda_": 1e-3},
    ],
    ids=str,
)
def test_other_settings_are_proved_again(given, tmp_path):
    random = np.random.default_rng(0)
    a, b = (random.integers(low, low + 3, size=(n, 4)).astype(np.uint8) for low, n in ((0, 90), (1, 70)))
    found = estimate(a, b, **FAST | given)
    checked = confirmed(found, tmp_path / "proof.safetensors", a, b)
    assert (checked.claims.divergence.samples.upper is None) == (given == {"couplings": False})


def test_where_lambda_times_w1_is_the_upper_end_and_where_both_sides_are_the_same(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(60, 2)) + 1, random.normal(size=(50, 2))
    confirmed(estimate(a, a, **FAST), tmp_path / "same.safetensors", a, a)
    monkeypatch.setattr("wdist.transport.relaxed._SECONDS_PER_PAIR", 1.0)
    checked = confirmed(estimate(a, b, **FAST), tmp_path / "proof.safetensors", a, b)
    assert checked.estimate.divergence.samples.upper_method == "lambda W1"


RAISED = [
    ("divergence.samples.lower", "lower end of D, samples"),
    ("divergence.population.lower", "lower end of D, populations"),
]
LOWERED = [
    ("divergence.samples.upper", "upper end of D, samples"),
    ("divergence.population.upper", "upper end of D, populations"),
]


@pytest.mark.parametrize(("path", "finding"), RAISED + LOWERED)
@pytest.mark.parametrize("share", [0.5, 1e-3, 1e-8])
def test_a_claim_that_goes_further_is_denied(path, finding, share, evidence, tmp_path):
    factor = 1 + share if (path, finding) in RAISED else 1 - share
    forgery = forged(evidence, tmp_path, statement=lambda s: changed_at(s, path, lambda claim: claim * factor + 1e-12 * share))
    assert wrong(verify(forgery)) == {finding}


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        ("divergence.lambda", 2.001, "upper end of D, populations"),
        ("divergence.lambda", 1.9, "lower end of D, samples"),
        ("divergence.lambda", 0.1, "critic of the divergence"),
        ("divergence.factor", lambda factor: 100 * factor, "critic of the divergence"),
        ("divergence.shift", lambda shift: shift + 1, "lower end of D, populations"),
        ("divergence.method", "empirical-bernstein", "lower end of D, populations"),
        ("confidence", 0.999, "lower end of D, populations"),
        ("jointly_with", 2, "confidence"),
        ("seed", 1, "held-out samples A"),
    ],
    ids=lambda given: given.__name__ if callable(given) else str(given),
)
def test_a_changed_condition_is_denied(path, value, finding, evidence, tmp_path):
    assert finding in wrong(verify(forged(evidence, tmp_path, statement=lambda s: changed_at(s, path, value))))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("divergence.lambda", -1.0),
        ("divergence.lambda", float("inf")),
        ("divergence.name", "js"),
        ("divergence.factor", -1.0),
        ("divergence.shift", -1e4),
        ("divergence.low", 1e9),
        ("divergence.high", float("nan")),
        ("divergence.method", "hope"),
        ("divergence.samples.lower", None),
        ("divergence.another", 1),
        ("divergence.critic", "[]"),
        ("divergence", None),
        ("divergence", 7),
    ],
    ids=str,
)
def test_a_statement_that_makes_no_sense_is_refused(path, value, evidence, tmp_path):
    with pytest.raises(SourceError, match="damaged proof") as caught:
        verify(forged(evidence, tmp_path, statement=lambda s: changed_at(s, path, value)))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("0/divergence.critic.shift"),
        lambda t: t.pop("0/divergence.dual.v"),
        lambda t: t.pop("0/divergence.plan.mass"),
        lambda t: t.update({"0/divergence.dual.u": t["0/divergence.dual.u"][1:].clone()}),
        lambda t: t.update({"0/divergence.plan.columns": t["0/divergence.plan.columns"] + 1000}),
        lambda t: t.update({"0/divergence.plan.mass": -t["0/divergence.plan.mass"]}),
        lambda t: t.update({"0/divergence.note": torch.zeros(1)}),
        lambda t: t.update({"0/divergence.critic.shift": torch.zeros(7, dtype=torch.float64)}),
    ],
)
def test_evidence_of_another_form_is_refused(change, evidence, tmp_path):
    with pytest.raises(SourceError) as caught:
        verify(forged(evidence, tmp_path, tensors=change))
    assert len(str(caught.value).splitlines()) == 1


def test_changed_samples_are_noticed(evidence):
    folder, *_ = evidence
    a, b = (np.load(folder / f"{name}.npy") for name in "ab")
    b[17, 1] += 0.01
    assert "samples B" in wrong(verify(folder / "proof.safetensors", a, b))


def test_without_evidence_the_critic_and_lambda_times_w1_are_left(evidence, tmp_path):
    def without(tensors):
        for name in [name for name in tensors if "divergence.dual" in name or "divergence.plan" in name]:
            del tensors[name]

    checked = verify(forged(evidence, tmp_path, tensors=without))
    assert wrong(checked) == {"lower end of D, samples", "upper end of D, samples"}
    assert checked.estimate.divergence.samples.upper_method == "lambda W1"


def random_forgery(random):
    """Changes one to three numbers, tensors or claims of a divergence."""

    def factor():
        return float(random.choice([0.0, -1.0, 0.5, 1 + 1e-9, 1.01, 2.0, 1e-160, 1e12, 1e160, 1e300]))

    def of_tensors(tensors):
        for name in random.choice([name for name in tensors if "divergence" in name], size=2, replace=False):
            if tensors[name].is_floating_point() and random.random() < 0.7:
                tensors[name] = tensors[name] * factor() if random.random() < 0.7 else tensors[name] + factor()

    def of_statement(statement):
        kl = statement["divergence"]
        for path in random.choice(["factor", "low", "high", "shift", "samples.lower", "samples.upper"], size=2, replace=False):
            if random.random() < 0.5:
                changed_at(kl, str(path), lambda value: max(-1e308, min(value * factor(), 1e308)))

    return {"tensors": of_tensors, "statement": of_statement}


@pytest.mark.parametrize("seed", range(60))
def test_no_forgery_proves_what_is_false(seed, evidence, tmp_path):
    truth = evidence[2]
    try:
        checked = verify(forged(evidence, tmp_path, **random_forgery(np.random.default_rng(seed))))
    except SourceError:
        return
    kl, claimed = checked.estimate.divergence, checked.claims.divergence
    assert kl.samples.lower <= truth * (1 + 1e-5)
    assert kl.samples.upper >= truth * (1 - 1e-5)
    assert kl.critic.lipschitz_bound <= SCALE * (1 + 1e-12)
    if checked.ok:
        assert claimed.samples.lower <= truth * (1 + 1e-5)
        assert claimed.samples.upper >= truth * (1 - 1e-5)
