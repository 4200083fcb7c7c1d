"""A fully connected critic: linear layers of norm 1 with an activation of slope at most 1 between them."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.lipschitz.activations import Activation
from wdist.lipschitz.frozen_layers import Activated, Affine, FrozenLayer
from wdist.lipschitz.linear import LipschitzLinear
from wdist.measures.standardisation import Standardisation


class DenseCritic(Critic):
    """A stack of ``layers`` with ``activation`` between them, from standardised samples to one potential.

    Arguments:
        layers: the first takes a whole sample, the last gives one output.
        activation: between the layers.
    """

    def __init__(self, layers: Sequence[LipschitzLinear], activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.activation = activation

    @property
    def _linear(self) -> list[LipschitzLinear]:
        return cast(list[LipschitzLinear], list(self.layers))

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self._linear
        for layer in hidden:
            x = self.activation.train(layer(x))
        return last(x).squeeze(-1)

    def constrain_(self, *, tightly: bool = False) -> None:
        for layer in self._linear:
            layer.constrain_(tightly=tightly)

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        frozen: list[FrozenLayer] = []
        for position, layer in enumerate(self._linear):
            if position:
                frozen.append(Activated(name=self.activation.name))
            frozen.append(Affine(weight=layer.plain_weight(), bias=layer.bias.detach().double().cpu()))
        return FrozenCritic(frozen, standardisation.to(torch.device("cpu")), lipschitz=lipschitz)
