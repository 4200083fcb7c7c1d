r"""Objectives of a training, as functions of the potentials of both sides of a minibatch.

All are in the units of the potentials, so that the value of a 1-Lipschitz critic is at most W1 and gradients have about one size.
"""

import math
from collections.abc import Callable

from torch import Tensor

_SMALL, _LARGEST_EXPONENT = 0.01, 80.0
"""Scale below which the logarithm of the mean of exponentials near 1 would lose the digits that it is divided by."""

Objective = Callable[[Tensor, Tensor], Tensor]
"""Value, shape (...), of potentials on A, shape (..., n), and on B, shape (..., m); it is raised, and compared in validations."""


def mean_difference(of_a: Tensor, of_b: Tensor) -> Tensor:
    """Mean potential on A minus mean potential on B: the dual of W1 (Kantorovich-Rubinstein)."""
    return of_a.mean(-1) - of_b.mean(-1)


def donsker_varadhan(scale: float) -> Objective:
    r"""The Kullback-Leibler divergence that potentials prove once they are multiplied by ``scale``, over ``scale``.

    .. math:: \mathbb{E}_A f - \tfrac{1}{s} \log \mathbb{E}_B e^{s f}

    On a minibatch the logarithm is too small on average, the less so in larger ones; bounds are evaluated on all samples.
    For small scales it is the mean difference.

    References:
        Donsker & Varadhan (1983), Asymptotic evaluation of certain Markov process expectations for large time, IV.
        Belghazi et al. (2018), Mutual information neural estimation, arXiv:1801.04062.
    """

    def value(of_a: Tensor, of_b: Tensor) -> Tensor:
        middle = of_b.mean(-1, keepdim=True)  # leaves the value as it is, and its digits where the potentials are large
        nats = scale * (of_b - middle)
        if scale < _SMALL:
            tilted = nats.clamp(max=_LARGEST_EXPONENT).expm1().mean(-1).log1p()
        else:
            tilted = nats.logsumexp(-1) - math.log(of_b.shape[-1])
        return (of_a - middle).mean(-1) - tilted / scale

    return value
