"""Turns a traced ATen graph into nodes, with a table of operators that other modules fill."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from wdist.bounds.lipschitz.network import Network, Node
from wdist.bounds.lipschitz.operators import LinearMap, Operation, Shape
from wdist.errors import SourceError


class UnknownOperator(SourceError):
    """An operation whose Lipschitz constant cannot be bounded."""


class Reading:
    """Turns a traced graph into nodes; values that do not depend on the input are computed."""

    def __init__(self, module: nn.Module, what: str) -> None:
        self.module, self.what = module, what
        self.nodes: list[Node] = []
        self.values: dict[torch.fx.Node, Any] = {}
        self.extremes: dict[int, str] = {}
        """By position of a node: whether it takes the larger or the smaller of two values, or of the two entries along an axis."""
        self.splits: list[list[int]] = []
        """Groups of nodes that together contain each entry of another node once."""

    def of(self, traced: torch.fx.GraphModule) -> Network:
        output: Any = None
        for node in traced.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self.add(Node(shape=tuple(node.meta["val"].shape)))
            elif node.op == "get_attr":
                self.values[node] = getattr(traced, str(node.target)).detach()
            elif node.op == "call_function":
                self.values[node] = self._called(node)
            else:
                output = self._argument(node.args[0])
        if not isinstance(output, Signal):
            if isinstance(output, Tensor):
                raise SourceError(f"{self.what} does not depend on its input; its Lipschitz constant is 0")
            raise SourceError(f"{self.what} returns {_number(output)}, not one tensor; wrap it in a module that returns one")
        if output.shape[0] != 1:
            raise SourceError(f"{self.what} does not return one row for one sample; its output has the shape {output.shape}")
        if output.position != len(self.nodes) - 1:
            self.nodes.append(Node(shape=output.shape, inputs=(output.position,), operation=moved("identity", output.shape)))
        return Network(nodes=tuple(self._needed()), module=self.module, what=self.what)

    def _needed(self) -> list[Node]:
        """The nodes that the output depends on, and always the input."""
        needed, last = {0, len(self.nodes) - 1}, len(self.nodes) - 1
        for position in range(last, -1, -1):
            if position in needed:
                needed.update(self.nodes[position].inputs)
        order = {old: new for new, old in enumerate(sorted(needed))}
        return [replace(node, inputs=tuple(order[i] for i in node.inputs)) for old, node in enumerate(self.nodes) if old in order]

    def exchanged(self, i: int, j: int) -> bool:
        """Whether two nodes are the smaller and the larger of the same two values."""
        kinds = self.extremes.get(i), self.extremes.get(j)
        if None in kinds or self.nodes[i].inputs != self.nodes[j].inputs:
            return False
        (first, _, of_first), (second, _, of_second) = (str(kind).partition(":") for kind in kinds)
        return first != second and of_first == of_second

    def add(self, node: Node) -> "Signal":
        self.nodes.append(node)
        return Signal(self, len(self.nodes) - 1, node.shape)

    def apply(self, operation: Operation, x: "Signal", shape: Shape) -> "Signal":
        return self.add(Node(shape=shape, inputs=(x.position,), operation=operation))

    def _argument(self, value: Any) -> Any:
        return torch.fx.node.map_arg(value, lambda node: self.values[node])

    def _called(self, node: torch.fx.Node) -> Any:
        args, kwargs = self._argument(node.args), self._argument(node.kwargs)
        schema = getattr(node.target, "_schema", None)
        name = str(getattr(node.target, "__name__", node.target)) if schema is None else schema.name.removeprefix("aten::")
        if name == "getitem":
            return args[0][args[1]]
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise self.refused(name, ", which draws random numbers")
        flat = torch.utils._pytree.tree_leaves((args, kwargs))
        if any(each is UNUSED for each in flat):
            return UNUSED
        if not any(isinstance(each, Signal) for each in flat):
            result = node.target(*args, **kwargs)  # type: ignore[operator]
            return result.double() if isinstance(result, Tensor) and result.is_floating_point() else result
        shapes = _shapes(node.meta.get("val"))
        name = name.removesuffix("_copy").rstrip("_") if name not in HANDLERS else name
        if name not in HANDLERS:
            raise self.refused(name)
        return HANDLERS[name](Call(reading=self, target=node.target, args=args, kwargs=kwargs, shape=shapes))

    def refused(self, name: str, why: str = "") -> UnknownOperator:
        return UnknownOperator(f"{self.what} contains the operator {name}{why}, for which no Lipschitz constant is proved")


class Signal:
    """A value that depends on the input."""

    def __init__(self, reading: Reading, position: int, shape: Shape) -> None:
        self.reading, self.position, self.shape = reading, position, shape

    @property
    def node(self) -> Node:
        return self.reading.nodes[self.position]


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return [_shapes(each) for each in value] if isinstance(value, list | tuple) else None


def _number(output: Any) -> str:
    return f"{len(output)} values" if isinstance(output, list | tuple | dict) else f"a {type(output).__name__}"


UNUSED = object()
"""Placeholder for a value that no output depends on, such as the positions of maxima."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """A call of an ATen operator, some of whose arguments are :class:`Signal`."""

    reading: Reading
    target: Any
    """The operator."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: Any
    """Shape of the result, or a list of shapes for several results."""

    @property
    def name(self) -> str:
        """The operator without its overload, such as ``max_pool2d``."""
        return str(self.target._schema.name).removeprefix("aten::")

    def option(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, by position or by name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def of(self, h: Tensor) -> Any:
        """The result with a tensor in place of the first argument."""
        return self.target(h, *self.args[1:], **self.kwargs)

    def apply(self, operation: Operation, x: Signal | None = None) -> Signal:
        """Adds the result as a node, by default as an operation on the first argument."""
        return self.reading.apply(operation, self.args[0] if x is None else x, self.shape)


Handler = Callable[[Call], Any]
HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Registers a function as the reader of the ATen operators with these names, without overloads and trailing underscores."""

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return register


def moved(name: str, shape: Shape, function: Callable[[Tensor], Tensor] | None = None, outputs: Shape | None = None) -> LinearMap:
    """A map that moves entries, leaves some out, or pads with zeros."""
    keep = function or (lambda x: x)
    return LinearMap(
        name=name,
        inputs=shape,
        outputs=outputs or shape,
        function=keep,
        absolute=keep,
        norms=lambda metric: (1.0, "moves entries"),
        moves=True,
    )
