"""Critics side by side: several of one architecture as one network whose tensors have a leading axis.

One product then serves all of them. On a GPU, a product of small matrices takes less time than its launch.

References:
    The PyTorch manual, torch.func, model ensembling: the same stacking of states, there for networks that are only evaluated.
"""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from wdist.critics.critic import Critic
from wdist.critics.networks import DenseCritic
from wdist.lipschitz.activations import Stateless


def fits_side_by_side(critic: Critic) -> bool:
    """Tells whether all parts of a critic can compute with a leading axis."""
    return (
        isinstance(critic, DenseCritic)
        and all(layer.side_by_side for layer in critic.linear)
        and all(isinstance(activation, Stateless) for activation in critic.between)
    )


def side_by_side(members: Sequence[Critic]) -> Critic:
    """Stacks ``members`` into one critic: potentials of shape (k, n) from samples of shape (k, n, dim).

    Their parameters and buffers become slices of its own: changes in place reach them, so that each can be validated and frozen as if it
    had been trained alone.

    Arguments:
        members: of one architecture and on one device, each as :func:`fits_side_by_side` asks.
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
    """Stacks tensors, which become slices of the result."""
    whole = torch.stack([tensor.data for tensor in tensors])
    for tensor, part in zip(tensors, whole, strict=True):
        tensor.data = part
    return whole
