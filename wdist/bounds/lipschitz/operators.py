"""Operations of networks and their proved properties: linear maps, activations, and functions with a known Lipschitz constant."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from wdist.bounds.lipschitz.matrix import Matrix
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.frozen_layer import LayerBound
from wdist.lipschitz.linalg.rounding import gamma

Shape = tuple[int, ...]
MOST_ENTRIES = 2**22
"""Most entries of a linear map to write out as a matrix."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearMap:
    """x -> A x + b, for one sample with a leading axis of 1."""

    name: str
    inputs: Shape
    outputs: Shape
    function: Callable[[Tensor], Tensor]
    """x -> A x, float64."""
    absolute: Callable[[Tensor], Tensor]
    """x -> \\|A\\| x, with the absolute values of the entries."""
    norms: Callable[[GroundMetric], tuple[float, str]]
    """Returns an upper bound for the operator norm, in l2 or linf, and the method of proof."""
    bias: Tensor | None = None
    """Broadcasts to the outputs."""
    bias_error: Tensor | float = 0.0
    """Largest error of the bias, entry by entry."""
    terms: int = 1
    """Number of products summed for one output."""
    relative: float = 0.0
    """Relative error of the entries that ``function`` uses."""
    moves: bool = False
    """Whether it only moves entries, leaves some out or pads with zeros: rows and columns of the matrix have at most a single 1."""

    def bound(self, metric: GroundMetric) -> LayerBound:
        value, method = self.norms(metric)
        return LayerBound(layer=self.name, bound=value, method=method)

    @property
    def entries(self) -> int:
        return math.prod(self.inputs) * math.prod(self.outputs)

    def columns(self, x: Tensor) -> Tensor:
        """A x for a batch of inputs, shape (n, \\*inputs); shape (n, \\*outputs)."""
        return torch.vmap(self.function)(x)

    def magnitudes(self, x: Tensor) -> Tensor:
        """The same with the absolute values of the entries of A."""
        return torch.vmap(self.absolute)(x)

    @cached_property
    def matrix(self) -> Matrix:
        """A, row-major; each entry is the product of one weight with 1, so nothing rounds."""
        size = math.prod(self.inputs)
        columns = self.columns(torch.eye(size, dtype=torch.float64).reshape(size, *self.inputs))
        value = columns.reshape(size, -1).T.contiguous()
        return Matrix(value=value, error=value.abs() * self.relative if self.relative else None)

    def rounding(self, x: Tensor) -> Tensor:
        """A bound for the rounding of ``columns`` at x, entry by entry."""
        return (gamma(self.terms + 4) + self.relative) * self.magnitudes(x.abs()) * (1 + 1e-9)


@dataclass(frozen=True, kw_only=True, eq=False)
class Elementwise:
    """A continuous function of each entry whose slopes lie between two numbers."""

    name: str
    shape: Shape
    function: Callable[[Tensor], Tensor]
    low: Tensor
    high: Tensor
    """float64; they broadcast to the shape."""
    within: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """Bounds for the slopes between two inputs, entry by entry; None if only the global bounds are known."""

    def bound(self, metric: GroundMetric) -> LayerBound:
        del metric  # the same in every norm
        slope = max(float(self.low.abs().max()), float(self.high.abs().max()))
        return LayerBound(layer=self.name, bound=slope, method=f"slope at most {slope:g}")

    def ranges(self) -> tuple[Tensor, Tensor]:
        """The slopes of all units, shape (units,)."""
        low, high = (slope.expand(self.shape).reshape(-1).contiguous() for slope in (self.low, self.high))
        return low, high


@dataclass(frozen=True, kw_only=True, eq=False)
class Bounded:
    """Any function with a known Lipschitz constant."""

    name: str
    function: Callable[[Tensor], Tensor]
    euclidean: float
    maximum: float
    reason: str

    def bound(self, metric: GroundMetric) -> LayerBound:
        return LayerBound(layer=self.name, bound=self.euclidean if metric == L2 else self.maximum, method=self.reason)


Operation = LinearMap | Elementwise | Bounded
