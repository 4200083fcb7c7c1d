"""How far floating-point sums and products can be from the exact ones."""

import torch

UNIT_ROUNDOFF = torch.finfo(torch.float64).eps / 2
"""u of IEEE float64, round to nearest."""


def gamma(k: int) -> float:
    r""":math:`\gamma_k = k u / (1 - k u)`: the relative error of a sum of k products, in any order of summation.

    References:
        Higham (2002), Accuracy and stability of numerical algorithms, section 3.1.
    """
    return k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF)
