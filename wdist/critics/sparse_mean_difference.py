r"""The difference between the means of a few coordinates: the linear critic for shifts in a few columns among many.

.. math:: w \propto \operatorname{sign}(\delta_j) \, (|\delta_j| - t \, s_j)_+, \qquad \delta = \bar x - \bar y

with standard errors s. The difference of means of d coordinates from n samples has noise of length about :math:`\sqrt{2 d / n}`,
which hides the direction of a shorter shift. Cross-validation within the training samples chooses t, which may be 0. Heavy tails of
the values are clipped (:mod:`wdist.critics.clipping`).

References:
    Tibshirani, Hastie, Narasimhan & Chu (2002), Diagnosis of multiple cancer types by shrunken centroids of gene expression.
    Fan & Fan (2008), High-dimensional classification using features annealed independence rules.
"""

import torch
from torch import Tensor

from wdist.critics.clipping import clip, clipped_share, ends
from wdist.critics.mean_difference import steepest_direction
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer

_THRESHOLDS = tuple(number / 2 for number in range(9))
"""Thresholds t to try, in standard errors."""
_PARTS = 5
_ERRORS = 3.5
"""Standard errors of the training samples, two thirds of all, that match the 1.6 or so of the held-out sixth in a bound."""


def sparse_mean_difference(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    """Layers of the linear critic along the part of the difference of means that exceeds its noise, clipped if its tails are heavy;
    arguments as for ``mean_difference``."""
    errors = (a.var(0, correction=0) / len(a) + b.var(0, correction=0) / len(b)).sqrt()
    threshold, share = _validated(a, b, errors, metric) if min(len(a), len(b)) >= 2 * _PARTS else (0.0, 0.0)
    w = steepest_direction(_shrunken(a.mean(0) - b.mean(0), threshold, errors), metric)
    linear = Affine(weight=w.unsqueeze(0), bias=w.new_zeros(1))
    return [linear, clip(*ends(a @ w, b @ w, share))] if share else [linear]


def _validated(a: Tensor, b: Tensor, errors: Tensor, metric: GroundMetric) -> tuple[float, float]:
    """The threshold whose critics reach the largest value on the parts that they did not see (the smallest in a tie), and the
    fraction of these values to clip."""
    sums_a, sums_b = (torch.stack([side[part::_PARTS].sum(0) for part in range(_PARTS)]) for side in (a, b))
    counts_a, counts_b = (side.new_tensor([[len(side[part::_PARTS])] for part in range(_PARTS)]) for side in (a, b))
    fresh = sums_a / counts_a - sums_b / counts_b
    seen = (sums_a.sum(0) - sums_a) / (len(a) - counts_a) - (sums_b.sum(0) - sums_b) / (len(b) - counts_b)

    def directions(threshold: float) -> Tensor:
        return torch.stack([steepest_direction(_shrunken(each, threshold, errors), metric) for each in seen])

    threshold = max(_THRESHOLDS, key=lambda each: float((directions(each) * fresh).sum()))
    best = directions(threshold)
    values = (torch.cat([side[part::_PARTS] @ best[part] for part in range(_PARTS)]) for side in (a, b))
    return threshold, clipped_share(*values, errors=_ERRORS)


def _shrunken(difference: Tensor, threshold: float, errors: Tensor) -> Tensor:
    """Shrinks each coordinate of the difference towards 0 by ``threshold`` standard errors; if nothing remains, keeps only the
    coordinate with the most standard errors."""
    shrunken = difference.sign() * (difference.abs() - threshold * errors).clamp(min=0.0)
    if bool(shrunken.any()):
        return shrunken
    clearest = (difference.abs() / errors).nan_to_num(nan=0.0).argmax()
    return torch.zeros_like(difference).index_fill(0, clearest.reshape(1), float(difference[clearest]))
