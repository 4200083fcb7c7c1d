"""Reads the operations of any torch module: its ATen graph for one sample, traced without values.

Tracing runs the module on a tensor that has a shape but no values, so a module that looks at the values of its input, or branches
on them, is refused. If a module computes weights from others (weight normalisation, orthogonal parametrisations), the computed
weights are taken.
"""

import contextlib
import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from wdist.bounds.lipschitz import linear_operators, nonlinear_operators  # noqa: F401  (they fill the table)
from wdist.bounds.lipschitz.evaluation import OneType
from wdist.bounds.lipschitz.graph_reading import Reading, UnknownOperator
from wdist.bounds.lipschitz.network import Network
from wdist.bounds.lipschitz.operators import Shape
from wdist.errors import SourceError, WdistError, explained_as, first_line
from wdist.lipschitz.activations import ActivationModule

aten = torch.ops.aten


def read_network(module: nn.Module, shape: Sequence[int] | None = None, *, what: str = "network") -> Network:
    """Reads a module as a graph of operations; the module itself is not changed.

    Arguments:
        module: any module, of any type; it is copied to float64 and evaluation mode.
        shape: of one sample; None to infer it from a first linear layer.
        what: name of the network in errors.

    Raises:
        UnknownOperator: it contains an operation without a known bound, or looks at the values of its input.
        SourceError: its weights are not finite, the shape of its input is unknown, or it cannot be traced.
    """
    module = in_float64(module, what)
    shape = tuple(shape) if shape is not None else input_shape(module, what)
    traced = _traced(module, shape, what)
    with torch.no_grad(), explained_as(f"{what} cannot be read", "simplify its forward"):
        return Reading(module, what).of(traced)


def in_float64(module: nn.Module, what: str) -> nn.Module:
    """A copy of a module in float64, on the CPU, in evaluation mode.

    Raises:
        SourceError: a weight is not finite.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if not bool(torch.isfinite(tensor).all()):
            raise SourceError(f"{what} holds NaN or infinity in {name}, so it has no Lipschitz constant; check its training")
    # Values that a module computed from its weights, as torch.nn.utils.weight_norm does, are copied as plain tensors.
    computed = [each for part in module.modules() for each in vars(part).values() if isinstance(each, Tensor) and not each.is_leaf]
    try:
        module = copy.deepcopy(module, {id(each): each.detach().clone() for each in computed})
    except Exception as error:  # the user's module
        raise SourceError(f"{what} cannot be copied ({first_line(error)}); save its weights and name a factory") from error
    module = _with_plain_activations(_with_plain_weights(module)).cpu().double()
    try:
        return module.eval()
    except NotImplementedError:  # programs of torch.export have no modes
        return module


class _Evaluated(nn.Module):
    """An activation of wdist in its evaluated form instead of its training form."""

    def __init__(self, activation: ActivationModule) -> None:
        super().__init__()
        self.layer = activation.freeze()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer.forward(x)


def _with_plain_weights(module: nn.Module) -> nn.Module:
    """Replaces parametrised weights by their values, computed in the module's own type; changes the module in place."""
    with torch.no_grad(), contextlib.suppress(NotImplementedError):
        module.eval()
        for each in list(module.modules()):
            if parametrize.is_parametrized(each):
                names = list(each.parametrizations)  # type: ignore[arg-type]
                weights = {name: getattr(each, name).detach().clone() for name in names}
                # A new class, because the property that computes a weight belongs to the class, which the original shares.
                each.__class__ = type(type(each).__name__, (type(each),), {name: _stored(name) for name in names})
                for name, weight in weights.items():
                    each.register_buffer(f"plain_{name}", weight)
    return module


def _stored(name: str) -> property:
    return property(lambda self: self._buffers[f"plain_{name}"])


def _with_plain_activations(module: nn.Module) -> nn.Module:
    if isinstance(module, ActivationModule):
        return _Evaluated(module)
    for name, child in module.named_children():
        if not isinstance(module, torch.jit.ScriptModule):
            setattr(module, name, _with_plain_activations(child))
    return module


def input_shape(module: nn.Module, what: str) -> Shape:
    """The shape of a sample, inferred from a first linear layer.

    Raises:
        SourceError: the first layer with weights is not linear.
    """
    for each in module.modules():
        name, weight = str(getattr(each, "original_name", type(each).__name__)), getattr(each, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        if (name == "Linear" or isinstance(each, nn.Linear)) and weight.ndim == 2:
            return (weight.shape[1],)
        break
    raise SourceError(f"the shape of a sample for {what} is unknown; give it, as in --shape 3x32x32")


def _traced(module: nn.Module, shape: Shape, what: str) -> torch.fx.GraphModule:
    from torch.fx.experimental.proxy_tensor import make_fx

    sample = torch.zeros(1, *shape, dtype=torch.float64)

    def traced(function: Callable[[Tensor], Any]) -> torch.fx.GraphModule:
        def in_one_type(x: Tensor) -> Any:
            with OneType(x.dtype):
                return function(x)

        return make_fx(in_one_type, tracing_mode="fake", _allow_non_fake_inputs=True)(sample)

    try:
        with torch.no_grad(), warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            graph = traced(module)
            if any(_changes_values(node) for node in graph.graph.nodes):
                graph = traced(torch.func.functionalize(module, remove="mutations_and_views"))
            return graph
    except WdistError:
        raise
    except Exception as error:  # the user's module
        if "DataDependent" in f"{type(error).__name__} {error}":
            raise UnknownOperator(f"{what} looks at the values of its input, so no Lipschitz constant is proved") from error
        by = "x".join(map(str, shape))
        raise SourceError(
            f"{what} cannot be read for samples of shape {by} ({first_line(error)}); "
            "correct the shape of a sample, or simplify its forward"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses torch's log messages about failed tracing, which the error reports as well."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _changes_values(node: torch.fx.Node) -> bool:
    """Whether an operation writes into its inputs."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable
