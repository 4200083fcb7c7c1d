r"""Certificates: proved upper bounds for the Lipschitz constant of a frozen critic.

Composition multiplies Lipschitz bounds, so a certificate is a product of bounds of the layers, each proved in float64 with its
rounding accounted for (:mod:`wdist.lipschitz.linalg.norms`). Lower estimates never enter. A certificate is the smallest of:

- Euclidean norms throughout, with :math:`\|x\|_2 \le \|x\|_1` and :math:`\|x\|_2 \le \sqrt d\, \|x\|_\infty` for the other
  metrics;
- from the metric's norm to the maximum norm in the first layer, then maximum norms, as in theorem 3 of the paper;
- if the critic has multipliers that prove it, one semidefinite bound for all layers (:mod:`wdist.bounds.lipschitz.critics`).

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, sections 2.1 and 6.
"""

import math
from dataclasses import dataclass

from wdist.bounds.lipschitz.critics import semidefinite_constant
from wdist.critics.frozen import FrozenCritic
from wdist.errors import CertificateError
from wdist.ground_metric import L2, LINF, GroundMetric
from wdist.lipschitz.frozen_layer import LayerBound
from wdist.lipschitz.linalg.rounding import product_above


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Lip(f) <= ``lipschitz_bound`` in the ground metric."""

    lipschitz_bound: float
    layers: tuple[LayerBound, ...]
    """The factors of the smallest product."""
    metric: GroundMetric = L2


_SMALLEST = 1e-100
"""Smallest certificate: a constant function has every Lipschitz constant, and values divided by this one stay finite."""


def certify(critic: FrozenCritic, metric: GroundMetric = L2) -> Certificate:
    """Proves an upper bound for the Lipschitz constant of a frozen critic.

    Raises:
        CertificateError: no finite bound is proved.
    """
    from_metric = _from_metric(critic, metric)
    chains = [(*from_metric, *critic.bounds), _maximum(critic, metric)]  # min prefers the first of equal products
    if (network := semidefinite_constant(critic)) is not None:
        whole = LayerBound(layer=f"network of {len(critic.layers)} layers", bound=network, method="semidefinite, float64")
        chains.append((*from_metric, whole, critic.bounds[-1]))
    products = [product_above(*(layer.bound for layer in chain)) for chain in chains]
    bound, layers = min(zip(products, chains, strict=True), key=lambda proof: proof[0])
    if not math.isfinite(bound):
        raise CertificateError(f"the critic's Lipschitz bound is {bound}; train again with a lower --learning-rate")
    return Certificate(lipschitz_bound=max(bound, _SMALLEST), layers=layers, metric=metric)


def _from_metric(critic: FrozenCritic, metric: GroundMetric) -> tuple[LayerBound, ...]:
    """Factor between the Euclidean norm and the metric."""
    if metric != LINF:
        return ()
    root = math.nextafter(math.sqrt(critic.dim), math.inf)
    return (LayerBound(layer="metric", bound=root, method="square root of the dimension"),)


def _maximum(critic: FrozenCritic, metric: GroundMetric) -> tuple[LayerBound, ...]:
    *_, scaling = critic.bounds
    return (*(layer.maximum(math.inf if i else metric.p) for i, layer in enumerate(critic.layers)), scaling)
