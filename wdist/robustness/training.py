"""Training of classifiers: cross-entropy or the hinge loss, with the constraints of :mod:`wdist.lipschitz` or a regulariser.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.3, appendices F, G.1, H.4 and H.5.
    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), Dropout.
    Madry, Makelov, Schmidt, Tsipras & Vladu (2018), arXiv:1706.06083 (training on attacked samples).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wdist.critics.networks import DenseCritic
from wdist.errors import TrainingDiverged, UsageError
from wdist.lipschitz.activations import activation
from wdist.lipschitz.constraints import ParsevalLinear, constraint
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear
from wdist.robustness.attacks import Ball, perturbed_for_training
from wdist.robustness.classifier import FrozenClassifier
from wdist.robustness.margin import hinge_loss, margin
from wdist.training.minimisation import minimise_
from wdist.training.optimizers import make_optimizers
from wdist.training.penalties import JacobianNorm


class Labelled(NamedTuple):
    """Samples, floating point, shape (n, dim), and their classes, int64, shape (n,)."""

    x: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """Training on attacked samples."""

    ball: Ball
    iterations: int
    """Iterations of the attack on each minibatch."""


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """A fully connected classifier."""

    hidden: tuple[int, ...] = (1024, 1024, 1024)
    """Units of the hidden layers."""
    activation: str = "maxmin"
    constraint: str = "bjorck"
    """A name in :data:`wdist.lipschitz.constraints.CONSTRAINTS`; ``parseval`` is only a regulariser here, which bounds nothing."""
    options: ConstraintOptions = field(default_factory=ConstraintOptions)
    lipschitz: float = 1.0
    """K: a factor on the logits, which is their Lipschitz constant if every layer has norm 1."""
    dropout: float = 0.0
    """Fraction of the hidden activations that are set to 0 in training."""


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """The loss, its regularisers, and the optimisation."""

    kappa: float | None = None
    """Margin of the hinge loss; None for the cross-entropy."""
    weight_decay: float = 0.0
    """Factor of half the sum of squares of all weight matrices, which is added to the loss."""
    jacobian: float = 0.0
    """Factor of the largest singular value of the Jacobian (appendix F, algorithm 2), which is added to the loss."""
    adversary: Adversary | None = None
    steps: int = 3000
    batch_size: int = 256
    learning_rate: float = 0.001
    """Learning rate of Adam for the weight matrices."""
    bias_learning_rate: float = 0.003


class ClassifierNetwork(DenseCritic):
    """Fully connected layers with an activation between them, one output for each class, times a factor.

    The generator, which draws the initial weights, is on the CPU.

    Raises:
        UsageError: the groups of the activation do not divide the units of a layer.
    """

    def __init__(self, dim: int, classes: int, settings: NetworkSettings, generator: torch.Generator) -> None:
        kind, function = constraint(settings.constraint), activation(settings.activation)
        if any(units % function.group for units in settings.hidden):
            raise UsageError(f"activation {function.name} takes groups of {function.group} units; choose a multiple as the width")
        layers, inputs = [], dim
        for position, units in enumerate((*settings.hidden, classes)):
            options = replace(settings.options, first=position == 0)
            layers.append(kind(inputs, units, generator=generator, options=options))
            inputs = function.outputs(units)
        super().__init__(layers, function)
        self.scale, self.dropout = settings.lipschitz, nn.Dropout(settings.dropout)
        if settings.constraint in ("none", "linf"):
            # Rows of l1 norm 1 also start spread over all inputs: if they started like those of critics, with few nonzero entries,
            # many units would see one pixel of the border, and margins would stay smaller.
            start_as_usual(self.linear, generator)
            self.constrain_()

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.linear
        for layer, between in zip(hidden, self.between, strict=True):
            x = self.dropout(between(layer(x)))
        return self.scale * last(x)

    def frozen(self) -> FrozenClassifier:
        """The classifier as plain float64 weights that meet the constraint to the last digits; the last layer holds the factor."""
        layers: list[FrozenLayer] = []
        for position, layer in enumerate(self.linear):
            if position:
                layers.append(self.between[position - 1].freeze())
            factor = self.scale if layer is self.linear[-1] else 1.0
            # A regulariser leaves the trained weight itself, so that the function stays the same.
            weight = layer.exact_weight if isinstance(layer, ParsevalLinear) else layer.plain_weight()
            layers.append(Affine(weight=factor * weight, bias=factor * layer.bias.detach().double().cpu()))
        return FrozenClassifier(layers, dim=self.linear[0].inputs)


@torch.no_grad()
def start_as_usual(layers: Sequence[LipschitzLinear], generator: torch.Generator) -> None:
    """Draws weights and biases uniformly, at most 1 / sqrt(inputs of the layer) in magnitude, like torch's own linear layers."""
    for layer in layers:
        bound = layer.inputs**-0.5
        for parameter in (layer.weight, layer.bias):
            parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))


def train_classifier(
    data: Labelled,
    network: NetworkSettings,
    loss: LossSettings,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    after_step: Callable[[int, ClassifierNetwork], None] | None = None,
) -> FrozenClassifier:
    """Trains a fully connected classifier on all samples of ``data``, whose labels are 0, 1, ..., and freezes it.

    Arguments:
        data: samples and labels, in memory.
        network, loss: settings.
        seed: seed of the weights, minibatches and attacks.
        device: device for training; None for the CPU.
        after_step: called with the number of steps done, and the network.

    Raises:
        UsageError: the settings contradict each other.
        TrainingDiverged: the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    built = ClassifierNetwork(data.x.shape[1], 1 + int(data.labels.max()), network, generator).to(device or torch.device("cpu"))
    fit_(built, data, loss, seed=seed, after_step=None if after_step is None else lambda step: after_step(step, built))
    return built.frozen()


def fit_(
    network: nn.Module, data: Labelled, settings: LossSettings, *, seed: int = 0, after_step: Callable[[int], None] | None = None
) -> None:
    """Trains a network on its own device, and leaves it in evaluation mode.

    Arguments:
        network: a module from samples to logits that is :class:`wdist.training.minimisation.Constrained`.
        data, settings: as in :func:`train_classifier`.
        seed: seed of the minibatches, dropout and attacks.
        after_step: called with the number of steps done.

    Raises:
        TrainingDiverged: the loss is not finite.
    """
    device = next(network.parameters()).device
    x, labels = data.x.to(device, torch.float32), data.labels.to(device)
    minibatches = _Minibatches(len(x), settings.batch_size, torch.Generator().manual_seed(seed))
    price = _Objective(network, settings, seed)

    def loss() -> Tensor:
        rows = minibatches.next().to(device)
        return price(x[rows], labels[rows])

    network.train()
    optimizers = make_optimizers(
        network, name="adam", learning_rate=settings.learning_rate, bias_learning_rate=settings.bias_learning_rate
    )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # of dropout
        last = minimise_(
            network,  # type: ignore[arg-type]  # a module that is Constrained
            loss,
            optimizers=optimizers,
            steps=settings.steps,
            after_step=after_step,
            # A caller that watches the steps has to see all of them, so this training is not resumed.
            name=f"training of a classifier, seed {seed}" if after_step is None else None,
        )
    network.eval()
    if not bool(torch.isfinite(last)):
        raise TrainingDiverged("the loss of the classifier is not finite; try a lower learning rate")


class _Objective:
    """The loss of one minibatch, with its regularisers."""

    resumable = ("_generator", "_jacobian")

    def __init__(self, network: nn.Module, settings: LossSettings, seed: int) -> None:
        self.network, self.settings = network, settings
        self._generator = torch.Generator().manual_seed(seed + 1)
        self._jacobian = JacobianNorm(torch.Generator(next(network.parameters()).device).manual_seed(seed + 2))
        self._matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]

    def __call__(self, x: Tensor, labels: Tensor) -> Tensor:
        settings = self.settings
        if settings.adversary is not None:
            x = self._attacked(x, labels, settings.adversary)
        if settings.jacobian:
            x = x.requires_grad_()
        logits, kappa = self.network(x), settings.kappa
        loss = nn.functional.cross_entropy(logits, labels) if kappa is None else hinge_loss(logits, labels, kappa=kappa)
        if settings.jacobian:
            loss = loss + settings.jacobian * self._jacobian(x, logits).mean()
        if settings.weight_decay:
            squares = torch.stack([matrix.square().sum() for matrix in self._matrices])
            loss = loss + 0.5 * settings.weight_decay * squares.sum()
        return loss

    def _attacked(self, x: Tensor, labels: Tensor, adversary: Adversary) -> Tensor:
        loss = _negative_cross_entropy if self.settings.kappa is None else margin
        self.network.eval()
        moved = perturbed_for_training(
            self.network, x, labels, adversary.ball, loss=loss, iterations=adversary.iterations, generator=self._generator
        )
        self.network.train()
        return moved


def _negative_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The negative cross-entropy of each sample, which an adversary lowers."""
    return -nn.functional.cross_entropy(logits, labels, reduction="none")


class _Minibatches:
    """Rows of minibatches, epoch after epoch, each in a new order."""

    resumable = ("_generator", "_left")

    def __init__(self, count: int, size: int, generator: torch.Generator) -> None:
        self._count, self._size, self._generator = count, size, generator
        self._left = torch.empty(0, dtype=torch.int64)

    def next(self) -> Tensor:
        if not len(self._left):
            self._left = torch.randperm(self._count, generator=self._generator)
        chosen, self._left = self._left[: self._size], self._left[self._size :]
        return chosen
