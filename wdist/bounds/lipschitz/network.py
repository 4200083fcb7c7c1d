"""Networks as graphs of operations, and the chains of matrices and activations within them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from wdist.bounds.lipschitz.matrix import Matrix
from wdist.bounds.lipschitz.operators import MOST_ENTRIES, Elementwise, LinearMap, Operation, Shape
from wdist.bounds.lipschitz.semidefinite import Layers, SlopeRange
from wdist.ground_metric import L2, LINF, GroundMetric
from wdist.lipschitz.frozen_layer import LayerBound
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, product_above, sum_above


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One value of a network: the input, an operation on another value, or several values added, stacked or compared."""

    shape: Shape
    inputs: tuple[int, ...] = ()
    operation: Operation | None = None
    joined: str = ""
    """``sum``, ``stack`` or ``extremum`` of several inputs."""
    join: Callable[[list[Tensor]], Tensor] | None = None
    """Stacks the values of the inputs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A function of one sample, as a graph of known operations."""

    nodes: tuple[Node, ...]
    """Nodes in topological order, from the input to the output."""
    module: nn.Module = field(repr=False)
    """The same function, float64, in evaluation mode, for a search for large slopes."""
    what: str = "network"

    @property
    def inputs(self) -> Shape:
        """Shape of a sample, without the leading axis."""
        return self.nodes[0].shape[1:]

    @property
    def outputs(self) -> int:
        return math.prod(self.nodes[-1].shape)

    def followed_by(self, rows: Tensor) -> "Network":
        """Returns the network followed by a matrix, shape (k, outputs), for example one that takes the difference of two logits.

        The matrix is merged with a linear last layer, so that bounds apply to their product.
        """
        shape = self.nodes[-1].shape
        last = Node(shape=(1, len(rows)), inputs=(len(self.nodes) - 1,), operation=dense(rows, None, shape, name="output"))
        return Network(nodes=(*self.nodes, last), module=_Followed(self.module, rows), what=self.what)


class _Followed(nn.Module):
    def __init__(self, module: nn.Module, rows: Tensor) -> None:
        super().__init__()
        self.module, self.rows = module, nn.Buffer(rows.double())

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x).reshape(len(x), -1) @ self.rows.T


def dense(weight: Tensor, bias: Tensor | None, inputs: Shape, *, name: str = "linear") -> LinearMap:
    """A linear map with a matrix, shape (rows, columns).

    It acts on the flattened input if that has as many entries as columns, otherwise along the last axis.
    """
    weight = weight.detach().double().cpu()
    rows, columns = weight.shape
    flat = math.prod(inputs) == columns
    outputs = (1, rows) if flat and len(inputs) != 2 else (*inputs[:-1], rows)
    exact = Matrix(value=weight)

    def applied(matrix: Tensor) -> "_Applied":
        return _Applied(matrix.T.contiguous(), inputs if flat else None, outputs)

    return LinearMap(
        name=f"{name} {rows}x{columns}",
        inputs=inputs,
        outputs=outputs,
        function=applied(weight),
        absolute=applied(weight.abs()),
        norms=lambda metric: (exact.norm(metric), "gram, float64" if metric == L2 else "rows, float64"),
        bias=bias,
        terms=columns + 1,
    )


@dataclass(frozen=True, eq=False)
class _Applied:
    transposed: Tensor
    flattened: Shape | None
    outputs: Shape

    def __call__(self, x: Tensor) -> Tensor:
        h = x if self.flattened is None else x.reshape(1, -1)
        return (h @ self.transposed).reshape(self.outputs)


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A part with branches as a single step, with a bound from its graph."""

    bounds: dict[str, LayerBound]
    """Bounds by the name of the norm."""

    def bound(self, metric: GroundMetric) -> LayerBound:
        return self.bounds[metric.name]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dense:
    """A run of consecutive operations, also as matrices with activations between them."""

    layers: Layers
    operations: tuple[LinearMap | Elementwise, ...]


Step = Operation | Block | Dense


def graph_bounds(nodes: Sequence[Node], metric: GroundMetric) -> list[float | None]:
    """A Lipschitz bound of each node as a function of the first one; None for a node that does not depend on it."""
    found: list[float | None] = []
    for position, node in enumerate(nodes):
        parts = [found[i] for i in node.inputs]
        known = [part for part in parts if part is not None]
        if position == 0:
            found.append(1.0)
        elif not known:
            found.append(None)
        elif node.operation is not None:
            found.append(product_above(known[0], node.operation.bound(metric).bound))
        elif node.joined == "sum":
            found.append(sum_above(*known))
        elif metric == L2:  # stacked values, or the larger of two: squares add up
            found.append(math.hypot(*known) * (1 + 8 * UNIT_ROUNDOFF))
        else:
            found.append(max(known))
    return found


def steps(network: Network) -> list[Step]:
    """The network as a chain: operations that every path passes through, and blocks that combine the branches between them."""
    chain: list[Step] = []
    cuts = _cuts(network.nodes)
    for first, last in pairwise(cuts):
        node = network.nodes[last]
        if node.operation is not None and node.inputs == (first,):
            chain.append(node.operation)
        else:
            chain.append(_block(network.nodes[first : last + 1], first))
    return _with_runs(chain)


def _cuts(nodes: Sequence[Node]) -> list[int]:
    """Positions that every path from the input to the output passes through."""
    last_use = {i: position for position, node in enumerate(nodes) for i in node.inputs}
    cuts, reach = [], 0
    for position in range(len(nodes)):
        if reach <= position:
            cuts.append(position)
        reach = max(reach, last_use.get(position, len(nodes) - 1))
    return cuts


def _block(nodes: Sequence[Node], first: int) -> Block:
    own = [Node(shape=nodes[0].shape), *(replace(node, inputs=tuple(i - first for i in node.inputs)) for node in nodes[1:])]
    bounds = {}
    names = [
        node.operation.name
        for node in own
        if node.operation is not None and not (isinstance(node.operation, LinearMap) and node.operation.moves)
    ]
    for metric in (L2, LINF):
        value = graph_bounds(own, metric)[-1]
        label = f"{own[-1].joined or 'block'} of branches ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        bounds[metric.name] = LayerBound(layer=label, bound=0.0 if value is None else value, method="sums of products")
    return Block(bounds=bounds)


def _with_runs(chain: list[Step]) -> list[Step]:
    """Gathers each run of small linear maps and activations into one step."""
    found: list[Step] = []
    run: list[LinearMap | Elementwise] = []
    for step in [*chain, None]:
        if isinstance(step, Elementwise | LinearMap) and _matrix_entries(run, step) <= MOST_ENTRIES:
            run.append(step)
            continue
        found += _gathered(run)
        run = []
        if isinstance(step, Elementwise | LinearMap) and _matrix_entries([], step) <= MOST_ENTRIES:
            run.append(step)
        elif step is not None:
            found.append(step)
    return found


def _matrix_entries(run: Sequence[LinearMap | Elementwise], step: LinearMap | Elementwise) -> int:
    """Entries of the matrix that a step adds to a run: the product of the linear maps since the last activation, or an identity."""
    linear = []
    for each in reversed(run):
        if isinstance(each, Elementwise):
            break
        linear.append(each)
    weighty = any(not each.moves for each in linear)
    if isinstance(step, Elementwise):
        return 0 if weighty or not run else math.prod(step.shape) ** 2
    if step.moves and not weighty:
        return 0
    inputs = math.prod(linear[-1].inputs) if linear else math.prod(step.inputs)
    return max(0 if step.moves else step.entries, inputs * math.prod(step.outputs))


def _gathered(run: list[LinearMap | Elementwise]) -> list[Step]:
    """Gathers a run from its first matrix to its last; steps before and after stay separate."""
    weighty = [i for i, step in enumerate(run) if isinstance(step, LinearMap) and not step.moves]
    if len(weighty) < 2:
        return list(run)
    start, stop = weighty[0], weighty[-1] + 1
    inner = run[start:stop]
    return [*run[:start], Dense(layers=_layers(inner), operations=tuple(inner)), *run[stop:]]


def _layers(run: Sequence[LinearMap | Elementwise]) -> Layers:
    """Alternating matrices and activations; consecutive linear maps are multiplied, and consecutive activations get an identity
    between them."""
    matrices: list[Matrix] = []
    slopes: list[SlopeRange] = []
    product: Matrix | None = None
    for step in run:
        if isinstance(step, LinearMap):
            if product is None and step.moves and matrices:  # entries may just as well move before the activation
                matrices[-1], slopes[-1] = _composed(step, matrices[-1]), _moved_slopes(step, slopes[-1])
            else:
                product = step.matrix if product is None else _composed(step, product)
        else:
            matrices.append(Matrix(value=torch.eye(math.prod(step.shape), dtype=torch.float64)) if product is None else product)
            low, high = step.ranges()
            slopes.append(SlopeRange(low=low, high=high))
            product = None
    assert product is not None
    return Layers(matrices=(*matrices, product), slopes=tuple(slopes))


def _moved_slopes(step: LinearMap, slopes: SlopeRange) -> SlopeRange:
    low, high = (step.columns(each.reshape(1, *step.inputs)).flatten() for each in (slopes.low, slopes.high))
    return SlopeRange(low=low, high=high)


def _composed(step: LinearMap, product: Matrix) -> Matrix:
    if not step.moves:
        return step.matrix @ product

    def moved(matrix: Tensor) -> Tensor:
        return step.columns(matrix.T.reshape(-1, *step.inputs)).flatten(1).T.contiguous()

    return Matrix(value=moved(product.value), error=None if product.error is None else moved(product.error))
