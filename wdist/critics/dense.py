"""A fully connected critic: linear layers of norm 1 with an activation of slope at most 1 between them."""

import torch
from torch import Tensor, nn

from wdist.critics.frozen import FrozenCritic
from wdist.lipschitz.activations import Activation
from wdist.lipschitz.frozen_layers import Activated, Affine, FrozenLayer
from wdist.lipschitz.linear import LipschitzLinear
from wdist.measures.standardisation import Standardisation


class DenseCritic(nn.Module):
    """A stack of ``layers`` with ``activation`` between them, from standardised samples to one potential.

    Arguments:
        layers: the first takes a whole sample, the last gives one output.
        activation: between the layers.
    """

    def __init__(self, layers: list[LipschitzLinear], activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Potentials, shape (n,), of standardised samples, shape (n, dim)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation.train(layer(x))
        return last(x).squeeze(-1)

    def constrain_(self, *, tightly: bool = False) -> None:
        """Brings every layer back to its constraint, after a step or, tightly, before an evaluation."""
        for layer in self.layers:
            layer.constrain_(tightly=tightly)

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        """Plain weights in float64 with the constraint met to the last digits."""
        frozen: list[FrozenLayer] = []
        for position, layer in enumerate(self.layers):
            if position:
                frozen.append(Activated(name=self.activation.name))
            frozen.append(Affine(weight=layer.plain_weight(), bias=layer.bias.detach().double().cpu()))
        return FrozenCritic(frozen, standardisation.to(torch.device("cpu")), lipschitz=lipschitz)
