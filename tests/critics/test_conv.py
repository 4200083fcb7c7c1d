"""The convolutional critic: one function in training and frozen, with a bound that its whole matrix confirms."""

import itertools
import math

import pytest
import torch

import wdist
from tests.trials import digest, network, read_critic, write_critic
from wdist.bounds.certificate import certify
from wdist.critics.conv import ConvCritic
from wdist.critics.settings import CriticSettings
from wdist.data.standardisation import Standardisation
from wdist.lipschitz.activations import activation
from wdist.lipschitz.bjorck import OrthonormalLinear
from wdist.lipschitz.convolution import ImageShape, Patches

SHAPES = [(8, 8), (28, 28), (2, 10, 9), (12, 12, 3), (4, 17, 16), (40,)]


def built(event_shape, generator, **settings):
    dim = math.prod(event_shape)
    chosen = CriticSettings(**{"width": 32, "group_size": 4, **settings})
    return network("groupsort-conv", dim, chosen, generator, event_shape=event_shape)


def frozen(critic, dim):
    critic.constrain_(tightly=True)
    return critic.freeze(Standardisation(shift=torch.zeros(dim, dtype=torch.float64), spread=1.0))


@pytest.mark.parametrize("event_shape", SHAPES, ids=str)
def test_it_is_one_function_and_certified(event_shape, generator, tmp_path):
    critic, dim = built(event_shape, generator), math.prod(event_shape)
    plain = frozen(critic, dim)
    x = torch.randn(6, dim, generator=generator)
    torch.testing.assert_close(critic(x).double(), plain.potentials(x), rtol=1e-4, atol=1e-5)
    assert certify(plain).lipschitz_bound <= 1 + 1e-9
    path = tmp_path / "critic.safetensors"
    write_critic(path, plain)
    again = read_critic(path)
    assert torch.equal(again.potentials(x), plain.potentials(x))
    assert digest(again) == digest(plain)


@pytest.mark.parametrize("event_shape", SHAPES, ids=str)
def test_no_affine_piece_is_steeper_than_the_certificate(event_shape, generator):
    """Layer by layer the whole matrices, multiplied out where the activations only move and compare: the gradient."""
    dim = math.prod(event_shape)
    plain = frozen(built(event_shape, generator), dim)
    x = torch.randn(20, dim, generator=generator, dtype=torch.float64, requires_grad=True)
    h = x
    for layer in plain.layers:
        h = layer(h)
    (gradient,) = torch.autograd.grad(h.sum(), x)
    slopes = torch.linalg.vector_norm(gradient, dim=1)
    assert float(slopes.max()) <= certify(plain).lipschitz_bound * (1 + 1e-12)
    assert float(slopes.max()) > 0.1, "a function without slope would prove nothing"


def test_groups_of_channels_are_shifted_from_the_second_layer_on(generator):
    critic = built((28, 28), generator)
    assert [len(patches.shifts) for patches in critic.patches] == [1, 4, 1, 1, 1]
    assert [patches.grid for patches in critic.patches] == [(14, 14), (7, 7), (1, 1), (1, 1), (1, 1)]


def test_receptive_fields_overlap(generator):
    """An output behind two convolutions depends on more pixels than its patch of four times four, with one certificate for all."""
    critic = built((20, 20), generator)
    x = torch.randn(1, 400, generator=generator, requires_grad=True)
    h = x
    for layer, patches, between in zip(critic.linear[:2], critic.patches[:2], critic.between[:2], strict=True):
        h = between(layer(patches.cut(h))).reshape(1, -1)
    middle = h.reshape(5, 5, -1)[2, 2].sum()
    (gradient,) = torch.autograd.grad(middle, x)
    rows, columns = torch.nonzero(gradient.reshape(20, 20), as_tuple=True)
    assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == (6, 6)


def test_sizes_of_infogan(generator):
    """The critic of appendix H.3: 64 and 128 channels, 1024 units."""
    critic = built((18, 18), generator, width=1024, depth=4, group_size=2)
    assert [layer.outputs for layer in critic.linear] == [64, 128, 1024, 1]


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_depth_counts_all_layers(depth, generator):
    assert len(built((28, 28), generator, depth=depth).layers) == depth


def test_overlapping_convolutions_are_certified_too(generator):
    """Kernels of four pixels, two apart, as InfoGAN has them: four patches share a pixel, and the norm is still at most 1."""
    shape = ImageShape.of_event((12, 12))
    first = Patches(image=shape, kernel=(4, 4), stride=(2, 2), before=(1, 1))
    second = Patches.apart(first.outputs(8), 6)
    layers = [
        OrthonormalLinear(first.size, 8, generator=generator),
        OrthonormalLinear(second.size, 1, generator=generator),
    ]
    critic = ConvCritic(layers, [first, second], activation("maxmin"))
    plain = frozen(critic, 144)
    assert first.overlap == 4
    assert certify(plain).lipschitz_bound <= 1 + 1e-9
    x = torch.randn(5, 144, generator=generator)
    torch.testing.assert_close(critic(x).double(), plain.potentials(x), rtol=1e-4, atol=1e-5)
    for y, z in itertools.combinations(x.double(), 2):
        difference = abs(float(plain.potentials(y[None]) - plain.potentials(z[None])))
        assert difference <= float((y - z).norm()) * (1 + 1e-9)


def test_estimate_trains_it_on_images(samples):
    low, high = (f"{samples}/digits-{name}.h5?limit=150" for name in ("low", "high"))
    settings = CriticSettings(width=32, batch_size=64)
    result = wdist.estimate(low, high, critic="groupsort-conv", baselines="none", steps=15, settings=settings)
    assert result.critic.name == "groupsort-conv"
    assert result.critic.layers[0].layer.startswith("convolution")
    assert result.critic.lipschitz_bound <= 1 + 1e-9
    assert 0 < result.critic.samples.lower <= result.samples.upper
