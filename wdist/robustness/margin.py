r"""Margins of the logit of the true class over the others, and the hinge loss that enlarges them.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, equations 3 and 4.
    Carlini & Wagner (2017), Towards evaluating the robustness of neural networks, arXiv:1608.04644 (the loss f6).
    Weston & Watkins (1999), Support vector machines for multi-class pattern recognition (the sum over the other classes).
"""

import math

import torch
from torch import Tensor


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """:math:`y_t - y_i` for every class i, shape (n, classes); infinity at i = t, the true class."""
    of_true = logits.gather(1, labels[:, None])
    return (of_true - logits).scatter(1, labels[:, None], math.inf)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    r""":math:`y_t - \max_{i \ne t} y_i`, shape (n,): positive if the prediction is correct.

    An attack lowers it. Its positive part is equation 3 of Anil et al., its negative part the loss f6 of Carlini and Wagner.
    """
    return margins(logits, labels).amin(1)


def hinge_loss(logits: Tensor, labels: Tensor, *, kappa: float) -> Tensor:
    r""":math:`\sum_{i \ne t} \max(0, \kappa - (y_t - y_i))`, averaged over the samples, for a margin :math:`\kappa`."""
    return torch.relu(kappa - margins(logits, labels)).sum(1).mean()
