"""Weight clipping: every weight stays within a constant, which bounds the slope by far too much to be of use.

The source clips at 0.01 a network of layers of 512 units. What a unit can pass on is the constant times its inputs, so for layers
of other sizes the constant is in inverse proportion to the inputs. Biases, which do not touch the slope, are left alone.

References:
    Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875.
"""

import torch
from torch import Tensor

from wdist.lipschitz.linear import LipschitzLinear

_INPUTS = 512
"""Of the layers for which the constant is meant."""


class ClippedLinear(LipschitzLinear):
    """A linear layer whose weights are clipped after each step; its norm is what it is."""

    constraint = "clip"
    title = "weight clipping"
    bounded = False
    learning_rate = 0.001

    @property
    def largest(self) -> float:
        """Magnitude that no weight exceeds."""
        return self.options.clip * _INPUTS / self.inputs

    def _initial(self, generator: torch.Generator) -> Tensor:
        return super()._initial(generator).clamp(-self.largest, self.largest)

    def training_weight(self) -> Tensor:
        return self.weight

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Clips."""
        del tightly
        self.weight.clamp_(-self.largest, self.largest)

    def plain_weight(self) -> Tensor:
        """The weight as it is."""
        return self.weight.detach().double().cpu()
