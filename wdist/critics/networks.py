"""Dense critics: linear layers of norm at most 1 with activations of slope at most 1 between them.

Several critics of the same architecture can be stacked into one network whose tensors have a leading axis, so that one product
serves all of them.

References:
    The PyTorch manual, torch.func, model ensembling: the same stacking of states, for networks that are only evaluated.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.lipschitz.activations import Activation, ActivationModule, Stateless
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear


class StackedCritic(Critic):
    """A stack of linear layers, dense or convolutional, with an activation between them.

    Arguments:
        layers: linear layers; the last has one output (in a classifier, one for each class).
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
        """The linear layers."""
        return cast(list[LipschitzLinear], list(self.layers))

    @property
    def between(self) -> list[ActivationModule]:
        """The activations, one after each layer but the last."""
        return cast(list[ActivationModule], list(self.activations))

    def constrain_(self, *, tightly: bool = False) -> Tensor | None:
        met = [layer.constrain_(tightly=tightly) for layer in self.linear]
        measured = [defect for defect in met if defect is not None]
        return torch.stack(measured).amax() if len(measured) == len(met) else None


class DenseCritic(StackedCritic):
    """A stack of fully connected layers, from standardised samples to one potential."""

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


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """Everything that determines a network except its initial weights."""

    event_shape: tuple[int, ...]
    """Shape of a sample."""
    dim: int
    """Number of coordinates of a sample."""
    width: int
    """Units of each hidden layer."""
    depth: int
    """Number of linear layers."""
    layer: type[LipschitzLinear]
    """Linear layer with the constraint."""
    options: ConstraintOptions
    activation: Activation

    def linear(self, inputs: int, outputs: int, generator: torch.Generator, *, first: bool) -> LipschitzLinear:
        """Makes one linear layer; the first is built for the metric of the samples."""
        return self.layer(inputs, outputs, generator=generator, options=replace(self.options, first=first))


class Architecture(Protocol):
    """Builds a critic from a plan: :func:`dense` or :func:`wdist.critics.conv.convolutional`."""

    def __call__(self, plan: NetworkPlan, generator: torch.Generator) -> StackedCritic:
        """Builds a critic with fresh weights; ``generator`` is on the CPU."""
        ...


def dense(plan: NetworkPlan, generator: torch.Generator) -> DenseCritic:
    """Builds a fully connected critic."""
    width, hidden = plan.width, plan.activation.outputs(plan.width)
    sizes = [(plan.dim, width), *[(hidden, width)] * (plan.depth - 2), (hidden, 1)]
    layers = [plan.linear(inputs, units, generator, first=position == 0) for position, (inputs, units) in enumerate(sizes)]
    return DenseCritic(layers, plan.activation)


def fits_side_by_side(critic: Critic) -> bool:
    """Whether all parts of a critic can compute with a leading axis."""
    return (
        isinstance(critic, DenseCritic)
        and all(layer.side_by_side for layer in critic.linear)
        and all(isinstance(activation, Stateless) for activation in critic.between)
    )


def side_by_side(members: Sequence[Critic]) -> Critic:
    """Stacks ``members`` into one critic: potentials of shape (k, n) from samples of shape (k, n, dim).

    The members have the same architecture and device, and each :func:`fits_side_by_side`. Their parameters and buffers become
    slices of the stacked ones and follow in-place changes, so each member can be validated and frozen as if trained alone.
    """
    together = copy.deepcopy(members[0])
    for path, module in together.named_modules():
        theirs = [member.get_submodule(path) for member in members]
        for name, _ in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(_gathered([getattr(each, name) for each in theirs])))
        for name, _ in list(module.named_buffers(recurse=False)):
            setattr(module, name, _gathered([getattr(each, name) for each in theirs]))
    return together


@torch.no_grad()
def _gathered(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stacks tensors, and makes them slices of the result."""
    whole = torch.stack([tensor.data for tensor in tensors])
    for tensor, part in zip(tensors, whole, strict=True):
        tensor.data = part
    return whole
