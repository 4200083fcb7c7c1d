r"""Training objectives: functions of the potentials of both sides of a minibatch.

All are in the units of the potentials, so that a 1-Lipschitz critic's value is at most W1 and all gradients have a similar size.
"""

import math
from collections.abc import Callable

from torch import Tensor

_SMALL, _LARGEST_EXPONENT = 0.01, 80.0
"""Scale below which the logarithm of a mean of exponentials near 1 would lose too many digits, and the largest exponent there."""

Objective = Callable[[Tensor, Tensor], Tensor]
"""Maps potentials on A, shape (..., n), and on B, shape (..., m), to the value, shape (...), that training raises and validation
compares."""


def mean_difference(of_a: Tensor, of_b: Tensor) -> Tensor:
    """Mean potential on A minus mean potential on B: the dual of W1 (Kantorovich-Rubinstein)."""
    return of_a.mean(-1) - of_b.mean(-1)


def donsker_varadhan(scale: float) -> Objective:
    r"""Returns the lower bound for the Kullback-Leibler divergence by potentials times ``scale``, divided by ``scale``.

    .. math:: \mathbb{E}_A f - \tfrac{1}{s} \log \mathbb{E}_B e^{s f}

    On a minibatch the logarithm is too small on average, the less so the larger the minibatch; bounds are evaluated on all samples.
    For small scales this approaches the mean difference.

    References:
        Donsker & Varadhan (1983), Asymptotic evaluation of certain Markov process expectations for large time, IV.
        Belghazi et al. (2018), Mutual information neural estimation, arXiv:1801.04062.
    """

    def value(of_a: Tensor, of_b: Tensor) -> Tensor:
        middle = of_b.mean(-1, keepdim=True)  # does not change the value, but keeps its digits if the potentials are large
        nats = scale * (of_b - middle)
        if scale < _SMALL:
            tilted = nats.clamp(max=_LARGEST_EXPONENT).expm1().mean(-1).log1p()
        else:
            tilted = nats.logsumexp(-1) - math.log(of_b.shape[-1])
        return (of_a - middle).mean(-1) - tilted / scale

    return value
