"""Critics that generators are trained against: two of the literature, which nothing bounds, and two that are 1-Lipschitz.

References:
    Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875 (weight clipping).
    Gulrajani et al. (2017), Improved training of Wasserstein GANs, arXiv:1704.00028 (gradient penalty).
    Chen et al. (2016), InfoGAN, arXiv:1606.03657, appendix C (their architecture, here without batch normalisation).
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendices H.2 and H.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.critics.catalogue import RECIPES
from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import CriticSettings
from wdist.data.standardisation import Standardisation
from wdist.errors import CertificateError
from wdist.gan.settings import GanSettings
from wdist.lipschitz.convolution import ImageShape
from wdist.training.optimizers import Adam, Optimizer, make_optimizers
from wdist.training.penalties.catalogue import penalty
from wdist.training.penalties.penalty import Penalty

_CLIP = 0.01
"""Of the source, for every parameter."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What suits a critic where the settings say nothing."""

    critic_steps: int
    critic_learning_rate: float
    learning_rate: float
    """Of the generator."""
    certified: bool
    """It is 1-Lipschitz, so that it proves a lower bound."""


PLANS = {
    "weight-clipping": Plan(critic_steps=5, critic_learning_rate=5e-4, learning_rate=5e-4, certified=False),
    "gradient-penalty": Plan(critic_steps=5, critic_learning_rate=5e-4, learning_rate=5e-4, certified=False),
    "groupsort": Plan(critic_steps=2, critic_learning_rate=0.02, learning_rate=5e-4, certified=True),
    "groupsort-conv": Plan(critic_steps=2, critic_learning_rate=0.02, learning_rate=5e-4, certified=True),
}
"""The sources of the first two have rates of 5e-5 and 1e-4 for a hundred thousand steps; with these a few hundred show digits."""


class PlainConvCritic(Critic):
    """Two convolutions and two fully connected layers with leaky ReLU, from flattened images; nothing bounds its slope.

    Arguments:
        image: shape of one image.
        width: units of the fully connected layer; an eighth of them are the channels of the second convolution.
        generator: of the weights, on the CPU.
        clip: magnitude that no parameter exceeds; None for no limit.
    """

    def __init__(self, image: ImageShape, *, width: int, generator: torch.Generator, clip: float | None) -> None:
        super().__init__()
        self.image, self.clip = image, clip
        channels = max(2, width // 16)
        rows, columns = (n // 2 // 2 for n in (image.height, image.width))
        self.layers = nn.Sequential(
            nn.Conv2d(image.channels, channels, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.1),
            nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.1),
            nn.Flatten(), nn.Linear(2 * channels * rows * columns, width), nn.LeakyReLU(0.1), nn.Linear(width, 1),
        )  # fmt: skip
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    inputs = module.weight[0].numel()
                    module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / inputs) ** 0.5)
                    assert module.bias is not None
                    module.bias.zero_()
        self.constrain_()

    def forward(self, x: Tensor) -> Tensor:
        image = self.image
        if image.layout == "hwc":
            x = x.reshape(-1, image.height, image.width, image.channels).permute(0, 3, 1, 2)
        return self.layers(x.reshape(-1, image.channels, image.height, image.width)).squeeze(-1)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Clips, where there is a limit."""
        del tightly
        if self.clip is not None:
            for parameter in self.parameters():
                parameter.clamp_(-self.clip, self.clip)

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        """There is nothing to freeze.

        Raises:
            CertificateError: always.
        """
        raise CertificateError("this critic proves no bound; train with --critic groupsort-conv or groupsort")


@dataclass(frozen=True, kw_only=True)
class Opponent:
    """A critic with all that its training needs."""

    critic: Critic
    optimizers: Sequence[Optimizer]
    steps: int
    """For each step of the generator."""
    penalised: bool
    certified: bool

    def price(self, generator: torch.Generator) -> Penalty | None:
        """What is taken off its dual value, with its randomness from ``generator``; None for nothing."""
        return penalty("gradient-penalty", generator) if self.penalised else None


def make_opponent(settings: GanSettings, event_shape: tuple[int, ...], device: torch.device) -> Opponent:
    """The critic of some settings with fresh weights."""
    plan, generator = PLANS[settings.critic], torch.Generator().manual_seed(settings.seed)
    rate = settings.critic_learning_rate or plan.critic_learning_rate
    critic: Critic
    optimizers: Sequence[Optimizer]
    if plan.certified:
        critic = _certified(settings, event_shape, generator).to(device)
        optimizers = make_optimizers(critic, name="muon", learning_rate=rate)
    else:
        clip = _CLIP if settings.critic == "weight-clipping" else None
        image = ImageShape.of_event(event_shape)
        critic = PlainConvCritic(image, width=settings.critic_width, generator=generator, clip=clip).to(device)
        # Without momentum, as both sources: RMSProp is Adam without it.
        optimizers = [Adam(critic.parameters(), lr=rate, betas=(0.0, 0.9))]
    return Opponent(
        critic=critic,
        optimizers=optimizers,
        steps=settings.critic_steps or plan.critic_steps,
        penalised=settings.critic == "gradient-penalty",
        certified=plan.certified,
    )


def _certified(settings: GanSettings, event_shape: tuple[int, ...], generator: torch.Generator) -> Critic:
    """MaxMin between orthonormal layers, as appendix H.3 has it."""
    recipe = RECIPES["groupsort-conv" if settings.critic == "groupsort-conv" else "groupsort-bjorck"]
    assert isinstance(recipe, CriticRecipe)
    width = -(-settings.critic_width // 2) * 2  # pairs are sorted
    chosen = CriticSettings(activation="maxmin", width=width).filled(depth=4 if settings.critic == "groupsort" else None)
    dim = int(torch.Size(event_shape).numel())
    return recipe.build(dim, chosen, generator, event_shape=event_shape)
