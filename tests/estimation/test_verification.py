"""Verification: yes to what was saved, no to a weight, a sample or a number that was changed."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.trials import SMALL, two_moons
from wdist.critics.frozen import FrozenCritic
from wdist.errors import SourceError, WdistError
from wdist.estimation.estimate import estimate
from wdist.estimation.verification import save_critic, verify


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """A saved critic and its two files."""
    folder = tmp_path_factory.mktemp("evidence")
    for name, side in zip("ab", two_moons(120, 90, 3), strict=True):
        np.save(folder / f"{name}.npy", side)
    found = estimate(folder / "a.npy", folder / "b.npy", settings=SMALL, steps=30)
    save_critic(found, folder / "critic.safetensors")
    return folder, found


def tampered(evidence, tmp_path, *, tensors=None, claim=None, critic=None):
    """A copy of the saved critic with changes."""
    with safe_open(evidence[0] / "critic.safetensors", framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    if tensors:
        tensors(stored)
    for key, changes in (("claim", claim), ("critic", critic)):
        if changes:
            metadata[key] = json.dumps({**json.loads(metadata[key]), **changes})
    path = tmp_path / "critic.safetensors"
    save_file(stored, path, metadata)
    return path


def wrong(verification):
    return {finding.what for finding in verification.findings if not finding.ok}


def test_an_untouched_critic_is_confirmed_with_the_same_numbers(evidence):
    folder, found = evidence
    checked = verify(folder / "critic.safetensors")
    assert checked.ok
    assert wrong(checked) == set()
    assert checked.lower == checked.claimed_lower == found.critic.samples.lower
    assert checked.population_lower == checked.claimed_population_lower == found.population.lower
    assert checked.lipschitz_bound == checked.claimed_lipschitz_bound == found.critic.lipschitz_bound
    assert (checked.a, checked.b) == (str(folder / "a.npy"), str(folder / "b.npy"))
    assert not checked.endless


def test_samples_may_be_handed_over_from_elsewhere(evidence):
    folder, _ = evidence
    a, b = (np.load(folder / f"{name}.npy") for name in "ab")
    assert verify(folder / "critic.safetensors", a, torch.from_numpy(b)).ok


def test_a_copy_that_was_saved_again_unchanged_is_confirmed(evidence, tmp_path):
    assert verify(tampered(evidence, tmp_path)).ok


@pytest.mark.parametrize(
    "name", ["layers.0.weight", "layers.2.weight", "layers.4.weight", "layers.0.bias", "layers.4.bias", "shift"]
)
def test_one_changed_number_of_the_critic_is_noticed(name, evidence, tmp_path):
    def change(tensors):
        values = tensors[name].flatten()
        values[0] += 1e-300 if values[0] == 0 else values[0] * 2**-52
        tensors[name] = values.reshape(tensors[name].shape)

    assert "weights" in wrong(verify(tampered(evidence, tmp_path, tensors=change)))


def test_larger_weights_do_not_prove_more(evidence, tmp_path):
    def scale(tensors):
        tensors["layers.4.weight"] *= 2

    checked = verify(tampered(evidence, tmp_path, tensors=scale))
    assert {"weights", "certificate"} <= wrong(checked)
    assert checked.lipschitz_bound == pytest.approx(2 * checked.claimed_lipschitz_bound)
    assert checked.lower == pytest.approx(checked.claimed_lower, rel=1e-9), "the certificate takes back what the weights give"


@pytest.mark.parametrize("change", [{"lipschitz": 0.5}, {"spread": 7.0}], ids=str)
def test_a_changed_description_is_noticed(change, evidence, tmp_path):
    assert "weights" in wrong(verify(tampered(evidence, tmp_path, critic=change)))


@pytest.mark.parametrize(
    ("field", "finding"),
    [
        ("samples_lower", "lower bound, samples"),
        ("population_lower", "lower bound, populations"),
        ("lipschitz_bound", "certificate"),
    ],
)
@pytest.mark.parametrize("factor", [1.001, 0.999, 1 + 1e-6, float("inf"), float("nan")])
def test_a_changed_claim_is_noticed(field, finding, factor, evidence, tmp_path):
    claimed = json.loads(FrozenCritic.load(evidence[0] / "critic.safetensors")[1]["claim"])[field]
    assert wrong(verify(tampered(evidence, tmp_path, claim={field: claimed * factor}))) == {finding}


@pytest.mark.parametrize(
    "change",
    [{"confidence": 0.99}, {"jointly_with": 1}, {"jointly_with": 10}, {"seed": 1}, {"critic_digest": "0" * 64}, {"digest_a": None}],
    ids=str,
)
def test_a_changed_condition_of_the_claim_is_noticed(change, evidence, tmp_path):
    assert not verify(tampered(evidence, tmp_path, claim=change)).ok


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": 2.0},
        {"confidence": "high"},
        {"jointly_with": 0},
        {"method": "hope"},
        {"method": "empirical-bernstein"},
        {"event_shape": 3},
        {"samples_lower": "large"},
        {"samples_lower": None},
        {"seed": -1},
        {"seed": "x"},
        {"another": 1},
        {"a": 7},
        {"a": "gone.npy"},
    ],
    ids=str,
)
def test_a_claim_that_makes_no_sense_is_refused_or_denied(change, evidence, tmp_path):
    path = tampered(evidence, tmp_path, claim=change)
    try:
        denied = not verify(path).ok
    except WdistError as error:
        denied = len(str(error).splitlines()) == 1
    assert denied


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("change", ["one value", "one row less", "order", "stored type", "a held-out value"])
def test_changed_samples_are_noticed(side, change, evidence):
    folder, _ = evidence
    sets = {name: np.load(folder / f"{name}.npy") for name in "ab"}
    values = sets[side]
    if change == "one value":
        values[17, 1] = np.nextafter(values[17, 1], np.inf)
    elif change == "a held-out value":
        values[3] += 10
    elif change == "one row less":
        sets[side] = values[:-1]
    elif change == "order":
        sets[side] = values[::-1].copy()
    else:
        sets[side] = values.astype(np.float32)
    assert f"samples {side.upper()}" in wrong(verify(folder / "critic.safetensors", sets["a"], sets["b"]))


def test_swapped_sides_prove_nothing(evidence):
    folder, _ = evidence
    checked = verify(folder / "critic.safetensors", folder / "b.npy", folder / "a.npy")
    assert {"samples A", "samples B", "lower bound, samples"} <= wrong(checked)
    assert checked.lower == 0


def test_samples_of_another_dimension_are_refused(evidence):
    folder, _ = evidence
    with pytest.raises(SourceError, match="takes samples of 3 coordinates"):
        verify(folder / "critic.safetensors", *two_moons(30, 30, 2))


@pytest.mark.usefixtures("no_transport")
def test_drawn_samples_are_drawn_anew(tmp_path):
    a, b = "synthetic:gaussian?dim=2&shift=1", "synthetic:gaussian?dim=2"
    save_critic(estimate(a, b, settings=SMALL, steps=20, baselines="none", seed=5), tmp_path / "critic.safetensors")
    checked = verify(tmp_path / "critic.safetensors")
    assert checked.ok
    assert checked.endless
    assert not verify(tmp_path / "critic.safetensors", "synthetic:gaussian?dim=2&shift=1.01", b).ok


def test_what_is_no_critic_is_refused(evidence, tmp_path):
    folder, _ = evidence
    with pytest.raises(SourceError, match="safetensors"):
        verify(folder / "a.npy")
    with pytest.raises(SourceError, match="safetensors"):
        verify(folder / "missing.safetensors")
    path = tmp_path / "critic.safetensors"
    path.write_bytes(FrozenCritic.load(folder / "critic.safetensors")[0].serialise({}))
    with pytest.raises(SourceError, match="no readable claim"):
        verify(path)


@pytest.mark.parametrize(
    "change",
    [{"version": "99"}, {"samples_lower": "0.7"}, {"a": 5}, {"seed": True}, {"jointly_with": 1.5}, {"lipschitz_bound": None}],
    ids=str,
)
def test_a_claim_of_another_kind_is_refused_before_anything_is_read(change, evidence, tmp_path):
    with pytest.raises(SourceError, match="no readable claim"):
        verify(tampered(evidence, tmp_path, claim=change), tmp_path / "missing.npy", tmp_path / "missing.npy")
