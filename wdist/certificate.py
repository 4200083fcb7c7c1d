"""A certificate: a number that the Lipschitz constant of a frozen critic certainly does not exceed.

Composition multiplies Lipschitz bounds, so the certificate is the product of the bounds of the layers, each proved in float64 with
its rounding counted (:mod:`wdist.linalg.spectral_norm`). Nothing that is only estimated from below can enter.
"""

import math
from dataclasses import dataclass

from wdist.critics.frozen import FrozenCritic
from wdist.errors import CertificateError
from wdist.linalg.rounding import gamma
from wdist.result import LayerBound


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Lip(f) <= ``lipschitz_bound`` in the Euclidean metric."""

    lipschitz_bound: float
    layers: tuple[LayerBound, ...]


def certify(critic: FrozenCritic) -> Certificate:
    """Bounds the Lipschitz constant of a frozen critic from above, layer by layer.

    Raises:
        CertificateError: a layer has no finite bound.
    """
    layers = critic.bounds
    bound = math.prod(layer.bound for layer in layers) * (1 + gamma(len(layers) + 1))
    if not math.isfinite(bound) or bound < 0:
        raise CertificateError(f"the critic's Lipschitz bound is {bound}; train again with a lower --learning-rate")
    return Certificate(lipschitz_bound=bound, layers=layers)
