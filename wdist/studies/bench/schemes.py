"""Schemes that train the same critic: ours, one without a constraint (the floor), the paper's, and those of other packages.

Every scheme trains layers of the same sizes with the same group sort (ours, so that none is slow because of its activation), uses
Adam for biases, and computes in float32. If its package is missing, a sentence says so, and its rows are left out.

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
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.networks import DenseCritic
from wdist.lipschitz.activations import group_sort_activation
from wdist.lipschitz.bjorck import OrthonormalLinear, UnrolledBjorckLinear
from wdist.lipschitz.constraints import CayleyLinear
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear, UnconstrainedLinear
from wdist.training.optimizers import BIAS_LEARNING_RATE, Adam, Optimizing, SeparateOptimizer, make_optimizers, schedule
from wdist.training.step import TrainingStep

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A fully connected critic with one output."""

    inputs: int
    width: int
    depth: int
    """Number of linear layers, including the last."""
    group_size: int

    def __str__(self) -> str:
        return "-".join(map(str, (self.inputs, *[self.width] * (self.depth - 1), 1)))

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple(pairwise((self.inputs, *[self.width] * (self.depth - 1), 1)))

    def operations(self, rows: int) -> float:
        """Operations of the products that every scheme needs: forward, and backward to weights and all inputs but the samples."""
        (first, *others) = (inputs * outputs for inputs, outputs in self.sizes)
        return 2.0 * rows * (2 * first + 3 * sum(others))


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Learning rates at the start of a training."""

    weights: float
    """Learning rate of the weights, in the units of the scheme's own optimiser."""
    biases: float = BIAS_LEARNING_RATE
    """Learning rate of the biases, which every scheme trains with Adam."""


def stack(
    kind: type[LipschitzLinear], shape: Shape, generator: torch.Generator, options: ConstraintOptions | None = None
) -> DenseCritic:
    """A critic with fresh weights under one constraint, on the CPU."""
    layers = [kind(inputs, outputs, generator=generator, options=options) for inputs, outputs in shape.sizes]
    return DenseCritic(layers, group_sort_activation(shape.group_size))


class DualTraining:
    """A critic that learns to separate two sides, step by step."""

    def __init__(self, critic: Critic, optimizers: Sequence[Optimizing], *, apart: bool = False) -> None:
        self.critic, self.optimizers = critic, optimizers
        self._step, self._factor = TrainingStep(critic, optimizers, apart=apart), schedule("cosine")

    def step(self, a: Tensor, b: Tensor, spent: float = 0.0) -> None:
        """Takes one step on a minibatch of each side; ``spent`` is the share of the budget that is spent, for the schedule."""
        self._step(a, b, factor=self._factor(spent))


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One way to train."""

    name: str
    title: str
    learning_rate: float
    """Learning rate of the weights: the one with the largest bounds among those tried."""
    layer: type[LipschitzLinear]
    optimizer: str | Callable[[Sequence[Tensor], float], Sequence[Optimizing]] = "adam"
    """Name of one of wdist's optimisers, or a function from weights and a learning rate to other optimisers."""
    options: ConstraintOptions | None = None
    apart: bool = False
    """Whether each side of a batch has its own forward pass."""
    warm_up: int = 20
    """Number of steps before the time of a step is steady."""
    needs: str | None = None
    """Module that the scheme imports from another package; None for none."""
    package: str = ""
    """Name that installs this package."""

    @property
    def missing(self) -> str | None:
        """The reason why the scheme cannot run here; None if it can."""
        if self.needs is None:
            return None
        try:
            import_module(self.needs)
        except ImportError as error:
            return f"{self.title} is left out: {error}; pip install {self.package}"
        return None

    def start(self, shape: Shape, *, seed: int, rates: Rates | None = None, device: torch.device = CPU) -> DualTraining:
        """Starts the training of a critic with fresh weights."""
        rates = rates or Rates(weights=self.learning_rate)
        critic = stack(self.layer, shape, torch.Generator().manual_seed(seed), self.options).to(device)
        if isinstance(self.optimizer, str):
            made = make_optimizers(critic, name=self.optimizer, learning_rate=rates.weights, bias_learning_rate=rates.biases)
            return DualTraining(critic, made, apart=self.apart)
        weights, biases = ([parameter for parameter in critic.parameters() if parameter.ndim == axes] for axes in (2, 1))
        return DualTraining(critic, [*self.optimizer(weights, rates.weights), Adam(biases, lr=rates.biases)], apart=self.apart)


class _PlainlyOrthonormal(UnconstrainedLinear):
    """A plain weight, orthonormal at first, which its optimiser keeps near the manifold."""

    def _initial(self, generator: torch.Generator) -> Tensor:
        return LipschitzLinear._initial(self, generator)


class _TorchlipLinear(LipschitzLinear):
    """deel-torchlip's SpectralLinear with its own defaults: power iterations, then differentiated Björck iterations."""

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


class Landing(SeparateOptimizer):
    r"""Descends along the tangent gradient, with a term that attracts the weight to the manifold; never retracts.

    .. math:: W \leftarrow W - \eta \big(\mathrm{skew}(M W^\top) W + (W W^\top - I) W\big)

    with the momentum M of the gradient and attraction weight 1; W is transposed if it is tall.

    References:
        Ablin & Peyré (2022), Fast and accurate optimization on the orthogonal manifold without retraction, equation 5.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def _move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].mul_(0.9).add_(gradient)
        flat = parameter.shape[0] <= parameter.shape[1]
        W, M = (parameter, momentum) if flat else (parameter.mT, momentum.mT)
        S, G = M @ W.mT, W @ W.mT
        field = (S - S.mT).mul_(0.5).add_(G)
        field.diagonal().sub_(1.0)
        W.sub_(field @ W, alpha=group["lr"])


def _pogo(weights: Sequence[Tensor], learning_rate: float) -> list[Optimizing]:
    def optimizer(chosen: list[Tensor], rows: bool) -> Optimizing:
        base = import_module("pogo.base").VectorAdam()
        POGO = import_module("pogo").POGO
        return cast(Optimizing, POGO(chosen, base, lr=learning_rate, rows=rows, flatten_fn=lambda W: W.unsqueeze(0)))

    flat = [W for W in weights if W.shape[0] <= W.shape[1]]
    tall = [W for W in weights if W.shape[0] > W.shape[1]]
    return [optimizer(chosen, rows) for chosen, rows in ((flat, True), (tall, False)) if chosen]


_SCHEMES = (
    Scheme(name="floor", title="no constraint, Adam (the floor)", learning_rate=0.003, layer=UnconstrainedLinear),
    Scheme(name="adam", title="wdist, Adam", learning_rate=0.003, layer=OrthonormalLinear),
    Scheme(name="muon", title="wdist, Muon", learning_rate=0.05, layer=OrthonormalLinear, optimizer="muon"),
    Scheme(
        name="orthogonal-sgd",
        title="wdist, orthogonal SGD",
        learning_rate=0.4,
        layer=OrthonormalLinear,
        optimizer="orthogonal-sgd",
    ),
    Scheme(name="floor-muon", title="no constraint, Muon", learning_rate=0.05, layer=UnconstrainedLinear, optimizer="muon"),
    Scheme(
        name="paper",
        title="27 differentiated iterations per side (the paper)",
        learning_rate=0.02,
        layer=UnrolledBjorckLinear,
        options=ConstraintOptions(iterations=27, scaling="norms"),
        apart=True,
        warm_up=1,  # all steps take as long as the first
    ),
    Scheme(
        name="torchlip",
        title="torchlip",
        learning_rate=0.003,  # at 0.01 it diverges on wide layers
        layer=_TorchlipLinear,
        needs="deel.torchlip",
        package="deel-torchlip",
    ),
    Scheme(name="cayley", title="torch's orthogonal (Cayley)", learning_rate=0.01, layer=CayleyLinear),
    Scheme(
        name="pogo",
        title="POGO",
        learning_rate=0.5,
        layer=_PlainlyOrthonormal,
        optimizer=_pogo,
        needs="pogo",
        package="pogo-torch",
    ),
    Scheme(
        name="landing",
        title="Landing",
        learning_rate=0.3,
        layer=_PlainlyOrthonormal,
        optimizer=lambda weights, learning_rate: [Landing(weights, lr=learning_rate)],
    ),
)
SCHEMES = {scheme.name: scheme for scheme in _SCHEMES}
