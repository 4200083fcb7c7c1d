"""Generators of images: transposed convolutions from a latent vector, similar in size to DCGAN and InfoGAN.

References:
    Radford, Metz & Chintala (2016), Unsupervised representation learning with deep convolutional generative adversarial networks,
        arXiv:1511.06434.
    Chen, Duan, Houthooft, Schulman, Sutskever & Abbeel (2016), InfoGAN, arXiv:1606.03657, appendix C.
"""

import re

import torch
from torch import Tensor, nn

from wdist.errors import UsageError
from wdist.lipschitz.convolution import CHANNELS, ImageShape

_UNITS_PER_CHANNEL = 8
"""Units of the fully connected layer per channel of the widest convolution, as in the papers: 1024 for 128."""
_LARGEST_START = 8
"""Most rows and columns of the image with which the convolutions begin."""


class ImageGenerator(nn.Module):
    """Maps latent vectors to images in [0, 1].

    Two fully connected layers make a small image, and each transposed convolution doubles its size; if the wanted size cannot be
    halved that often, the image is cut out of a larger one. Batch normalisation is that of the papers, a fixed map in evaluation
    mode. The first convolution has ``width`` channels, which are halved at each doubling.
    """

    def __init__(self, image: ImageShape, *, latent: int, width: int) -> None:
        super().__init__()
        self.latent_dim, self.image = latent, image
        doublings = 2
        while -(-max(image.height, image.width) >> doublings) > _LARGEST_START:
            doublings += 1
        self.start = tuple(-(-n // (1 << doublings)) for n in (image.height, image.width))
        units, self.width = width * _UNITS_PER_CHANNEL, width
        self.dense = nn.Sequential(
            nn.Linear(latent, units, bias=False), nn.BatchNorm1d(units), nn.ReLU(),
            nn.Linear(units, width * self.start[0] * self.start[1], bias=False),
        )  # fmt: skip
        layers: list[nn.Module] = [nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
        for position in range(doublings):
            last = position == doublings - 1
            outputs = image.channels if last else max(8, channels // 2)
            layers.append(nn.ConvTranspose2d(channels, outputs, kernel_size=4, stride=2, padding=1, bias=last))
            layers += [] if last else [nn.BatchNorm2d(outputs), nn.ReLU()]
            channels = outputs
        self.convolutions = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Images of shape (n, \\*event shape), in the layout of the data, for latents of shape (n, latent)."""
        small = self.dense(z).unflatten(1, (self.width, *self.start))
        images = torch.sigmoid(self.convolutions(small))[:, :, : self.image.height, : self.image.width]
        return images.permute(0, 2, 3, 1) if self.image.layout == "hwc" else images


class _Gray(nn.Module):
    """Grey images without their channel axis."""

    def __init__(self, network: ImageGenerator) -> None:
        super().__init__()
        self.network, self.latent_dim = network, network.latent_dim

    def forward(self, z: Tensor) -> Tensor:
        return self.network(z).squeeze(1)


@torch.no_grad()
def initialise_(network: nn.Module, generator: torch.Generator) -> None:
    """Draws fresh normal weights from ``generator``, on the CPU, with the deviation that preserves the scale through a ReLU."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            weight = module.weight
            inputs = 4 * weight.shape[0] if isinstance(module, nn.ConvTranspose2d) else weight[0].numel()
            weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / inputs) ** 0.5)
            if module.bias is not None:
                module.bias.zero_()


def image_generator(shape: str = "28x28", inputs: int = 64, width: int = 64) -> nn.Module:
    """Factory named by an address: ``generator.safetensors?factory=wdist.gan.generators:image_generator&shape=28x28``.

    Arguments:
        shape: shape of an image in the layout of the data: ``28x28``, ``3x32x32`` or ``32x32x3``.
        inputs: size of the latent vector.
        width: channels of the first convolution.

    Raises:
        UsageError: a size is out of range, or the shape is not that of an image.
    """
    event_shape = parse_shape(str(shape))
    for name, value, most in (("inputs", inputs, 65_536), ("width", width, 4096)):
        if not isinstance(value, int) or not 1 <= value <= most:
            raise UsageError(f"{name}={value} is not a size of a generator; give a whole number from 1 to {most}")
    network = ImageGenerator(ImageShape.of_event(event_shape), latent=inputs, width=width)
    return _Gray(network) if len(event_shape) == 2 else network


def parse_shape(text: str) -> tuple[int, ...]:
    """Reads ``28x28`` or ``3x32x32``; UsageError if the text is not the shape of an image."""
    sizes = tuple(int(size) for size in text.split("x")) if re.fullmatch(r"[1-9]\d{0,3}(x[1-9]\d{0,3}){1,2}", text) else ()
    if not is_image(sizes):
        raise UsageError(f"shape={text} is not the shape of an image; write 28x28, 3x32x32 or 32x32x3")
    return sizes


def is_image(event_shape: tuple[int, ...]) -> bool:
    """Whether a generator can make samples of a shape: images with 1, 3 or 4 channels, from 4 to 512 pixels wide."""
    image = ImageShape.of_event(event_shape)
    of_known_form = len(event_shape) == 2 or (len(event_shape) == 3 and image.channels in CHANNELS and image.height > 1)
    return of_known_form and min(image.height, image.width) >= 4 and max(image.height, image.width) <= 512
