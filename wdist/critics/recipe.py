"""What makes one kind of critic: which linear layers, which activation, and what suits its training."""

from dataclasses import dataclass
from itertools import pairwise

import torch

from wdist.critics.dense import DenseCritic
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.lipschitz.activations import activation
from wdist.lipschitz.linear import LipschitzLinear, OrthonormalLinear, SpectralNormLinear


@dataclass(frozen=True, kw_only=True)
class CriticRecipe:
    """One kind of dense critic; its file's docstring is its citation."""

    name: str
    """As users write it and results show it."""
    title: str
    """In a few words, for tables and help."""
    linear: type[OrthonormalLinear] | type[SpectralNormLinear]
    activation: str
    """Its name; ``group-sort`` is completed by the group size of the settings."""
    group_size: int | None = None
    """Fixed by the kind, whatever the settings say."""
    optimizer: str = "muon"
    """Where the user names none."""

    def settle(self, settings: CriticSettings) -> CriticSettings:
        """The settings with what the kind itself decides."""
        if self.optimizer != "muon" and settings.optimizer is None:
            settings = settings.filled(optimizer=self.optimizer)
        return settings

    def build(self, dim: int, settings: CriticSettings, generator: torch.Generator) -> DenseCritic:
        """A critic with fresh weights.

        Arguments:
            dim: coordinates of a sample.
            settings: with width, depth, group size and Björck order filled in.
            generator: of the weights, on the CPU.

        Raises:
            UsageError: the group size does not divide the width.
        """
        width, depth = settings.width or 0, settings.depth or 0
        group_size = self.group_size or settings.group_size or 0
        name = self.activation
        if name == "group-sort":
            if width % group_size:
                raise UsageError(f"--group-size {group_size} does not divide --width {width}; choose a divisor")
            name = f"group-sort:{group_size}"
        sizes = [dim, *[width] * (depth - 1), 1]
        layers: list[LipschitzLinear] = [
            self.linear(inputs, outputs, generator=generator, order=settings.bjorck_order or 1)
            for inputs, outputs in pairwise(sizes)
        ]
        return DenseCritic(layers, activation(name))
