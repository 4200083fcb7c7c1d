"""Feature spaces by a function: both sides mapped, one sample at a time, into float32."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from wdist import estimate
from wdist.data.access import Access
from wdist.data.features import space as features_module
from wdist.data.features.opening import open_features
from wdist.data.pairing import open_pair
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource
from wdist.errors import SourceError, TrustRequired
from wdist.estimation.proof import save_proof
from wdist.estimation.verification import verify

CPU = torch.device("cpu")
IMAGES = torch.from_numpy(np.random.default_rng(0).random((60, 4, 5), dtype=np.float32))
TRUSTED = Access(trust=True)
FUNCTIONS = """
import torch

CALLS = []

def moments(x):
    assert x.dtype == torch.float32
    CALLS.append(len(x))
    return torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1)], dim=1).double()

def rows(x):
    return x[:, :2]

def whole(x):
    return x.mean()

def as_list(x):
    return x.flatten(1).tolist()

def undefined(x):
    return x.flatten(1) / 0 * 0

def complexes(x):
    return torch.fft.fft(x.flatten(1))

def centred(x):
    return x.flatten(1) - x.flatten(1).mean(0)

def failing(x):
    return x @ torch.ones(7)

def same(x):
    return torch.ones(len(x), 2)

class Kind:
    pass
"""


@pytest.fixture(autouse=True)
def functions(tmp_path, monkeypatch):
    """A file of functions in the present folder."""
    (tmp_path / "embed.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)


def moments(x):
    """The same as in the file."""
    return torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1)], dim=1)


def opened(spec="embed.py:moments"):
    return open_features(spec, TRUSTED)


def test_a_function_is_not_run_before_the_user_trusts_it():
    with pytest.raises(TrustRequired, match="trust=True"):
        open_features("embed.py:moments", Access())


def test_features_are_those_of_the_function_in_float32():
    source = opened().of(open_source(IMAGES))
    assert source.info.event_shape == (2,)
    assert source.info.dtype == "float32"
    assert torch.equal(source.read(slice(0, 60)), moments(IMAGES).float())
    assert torch.equal(source.read(np.array([3, 40])), moments(IMAGES).float()[[3, 40]])


def test_features_see_the_units_of_the_source():
    """uint8 is scaled to [0, 1] before the function sees it, as it is before distances are taken."""
    stored = (IMAGES * 255).to(torch.uint8)
    found = opened().of(open_source(stored)).read(slice(0, 60))
    assert torch.allclose(found, moments(stored / 255.0), atol=1e-6)


def test_further_axes_of_the_output_are_flattened():
    assert opened("embed.py:rows").of(open_source(IMAGES)).info.event_shape == (10,)


def test_what_does_not_fit_into_memory_is_mapped_when_it_is_read(monkeypatch):
    held = opened().of(open_source(IMAGES))
    monkeypatch.setattr(features_module, "fits", lambda nbytes: False)
    space = opened()
    streamed = space.of(open_source(IMAGES))
    calls = len(space._function.__globals__["CALLS"])
    assert torch.allclose(streamed.read(np.array([5, 7, 59])), held.read(np.array([5, 7, 59])), atol=1e-6)
    assert len(space._function.__globals__["CALLS"]) > calls
    slabs = torch.cat([rows for _, rows in streamed.slabs(7)])
    assert torch.allclose(slabs, held.read(slice(0, 60)), atol=1e-6)


def test_draws_are_mapped_as_they_are_drawn():
    source = open_source("synthetic:gaussian?dim=20")
    mapped = opened().of(source)
    assert not isinstance(mapped, FiniteSource)
    drawn = mapped.draw(700, torch.Generator().manual_seed(4))
    assert torch.allclose(drawn, moments(source.draw(700, torch.Generator().manual_seed(4)).float()), atol=1e-6)
    assert mapped.draw(0, torch.Generator()).shape == (0, 2)


def test_a_source_in_the_space_stays_as_it_is():
    """So one that is compared with many is mapped once."""
    space = opened()
    source = space.of(open_source(IMAGES))
    assert space.of(source) is source
    with pytest.raises(SourceError, match="already"):
        opened().of(source)


def test_a_module_is_put_into_evaluation_mode_and_alone_decides_its_features():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(20), torch.nn.Dropout(0.5)).train()
    found = open_features(network).of(open_source(IMAGES)).read(slice(0, 60))
    assert not network.training
    assert torch.allclose(found, IMAGES.flatten(1), atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("embed.py:whole", "one row of features for each sample"),
        ("embed.py:as_list", "return a tensor"),
        ("embed.py:undefined", "NaN or infinity"),
        ("embed.py:complexes", "return real ones"),
        ("embed.py:centred", "depend on the other samples in its batch"),
        ("embed.py:failing", r"fail on samples of shape \(4, 5\) from <tensor> \(RuntimeError"),
        ("embed.py:momments", "did you mean 'moments'"),
        ("embed.py:Kind", "is a class"),
        ("nowhere:moments", "cannot be imported"),
        ("embed.py:same", "all 60 rows of features of <tensor> are equal"),
        ("", "names nothing"),
        (3, "not of type int"),
    ],
)
def test_what_is_no_feature_space_is_refused_in_a_sentence(spec, sentence):
    with pytest.raises(SourceError, match=sentence) as refused:
        open_pair(IMAGES, IMAGES + 1, access=TRUSTED, seed=0, device=CPU, features=open_features(spec, TRUSTED))
    assert "\n" not in str(refused.value)


def test_rows_that_are_not_finite_are_refused_before_they_are_mapped():
    spoiled = IMAGES.clone()
    spoiled[3, 0, 0] = torch.nan
    with pytest.raises(SourceError, match="row 3 holds NaN"):
        open_pair(spoiled, IMAGES, access=TRUSTED, seed=0, device=CPU, features=opened())
    kept = Access(trust=True, drop_nonfinite=True)
    with open_both(spoiled, IMAGES, access=kept) as pair:
        assert (pair.a.info.count, pair.b.info.count) == (59, 60)


def test_sides_need_the_same_number_of_features_and_not_the_same_shape():
    other = torch.rand(50, 7, 3)
    with open_both(IMAGES, other) as pair:
        assert pair.a.info.dim == pair.b.info.dim == 2
    with pytest.raises(SourceError, match="10 features and one of <tensor> 6"):
        open_pair(IMAGES, other, access=TRUSTED, seed=0, device=CPU, features=opened("embed.py:rows"))


def test_two_scalings_are_told_and_features_of_any_range_may_meet():
    with open_both(IMAGES, 255 * IMAGES, features=opened()) as pair:
        assert any("two scalings" in warning for warning in pair.warnings)
    wide = open_features(lambda x: torch.where(x.flatten(1)[:, :1] > 5, 200.0, 0.5) * x.flatten(1)[:, 1:2])
    with open_both(IMAGES, IMAGES + 10, features=wide) as pair:
        assert not pair.warnings


def test_the_bounds_are_of_the_distance_between_the_features():
    x, y = IMAGES, torch.rand(70, 4, 5, generator=torch.Generator().manual_seed(5)) ** 2
    found = estimate(x, y, critic="mean-difference", baselines="none", features=lambda each: each.flatten(1).mean(1))
    truth = wasserstein_distance(x.flatten(1).mean(1).numpy(), y.flatten(1).mean(1).numpy())
    assert found.samples.exact
    assert found.samples.upper == pytest.approx(truth, rel=1e-6)
    assert 0 < found.samples.lower <= truth * (1 + 1e-6)
    assert found.features.dim == 1
    assert found.a.bounds is None


def test_a_saved_critic_is_verified_in_its_feature_space(tmp_path):
    np.save("a.npy", IMAGES.numpy())
    np.save("b.npy", IMAGES.numpy()[:, ::-1] ** 2)
    found = estimate(
        "a.npy", "b.npy", critic="mean-difference", baselines="none", features="embed.py:moments", access=Access(trust=True)
    )
    assert found.features.spec == "embed.py:moments"
    save_proof(found, tmp_path / "proof.safetensors")
    assert verify("proof.safetensors", features="embed.py:moments", access=TRUSTED).ok
    for access in (None, TRUSTED):  # trust covers what is passed, not what the proof names
        with pytest.raises(TrustRequired):
            verify("proof.safetensors", access=access)
    (tmp_path / "embed.py").write_text(FUNCTIONS.replace("std(1)", "amax(1)"))
    changed = verify("proof.safetensors", features="embed.py:moments", access=TRUSTED)
    assert {finding.what for finding in changed.findings if not finding.ok} >= {"features", "samples A", "samples B"}


def test_a_claim_about_samples_is_not_verified_by_features(tmp_path):
    np.save("a.npy", IMAGES.numpy())
    found = estimate("a.npy", IMAGES**2, critic="mean-difference", baselines="none")
    save_proof(found, tmp_path / "proof.safetensors")
    flat = verify("proof.safetensors", "a.npy", IMAGES**2, features=lambda x: x.flatten(1))
    assert "features" in {finding.what for finding in flat.findings if not finding.ok}


def open_both(a, b, *, access=TRUSTED, features=None):
    """Both sides in a feature space, closed behind the test."""
    from contextlib import closing

    return closing(open_pair(a, b, access=access, seed=0, device=CPU, features=features or opened()))
