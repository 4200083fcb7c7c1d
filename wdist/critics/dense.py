"""A fully connected critic: linear layers of norm 1 with an activation of slope at most 1 between them."""

import torch
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.critics.stack import StackedCritic
from wdist.data.standardisation import Standardisation
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.frozen_layers import Affine


class DenseCritic(StackedCritic):
    """A stack of ``layers`` with ``activation`` between them, from standardised samples to one potential.

    Arguments:
        layers: the first takes a whole sample, the last gives one output (or one for each class, of a classifier).
        activation: between the layers.
    """

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.linear
        for layer, activation in zip(hidden, self.between, strict=True):
            x = activation(layer(x))
        return last(x).squeeze(-1)

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        frozen: list[FrozenLayer] = []
        for position, layer in enumerate(self.linear):
            if position:
                frozen.append(self.between[position - 1].freeze())
            frozen.append(Affine(weight=layer.plain_weight(), bias=layer.bias.detach().double().cpu()))
        return FrozenCritic(frozen, standardisation.to(torch.device("cpu")), lipschitz=lipschitz)
