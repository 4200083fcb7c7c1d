"""Critics against which generators are trained: some from the literature without a certificate, and two that are 1-Lipschitz.

References:
    Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875 (weight clipping).
    Gulrajani et al. (2017), Improved training of Wasserstein GANs, arXiv:1704.00028 (gradient penalty).
    Petzka, Fischer & Lukovnikov (2018), On the regularization of Wasserstein GANs, arXiv:1709.08894 (one side, Lipschitz penalty).
    Terjék (2020), Adversarial Lipschitz regularization, arXiv:1907.05681; and Lipschitz continuity and neural networks, a talk (the
        price of the Lipschitz constant itself).
    Chen et al. (2016), InfoGAN, arXiv:1606.03657, appendix C (their architecture, here without batch normalisation).
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendices H.2 and H.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.critics.settings import CriticSettings
from wdist.data.standardisation import Standardisation
from wdist.errors import CertificateError
from wdist.gan.generators import initialise_
from wdist.gan.settings import CRITICS, GanSettings
from wdist.lipschitz.convolution import ImageShape
from wdist.training.catalogue import network
from wdist.training.kind import DataShape
from wdist.training.optimizers import Adam, Optimizer, make_optimizers

_CLIP = 0.01
"""Largest magnitude of a parameter, as in the paper."""


class _MaxMin(nn.Module):
    """The larger and the smaller of each pair of channels or units."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return torch.cat([torch.maximum(first, second), torch.minimum(first, second)], dim=1)


class PlainConvCritic(Critic):
    """Two convolutions and two fully connected layers, for flattened images; its slope is not bounded.

    The first fully connected layer has ``width`` units, and the second convolution an eighth as many channels. No parameter exceeds
    ``clip`` in magnitude, unless that is None. The activation is ``leaky-relu``, or ``maxmin``, which makes the sizes even.
    """

    def __init__(self, image: ImageShape, *, width: int, generator: torch.Generator, clip: float | None, activation: str) -> None:
        super().__init__()
        self.image, self.clip = image, clip
        channels = max(2, width // 16)
        between: Callable[[], nn.Module] = partial(nn.LeakyReLU, 0.1)
        if activation == "maxmin":
            channels, width, between = _even(channels), _even(width), _MaxMin
        rows, columns = (n // 2 // 2 for n in (image.height, image.width))
        self.layers = nn.Sequential(
            nn.Conv2d(image.channels, channels, kernel_size=4, stride=2, padding=1), between(),
            nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=2, padding=1), between(),
            nn.Flatten(), nn.Linear(2 * channels * rows * columns, width), between(), nn.Linear(width, 1),
        )  # fmt: skip
        initialise_(self, generator)
        self.constrain_()

    def forward(self, x: Tensor) -> Tensor:
        image = self.image
        if image.layout == "hwc":
            x = x.reshape(-1, image.height, image.width, image.channels).permute(0, 3, 1, 2)
        return self.layers(x.reshape(-1, image.channels, image.height, image.width)).squeeze(-1)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Clips the parameters if there is a limit."""
        del tightly
        if self.clip is not None:
            for parameter in self.parameters():
                parameter.clamp_(-self.clip, self.clip)

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        """Raises a CertificateError, always: nothing bounds the slope."""
        raise CertificateError("this critic proves no bound; train with --critic groupsort-conv or groupsort")


@dataclass(frozen=True, kw_only=True)
class TrainableCritic:
    """A critic with everything that its training needs."""

    network: Critic
    optimizers: Sequence[Optimizer]
    steps: int
    """Steps of the critic for each step of the generator."""
    penalty: str | None
    """Penalty subtracted from the dual value: a name in :data:`wdist.training.penalties.PENALTIES`; None for none."""
    certified: bool


def make_critic(settings: GanSettings, event_shape: tuple[int, ...], device: torch.device) -> TrainableCritic:
    """Builds the critic of some settings with fresh weights."""
    defaults, generator = CRITICS[settings.critic], torch.Generator().manual_seed(settings.seed)
    rate = settings.critic_learning_rate or defaults.critic_learning_rate
    network: Critic
    optimizers: Sequence[Optimizer]
    if defaults.certified:
        network = _certified(settings, event_shape, generator).to(device)
        optimizers = make_optimizers(network, name="muon", learning_rate=rate)
    else:
        clip = _CLIP if settings.critic == "weight-clipping" else None
        image = ImageShape.of_event(event_shape)
        how: Any = {"width": settings.critic_width, "generator": generator, "clip": clip, "activation": defaults.activation}
        network = PlainConvCritic(image, **how).to(device)
        # Without momentum, as in both papers: RMSProp is Adam without it.
        optimizers = [Adam(network.parameters(), lr=rate, betas=(0.0, 0.9))]
    return TrainableCritic(
        network=network,
        optimizers=optimizers,
        steps=settings.critic_steps or defaults.critic_steps,
        penalty=defaults.penalty,
        certified=defaults.certified,
    )


def _certified(settings: GanSettings, event_shape: tuple[int, ...], generator: torch.Generator) -> Critic:
    """Builds MaxMin activations between orthonormal layers, as in appendix H.3."""
    how = CriticSettings(activation="maxmin", width=_even(settings.critic_width))
    kind = network("groupsort-conv" if settings.critic == "groupsort-conv" else "groupsort-bjorck").assembled(how)
    shape = DataShape.unseen(event_shape)
    return kind.build(kind.resolve(how, shape), shape, generator)


def _even(width: int) -> int:
    """The next even number of units: MaxMin sorts pairs."""
    return -(-width // 2) * 2
