r"""Gradient penalties, on points between the samples of A and B.

.. math:: 10\, \mathbb{E} (\|\nabla f\| - 1)^2 \qquad \text{and, one-sided,} \qquad 10\, \mathbb{E} \max(\|\nabla f\| - 1, 0)^2

The first also punishes slopes below 1, which an optimal critic has none of along transport, but may have elsewhere.

References:
    Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), Improved training of Wasserstein GANs, arXiv:1704.00028 (two-sided).
    Petzka, Fischer & Lukovnikov (2018), On the regularization of Wasserstein GANs, arXiv:1709.08894 (one-sided).
"""

import torch
from torch import Tensor, nn

from wdist.training.penalties.penalty import Penalty, between, excess, slopes

WEIGHT = 10.0
"""Of both sources."""


def gradient_penalty(generator: torch.Generator) -> Penalty:
    """Two-sided."""

    def penalty(critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        return WEIGHT * (slopes(critic, between(a, b, generator)) - 1).square().mean()

    return penalty


def one_sided_gradient_penalty(generator: torch.Generator) -> Penalty:
    """Slopes below 1 cost nothing."""

    def penalty(critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        return WEIGHT * excess(slopes(critic, between(a, b, generator)))

    return penalty
