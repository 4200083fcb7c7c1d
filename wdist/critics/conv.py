"""A convolutional critic: orthonormal convolutions, then fully connected layers, sorted in groups between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import CriticSettings
from wdist.critics.stack import StackedCritic
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.activation import Activation
from wdist.lipschitz.convolution import Convolution, ImageShape, Patches, PatchWise
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.linear import LipschitzLinear

_PATCH = 2
_CHANNEL_SHARE = 16
"""Units of the fully connected layer for each channel of the first convolution."""
_SMALLEST_GRID = 4
"""Convolutions stop at so many rows and columns; what is left is taken as a whole."""
_DEPTH = 5


class ConvCritic(StackedCritic):
    """A stack of convolutions with an activation between them, from standardised flattened images to one potential.

    A fully connected layer is the convolution whose one patch is the whole image.

    Arguments:
        layers: each takes a patch, the last gives one output.
        patches: of each layer.
        activation: between the layers, on the outputs for one patch.
    """

    def __init__(self, layers: Sequence[LipschitzLinear], patches: Sequence[Patches], activation: Activation) -> None:
        super().__init__(layers, activation)
        self.patches = tuple(patches)

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        *hidden, last = zip(self.linear, self.patches, strict=True)
        for (layer, patches), activation in zip(hidden, self.between, strict=True):
            x = activation(layer(_unit(patches.cut(x), patches))).reshape(n, -1)
        layer, patches = last
        return layer(_unit(patches.cut(x), patches)).squeeze(-1)

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        frozen: list[FrozenLayer] = []
        for position, (layer, patches) in enumerate(zip(self.linear, self.patches, strict=True)):
            if position:
                between = self.between[position - 1].freeze()
                count = self.patches[position - 1].count
                frozen.append(between if count == 1 else PatchWise(count=count, layer=between))
            weight, bias = layer.plain_weight() / patches.overlap**0.5, layer.bias.detach().double().cpu()
            frozen.append(Convolution(patches=patches, weight=weight, bias=bias))
        return FrozenCritic(frozen, standardisation.to(torch.device("cpu")), lipschitz=lipschitz)


def _unit(rows: Tensor, patches: Patches) -> Tensor:
    """Patches as a map of norm at most 1."""
    return rows if patches.overlap == 1 else rows / patches.overlap**0.5


@dataclass(frozen=True, kw_only=True)
class ConvRecipe(CriticRecipe):
    """One kind of convolutional critic; ``width`` are the units of its fully connected layer."""

    def settle(self, settings: CriticSettings) -> CriticSettings:
        return super().settle(settings.filled(depth=_DEPTH))

    def build(
        self,
        dim: int,
        settings: CriticSettings,
        generator: torch.Generator,
        outputs: int = 1,
        metric: GroundMetric = L2,
        event_shape: Sequence[int] | None = None,
    ) -> Critic:
        """A critic with fresh weights.

        Arguments:
            dim: coordinates of a sample.
            settings: with width, depth, group size and Björck order filled in.
            generator: of the weights, on the CPU.
            outputs: of the last layer.
            metric: of the samples, which the first layer may be built for.
            event_shape: of a sample; without it, a row of pixels.

        Raises:
            UsageError: the units of a group do not divide the width, or two options exclude each other.
        """
        settings, function, kind, options = self.parts(settings, metric)
        width, depth = settings.width or 0, settings.depth or 0
        image = ImageShape.of_event((dim,) if event_shape is None else event_shape)
        layers: list[LipschitzLinear] = []
        stack: list[Patches] = []

        def add(patches: Patches, units: int) -> ImageShape:
            layers.append(kind(patches.size, units, generator=generator, options=replace(options, first=not layers)))
            stack.append(patches)
            return patches.outputs(function.outputs(units))

        channels = -(-max(1, width // _CHANNEL_SHARE) // function.group) * function.group
        for position in range(depth - 2):
            if max(image.height, image.width) <= _SMALLEST_GRID:
                break
            image = add(Patches.apart(image, _PATCH, offset=position % 2 == 1), channels << position)
        for units in (*[width] * (depth - 1 - len(layers)), outputs):
            image = add(Patches.apart(image, max(image.height, image.width)), units)
        return ConvCritic(layers, stack, function)
