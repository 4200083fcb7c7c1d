"""What critics of several linear layers share, whatever a layer takes: layers, activations between them, and the constraint."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.lipschitz.activation import Activation, ActivationModule
from wdist.lipschitz.linear import LipschitzLinear


class StackedCritic(Critic):
    """A stack of ``layers`` with ``activation`` between them.

    Arguments:
        layers: the last gives one output (or one for each class, of a classifier).
        activation: between the layers.
    """

    def __init__(self, layers: Sequence[LipschitzLinear], activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.activations = nn.ModuleList(activation.module(layer.outputs) for layer in layers[:-1])
        self.activation = activation
        self.constrain_every = max(layer.constrain_every for layer in layers)

    @property
    def linear(self) -> list[LipschitzLinear]:
        """The layers."""
        return cast(list[LipschitzLinear], list(self.layers))

    @property
    def between(self) -> list[ActivationModule]:
        """The activations, one behind each layer but the last."""
        return cast(list[ActivationModule], list(self.activations))

    def constrain_(self, *, tightly: bool = False) -> Tensor | None:
        met = [layer.constrain_(tightly=tightly) for layer in self.linear]
        measured = [defect for defect in met if defect is not None]
        return torch.stack(measured).amax() if len(measured) == len(met) else None
