"""``lipschitz``: an interval for the Lipschitz constant of any network."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_high
from typing import Any

import torch
from torch import Tensor, nn

from wdist.bounds.lipschitz.evaluation import in_batches
from wdist.bounds.lipschitz.graph_reading import UnknownOperator
from wdist.bounds.lipschitz.local import NoEnclosure, local_upper
from wdist.bounds.lipschitz.network import Network
from wdist.bounds.lipschitz.reading import in_float64, input_shape, read_network
from wdist.bounds.lipschitz.search import network_slope, slopes_in_balls
from wdist.bounds.lipschitz.upper import LipschitzUpper, lipschitz_upper
from wdist.data.access import Access
from wdist.data.rows import in_units
from wdist.data.sources.address import check_there, parse_address
from wdist.data.sources.network_file import NetworkModule, load_weights, open_module
from wdist.data.sources.opening import holds_model, open_source
from wdist.data.sources.source import FiniteSource
from wdist.environment import Environment, environment
from wdist.errors import CertificateError, ContradictionError, ExitStatus, SourceError, UsageError, explained_as
from wdist.ground_metric import L2, LINF, GroundMetric
from wdist.interruption import Interruption
from wdist.lipschitz.frozen_layer import LayerBound
from wdist.presentable import Presentable

_NORMS = {metric.name: metric for metric in (L2, LINF)}
POINTS = 100
"""Default number of points for local bounds."""
_ROUNDING = 1e-9
"""Relative excess of a search over a proved bound that rounding explains."""


@dataclass(frozen=True, kw_only=True)
class LipschitzOptions:
    """Validated options of one interval."""

    norm: str = "l2"
    shape: tuple[int, ...] | None = None
    radius: float | None = None
    points: int = POINTS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.norm not in _NORMS:
            raise UsageError(f"--norm {self.norm!r} is unknown; choose one of {', '.join(_NORMS)}")
        if self.radius is not None and not 0 <= self.radius < math.inf:
            raise UsageError(f"--radius {self.radius} is not a length; give a number of at least 0")
        if self.points < 1:
            raise UsageError(f"--points must be at least 1, not {self.points}")
        if self.shape is not None and (not self.shape or min(self.shape) < 1):
            raise UsageError(f"--shape {'x'.join(map(str, self.shape))} is not a shape; write for example --shape 3x32x32")

    @property
    def metric(self) -> GroundMetric:
        return _NORMS[self.norm]


@dataclass(frozen=True, kw_only=True)
class LocalConstants:
    """Lipschitz constants within balls around points."""

    points: str
    """Address of the points."""
    count: int
    """Number of points, taken from the start of the source."""
    radius: float
    """Radius of the balls, in the norm of the result."""
    uppers: tuple[float | None, ...]
    """Proved upper bound within each ball; null if there is none."""
    lowers: tuple[float, ...]
    """The largest slope found in each ball."""

    @property
    def upper(self) -> float | None:
        """The largest of the upper bounds; None if a ball has none."""
        return None if any(each is None for each in self.uppers) else max(each for each in self.uppers if each is not None)

    @property
    def lower(self) -> float:
        """The largest slope found in any ball."""
        return max(self.lowers)

    @property
    def median(self) -> float | None:
        """Median of the upper bounds; None if a ball has none."""
        known = [each for each in self.uppers if each is not None]
        return median_high(known) if len(known) == self.count else None


@dataclass(frozen=True, kw_only=True, repr=False)
class LipschitzConstant(Presentable):
    """An interval for the Lipschitz constant of a network; inputs and outputs are measured in the same norm."""

    model: str
    """The network, as the user named it."""
    what: str
    """Its format."""
    norm: str
    """l2 (Euclidean) or linf (largest coordinate)."""
    shape: tuple[int, ...]
    """Shape of one sample."""
    outputs: int
    """Number of outputs for one sample."""
    parameters: int
    lower: float
    """The largest slope that a search found; the constant is no smaller, except for rounding."""
    upper: float | None
    """Proved upper bound; null if there is none."""
    method: str | None
    """Method of the proof: product, averaged or semidefinite."""
    bounds: dict[str, float]
    """The proved upper bounds of all methods that apply."""
    layers: tuple[LayerBound, ...]
    """The factors of the product of norms."""
    obstacle: str | None = None
    """Reason why there is no upper bound."""
    local: LocalConstants | None = None
    interrupted: bool = False
    """The search, or the bounds at points, were cut short; all numbers hold nevertheless."""
    seed: int
    seconds: float
    environment: Environment
    warnings: tuple[str, ...] = ()

    @property
    def exit_status(self) -> ExitStatus:
        """4 without an upper bound, 130 after an interruption."""
        if self.interrupted:
            return ExitStatus.INTERRUPTED
        return ExitStatus.DONE if self.upper is not None else ExitStatus.NOT_CERTIFIED


def run_lipschitz(
    model: str | Path | nn.Module,
    options: LipschitzOptions,
    *,
    at: Any,
    access: Access,
    tell: Callable[[str], None],
) -> LipschitzConstant:
    """Bounds the Lipschitz constant of a network from both sides.

    Arguments:
        model: an address of a network, or a module.
        options: the norm, the shape of a sample, and the balls.
        at: points, as an address, a tensor, an array or an open source; slopes are also bounded within balls around them.
        access: permissions for opening the network and the points.
        tell: called with a description of each stage.

    Raises:
        WdistError: the network or the points cannot be read.
        KeyboardInterrupt: the run was interrupted before there was a bound.
    """
    if options.radius is not None and at is None:
        raise UsageError("--radius is the radius of balls around points; name the points with --at SOURCE")
    began, interruption = time.perf_counter(), Interruption()
    tell("reading the network")
    opened = opened_network(model, access)
    name = opened.what if isinstance(model, nn.Module) else str(model)
    points, address = (None, "") if at is None else _points(at, options, access)
    module = in_float64(opened.module, name)
    network, obstacle, shape = _read(module, opened, options, points, name)
    x = None if points is None else _reshaped(points, shape, address)
    upper: LipschitzUpper | None = None
    if network is not None:
        tell("proving upper bounds")
        upper, obstacle = _proved(network, options.metric)
    with explained_as(f"{name} cannot be evaluated", "correct the shape of a sample"):
        tell("searching for large slopes")
        module = in_batches(module, shape)
        outputs = _outputs(module, shape)
        slope = interruption.attempt(lambda: network_slope(module, shape, options.metric, seed=options.seed, points=x))
        if slope is None and upper is None:
            raise KeyboardInterrupt
        local = None if x is None else interruption.attempt(lambda: _local(network, module, x, address, upper, options, tell))
    lower = max(0.0 if slope is None else slope, 0.0 if local is None else local.lower)
    if upper is not None and lower > upper.bound * (1 + _ROUNDING):
        raise ContradictionError(f"a slope of {lower} lies above the proved bound {upper.bound} of {name}")
    return LipschitzConstant(
        model=name,
        what=opened.what,
        norm=options.norm,
        shape=shape,
        outputs=outputs,
        parameters=sum(each.numel() for each in opened.module.parameters()),
        lower=lower if upper is None else min(lower, upper.bound),
        upper=None if upper is None else upper.bound,
        method=None if upper is None else upper.method,
        bounds={} if upper is None else upper.bounds,
        layers=() if upper is None else upper.layers,
        obstacle=obstacle,
        local=local,
        interrupted=interruption.requested,
        seed=options.seed,
        seconds=time.perf_counter() - began,
        environment=environment(torch.device("cpu")),
    )


def opened_network(model: str | Path | nn.Module, access: Access) -> NetworkModule:
    """Opens the network at an address, such as ``model.safetensors?factory=package.module:Class``; a module is used as it is."""
    if isinstance(model, nn.Module):
        return NetworkModule(what=type(model).__name__, module=model)
    if not isinstance(model, str | Path):
        raise UsageError(f"a network is an address or a torch module, not a {type(model).__name__}")
    address = parse_address(str(model))
    check_there(address)
    if not holds_model(address):
        if address.suffix in (".safetensors", ".pt", ".pth"):
            load_weights(address)  # reports a damaged file
        raise SourceError(
            f"{address.location} holds no network that can be run; name a .pt2, .onnx or TorchScript file, or weights with "
            f"{address.sign}factory=package.module:Class"
        )
    return open_module(address, access)


def _read(
    module: nn.Module, opened: NetworkModule, options: LipschitzOptions, points: Tensor | None, name: str
) -> tuple[Network | None, str | None, tuple[int, ...]]:
    """Reads the network, or else the reason why it cannot be bounded, and the shape of a sample."""
    failure: SourceError | None = None
    for shape in _shapes(module, opened, options, points, name):
        try:
            return replace(read_network(module, shape, what=name), module=module), None, shape
        except UnknownOperator as error:
            return None, f"{error}; only the search for a lower bound applies", shape
        except SourceError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _proved(network: Network, metric: GroundMetric) -> tuple[LipschitzUpper | None, str | None]:
    """The upper bound, or else the reason why there is none."""
    try:
        return lipschitz_upper(network, metric), None
    except CertificateError as error:
        return None, str(error)


def _shapes(
    module: nn.Module, opened: NetworkModule, options: LipschitzOptions, points: Tensor | None, name: str
) -> list[tuple[int, ...]]:
    """Candidate shapes of a sample, the most likely first."""
    given = options.shape or opened.shape
    if given is not None:
        return [given]
    if points is None:
        return [input_shape(module, name)]
    event = tuple(points.shape[1:])
    shapes = [event, (1, *event), (math.prod(event),)]
    if len(event) == 3:
        shapes.insert(1, (event[2], *event[:2]))
    return shapes


def _outputs(module: nn.Module, shape: Sequence[int]) -> int:
    with torch.no_grad():
        return int(module(torch.zeros(1, *shape, dtype=torch.float64)).numel())


def _points(at: Any, options: LipschitzOptions, access: Access) -> tuple[Tensor, str]:
    """The first points of a source in its units, shape (n, \\*event shape), and the address of the source."""
    source = open_source(at, access, seed=options.seed)
    if isinstance(source, FiniteSource):
        rows = source.read(slice(0, min(source.count, options.points)))
    else:
        rows = source.draw(options.points, torch.Generator().manual_seed(options.seed))
    x = in_units(rows, source.info).reshape(len(rows), *source.info.event_shape)
    if not bool(torch.isfinite(x).all()):
        raise SourceError(f"{source.info.address} holds NaN or infinity among its first {len(x)} rows; give other points")
    return x, source.info.address


def _reshaped(points: Tensor, shape: tuple[int, ...], address: str) -> Tensor:
    if math.prod(points.shape[1:]) != math.prod(shape):
        wanted, given = ("x".join(map(str, each)) for each in (shape, points.shape[1:]))
        raise SourceError(f"{address} holds samples of shape {given}, but the network takes {wanted}; give points of its shape")
    if len(points.shape) == 4 and len(shape) == 3 and points.shape[1:] != shape and points.shape[3] == shape[0]:
        points = points.permute(0, 3, 1, 2)
    return points.reshape(len(points), *shape)


def _local(
    network: Network | None,
    module: nn.Module,
    x: Tensor,
    address: str,
    upper: LipschitzUpper | None,
    options: LipschitzOptions,
    tell: Callable[[str], None],
) -> LocalConstants:
    radius = options.radius or 0.0
    tell(f"bounding slopes at {len(x)} points")
    everywhere = None if upper is None else upper.bound
    uppers = [_within(network, each, radius, options.metric, everywhere) for each in x]
    lowers = slopes_in_balls(module, x, options.metric, radius=radius, seed=options.seed)
    return LocalConstants(points=address, count=len(x), radius=radius, uppers=tuple(uppers), lowers=tuple(lowers.tolist()))


def _within(network: Network | None, x: Tensor, radius: float, metric: GroundMetric, everywhere: float | None) -> float | None:
    """The upper bound within a ball, or the global one if it is smaller or the only one."""
    if network is None:
        return None
    try:
        found = local_upper(network, x, radius, metric)
    except NoEnclosure:
        return everywhere
    return found if everywhere is None else min(found, everywhere)
