"""Convolutional critics: orthonormal convolutions whose receptive fields overlap, then fully connected layers.

The source orthonormalises the unfolded kernels of overlapping convolutions, whose norm can reach the square root of the number of
patches that share a pixel. Here, the patches of a layer are disjoint, and before every layer but the first, groups of channels are
shifted by half a patch, so that kernels overlap and every layer is still orthonormal (:mod:`wdist.lipschitz.convolution`).

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4 and appendix H.3.
    Li, Haque, Anil, Lucas, Grosse & Jacobsen (2019), Preventing gradient attenuation in Lipschitz constrained convolutional
        networks, arXiv:1911.00937 (orthogonal convolutions from shifts).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.critics.networks import NetworkPlan, StackedCritic
from wdist.data.standardisation import Standardisation
from wdist.lipschitz.activations import Activation
from wdist.lipschitz.convolution import Convolution, ImageShape, Patches, PatchWise
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.linear import LipschitzLinear

_PATCH = 2
_CHANNEL_SHARE = 16
"""Units of a fully connected layer per channel of the first convolution."""
_SMALLEST_GRID = 8
"""No convolution after the first acts on a grid of at most this many rows and columns; fully connected layers follow instead."""


class ConvCritic(StackedCritic):
    """A stack of convolutions with an activation between them, from standardised flattened images to one potential.

    A fully connected layer is a convolution with the whole image as its only patch.

    Arguments:
        layers: each takes a patch; the last has one output.
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
    """Scales patches so that cutting them has norm at most 1."""
    return rows if patches.overlap == 1 else rows / patches.overlap**0.5


def convolutional(plan: NetworkPlan, generator: torch.Generator) -> ConvCritic:
    """Builds a convolutional critic; ``width`` counts the units of its fully connected layers.

    Raises:
        UsageError: samples of this shape are not images.
    """
    image = ImageShape.of_event(plan.event_shape)
    layers: list[LipschitzLinear] = []
    stack: list[Patches] = []

    def add(patches: Patches, units: int) -> ImageShape:
        layers.append(plan.linear(patches.size, units, generator, first=not layers))
        stack.append(patches)
        return patches.outputs(plan.activation.outputs(units))

    group = plan.activation.group
    channels = -(-max(1, plan.width // _CHANNEL_SHARE) // group) * group
    for position in range(plan.depth - 2):
        if position and max(image.height, image.width) <= _SMALLEST_GRID:
            break
        image = add(Patches.apart(image, _PATCH, staggered=position > 0), channels << position)
    for units in (*[plan.width] * (plan.depth - 1 - len(layers)), 1):
        image = add(Patches.apart(image, max(image.height, image.width)), units)
    return ConvCritic(layers, stack, plan.activation)
