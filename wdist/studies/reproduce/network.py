"""Fully connected networks with any number of outputs, in training and frozen, whose hidden units can be looked at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from wdist.lipschitz.activations import Activation
from wdist.lipschitz.activations import activation as named_activation
from wdist.lipschitz.constraints import constraint as named_constraint
from wdist.lipschitz.linear import ConstraintOptions
from wdist.studies.dual_training import Descent


@dataclass(frozen=True, kw_only=True)
class FrozenNetwork:
    """Plain weights and the activation between them."""

    weights: tuple[tuple[Tensor, Tensor], ...]
    """Matrix and bias of each layer."""
    activation: Activation
    scale: float = 1.0
    """Factor on the output: the Lipschitz constant where every layer has norm 1."""

    def to(self, device: torch.device, dtype: torch.dtype) -> "FrozenNetwork":
        """The same network elsewhere or in another precision."""
        weights = tuple((W.to(device, dtype), b.to(device, dtype)) for W, b in self.weights)
        return FrozenNetwork(weights=weights, activation=self.activation, scale=self.scale)

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs of shape (n, outputs) for inputs of shape (n, dim)."""
        return self.traced(x)[0]

    def traced(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Outputs, and pre-activations and activations of every hidden layer, each of shape (n, units)."""
        trace = []
        for W, b in self.weights[:-1]:
            z = nn.functional.linear(x, W, b)
            x = self.activation.evaluate(z)
            trace.append((z, x))
        return self.scale * nn.functional.linear(x, *self.weights[-1]), trace


class Network(nn.Module):
    """Linear layers of one constraint with one activation between them.

    Arguments:
        sizes: of input, hidden layers and output.
        activation, constraint: by name.
        generator: of the weights, on the CPU.
        scale: factor on the output.
    """

    def __init__(
        self, sizes: Sequence[int], *, activation: str, constraint: str, generator: torch.Generator, scale: float = 1.0
    ) -> None:
        super().__init__()
        kind = named_constraint(constraint)
        options = ConstraintOptions()
        self.linear = [kind(inputs, outputs, generator=generator, options=options) for inputs, outputs in pairwise(sizes)]
        self.layers = nn.ModuleList(self.linear)
        self.activation, self.scale = named_activation(activation), scale

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.linear
        for layer in hidden:
            x = self.activation.train(layer(x))
        return self.scale * last(x)

    def minimise_(self, loss: Callable[[], Tensor], *, steps: int, learning_rate: float) -> Tensor:
        """Trains the network, which ends tightly on its constraint.

        Arguments:
            loss: computes a scalar from the network, for every step anew.
            steps: number of updates.
            learning_rate: of the weights.

        Returns:
            The loss before the last update.
        """
        descent, value = Descent(self, learning_rate=learning_rate), torch.zeros(())
        every = max(1, int(self.linear[0].constrain_every))
        for step in range(steps):
            value = loss()
            descent.step(value, spent=step / steps)
            if step % every == every - 1:
                self._constrain_()
        self._constrain_(tightly=True)
        return value.detach()

    def _constrain_(self, *, tightly: bool = False) -> None:
        for layer in self.linear:
            layer.constrain_(tightly=tightly)

    def freeze(self) -> FrozenNetwork:
        """Plain float64 weights on the CPU."""
        weights = tuple((layer.plain_weight(), layer.bias.detach().double().cpu()) for layer in self.linear)
        return FrozenNetwork(weights=weights, activation=self.activation, scale=self.scale)
