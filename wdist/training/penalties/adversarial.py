r"""Adversarial Lipschitz regularisation: the slope towards the direction in which the critic changes most.

.. math:: \mathbb{E} \max\Big(\frac{|f(x) - f(x + r)|}{\|r\|} - 1, 0\Big), \qquad r = \epsilon \frac{d}{\|d\|}

The direction d maximises :math:`|f(x) - f(x + r)|` to second order at 0; one step of power iteration on its Hessian, by finite
differences, is the gradient at :math:`x + \xi d_0` for a random d_0. Lengths are in the standardised units, where samples have a
root mean square distance of 1 from their mean; the source draws them from [0.1, 10] for images of norm about 30.

References:
    Terjék (2020), Adversarial Lipschitz regularization, arXiv:1907.05681.
    Miyato, Maeda, Koyama & Ishii (2018), Virtual adversarial training, arXiv:1704.03976 (the power iteration).
"""

import math

import torch
from torch import Tensor, nn

from wdist.training.penalties.penalty import Penalty

WEIGHT = 10.0
_SHORTEST, _LONGEST = 0.01, 1.0
"""Of the perturbations, drawn evenly on a logarithmic scale."""
_STEP = 0.1
"""xi, of the finite difference."""


def adversarial_lipschitz_penalty(generator: torch.Generator) -> Penalty:
    """At the samples of A and B, with one power iteration."""

    def penalty(critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        x = torch.cat([a, b])
        start = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        r = (_STEP * nn.functional.normalize(start, dim=1)).requires_grad_()
        # Its own graph: the direction is a constant of the penalty.
        (direction,) = torch.autograd.grad((critic(x) - critic(x + r)).abs().sum(), r)
        share = torch.rand(len(x), 1, generator=generator, device=x.device, dtype=x.dtype)
        length = _SHORTEST * torch.exp(share * math.log(_LONGEST / _SHORTEST))
        moved = x + length * nn.functional.normalize(direction, dim=1)
        slope = (critic(x) - critic(moved)).abs() / length.squeeze(1)
        return WEIGHT * (slope - 1).clamp(min=0).mean()

    return penalty
