"""Upper bounds for a network's Lipschitz constant: the smallest of several, each proved in float64."""

import math
from dataclasses import dataclass
from functools import reduce

from wdist.bounds.lipschitz.network import Dense, Network, Step, steps
from wdist.bounds.lipschitz.products import averaged_bound, layer_norms, product_bound
from wdist.bounds.lipschitz.semidefinite import LARGEST_PROOF, Layers, semidefinite_bound
from wdist.errors import CertificateError
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.frozen_layer import LayerBound
from wdist.lipschitz.linalg.rounding import product_above

PRODUCT, AVERAGED, SEMIDEFINITE = "product", "averaged", "semidefinite"
METHODS = (PRODUCT, AVERAGED, SEMIDEFINITE)
"""Methods, the cheapest first."""


@dataclass(frozen=True, kw_only=True)
class LipschitzUpper:
    """An upper bound for the Lipschitz constant of a network."""

    bound: float
    """The smallest of ``bounds``."""
    metric: GroundMetric
    """Metric of inputs and outputs."""
    method: str
    """The method of the smallest bound."""
    bounds: dict[str, float]
    """Bounds by method; those that do not apply are missing."""
    layers: tuple[LayerBound, ...]
    """The factors of the product of norms."""


def lipschitz_upper(network: Network, metric: GroundMetric = L2, *, methods: tuple[str, ...] = METHODS) -> LipschitzUpper:
    """Bounds the Lipschitz constant of a network from above, over all inputs.

    Arguments:
        network: from :func:`wdist.bounds.lipschitz.reading.read_network`; apply
            :meth:`~wdist.bounds.lipschitz.network.Network.followed_by` first for the difference of two outputs.
        metric: l2 or linf, of inputs and outputs.
        methods: to try besides the product of norms; the semidefinite bound takes seconds and applies to l2 only.

    Raises:
        CertificateError: no bound is finite.
    """
    chain = steps(network)
    factors = [_factors(step, metric, methods) for step in chain]
    # If a method does not apply to a step, the best of the cheaper ones replaces it there.
    totals = {PRODUCT: product_above(*(each[PRODUCT] for each in factors), 1.0)}
    for position, method in enumerate(METHODS[1:], start=1):
        if any(method in each for each in factors):
            upto = METHODS[: position + 1]
            totals[method] = product_above(*(min(each[name] for name in upto if name in each) for each in factors), 1.0)
    best = reduce(lambda a, b: b if totals[b] < totals[a] else a, totals)
    if not math.isfinite(totals[best]):
        raise CertificateError(f"{network.what} has no finite Lipschitz bound, because its weights are too large; scale them down")
    layers = tuple(bound for step in chain for bound in _layer_bounds(step, metric))
    return LipschitzUpper(bound=totals[best], metric=metric, method=best, bounds=totals, layers=layers)


def _factors(step: Step, metric: GroundMetric, methods: tuple[str, ...]) -> dict[str, float]:
    """Bounds of one step by method."""
    if not isinstance(step, Dense):
        return {PRODUCT: step.bound(metric).bound}
    single = product_above(*(operation.bound(metric).bound for operation in step.operations))
    norms = layer_norms(step.layers, metric)
    found = {PRODUCT: min(single, product_bound(step.layers, norms))}
    if AVERAGED in methods:
        found[AVERAGED] = averaged_bound(step.layers, norms, metric)
    if SEMIDEFINITE in methods and metric == L2 and (proved := windowed_bound(step.layers, norms)) is not None:
        found[SEMIDEFINITE] = proved
    return found


def _layer_bounds(step: Step, metric: GroundMetric) -> list[LayerBound]:
    operations = step.operations if isinstance(step, Dense) else (step,)
    bounds = [operation.bound(metric) for operation in operations]
    return [bound for bound in bounds if bound.bound != 1 or "moves" not in bound.method]


def windowed_bound(layers: Layers, norms: list[float]) -> float | None:
    """The semidefinite bound of all layers, or the product of the bounds of consecutive parts small enough for a proof.

    Parts meet at an activation, whose steepest slope is a factor. None if no part has a semidefinite bound.
    """
    if not layers.slopes:
        return None
    if layers.units > LARGEST_PROOF:
        return _product_of_parts(layers, norms)
    found = semidefinite_bound(layers)
    return None if found is None or not math.isfinite(found[0]) else found[0]


def _product_of_parts(layers: Layers, norms: list[float]) -> float | None:
    first, total, any_proved = 0, 1.0, False
    while first < len(layers.matrices):
        last = first
        while last + 1 < len(layers.matrices) and layers.part(first, last + 1).units <= LARGEST_PROOF:
            last += 1
        part = layers.part(first, last)
        bound = product_bound(part, norms[first : last + 1])
        if part.slopes and (proved := semidefinite_bound(part)) is not None:
            bound, any_proved = min(bound, proved[0]), True
        slope = layers.slopes[last].steepest if last < len(layers.slopes) else 1.0
        total, first = product_above(total, bound, slope), last + 1
    return total if any_proved else None
