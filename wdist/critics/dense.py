"""A fully connected critic: linear layers of norm 1 with an activation of slope at most 1 between them."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.lipschitz.activation import Activation, ActivationModule
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.frozen_layers import Affine
from wdist.lipschitz.linear import LipschitzLinear
from wdist.measures.standardisation import Standardisation


class DenseCritic(Critic):
    """A stack of ``layers`` with ``activation`` between them, from standardised samples to one potential.

    Arguments:
        layers: the first takes a whole sample, the last gives one output (or one for each class, of a classifier).
        activation: between the layers.
    """

    def __init__(self, layers: Sequence[LipschitzLinear], activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.activations = nn.ModuleList(activation.module(layer.outputs) for layer in layers[:-1])
        self.activation = activation
        self.constrain_every = max(layer.constrain_every for layer in layers)

    @property
    def _linear(self) -> list[LipschitzLinear]:
        return cast(list[LipschitzLinear], list(self.layers))

    @property
    def _between(self) -> list[ActivationModule]:
        return cast(list[ActivationModule], list(self.activations))

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self._linear
        for layer, activation in zip(hidden, self._between, strict=True):
            x = activation(layer(x))
        return last(x).squeeze(-1)

    def constrain_(self, *, tightly: bool = False) -> Tensor | None:
        met = [layer.constrain_(tightly=tightly) for layer in self._linear]
        measured = [defect for defect in met if defect is not None]
        return torch.stack(measured).amax() if len(measured) == len(met) else None

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        frozen: list[FrozenLayer] = []
        for position, layer in enumerate(self._linear):
            if position:
                frozen.append(self._between[position - 1].freeze())
            frozen.append(Affine(weight=layer.plain_weight(), bias=layer.bias.detach().double().cpu()))
        return FrozenCritic(frozen, standardisation.to(torch.device("cpu")), lipschitz=lipschitz)
