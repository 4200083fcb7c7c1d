"""Weights without a constraint, for critics that a penalty is to keep from growing steep."""

from torch import Tensor

from wdist.lipschitz.linear import LipschitzLinear


class UnconstrainedLinear(LipschitzLinear):
    """A linear layer; its norm is what it is."""

    constraint = "none"
    title = "no constraint"
    bounded = False
    learning_rate = 0.001
    side_by_side = True

    def training_weight(self) -> Tensor:
        return self.weight

    def plain_weight(self) -> Tensor:
        """The weight as it is."""
        return self.weight.detach().double().cpu()
