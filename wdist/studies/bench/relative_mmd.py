r"""The relative MMD test: which of two sources is nearer to a reference in the maximum mean discrepancy of a Gaussian kernel.

It is shown beside the tests of ``compare`` for contrast: it needs no training, and says nothing about W1.

References:
    Bounliphone, Belilovsky, Blaschko, Antonoglou & Gretton (2016), A test of relative similarity for model selection in generative
    models, arXiv:1511.04581.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from statistics import NormalDist

import torch
from torch import Tensor

from wdist.comparison.orders import OrderClaim, holm

_MEDIAN_ROWS = 500
"""Number of reference samples whose median distance is the width of the kernel."""


def relative_mmd(reference: Tensor, sources: Mapping[str, Tensor]) -> tuple[OrderClaim, ...]:
    r"""All pairs of sources with two-sided p-values, adjusted by Holm's method.

    For the kernel k, the difference of the two unbiased estimates of MMD squared is the mean over pairs i != j of

    .. math:: k(y_i, y_j) - k(x_i, y_j) - k(y_i, x_j) - k(z_i, z_j) + k(x_i, z_j) + k(z_i, x_j),

    a U-statistic, which is asymptotically normal with four times the variance of the means over j, divided by n.

    Arguments:
        reference: samples x, shape (n, dim).
        sources: samples y, z, ... by name, of the same shape.
    """
    width = float(torch.pdist(reference[:_MEDIAN_ROWS]).median())
    kernels = {name: _centred(reference, rows, width) for name, rows in sources.items()}
    found = []
    for one, other in combinations(sources, 2):
        h = kernels[one] - kernels[other]
        n = len(h)
        rows = h.sum(1) / (n - 1)
        difference, error = float(rows.mean()), 2 * float(rows.std()) / math.sqrt(n)
        p_value = 2 * NormalDist().cdf(-abs(difference) / error) if error > 0 else 1.0
        near, far = (one, other) if difference < 0 else (other, one)
        found.append(OrderClaim(nearer=near, farther=far, p_value=p_value))
    adjusted = holm([each.p_value or 0.0 for each in found])
    return tuple(replace(each, p_value=p_value) for each, p_value in zip(found, adjusted, strict=True))


def _centred(x: Tensor, y: Tensor, width: float) -> Tensor:
    """k(y_i, y_j) - k(x_i, y_j) - k(y_i, x_j), shape (n, n), with 0 on the diagonal."""
    across = _kernel(x, y, width)
    return (_kernel(y, y, width) - across - across.mT).fill_diagonal_(0.0)


def _kernel(x: Tensor, y: Tensor, width: float) -> Tensor:
    return torch.exp(-torch.cdist(x, y).square() / (2 * width * width))
