r"""Lipschitz bounds within a ball, from an enclosure of all Jacobians there.

Within a ball around x, every value of a network changes by at most the radius times the largest dual norm of its row of the
Jacobian. So the inputs of the next activation lie in intervals, within which its slopes are bounded; an activation without a kink
there is linear. The Jacobians of the next values then lie in a matrix interval again, and so on, layer by layer. The ball is
convex, so the difference of two outputs is a mean of Jacobians times the difference of the inputs.

References:
    Weng et al. (2018), Towards fast computation of certified robustness for ReLU networks, arXiv:1804.09699 (Fast-Lip).
    Zhang, Zhang & Hsieh (2019), RecurJac: an efficient recursive algorithm for bounding Jacobian matrix of neural networks and its
        applications, arXiv:1810.11783.
    Rump (1999), Fast and parallel interval arithmetic, BIT Numerical Mathematics 39 (midpoints and radii).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from wdist.bounds.lipschitz.matrix import Matrix
from wdist.bounds.lipschitz.network import Network, Node
from wdist.bounds.lipschitz.operators import Bounded, Elementwise, LinearMap
from wdist.bounds.lipschitz.upper import AVERAGED, lipschitz_upper
from wdist.errors import CertificateError
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.linalg.norms import spectral_norm_bound
from wdist.lipschitz.linalg.rounding import UNDERFLOW, UNIT_ROUNDOFF, gamma

_ABOVE = 1 + 1e-9  # far more than the rounding of a radius
_FUNCTION_ERROR = 64 * UNIT_ROUNDOFF
"""Relative rounding allowed for a computed activation and its argument, far above that of torch's functions."""


class NoEnclosure(CertificateError):
    """The network has an operation whose Jacobians cannot be enclosed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Enclosure:
    """Values at the centre, their largest changes within the ball, and an enclosure of all Jacobians there."""

    centre: Tensor
    error: Tensor
    """Largest error of the computed values, non-negative."""
    reach: Tensor
    """Largest change of a value within the ball from the centre."""
    middle: Tensor
    """Midpoints of the Jacobians, column by column, shape (inputs, \\*shape)."""
    radius: Tensor
    """Radii of the Jacobians around the midpoints, the same shape."""


def local_upper(network: Network, x: Tensor, radius: float, metric: GroundMetric = L2) -> float:
    """An upper bound for all slopes of the network within the ball of this radius around x.

    Arguments:
        network: consists of linear maps and activations; other operations are refused.
        x: one sample, any type, in the shape of the network's inputs.
        radius: in the metric's norm, which also measures outputs; 0 for the slope at x itself.
        metric: l2 or linf.

    Raises:
        NoEnclosure: the network sorts, takes maxima, or has other operations that are not elementwise.
    """
    enclosed = _enclosures(network, x, radius, metric)
    by_jacobian = _norm(enclosed[-1], metric)
    localised = _localised(network, enclosed)
    return min(by_jacobian, lipschitz_upper(localised, metric, methods=(AVERAGED,)).bound)


def _enclosures(network: Network, x: Tensor, radius: float, metric: GroundMetric) -> list[_Enclosure]:
    size = math.prod(network.inputs)
    x = x.detach().double().cpu().reshape(network.nodes[0].shape)
    eye = torch.eye(size, dtype=torch.float64).reshape(size, *x.shape)
    # The ball lies in the box of this radius, whatever the norm.
    found = [
        _Enclosure(
            centre=x,
            error=torch.zeros_like(x),
            reach=torch.full_like(x, radius * _ABOVE),
            middle=eye,
            radius=torch.zeros_like(eye),
        )
    ]
    for node in network.nodes[1:]:
        moved = _of_node(node, [found[i] for i in node.inputs])
        by_rows = _rows(moved, metric) * radius * _ABOVE + UNDERFLOW
        found.append(replace(moved, reach=torch.minimum(moved.reach, by_rows)))
    return found


def _rows(enclosed: _Enclosure, metric: GroundMetric) -> Tensor:
    """The largest dual norm of each row of the Jacobian, which bounds the change of a value in a step of length 1."""
    magnitude = enclosed.middle.abs() + enclosed.radius
    return (torch.linalg.vector_norm(magnitude, dim=0) if metric == L2 else magnitude.sum(0)) * _ABOVE


def _of_node(node: Node, parts: list[_Enclosure]) -> _Enclosure:
    if isinstance(node.operation, LinearMap):
        return _linear(node.operation, parts[0])
    if isinstance(node.operation, Elementwise):
        return _activated(node.operation, parts[0])
    if isinstance(node.operation, Bounded):
        raise NoEnclosure(f"slopes within a ball are not bounded for the operation {node.operation.name}; leave out the radius")
    if node.joined == "sum":
        return _summed(parts)
    if node.joined == "stack" and node.join is not None:
        join, joined = node.join, torch.vmap(lambda *each: node.join(list(each)))  # type: ignore[misc]
        values = {name: join([getattr(part, name) for part in parts]) for name in ("centre", "error", "reach")}
        return _Enclosure(**values, **{name: joined(*(getattr(part, name) for part in parts)) for name in ("middle", "radius")})
    raise NoEnclosure("slopes within a ball are not bounded for maxima of two values; leave out the radius")


def _summed(parts: list[_Enclosure]) -> _Enclosure:
    share = gamma(len(parts))  # of the terms, which may cancel
    return _Enclosure(
        centre=_total(part.centre for part in parts),
        error=_total(part.error + share * part.centre.abs() for part in parts) * _ABOVE,
        reach=_total(part.reach for part in parts) * _ABOVE,
        middle=_total(part.middle for part in parts),
        radius=_total(part.radius + share * part.middle.abs() for part in parts) * _ABOVE,
    )


def _total(terms: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, terms)


def _linear(operation: LinearMap, part: _Enclosure) -> _Enclosure:
    centre = operation.function(part.centre)
    error = operation.absolute(part.error) + operation.rounding(part.centre[None])[0]
    if operation.bias is not None:
        centre = centre + operation.bias
        error = error + UNIT_ROUNDOFF * (centre.abs() + operation.bias.abs()) + operation.bias_error
    return _Enclosure(
        centre=centre,
        error=error * _ABOVE + UNDERFLOW,
        reach=operation.absolute(part.reach) * (_ABOVE + operation.relative),
        middle=operation.columns(part.middle),
        radius=(operation.magnitudes(part.radius) * (1 + operation.relative) + operation.rounding(part.middle)) * _ABOVE,
    )


def _activated(operation: Elementwise, part: _Enclosure) -> _Enclosure:
    low, high = _slopes(operation, part)
    middle, half = (low + high) / 2, (high - low) / 2 * _ABOVE
    steepest = torch.maximum(low.abs(), high.abs())
    centre = operation.function(part.centre)
    largest = max(float(operation.low.abs().max()), float(operation.high.abs().max()))
    error = largest * part.error + _FUNCTION_ERROR * (centre.abs() + largest * part.centre.abs())
    magnitude = part.middle.abs()
    return _Enclosure(
        centre=centre,
        error=error * _ABOVE + UNDERFLOW,
        reach=steepest * part.reach * _ABOVE,
        middle=part.middle * middle,
        # The midpoint of the slopes rounds as well, by the error of a sum and a product.
        radius=(steepest * part.radius + (half + 4 * UNIT_ROUNDOFF * steepest) * magnitude) * _ABOVE,
    )


def _slopes(operation: Elementwise, part: _Enclosure) -> tuple[Tensor, Tensor]:
    low, high = operation.low.expand(part.centre.shape), operation.high.expand(part.centre.shape)
    if operation.within is None:
        return low, high
    reach = (part.reach + part.error) * _ABOVE
    left, right = part.centre - reach, part.centre + reach
    # The ends of the intervals round outwards.
    slack = 4 * UNIT_ROUNDOFF * (part.centre.abs() + reach)
    least, most = operation.within(left - slack, right + slack)
    return torch.maximum(low, least), torch.minimum(high, most)


def _norm(enclosed: _Enclosure, metric: GroundMetric) -> float:
    middle, radius = (each.flatten(1).T.contiguous() for each in (enclosed.middle, enclosed.radius))
    matrix = Matrix(value=middle, error=radius)
    if metric != L2:
        return matrix.norm(metric)
    # No matrix whose entries are bounded in magnitude by those of the radius has a larger norm than the radius itself.
    return (spectral_norm_bound(middle) + spectral_norm_bound(radius)) * (1 + 2 * UNIT_ROUNDOFF)


def _localised(network: Network, enclosed: list[_Enclosure]) -> Network:
    """Returns the network with each activation's slopes restricted to the ball."""
    nodes = []
    for node in network.nodes:
        operation = node.operation
        if isinstance(operation, Elementwise):
            low, high = _slopes(operation, enclosed[node.inputs[0]])
            node = replace(node, operation=replace(operation, low=low, high=high, within=None))
        nodes.append(node)
    return replace(network, nodes=tuple(nodes))
