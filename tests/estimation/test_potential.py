"""The critic of a result as a function of samples: the one that was certified, in the shape and the units of the source."""

import numpy as np
import pytest
import torch

import wdist
from wdist.critics.blend import best_blend, blended
from wdist.critics.frozen import FrozenCritic
from wdist.critics.potential import PotentialModule
from wdist.data.standardisation import Standardisation
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import Affine

N, DIM = 200, 4
TRAINED = {"steps": 15, "baselines": "none"}
CRITICS = {
    "groupsort-bjorck": TRAINED, "cones": TRAINED, "elliptic-cones": TRAINED, "householder-bjorck": TRAINED,
    "relu-spectral": TRAINED,
    "c-transform": {"baselines": "none"}, "radial": {"baselines": "none"}, "max-sliced": {"baselines": "none"},
}  # fmt: skip
EACH = pytest.mark.parametrize("critic", CRITICS)


@pytest.fixture(scope="module")
def sets():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(N, DIM, generator=generator), torch.randn(N, DIM, generator=generator) * 0.8 + 0.7


@pytest.fixture(scope="module")
def results(sets):
    """Makes the estimate with one critic, once."""
    made = {}

    def make(critic):
        if critic not in made:
            made[critic] = wdist.estimate(*sets, critic=critic, **CRITICS[critic])
        return made[critic]

    return make


def test_what_is_printed_says_what_it_takes(results):
    assert str(results("radial").critic.potential) == "<Potential: a function of samples of shape (4,)>"


@EACH
def test_scores_average_to_the_certified_bound(results, sets, critic):
    """Mean score over A less mean score over B is the dual value over K, of which rounding takes almost nothing."""
    found = results(critic).critic
    a, b = (found.potential.score(side) for side in sets)
    assert a.shape == (N,)
    assert float(b.mean()) == pytest.approx(0, abs=1e-12)
    assert float(a.mean()) == pytest.approx(found.samples.lower, rel=1e-6)
    assert found.samples.lower <= float(a.mean())


@EACH
def test_gradients_are_those_of_finite_differences_and_no_longer_than_k(results, sets, critic):
    found = results(critic).critic
    x = (sets[0][:9] + 0.3).double().requires_grad_()
    assert torch.autograd.gradcheck(found.potential, (x,), eps=1e-6, atol=1e-5)
    (gradient,) = torch.autograd.grad(found.potential(x).sum(), x)
    assert float(gradient.norm(dim=1).max()) <= found.lipschitz_bound * (1 + 1e-9)


@EACH
def test_tensors_arrays_and_the_module_agree(results, sets, critic):
    potential = results(critic).critic.potential
    values = potential(sets[0])
    assert values.dtype == torch.float64
    np.testing.assert_allclose(potential(sets[0].numpy()), values, rtol=0, atol=1e-12)
    np.testing.assert_allclose(potential.module()(sets[0]), values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(potential.module().float()(sets[0]), values, rtol=0, atol=1e-4)
    assert potential.module().float()(sets[0]).dtype == torch.float32


@EACH
def test_the_module_can_be_exported_for_any_number_of_samples(results, sets, critic):
    potential = results(critic).critic.potential
    rows = {0: torch.export.Dim("n", min=2)}
    program = torch.export.export(potential.module(), (sets[0][:4].double(),), dynamic_shapes=(rows,))
    np.testing.assert_allclose(program.module()(sets[1].double()), potential(sets[1]), rtol=0, atol=1e-9)


def test_envelopes_and_patches_are_modules_too(sets):
    standardisation = Standardisation(shift=torch.zeros(DIM, dtype=torch.float64), spread=2.0)
    cones = FrozenCritic([Cones(centres=sets[0][:5].double(), offsets=torch.zeros(5, dtype=torch.float64))], standardisation)
    plane = FrozenCritic([Affine(weight=torch.eye(DIM)[:1].double(), bias=torch.zeros(1).double())], standardisation)
    blend = best_blend(*((each.potentials(sets[0]), each.potentials(sets[1])) for each in (cones, plane)))
    both = blended(cones, plane, blend)
    torch.testing.assert_close(PotentialModule(both, (DIM,))(sets[0]), both.potentials(sets[0]))
    images = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = wdist.estimate(images, images + 0.1 * torch.rand(60, 1, 1, 1), critic="groupsort-conv", steps=3, baselines="none")
    torch.testing.assert_close(found.critic.potential.module()(images), found.critic.potential(images))


def test_the_module_moves_b_towards_a_in_a_training_loop(results, sets):
    """Following the gradient of the potential is what the generator of a Wasserstein GAN does."""
    found = results("groupsort-bjorck")
    module = found.critic.potential.module().float()
    moved = sets[1].clone().requires_grad_()
    optimizer = torch.optim.SGD([moved], lr=0.05 * N)
    before = wdist.transport(*sets).upper
    for _ in range(8):
        optimizer.zero_grad()
        (-module(moved).mean()).backward()
        optimizer.step()
    assert wdist.transport(sets[0], moved.detach()).lower < before
    assert not list(module.parameters())


def test_a_module_is_saved_and_loaded_like_any_other(results, sets, tmp_path):
    potential = results("groupsort-bjorck").critic.potential
    module = potential.module()
    torch.save(module.state_dict(), tmp_path / "potential.pt")
    other = potential.module()
    other.shift.zero_()
    other.load_state_dict(torch.load(tmp_path / "potential.pt", weights_only=True))
    torch.testing.assert_close(other(sets[0]), potential(sets[0]))


@pytest.mark.gpu
def test_the_module_moves_to_a_gpu(results, sets):
    potential = results("groupsort-bjorck").critic.potential
    on_gpu = potential.module().cuda()(sets[0].cuda())
    torch.testing.assert_close(on_gpu.cpu(), potential(sets[0]))
    assert potential(sets[0].cuda()).device.type == "cuda"


@EACH
def test_witnesses_are_the_most_extreme_samples_of_each_side(results, sets, critic):
    potential = results(critic).critic.potential
    found = potential.witnesses(5)
    for clearest, side, sign in ((found.a, sets[0], 1), (found.b, sets[1], -1)):
        scores = sign * potential.score(side)
        expected = scores.sort(descending=True).values[:5]
        torch.testing.assert_close(torch.from_numpy(sign * clearest.scores), expected)
        torch.testing.assert_close(clearest.samples.float(), side[clearest.rows])


def test_bytes_and_units_of_images_are_one_function():
    generator = torch.Generator().manual_seed(0)
    low = torch.randint(0, 100, (50, 3, 4, 4), dtype=torch.uint8, generator=generator)
    high = torch.randint(50, 255, (50, 3, 4, 4), dtype=torch.uint8, generator=generator)
    potential = wdist.estimate(low, high, critic="mean-difference", baselines="none", couplings=False).critic.potential
    values = potential(low)
    torch.testing.assert_close(potential(low.float() / 255), values, atol=1e-6, rtol=0)
    torch.testing.assert_close(potential(low.flatten(1)), values)
    np.testing.assert_allclose(potential(low.numpy()), values)
    assert potential.witnesses(2).a.samples.shape == (2, 3, 4, 4)


def test_columns_of_a_frame_are_matched_by_name():
    pandas = pytest.importorskip("pandas")
    generator = np.random.default_rng(0)
    frame = pandas.DataFrame(generator.normal(size=(60, 2)), columns=["x", "y"])
    potential = wdist.estimate(frame, frame.assign(y=frame.y + 3), critic="mean-difference").critic.potential
    np.testing.assert_allclose(potential(frame[["y", "x"]]), potential(frame.to_numpy()))
    with pytest.raises(wdist.WdistError, match="no column 'y'"):
        potential(frame[["x"]])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (torch.zeros(3, DIM + 1), rf"shape \(3, {DIM + 1}\); give samples of shape \(n, {DIM}\)"),
        (torch.zeros(DIM), "give samples of shape"),
        (1.0, "give samples of shape"),
        ("a.h5", "holds no numbers"),
        (None, "x"),
        (object(), "holds no numbers"),
        (torch.zeros(3, DIM, dtype=torch.complex64), "complex"),
    ],
)
def test_what_is_no_sample_is_refused_in_a_sentence(results, wrong, words):
    with pytest.raises(wdist.WdistError, match=words):
        results("groupsort-bjorck").critic.potential(wrong)


@pytest.mark.parametrize("k", [0, 1000, 2.5, "3"])
def test_a_number_of_witnesses_that_makes_no_sense_is_refused(results, k):
    with pytest.raises(wdist.WdistError, match="k must be"):
        results("groupsort-bjorck").critic.potential.witnesses(k)


def test_a_proof_that_was_verified_has_its_potential(sets, results, tmp_path):
    found = results("groupsort-bjorck")
    wdist.save_proof(found, tmp_path / "p.safetensors")
    again = wdist.verify(tmp_path / "p.safetensors", *sets).estimate
    torch.testing.assert_close(again.critic.potential(sets[0]), found.critic.potential(sets[0]))
