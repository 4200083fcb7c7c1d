"""What makes one kind of critic: which linear layers, which activation, and what suits its training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from wdist.critics.critic import Critic
from wdist.critics.dense import DenseCritic
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.activation import Activation
from wdist.lipschitz.activations import activation
from wdist.lipschitz.constraints import constraint
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear

GROUP_SIZE = 16
"""Of GroupSort, where nothing else is said."""
_MAXOUT_GROUP_SIZE = 2
"""Larger groups leave few units."""


@dataclass(frozen=True, kw_only=True)
class CriticRecipe:
    """One kind of critic that is trained, a dense one; its file's docstring is its citation."""

    name: str
    """As users write it and results show it."""
    title: str
    """In a few words, for tables and help."""
    constraint: str
    """Of the weights: a name of :data:`wdist.lipschitz.constraints.CONSTRAINTS`."""
    activation: str
    """Its name; ``group-sort`` and ``maxout`` are completed by the group size."""
    group_size: int | None = None
    """Fixed by the kind, whatever the settings say; the width is rounded up to a multiple of it."""
    optimizer: str | None = None
    """Where the user names none; None for what suits the constraint."""
    learning_rate: float | None = None
    """Where the user names none; None for what suits the constraint."""
    penalty: str | None = None
    """Of the training objective: a name of :data:`wdist.training.penalties.catalogue.PENALTIES`."""

    @property
    def bound_by_construction(self) -> bool:
        """Whether the constraint alone bounds the Lipschitz constant; else the dual value is no bound before it is divided."""
        return constraint(self.constraint).bounded

    @property
    def takes(self) -> frozenset[str]:
        """Which of :data:`~wdist.critics.settings.PARTICULAR` make a difference to critics of this kind."""
        grouped = self.activation in ("group-sort", "maxout") and self.group_size is None
        return constraint(self.constraint).takes | ({"group_size"} if grouped else set())

    def chosen(self, settings: CriticSettings) -> "CriticRecipe":
        """The recipe with the activation and the constraint that the user chose in place of its own.

        Raises:
            UsageError: there is no such activation or constraint.
        """
        if settings.activation in (None, self.activation) and settings.constraint in (None, self.constraint):
            return self
        function, weights = settings.activation or self.activation, settings.constraint or self.constraint
        kind = constraint(weights)
        own = weights == self.constraint
        return replace(
            self,
            name="-".join(filter(None, (function.replace(":", "-"), weights, self.penalty))),
            title=f"{function}, {kind.title}" + (f", {self.penalty.replace('-', ' ')}" if self.penalty else ""),
            constraint=weights,
            activation=function,
            group_size=self.group_size if settings.activation is None else None,
            optimizer=self.optimizer if own else None,
            learning_rate=self.learning_rate if own else None,
        )

    def settle(self, settings: CriticSettings) -> CriticSettings:
        """The settings with what the kind itself decides."""
        kind = constraint(self.constraint)
        optimizer = settings.optimizer or self.optimizer or kind.optimizer
        preferred = (self.learning_rate or kind.learning_rate) if optimizer == (self.optimizer or kind.optimizer) else None
        group_size = self.group_size or (_MAXOUT_GROUP_SIZE if self.activation == "maxout" and not settings.group_size else None)
        if group_size:
            # Where a kind has its own group size, the width of a comparison follows it, rather than fail.
            width = settings.width and -(-settings.width // group_size) * group_size
            settings = replace(settings, group_size=group_size, width=width)
        return replace(
            settings,
            activation=self.activation,
            constraint=self.constraint,
            optimizer=optimizer,
            learning_rate=settings.learning_rate or preferred,
        )

    def _activation(self, settings: CriticSettings) -> Activation:
        name = self.activation
        if name in ("group-sort", "maxout"):
            name = f"{name}:{self.group_size or settings.group_size or GROUP_SIZE}"
        return activation(name)

    def build(
        self,
        dim: int,
        settings: CriticSettings,
        generator: torch.Generator,
        outputs: int = 1,
        metric: GroundMetric = L2,
        event_shape: Sequence[int] | None = None,
    ) -> Critic:
        """A critic with fresh weights.

        Arguments:
            dim: coordinates of a sample.
            settings: with width, depth, group size and Björck order filled in.
            generator: of the weights, on the CPU.
            outputs: 1 for a critic; a classifier has one for each class.
            metric: of the samples, which the first layer may be built for.
            event_shape: of a sample, to which a dense critic pays no heed.

        Raises:
            UsageError: the units of a group do not divide the width, or two options exclude each other.
        """
        settings, function, kind, options = self.parts(settings, metric)
        width, depth = settings.width or 0, settings.depth or 0
        sizes = [(dim, width), *[(function.outputs(width), width)] * (depth - 2), (function.outputs(width), outputs)]
        layers: list[LipschitzLinear] = [
            kind(inputs, units, generator=generator, options=replace(options, first=position == 0))
            for position, (inputs, units) in enumerate(sizes)
        ]
        return DenseCritic(layers, function)

    def parts(
        self, settings: CriticSettings, metric: GroundMetric
    ) -> tuple[CriticSettings, Activation, type[LipschitzLinear], ConstraintOptions]:
        """Settings with what the kind decides, the activation, the linear layers, and what these are told.

        Raises:
            UsageError: the units of a group do not divide the width, or two options exclude each other.
        """
        recipe = self.chosen(settings)
        settings = recipe.settle(settings)
        width, function, kind = settings.width or 0, recipe._activation(settings), constraint(recipe.constraint)
        if width % function.group:
            raise UsageError(
                f"--activation {function.name} takes groups of {function.group} units, which do not divide --width {width}; "
                f"choose a multiple of {function.group}, or another --group-size"
                if function.name != f"group-sort:{settings.group_size}"
                else f"--group-size {function.group} does not divide --width {width}; choose a divisor"
            )
        if "beta" in kind.takes and (settings.bjorck_order or 1) > 1 and settings.beta not in (None, kind.beta):
            raise UsageError("--beta belongs to Björck iterations of order 1; leave out either --beta or --bjorck-order")
        options = ConstraintOptions(
            order=settings.bjorck_order or 1, iterations=settings.bjorck_iterations, beta=settings.beta, p=metric.p
        )
        return settings, function, kind, options
