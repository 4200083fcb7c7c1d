"""Convolutions: the pixels of their patches, and the norm that follows."""

import pytest
import torch

from wdist.errors import UsageError
from wdist.lipschitz.activations import Activated, activation
from wdist.lipschitz.convolution import Convolution, ImageShape, Patches, PatchWise
from wdist.lipschitz.frozen_layers import read_layer
from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial
from wdist.lipschitz.linalg.transfer import convolution_norm_bound


def image(channels, height, width, layout="chw"):
    return ImageShape(channels=channels, height=height, width=width, layout=layout)


PATCHES = [
    Patches.apart(image(1, 6, 6), 2),
    Patches.apart(image(1, 7, 5), 2),
    Patches.apart(image(4, 6, 6, "hwc"), 2, staggered=True),
    Patches.apart(image(6, 7, 5), 2, staggered=True),
    Patches.apart(image(2, 5, 4), 5),
    Patches.apart(image(2, 1, 5), 2, staggered=True),
    Patches(image=image(3, 5, 5), kernel=(1, 1), stride=(1, 1), shifts=((0, 0), (1, 0), (0, 1))),
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
    """They equal ``unfold`` of the rolled and padded image."""
    shape = patches.image
    x = torch.randn(3, shape.dim, generator=generator)
    pixels = x.reshape(3, shape.height, shape.width, shape.channels).permute(0, 3, 1, 2)
    pixels = x.reshape(3, shape.channels, shape.height, shape.width) if shape.layout == "chw" else pixels
    (top, left), (rows, columns), (k, m), (s, t) = patches.before, patches.grid, patches.kernel, patches.stride
    below, right = (rows - 1) * s + k - top - shape.height, (columns - 1) * t + m - left - shape.width
    groups = zip(pixels.chunk(len(patches.shifts), 1), patches.shifts, strict=True)
    rolled = torch.cat([group.roll((-down, -across), (2, 3)) for group, (down, across) in groups], 1)
    padded = torch.nn.functional.pad(rolled, (left, right, top, below))
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
    patches = Patches.apart(image(2, 8, 6), 2)
    layer = convolution(patches, 10, generator)  # more outputs than a patch has coordinates
    singular = torch.linalg.svdvals(matrix(layer, patches.image.dim))
    assert singular == pytest.approx(torch.ones_like(singular), abs=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_staggered_patches_make_an_overlapping_convolution_that_is_orthonormal(stride, generator):
    """It is the circular convolution of torch with larger kernels, some of whose entries are 0, and each singular value is 1."""
    patches = Patches.apart(image(8, 8, 8), stride, staggered=True)
    if stride == 1:
        patches = Patches(image=image(8, 8, 8), kernel=(1, 1), stride=(1, 1), shifts=((0, 0), (1, 1), (0, 1), (1, 0)))
    layer = convolution(patches, 6, generator)
    kernel = overlapping_kernel(layer)
    assert kernel.shape[2:] == (stride + 1, stride + 1)
    x = torch.randn(3, 8, 8, 8, generator=generator, dtype=torch.float64)
    convolved = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (0, 1, 0, 1), mode="circular"), kernel, stride=stride)
    plain = (layer(x.flatten(1)) - layer.bias.repeat(patches.count)).reshape(3, *patches.grid, 6)
    torch.testing.assert_close(convolved.permute(0, 2, 3, 1), plain)
    singular = torch.linalg.svdvals(matrix(layer, patches.image.dim))
    assert singular == pytest.approx(torch.ones_like(singular), abs=1e-6)
    assert float(singular[0]) <= layer.lipschitz().bound <= 1 + 1e-6
    assert convolution_norm_bound(kernel, stride=(stride, stride)) == pytest.approx(1, abs=1e-6)


def overlapping_kernel(layer):
    """The kernel of a layer with shifts as torch takes it, shape (outputs, channels, rows, columns)."""
    patches = layer.patches
    size, groups = patches.kernel[0] + max(down for down, _ in patches.shifts), len(patches.shifts)
    small = layer.weight.unflatten(1, (patches.image.channels, *patches.kernel))
    kernel = torch.zeros(*small.shape[:2], size, size, dtype=torch.float64)
    for into, part, (down, across) in zip(kernel.chunk(groups, 1), small.chunk(groups, 1), patches.shifts, strict=True):
        into[:, :, down : down + part.shape[2], across : across + part.shape[3]] = part
    return kernel


def test_an_orthogonal_convolution_with_full_kernels_keeps_its_norm(generator):
    """Patches of 3 x 3 pixels at every place, of a kernel composed of two staggered layers: 3 by the overlap, 1 in truth."""
    first, second = (orthonormal_initial(4, 4, generator, torch.float64) for _ in range(2))
    patches = Patches(image=image(4, 9, 9), kernel=(1, 1), stride=(1, 1), shifts=((0, 0), (1, 1), (0, 1), (1, 0)))
    a, b = (overlapping_kernel(Convolution(patches=patches, weight=W, bias=torch.zeros(4))) for W in (first, second))
    kernel = torch.nn.functional.conv2d(a.transpose(0, 1), b.flip(2, 3), padding=1).transpose(0, 1)
    whole = Patches(image=image(4, 9, 9), kernel=(3, 3), stride=(1, 1), before=(1, 1))
    layer = Convolution(patches=whole, weight=kernel.flatten(1), bias=torch.zeros(4))
    assert whole.overlap == 9
    assert float(torch.linalg.svdvals(matrix(layer, whole.image.dim))[0]) <= layer.lipschitz().bound <= 1 + 1e-10
    assert layer.lipschitz().method.startswith("transfer")


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
        ((2, 8, 8), image(2, 8, 8)),
        ((8, 9, 2), image(2, 8, 9, "hwc")),
        ((5,), image(1, 1, 5)),
        ((7, 32, 32), image(1, 1, 7168)),
        ((), image(1, 1, 1)),
    ],
)
def test_the_shape_of_samples_says_if_they_are_images(event_shape, expected):
    assert ImageShape.of_event(event_shape) == expected
