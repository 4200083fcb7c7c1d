"""Networks as kinds of critics: their default settings, and training by gradients, alone or side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from wdist.bounds.lipschitz.critics import with_multipliers
from wdist.critics.critic import Critic
from wdist.critics.networks import Architecture, NetworkPlan, StackedCritic, dense, fits_side_by_side, side_by_side
from wdist.critics.settings import CriticSettings
from wdist.data.pairing import Pair
from wdist.data.rows import Minibatches
from wdist.distributed.processes import processes
from wdist.errors import CertificateError, TrainingDiverged, UsageError
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.activations import activation
from wdist.lipschitz.constraints import constraint
from wdist.lipschitz.linear import ConstraintOptions
from wdist.training.budget import Budget
from wdist.training.kind import CriticKind, CriticSpec, DataShape, TrainedCritic, TrainingJob, minibatch_sizes
from wdist.training.loop import TrainingOutcome, TrainingPlan, TrainingRun, train, train_together, value_on
from wdist.training.objective import mean_difference
from wdist.training.observer import Observer, Silent
from wdist.training.optimizers import LEARNING_RATES, Optimizing, make_optimizers
from wdist.training.penalties import Penalty, penalty
from wdist.training.shared_batches import SharedBatches, worth_sharing
from wdist.training.step import TrainingStep

GROUP_SIZE = 16
_BATCH_SIZES, _BATCHES = (128, 512), 8
"""Smallest and largest default batch size, and the fewest batches that a set should fill. The noise of small batches helps with few
samples (2,000 of a random network in 32 dimensions: .41 of W1 with batches of 128, .35 with 512) and hurts with many."""
_RATES_OF_SMALL_BATCHES = {"muon": 0.1}
"""Learning rates for the smallest batches, tuned on six pairs of files: few samples allow few steps, which have to be longer."""
_MAXOUT_GROUP_SIZE = 2
"""Larger groups would leave few units."""
_VALIDATION_ROWS = 4096
"""Most samples of each side in a validation."""
_ROUNDS = 300
"""Most passes over the samples if these are few."""
_FLOPS_A_SECOND, _SECONDS = 2.0e11, 30.0
"""Speed of two cores, fitted to measured steps, and the duration of a default training."""
_GROUPED = ("group-sort", "maxout")
_SETTINGS = frozenset(
    {"width", "depth", "batch_size", "optimizer", "learning_rate", "schedule", "activation", "constraint", "lipschitz"}
)


@dataclass(frozen=True, kw_only=True)
class ResolvedNetwork:
    """Settings of a network; some constraints ignore those of Björck iterations."""

    width: int
    depth: int
    group_size: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    activation: str
    constraint: str
    bjorck_order: int
    bjorck_iterations: int
    beta: float
    lipschitz: float


NetworkSpec: TypeAlias = CriticSpec[ResolvedNetwork]


@dataclass(frozen=True, kw_only=True)
class NetworkKind(CriticKind[ResolvedNetwork]):
    """A network trained by gradients."""

    quick_share: ClassVar[float] = 0.15  # a network takes longer than cones to show its potential
    constraint: str
    """Constraint on the weights: a name of :data:`wdist.lipschitz.constraints.CONSTRAINTS`."""
    activation: str
    """Name of the activation; the group size is appended to ``group-sort`` and ``maxout``."""
    group_size: int | None = None
    """Group size fixed by the kind, whatever the settings say; the width is rounded up to a multiple of it."""
    optimizer: str | None = None
    """Default optimiser; None for the one that suits the constraint."""
    learning_rate: float | None = None
    penalty: str | None = None
    """Penalty on the training objective: a name of :data:`wdist.training.penalties.PENALTIES`."""
    architecture: Architecture = dense
    depth: int = 4
    """Default number of linear layers."""

    @property
    def bound_by_construction(self) -> bool:
        return constraint(self.constraint).bounded

    @property
    def accepts(self) -> frozenset[str]:
        grouped = self.activation in _GROUPED and self.group_size is None
        return _SETTINGS | constraint(self.constraint).takes | ({"group_size"} if grouped else set())

    def assembled(self, settings: CriticSettings) -> "NetworkKind":
        """Returns this kind with the activation and the constraint replaced by the user's choice.

        Raises:
            UsageError: the activation or the constraint is unknown.
        """
        if settings.activation in (None, self.activation) and settings.constraint in (None, self.constraint):
            return self
        function, weights = settings.activation or self.activation, settings.constraint or self.constraint
        own = weights == self.constraint
        return replace(
            self,
            name="-".join(filter(None, (function.replace(":", "-"), weights, self.penalty))),
            title=f"{function}, {constraint(weights).title}" + (f", {self.penalty.replace('-', ' ')}" if self.penalty else ""),
            constraint=weights,
            activation=function,
            group_size=self.group_size if settings.activation is None else None,
            optimizer=self.optimizer if own else None,
            learning_rate=self.learning_rate if own else None,
        )

    def resolve(self, settings: CriticSettings, shape: DataShape, metric: GroundMetric = L2) -> NetworkSpec:
        kind = self.assembled(settings)
        final = kind._resolved(settings, shape)
        kind.plan(final, shape, metric)  # refuses settings that cannot be combined
        seconds = _seconds_a_step(final, shape.dim)
        most = 2500 if shape.samples is None else min(2500, max(300, _ROUNDS * shape.samples // final.batch_size))
        steps = max(60, min(most, round(_SECONDS / seconds)))
        return CriticSpec(kind=kind, settings=final, metric=metric, budget=Budget(steps=steps), seconds=steps * seconds)

    def _resolved(self, settings: CriticSettings, shape: DataShape) -> ResolvedNetwork:
        """Fills in the settings that the user left open.

        A first layer narrower than the data limits the bound (to sqrt(width / n) of its value for a cone over a sphere in n
        dimensions), so the width grows with the number of directions that carry the variance.
        """
        weights = constraint(self.constraint)
        preferred = self.optimizer or weights.optimizer
        optimizer = settings.optimizer or preferred
        batch_size = settings.batch_size or _batch_size(shape)
        rate = self.learning_rate or weights.learning_rate if optimizer == preferred else LEARNING_RATES[optimizer]
        if batch_size <= _BATCH_SIZES[0]:
            rate = _RATES_OF_SMALL_BATCHES.get(optimizer, rate)
        group_size = self.group_size or settings.group_size or (_MAXOUT_GROUP_SIZE if self.activation == "maxout" else None)
        width = settings.width or _width(shape, group_size or GROUP_SIZE)
        if self.group_size:
            # In a comparison, round the common width instead of failing because one kind has a fixed group size.
            width = -(-width // self.group_size) * self.group_size
        return ResolvedNetwork(
            width=width,
            depth=settings.depth or self.depth,
            group_size=group_size or max(k for k in range(1, min(width, GROUP_SIZE) + 1) if width % k == 0),
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=settings.learning_rate or rate,
            schedule=settings.schedule or "cosine",
            activation=self.activation,
            constraint=self.constraint,
            bjorck_order=settings.bjorck_order or 1,
            bjorck_iterations=settings.bjorck_iterations or weights.iterations,
            beta=settings.beta or weights.beta,
            lipschitz=settings.lipschitz or 1.0,
        )

    def plan(self, settings: ResolvedNetwork, shape: DataShape, metric: GroundMetric) -> NetworkPlan:
        """Plans the network of resolved settings.

        Raises:
            UsageError: the units of a group do not divide the width, or two options exclude each other.
        """
        suffix = f":{settings.group_size}" if self.activation in _GROUPED else ""
        function, layer = activation(self.activation + suffix), constraint(self.constraint)
        if settings.width % function.group:
            raise UsageError(
                f"--group-size {function.group} does not divide --width {settings.width}; choose a divisor"
                if function.name == f"group-sort:{settings.group_size}"
                else f"--activation {function.name} takes groups of {function.group} units, which do not divide --width "
                f"{settings.width}; choose a multiple of {function.group}, or another --group-size"
            )
        if "beta" in layer.takes and settings.bjorck_order > 1 and settings.beta not in (None, layer.beta):
            raise UsageError("--beta belongs to Björck iterations of order 1; leave out either --beta or --bjorck-order")
        return NetworkPlan(
            event_shape=shape.event_shape,
            dim=shape.dim,
            width=settings.width,
            depth=settings.depth,
            layer=layer,
            options=ConstraintOptions(
                order=settings.bjorck_order, iterations=settings.bjorck_iterations, beta=settings.beta, p=metric.p
            ),
            activation=function,
        )

    def check(self, spec: NetworkSpec, shape: DataShape) -> None:
        self.build(spec, shape, torch.Generator().manual_seed(0))

    def build(self, spec: NetworkSpec, shape: DataShape, generator: torch.Generator) -> StackedCritic:
        """Builds the network of a specification with fresh weights; ``generator`` is on the CPU."""
        return self.architecture(self.plan(spec.settings, shape, spec.metric), generator)

    def shares_batches(self, spec: NetworkSpec, pair: Pair, device: torch.device) -> bool:
        if self.penalty is not None or processes().size == 1:
            return False
        shape = DataShape.of(pair)
        critic = self.build(spec, shape, torch.Generator().manual_seed(0))
        return worth_sharing(
            minibatch_sizes(spec.settings.batch_size, pair),
            operations=_FLOPS_A_SECOND * _seconds_a_step(spec.settings, shape.dim),
            weights=sum(each.numel() for each in critic.parameters()),
            device=device,
        )

    def fit(self, spec: NetworkSpec, job: TrainingJob, budget: Budget | None) -> TrainedCritic:
        mean = job.objective is mean_difference  # other objectives of a minibatch are not means of those of its slices
        fit = _NetworkFit(self, spec, job, shared=mean and self.shares_batches(spec, job.pair, job.device))
        step = TrainingStep(fit.critic, fit.optimizers(fit.critic), objective=job.objective, penalty=fit.penalty())
        plan = TrainingPlan(
            ascend=step if fit.shared is None else fit.shared.ascent(step),
            minibatch=fit.minibatch,
            budget=spec.limit(budget),
            decay=spec.settings.schedule,
            interruption=job.interruption,
            drawn=fit.streams,
            between=spec.steps_between_validations,
        )
        return fit.trained(train(fit.run(job.observer), plan))

    def fit_together(
        self, spec: NetworkSpec, jobs: Sequence[TrainingJob], budget: Budget | None
    ) -> list[TrainedCritic | TrainingDiverged | CertificateError]:
        """Trains all critics as one network whose tensors have a leading axis, if the architecture allows it.

        Each critic takes the same steps as it would alone, except for rounding and for the timing of its retractions, which depends
        on the critic farthest from its constraint.
        """
        if len(jobs) < 2 or self.penalty is not None:
            return super().fit_together(spec, jobs, budget)
        fits = [_NetworkFit(self, spec, job) for job in jobs]
        if not all(fits_side_by_side(fit.critic) for fit in fits) or len({fit.batch_sizes for fit in fits}) > 1:
            return super().fit_together(spec, jobs, budget)
        first, together = fits[0], side_by_side([fit.critic for fit in fits])
        runs = [fit.run(fit.job.observer if fit is first else Silent()) for fit in fits]
        plan = TrainingPlan(
            ascend=TrainingStep(together, first.optimizers(together, side_by_side=True), objective=first.job.objective),
            minibatch=lambda: _stacked([fit.minibatch() for fit in fits]),
            budget=spec.limit(budget),
            decay=spec.settings.schedule,
            interruption=first.job.interruption,
            drawn=[together, *(stream for fit in fits for stream in fit.streams)],
            between=spec.steps_between_validations,
        )
        return [
            fit.trained(outcome)
            if outcome.history
            else TrainingDiverged(f"{self.name} gave no finite value; try a lower --learning-rate")
            for fit, outcome in zip(fits, train_together(runs, plan), strict=True)
        ]


class _NetworkFit:
    """One network in training, with its samples, optimisers and validation."""

    def __init__(self, kind: NetworkKind, spec: NetworkSpec, job: TrainingJob, *, shared: bool = False) -> None:
        self.kind, self.spec, self.job = kind, spec, job
        generator = torch.Generator().manual_seed(job.seed)
        self.critic = kind.build(spec, DataShape.of(job.pair), generator).to(job.device)
        self.shared = SharedBatches(self.critic, self.batch_sizes[0]) if shared else None

    @property
    def batch_sizes(self) -> tuple[int, int]:
        """Number of samples of each side in a minibatch."""
        return minibatch_sizes(self.spec.settings.batch_size, self.job.pair)

    @property
    def streams(self) -> tuple[Minibatches, Minibatches]:
        """Sources of the minibatches, A and B."""
        return self.job.pair.a.train, self.job.pair.b.train

    def minibatch(self) -> tuple[Tensor, Tensor]:
        """Standardised training samples of each side; if processes share minibatches, the slice of this process."""
        sides = zip((self.job.pair.a, self.job.pair.b), self.batch_sizes, strict=True)
        drawn = (measure.train.next(n) for measure, n in sides)
        a, b = (self.job.standardised(x if self.shared is None else self.shared.own(x)) for x in drawn)
        return a, b

    def penalty(self) -> Penalty | None:
        """Returns a fresh penalty, which draws the same points each time."""
        if self.kind.penalty is None:
            return None
        return penalty(self.kind.penalty, torch.Generator(self.job.device).manual_seed(self.job.seed))

    def optimizers(self, critic: Critic, *, side_by_side: bool = False) -> list[Optimizing]:
        """Optimisers of all parameters of ``critic``."""
        settings = self.spec.settings
        made = make_optimizers(critic, name=settings.optimizer, learning_rate=settings.learning_rate, side_by_side=side_by_side)
        return [*made] if self.shared is None else [self.shared, *made]  # gradients are summed before any optimiser uses them

    def run(self, observer: Observer) -> TrainingRun:
        """Makes the training run of this critic."""
        spread, samples = self.job.pair.standardisation.spread, self.job.validation(_VALIDATION_ROWS)
        value = value_on(*samples, self.job.objective)

        def validate(critic: Critic) -> Tensor:
            if self.shared is not None:
                self.shared.check()
            price = self.penalty()  # a fresh one, so that all validations use the same points
            return value(critic) if price is None else value(critic) - price(critic, *samples).detach()

        return TrainingRun(self.critic, validate=validate, unit=spread, observer=observer, name=self.kind.name, averaged=True)

    def trained(self, outcome: TrainingOutcome) -> TrainedCritic:
        """Freezes the critic after its training; without a constraint, adds multipliers that prove more than the layers' norms."""
        critic = self.critic.freeze(self.job.pair.standardisation, lipschitz=self.spec.settings.lipschitz)
        return TrainedCritic(
            name=self.kind.name,
            title=self.kind.title,
            critic=critic if self.kind.bound_by_construction else with_multipliers(critic),
            outcome=outcome,
            settings=self.kind.shown(self.spec.settings),
            bound_by_construction=self.kind.bound_by_construction,
        )


def _stacked(minibatches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    a, b = (torch.stack(side) for side in zip(*minibatches, strict=True))
    return a, b


def _batch_size(shape: DataShape) -> int:
    least, most = _BATCH_SIZES
    return most if shape.samples is None else min(most, max(least, shape.samples // _BATCHES))


def _width(shape: DataShape, multiple: int) -> int:
    wanted = max(128 if shape.dim <= 32 else 256, min(1024, 128 * round(min(shape.participation, shape.dim) / 128)))
    return -(-wanted // multiple) * multiple


def _seconds_a_step(settings: ResolvedNetwork, dim: int) -> float:
    """Approximate duration of a step on two cores."""
    width, depth, batch = settings.width, settings.depth, settings.batch_size
    weights = dim * width + (depth - 2) * width * width + width
    # Forward and backward passes of both sides, the orthogonalised update (nine products on the smaller side), and a quarter of a
    # retraction.
    products = 12 * batch * weights + 20 * min(dim, width) * dim * width + 20 * (depth - 2) * width**3
    sorting = 2 * batch * width * depth * 4000
    return (products + sorting) / _FLOPS_A_SECOND
