"""Convolutions: the pixels of their patches, and the norm that follows."""

import pytest
import torch

from wdist.errors import UsageError
from wdist.lipschitz.activations import Activated, activation
from wdist.lipschitz.convolution import Convolution, ImageShape, Patches, PatchWise
from wdist.lipschitz.frozen_layers import read_layer
from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial


def image(channels, height, width, layout="chw"):
    return ImageShape(channels=channels, height=height, width=width, layout=layout)


PATCHES = [
    Patches.apart(image(1, 6, 6), 2),
    Patches.apart(image(1, 7, 5), 2),
    Patches.apart(image(3, 6, 6, "hwc"), 2, offset=True),
    Patches.apart(image(2, 5, 4), 5),
    Patches.apart(image(1, 1, 5), 2, offset=True),
    Patches(image=image(2, 6, 6), kernel=(4, 4), stride=(2, 2), before=(1, 1)),
    Patches(image=image(1, 5, 7, "hwc"), kernel=(3, 2), stride=(1, 1)),
    Patches(image=image(1, 6, 5), kernel=(3, 3), stride=(2, 2), before=(2, 0)),
]


def convolution(patches, outputs, generator, *, orthonormal=True):
    shape = (outputs, patches.size)
    weight = orthonormal_initial(*shape, generator) if orthonormal else torch.randn(shape, generator=generator)
    return Convolution(patches=patches, weight=weight.double(), bias=torch.randn(outputs, generator=generator).double())


def matrix(layer, dim):
    """The linear part of a layer, column by column."""
    at_zero = layer(torch.zeros(1, dim, dtype=torch.float64))
    return (layer(torch.eye(dim, dtype=torch.float64)) - at_zero).mT


@pytest.mark.parametrize("patches", PATCHES, ids=str)
def test_every_pixel_is_in_a_patch_and_none_in_more_than_the_overlap(patches):
    places = patches.cut(torch.arange(1.0, patches.image.dim + 1)[None])
    assert places.shape == (patches.count, patches.size)
    seen = torch.bincount(places.long().flatten(), minlength=patches.image.dim + 1)[1:]
    assert 1 <= int(seen.min()) <= int(seen.max()) <= patches.overlap


@pytest.mark.parametrize("patches", PATCHES, ids=str)
def test_patches_agree_with_torch(patches, generator):
    """They equal ``unfold`` of the padded image."""
    shape = patches.image
    x = torch.randn(3, shape.dim, generator=generator)
    pixels = x.reshape(3, shape.height, shape.width, shape.channels).permute(0, 3, 1, 2)
    pixels = x.reshape(3, shape.channels, shape.height, shape.width) if shape.layout == "chw" else pixels
    (top, left), (rows, columns), (k, m), (s, t) = patches.before, patches.grid, patches.kernel, patches.stride
    below, right = (rows - 1) * s + k - top - shape.height, (columns - 1) * t + m - left - shape.width
    padded = torch.nn.functional.pad(pixels, (left, right, top, below))
    unfolded = torch.nn.functional.unfold(padded, patches.kernel, stride=patches.stride)
    torch.testing.assert_close(patches.cut(x), unfolded.mT.reshape(-1, patches.size))


@pytest.mark.parametrize("orthonormal", [True, False])
@pytest.mark.parametrize("patches", PATCHES, ids=str)
def test_the_bound_dominates_the_norm_of_the_whole_matrix(patches, orthonormal, generator):
    layer = convolution(patches, 6, generator, orthonormal=orthonormal)
    whole = matrix(layer, patches.image.dim)
    largest, bound = float(torch.linalg.svdvals(whole)[0]), layer.lipschitz().bound
    assert largest <= bound
    if patches.overlap == 1 and patches.image.dim >= patches.size and (0, 0) == patches.before:
        assert bound <= largest * (1 + 1e-9), "disjoint patches cost nothing"
    for p, norm in ((1, whole.abs().max()), (2, whole.norm(dim=1).max()), (float("inf"), whole.abs().sum(1).max())):
        assert float(norm) <= layer.maximum(p).bound * (1 + 1e-15)


def test_an_orthonormal_convolution_of_disjoint_patches_preserves_every_norm(generator):
    patches = Patches.apart(image(2, 8, 6), 2, offset=True)
    layer = convolution(patches, 10, generator)  # more outputs than a patch has coordinates
    singular = torch.linalg.svdvals(matrix(layer, patches.image.dim))
    assert singular == pytest.approx(torch.ones_like(singular), abs=1e-6)


def test_overlapping_patches_need_the_factor(generator):
    """The bound without the square root of the overlap would be wrong: constant images attain it in their interior."""
    patches = Patches(image=image(1, 40, 40), kernel=(2, 2), stride=(1, 1))
    weight = torch.full((1, 4), 0.5, dtype=torch.float64)
    layer = Convolution(patches=patches, weight=weight, bias=torch.zeros(1, dtype=torch.float64))
    constant = torch.ones(1, 1600, dtype=torch.float64)
    stretched = float(layer(constant).norm() / constant.norm())
    assert 1.9 < stretched <= layer.lipschitz().bound <= 2 * (1 + 1e-9)


@pytest.mark.parametrize("patches", PATCHES, ids=str)
def test_a_layer_is_read_as_it_was_written(patches, generator):
    assert Patches.parse(str(patches)) == patches
    layer = convolution(patches, 4, generator)
    inner = PatchWise(count=patches.count, layer=Activated(activation=activation("group-sort:2")))
    x = torch.randn(3, patches.image.dim, generator=generator, dtype=torch.float64)
    for each, h in ((layer, x), (inner, layer(x))):
        again = read_layer(each.kind, each.tensors())
        assert torch.equal(again(h), each(h))
        assert again.check(h.shape[1]) == each(h).shape[1]


def test_a_layer_that_does_not_fit_is_refused(generator):
    layer = convolution(PATCHES[0], 4, generator)
    with pytest.raises(ValueError, match="do not match"):
        layer.check(35)
    with pytest.raises(ValueError, match="4 patches"):
        PatchWise(count=4, layer=Activated(activation=activation("relu"))).check(6)
    with pytest.raises(ValueError, match="groups of 2"):
        PatchWise(count=2, layer=Activated(activation=activation("maxmin"))).check(6)


@pytest.mark.parametrize(
    "text", ["", "28x28", "6x6x1:chw:2x2:3x3:0x0", "6x6x1:whc:2x2:2x2:0x0", "0x6x1:chw:2x2:2x2:0x0", "6x6x1:chw:2x2:2x2:2x0"]
)
def test_text_that_does_not_describe_patches_is_refused(text):
    with pytest.raises(UsageError):
        Patches.parse(text)


@pytest.mark.parametrize(
    ("event_shape", "expected"),
    [
        ((28, 28), image(1, 28, 28)),
        ((3, 32, 32), image(3, 32, 32)),
        ((32, 32, 3), image(3, 32, 32, "hwc")),
        ((1, 8, 8), image(1, 8, 8)),
        ((5,), image(1, 1, 5)),
        ((7, 32, 32), image(1, 1, 7168)),
        ((), image(1, 1, 1)),
    ],
)
def test_the_shape_of_samples_says_if_they_are_images(event_shape, expected):
    assert ImageShape.of_event(event_shape) == expected
