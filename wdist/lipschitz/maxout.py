"""Maxout: of each group of units the largest alone, so that a layer has fewer outputs than units.

References:
    Goodfellow, Warde-Farley, Mirza, Courville & Bengio (2013), Maxout networks, arXiv:1302.4389.
"""

from torch import Tensor

from wdist.lipschitz.activation import Activation


def maxout(group_size: int) -> Activation:
    """The largest of each ``group_size`` units; groups run across contiguous slices, as in GroupSort.

    |max x - max y| <= max |x - y| <= ||x - y||_2 within each group.
    """

    def largest(z: Tensor) -> Tensor:
        return z.unflatten(-1, (group_size, -1)).amax(-2)

    return Activation(
        name=f"maxout:{group_size}",
        train=largest,
        evaluate=largest,
        l2=1.0,
        linf=1.0,
        reason="largest of a group",
        divisor=group_size,
        group=group_size,
    )
