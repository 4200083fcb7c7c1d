"""Generators of images, and the factory by which an address builds them."""

import pytest
import torch
from safetensors.torch import save_file

from wdist.data.sources.opening import open_source
from wdist.errors import SourceError, TrustRequired, UsageError
from wdist.gan.generators import image_generator, is_image, parse_shape

FACTORY = "wdist.gan.generators:image_generator"


@pytest.mark.parametrize("shape", ["8x8", "28x28", "32x32", "1x28x28", "3x32x32", "32x32x3", "5x9", "64x48"])
def test_images_have_the_shape_of_the_data_and_lie_in_the_unit_interval(shape, generator):
    network = image_generator(shape, inputs=6, width=8).eval()
    with torch.no_grad():
        images = network(torch.randn(3, 6, generator=generator))
    assert images.shape == (3, *parse_shape(shape))
    assert 0 <= float(images.min()) <= float(images.max()) <= 1


@pytest.mark.parametrize("shape", ["28", "28x0", "7x32x32", "3x3", "ax28", "1000x1000", ""])
def test_other_shapes_than_those_of_images_are_refused(shape):
    with pytest.raises(UsageError, match="write 28x28"):
        image_generator(shape)


@pytest.mark.parametrize(
    ("event_shape", "image"), [((28, 28), True), ((3, 32, 32), True), ((64,), False), ((7, 9, 9), False), ((), False)]
)
def test_images_are_distinguished_from_other_samples(event_shape, image):
    assert is_image(event_shape) is image


@pytest.fixture
def weights(tmp_path):
    """A file of the weights of a small generator."""
    path = tmp_path / "g.safetensors"
    save_file(image_generator("8x8", inputs=4, width=8).state_dict(), path)
    return path


def test_the_factory_of_this_package_needs_no_trust(weights, generator):
    source = open_source(f"{weights}?factory={FACTORY}&shape=8x8&inputs=4&width=8")
    assert source.info.event_shape == (8, 8)
    assert source.draw(5, generator).shape == (5, 64)


@pytest.mark.parametrize(
    "factory",
    [
        "wdist.gan.generators:re.compile",
        "wdist.gan.generators:nn.Linear",
        "wdist.files:Path",
        "wdist.gan.generators:image_generator.__globals__",
    ],
)
def test_nothing_else_in_this_package_can_be_reached_without_trust(weights, factory):
    with pytest.raises(TrustRequired, match="trust=True"):
        open_source(f"{weights}?factory={factory}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("shape=28x28&inputs=4&width=8", "does not fit"),
        ("shape=8x8&depth=3", "did you mean|it takes"),
        ("shape=8x8&width=many", "width=many"),
    ],
)
def test_options_that_do_not_fit_are_named(weights, options, words):
    with pytest.raises(SourceError, match=words):
        open_source(f"{weights}?factory={FACTORY}&{options}")
