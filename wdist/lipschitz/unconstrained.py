"""Weights whose norm the constraint does not bound: free ones, for critics trained with a penalty, and clipped ones.

References:
    Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875 (weight clipping).
"""

import torch
from torch import Tensor

from wdist.lipschitz.linear import LipschitzLinear

_CLIPPED_INPUTS = 512
"""Layer size for which the source states its clipping constant."""


class UnconstrainedLinear(LipschitzLinear):
    """A linear layer of any norm."""

    constraint = "none"
    title = "no constraint"
    bounded = False
    learning_rate = 0.001
    side_by_side = True

    def training_weight(self) -> Tensor:
        return self.weight

    def plain_weight(self) -> Tensor:
        return self.weight.detach().double().cpu()


class ClippedLinear(UnconstrainedLinear):
    """A linear layer whose weights are clipped after each step, which bounds its norm far too loosely to be useful.

    The source clips layers of 512 units at 0.01. A unit passes on at most the constant times its number of inputs, so the
    constant is inversely proportional to the inputs of a layer. Biases do not affect the slope and are not clipped.
    """

    constraint = "clip"
    title = "weight clipping"
    side_by_side = False

    @property
    def largest(self) -> float:
        """Largest magnitude of a weight."""
        return self.options.clip * _CLIPPED_INPUTS / self.inputs

    def _initial(self, generator: torch.Generator) -> Tensor:
        return super()._initial(generator).clamp(-self.largest, self.largest)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        del tightly
        self.weight.clamp_(-self.largest, self.largest)
