"""Ways to train the same critic: ours, the floor below every one of them, the paper's, and those of other packages.

Every scheme trains the same layers with the same group sort (ours, so that nobody is slow for its activation), Adam for biases,
and float32. What a scheme needs and does not find is said in a sentence, and its rows are left out.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.2.1: iterations that are differentiated.
    Serrurier et al. (2021), Achieving robustness in classification using optimal transport with hinge regularization,
        arXiv:2006.06520: the package deel-torchlip.
    Lezcano-Casado & Martínez-Rubio (2019), Cheap orthogonal constraints in neural networks, arXiv:1901.08428: torch's own
        parametrisation.
    Ablin & Peyré (2022), Fast and accurate optimization on the orthogonal manifold without retraction, arXiv:2102.07432: Landing.
    Javaloy & Vergari, POGO: a proximal one-step geometric orthoptimizer: the package pogo-torch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.dense import DenseCritic
from wdist.critics.groupsort_bjorck import RECIPE
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.lipschitz.activations import group_sort_activation
from wdist.lipschitz.bjorck import UnrolledBjorckLinear
from wdist.lipschitz.constraints import CayleyLinear
from wdist.lipschitz.linalg.rounding import products_on
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear, UnconstrainedLinear
from wdist.training.captured_step import training_step
from wdist.training.optimizers import BIAS_LEARNING_RATE, Adam, Optimizer, Optimizing, make_optimizers, schedule
from wdist.training.step import TrainingStep

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A fully connected critic with one output."""

    inputs: int
    width: int
    depth: int
    """Linear layers, the last included."""
    group_size: int

    def __str__(self) -> str:
        return "-".join(map(str, (self.inputs, *[self.width] * (self.depth - 1), 1)))

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each layer."""
        widths = (self.inputs, *[self.width] * (self.depth - 1), 1)
        return tuple(pairwise(widths))

    def operations(self, rows: int) -> float:
        """Of the products that no scheme can avoid: forward, and backward to the weights and to all inputs but the samples."""
        return (
            2.0 * rows * sum(inputs * outputs * (2 if not position else 3) for position, (inputs, outputs) in enumerate(self.sizes))
        )


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Learning rates at the start of a training."""

    weights: float
    """In the units of the scheme's own optimiser."""
    biases: float = BIAS_LEARNING_RATE
    """By Adam, of every scheme."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """From what a training starts."""

    shape: Shape
    rates: Rates
    generator: torch.Generator
    """Of the initial weights, on the CPU."""
    device: torch.device


class Training:
    """A critic in training by one scheme. On a GPU all schemes have the products of TF32.

    Arguments:
        critic: in its first state.
        optimizers: of all its parameters.
        apart: one forward pass for each side of a batch, as the paper's code has it, rather than one for both.
        captured: on a GPU, steps are graphs, for which the optimisers take learning rates that are tensors.
    """

    def __init__(self, critic: Critic, optimizers: Sequence[Optimizing], *, apart: bool = False, captured: bool = False) -> None:
        self.critic, self._device = critic, next(critic.parameters()).device
        self._step = training_step(critic, optimizers) if captured else TrainingStep(critic, optimizers, apart=apart)
        self._factor = schedule("cosine")

    def step(self, a: Tensor, b: Tensor, spent: float = 0.0) -> None:
        """One step on a minibatch of each side, when ``spent`` of the budget is spent."""
        with products_on(self._device):
            self._step(a, b, factor=self._factor(spent))


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One way to train."""

    name: str
    title: str
    learning_rate: float
    """Of the weights: what reached the largest bounds of those that were tried."""
    begin: Callable[[Start], Training]
    warm_up: int = 20
    """Steps after which one takes as long as any later one."""
    needs: str | None = None
    """A module of another package."""
    package: str = ""
    """Its name, to install it by."""

    @property
    def missing(self) -> str | None:
        """Why the scheme cannot be tried here, or None."""
        if self.needs is None:
            return None
        try:
            import_module(self.needs)
        except ImportError as error:
            return f"{self.title} is left out: {error}; pip install {self.package}"
        return None

    def start(self, shape: Shape, *, seed: int, rates: Rates | None = None, device: torch.device = CPU) -> Training:
        """A critic with fresh weights and what trains it."""
        rates, generator = rates or Rates(weights=self.learning_rate), torch.Generator().manual_seed(seed)
        return self.begin(Start(shape=shape, rates=rates, generator=generator, device=device))


def _stack(kind: type[LipschitzLinear], start: Start, options: ConstraintOptions | None = None) -> DenseCritic:
    layers = [kind(inputs, outputs, generator=start.generator, options=options) for inputs, outputs in start.shape.sizes]
    return DenseCritic(layers, group_sort_activation(start.shape.group_size)).to(start.device)


def _optimizers(critic: Critic, name: str, rates: Rates) -> list[Optimizer]:
    return make_optimizers(critic, name=name, learning_rate=rates.weights, bias_learning_rate=rates.biases)


def _ours(optimizer: str) -> Callable[[Start], Training]:
    def begin(start: Start) -> Training:
        shape = start.shape
        settings = CriticSettings(width=shape.width, depth=shape.depth, group_size=shape.group_size, optimizer=optimizer)
        critic = RECIPE.build(shape.inputs, settings, start.generator).to(start.device)
        return Training(critic, _optimizers(critic, optimizer, start.rates), captured=True)

    return begin


def _parametrised(
    kind: type[LipschitzLinear],
    optimizer: str = "adam",
    *,
    apart: bool = False,
    captured: bool = False,
    options: ConstraintOptions | None = None,
) -> Callable[[Start], Training]:
    def begin(start: Start) -> Training:
        critic = _stack(kind, start, options)
        return Training(critic, _optimizers(critic, optimizer, start.rates), apart=apart, captured=captured)

    return begin


class _PlainlyOrthonormal(UnconstrainedLinear):
    """A plain weight that an optimiser keeps near the manifold by itself, orthonormal at the start."""

    def _initial(self, generator: torch.Generator) -> Tensor:
        return LipschitzLinear._initial(self, generator)


class _TorchlipLinear(LipschitzLinear):
    """deel-torchlip's SpectralLinear with its own defaults: power iterations, then Björck iterations, differentiated."""

    constraint: ClassVar[str] = "torchlip"
    title: ClassVar[str] = "torchlip"

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        nn.Module.__init__(self)
        self.inputs, self.outputs, self.options = inputs, outputs, options or ConstraintOptions()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            self.linear = import_module("deel.torchlip").SpectralLinear(inputs, outputs)

    def training_weight(self) -> Tensor:
        return cast(Tensor, self.linear.weight)

    def forward(self, h: Tensor) -> Tensor:
        return cast(Tensor, self.linear(h))

    @property
    def bias(self) -> Tensor:  # type: ignore[override]
        return cast(Tensor, self.linear.bias)

    def plain_weight(self) -> Tensor:
        return self.training_weight().detach().double().cpu()


class Landing(Optimizer):
    r"""Descends along the tangent gradient while an attraction pulls the weight to the manifold; never retracts.

    .. math:: W \leftarrow W - \eta \big(\mathrm{skew}(M W^\top) W + \lambda (W W^\top - I) W\big)

    with M the momentum of the gradient, on the smaller side of W.

    References:
        Ablin & Peyré (2022), Fast and accurate optimization on the orthogonal manifold without retraction, equation 5.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.9, attraction: float = 1.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "attraction": attraction})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                flat = parameter.shape[0] <= parameter.shape[1]
                W, M = (parameter, momentum) if flat else (parameter.mT, momentum.mT)
                S, G = M @ W.mT, W @ W.mT
                field = (S - S.mT).mul_(0.5).add_(G, alpha=group["attraction"])
                field.diagonal().sub_(group["attraction"])
                W.sub_(field @ W, alpha=group["lr"])


def _by_itself(make: Callable[[list[Tensor], float], Sequence[Optimizing]]) -> Callable[[Start], Training]:
    def begin(start: Start) -> Training:
        critic = _stack(_PlainlyOrthonormal, start)
        weights = [parameter for parameter in critic.parameters() if parameter.ndim == 2]
        biases = [parameter for parameter in critic.parameters() if parameter.ndim == 1]
        adam = Adam(biases, lr=start.rates.biases)
        return Training(critic, [*make(cast(list[Tensor], weights), start.rates.weights), adam])

    return begin


def _pogo(weights: list[Tensor], learning_rate: float) -> list[Optimizing]:
    def optimizer(chosen: list[Tensor], rows: bool) -> Optimizing:
        base = import_module("pogo.base").VectorAdam()
        POGO = import_module("pogo").POGO
        return cast(Optimizing, POGO(chosen, base, lr=learning_rate, rows=rows, flatten_fn=lambda W: W.unsqueeze(0)))

    flat = [W for W in weights if W.shape[0] <= W.shape[1]]
    tall = [W for W in weights if W.shape[0] > W.shape[1]]
    return [optimizer(chosen, rows) for chosen, rows in ((flat, True), (tall, False)) if chosen]


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            name="floor",
            title="no constraint, Adam (the floor)",
            learning_rate=0.003,
            begin=_parametrised(UnconstrainedLinear, captured=True),
        ),
        Scheme(name="adam", title="wdist, Adam", learning_rate=0.003, begin=_ours("adam")),
        Scheme(name="muon", title="wdist, Muon", learning_rate=0.05, begin=_ours("muon")),
        Scheme(name="orthogonal-sgd", title="wdist, orthogonal SGD", learning_rate=0.4, begin=_ours("orthogonal-sgd")),
        Scheme(
            name="floor-muon",
            title="no constraint, Muon",
            learning_rate=0.05,
            begin=_parametrised(UnconstrainedLinear, "muon", captured=True),
        ),
        Scheme(
            name="paper",
            title="27 differentiated iterations a side (the paper)",
            learning_rate=0.02,
            warm_up=1,  # each takes as long as the first
            begin=_parametrised(UnrolledBjorckLinear, apart=True, options=ConstraintOptions(iterations=27, scaling="norms")),
        ),
        Scheme(
            name="torchlip",
            title="torchlip",
            learning_rate=0.003,  # at 0.01 it diverges on wide layers
            begin=_parametrised(_TorchlipLinear),
            needs="deel.torchlip",
            package="deel-torchlip",
        ),
        Scheme(name="cayley", title="torch's orthogonal (Cayley)", learning_rate=0.01, begin=_parametrised(CayleyLinear)),
        Scheme(name="pogo", title="POGO", learning_rate=0.5, begin=_by_itself(_pogo), needs="pogo", package="pogo-torch"),
        Scheme(
            name="landing",
            title="Landing",
            learning_rate=0.3,
            begin=_by_itself(lambda weights, learning_rate: [Landing(weights, lr=learning_rate)]),
        ),
    )
}


def scheme(name: str) -> Scheme:
    """The scheme of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in SCHEMES:
        raise UsageError(f"there is no scheme {name!r} to time; choose among {', '.join(SCHEMES)}")
    return SCHEMES[name]
