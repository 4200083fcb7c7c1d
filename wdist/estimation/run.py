"""One estimate under way: options resolved for this machine, the agenda, and the interruption."""

import math
from dataclasses import dataclass, replace

import torch

from wdist.checkpoints.checkpoint import now
from wdist.data.features.opening import open_features
from wdist.data.features.space import FeatureSpace
from wdist.environment import choose_device
from wdist.estimation.blocks import block_seconds
from wdist.estimation.options import EstimateOptions
from wdist.estimation.transport_bounds import CLOSING_SECONDS, POPULATION_SECONDS, TRANSPORT_SECONDS
from wdist.ground_metric import GroundMetric, ground_metric
from wdist.interruption import Interruption
from wdist.training.loop import TrainingOutcome
from wdist.training.observer import CriticFinished, CriticStarted, Observer, Silent, Stage, StageProgress

_TRANSPORT_SHARE, _CLOSING_SHARE, _POPULATION_SHARE = 1 / 4, 1 / 2, 1 / 6
"""Fractions of a time budget for transport between the samples (the second if a gap is to be closed) and between blocks."""
_LEAST_TRAINING_SHARE = _EVALUATION_SHARE = 1 / 4
"""Smallest fractions of a time budget kept for training, and for evaluating critics on all samples of streams."""
_POPULATION_ASIDE = 1.0
"""Predicted seconds that the upper bound for the populations may take if a gap is to be closed."""


class Agenda:
    """Announces stages and critics to an observer, with the time remaining."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self._pending, self._critics, self._position = 0.0, 0, 0

    def plan(self, seconds: float, *, critics: int = 0) -> None:
        """Adds future work to the plan."""
        self._pending += seconds
        self._critics += critics

    def begin(self, what: str, limit: float | None) -> None:
        """Announces the first stage, of unknown length, and the time limit of the run."""
        self.observer.notify(Stage(what=what, expected=None if limit is None else 0.0, after=limit))

    def stage(self, what: str, expected: float | None = None) -> None:
        """Announces a stage, for which ``expected`` seconds were planned."""
        self._pending = max(0.0, self._pending - (expected or 0.0))
        self.observer.notify(Stage(what=what, expected=expected, after=None if expected is None else self._pending))

    def progress(self, fraction: float) -> None:
        """Announces the fraction of the current stage that is done."""
        self.observer.notify(StageProgress(fraction=fraction))

    def critic(self, name: str, budget: str, expected: float) -> None:
        """Announces a critic."""
        self._position += 1
        self._pending = max(0.0, self._pending - expected)
        critics = max(self._critics, self._position)
        event = CriticStarted(
            critic=name, position=self._position, critics=critics, budget=budget, expected=expected, after=self._pending
        )
        self.observer.notify(event)

    def found(self, name: str, outcome: TrainingOutcome) -> None:
        """Announces that a critic is found."""
        steps, seconds, interrupted = outcome.steps, outcome.seconds, outcome.interrupted
        event = CriticFinished(critic=name, steps=steps, seconds=seconds, best=outcome.best, interrupted=interrupted)
        self.observer.notify(event)


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """Everything that the stages of one estimate share."""

    options: EstimateOptions
    metric: GroundMetric
    device: torch.device
    space: FeatureSpace | None
    """Feature space that distances are measured in; None for the samples' own space."""
    agenda: Agenda
    interruption: Interruption
    ceiling: float = math.inf
    """Upper bound for W1 of the samples, in the units of the data; infinite until known."""
    began: float
    """Clock time at which the run started."""

    @classmethod
    def start(cls, options: EstimateOptions, observer: Observer | None) -> "Run":
        """Resolves options for this machine.

        Raises:
            WdistError: the device or the features are not available.
        """
        began, device = now(), choose_device(options.device)
        return cls(
            options=options,
            metric=ground_metric(options.metric),
            device=device,
            space=open_features(options.features, options.access, device),
            agenda=Agenda(observer or Silent()),
            interruption=Interruption(),
            began=began,
        )

    @property
    def uninterrupted(self) -> "Run":
        """The same run with a fresh interruption, for work after an interruption that takes no time."""
        return replace(self, interruption=Interruption())

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return now() - self.began

    @property
    def limit(self) -> float | None:
        """Time budget of the whole run in seconds; None if it has none."""
        return None if self.options.budget is None else self.options.budget.seconds

    @property
    def transport_seconds(self) -> float:
        """Predicted seconds that transport between the samples may take."""
        if self.limit is None:
            return TRANSPORT_SECONDS if self.options.tolerance is None else CLOSING_SECONDS
        if self.options.tolerance is not None:
            return max(TRANSPORT_SECONDS, _CLOSING_SHARE * self.limit)
        return min(TRANSPORT_SECONDS, _TRANSPORT_SHARE * self.limit)

    @property
    def most_transport_seconds(self) -> float:
        """Seconds that transport between millions of samples may take, which is far from optimal: a fraction of the budget."""
        if self.limit is None:
            return math.inf
        return max(self.transport_seconds, (_TRANSPORT_SHARE if self.options.tolerance is None else _CLOSING_SHARE) * self.limit)

    @property
    def most_population_seconds(self) -> float:
        """The same for the upper bound for the populations."""
        return math.inf if self.limit is None else max(self.population_seconds, _POPULATION_SHARE * self.limit)

    @property
    def population_seconds(self) -> float:
        """Predicted seconds that the upper bound for the populations may take; few if a gap is to be closed."""
        if self.options.tolerance is not None:
            return _POPULATION_ASIDE
        if self.limit is None:
            return POPULATION_SECONDS
        return min(POPULATION_SECONDS, max(1.0, _POPULATION_SHARE * self.limit))

    @property
    def block_seconds(self) -> float:
        """Predicted seconds that distances between blocks may take."""
        return block_seconds(self.limit)

    def training_seconds(self, *, reserved: float) -> float | None:
        """Seconds left for training; None without a time budget. ``reserved`` seconds are kept for later stages.

        At least a quarter of the budget, because on a busy machine transport may take longer than predicted.
        """
        if self.limit is None:
            return None
        return max(self.limit - self.seconds - reserved, _LEAST_TRAINING_SHARE * self.limit)

    def evaluation_seconds(self, *, reserved: float) -> float:
        """Seconds left for evaluating critics on all samples of streams, at least :attr:`evaluation_reserved`.

        Infinite without a time budget. ``reserved`` seconds are kept for later stages.
        """
        return math.inf if self.limit is None else max(self.limit - self.seconds - reserved, self.evaluation_reserved)

    @property
    def evaluation_reserved(self) -> float:
        """Seconds to keep for evaluating critics on all samples of streams."""
        return 0.0 if self.limit is None else _EVALUATION_SHARE * self.limit
