"""The training loop: minibatches, dual value, step, constraint; the best critic by validation is kept."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.errors import TrainingDiverged
from wdist.result import HistoryPoint
from wdist.training.budget import Budget, Clock
from wdist.training.observer import Observer, Progress
from wdist.training.optimizers import schedule
from wdist.training.step import Ascent

VALIDATIONS = 40
"""In one training, evenly spread over its budget."""
SECONDS_BETWEEN_VALIDATIONS = 2.0
"""At most, where the budget is a time and the digits depend on the machine anyway."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training came to; the critic itself holds the best weights."""

    steps: int
    seconds: float
    history: tuple[HistoryPoint, ...]
    interrupted: bool
    final: bool = False
    """There was nothing to train: a closed form."""

    @property
    def best(self) -> float:
        """Largest validation value; nan before the first one."""
        return max((point.validation for point in self.history), default=math.nan)

    @property
    def converged(self) -> bool:
        """The best validation value rose by less than 1 % in the last quarter of the training."""
        if self.final:
            return True
        if self.interrupted or len(self.history) < 4:
            return False
        early = max(point.validation for point in self.history[: math.ceil(len(self.history) * 3 / 4)])
        return self.best - early <= 0.01 * abs(self.best)


class _Course:
    """Validations so far, and the weights of the best."""

    def __init__(self, critic: Critic, validate: Callable[[Critic], float], unit: float, observer: Observer, name: str) -> None:
        self._critic, self._validate, self._unit, self._observer, self._name = critic, validate, unit, observer, name
        self._best, self._best_state = -math.inf, copy.deepcopy(critic.state_dict())
        self._sum = torch.zeros((), device=next(critic.parameters()).device)
        self._count = 0
        self.history: list[HistoryPoint] = []

    def add(self, dual: Tensor) -> None:
        """Notes the dual value of one minibatch, without waiting for the device."""
        self._sum += dual.detach()
        self._count += 1

    def validate(self, step: int, clock: Clock) -> bool:
        """Validates the critic as it is now and keeps it if it is the best; False when its value is not finite."""
        self._critic.constrain_(tightly=True)
        self._critic.eval()
        validation = self._validate(self._critic) * self._unit
        self._critic.train()
        training = float(self._sum) / max(self._count, 1) * self._unit
        self._sum.zero_()
        self._count = 0
        if not math.isfinite(validation):
            return False
        if validation > self._best:
            self._best, self._best_state = validation, copy.deepcopy(self._critic.state_dict())
        self.history.append(HistoryPoint(step=step, seconds=clock.seconds, training=training, validation=validation))
        self._observer.notify(
            Progress(
                critic=self._name,
                step=step,
                fraction=clock.fraction(step),
                seconds=clock.seconds,
                training=training,
                validation=validation,
                best=self._best,
            )
        )
        return True

    def restore_best(self) -> None:
        """Puts the best weights back into the critic."""
        self._critic.load_state_dict(self._best_state)
        self._critic.eval()


def train(
    critic: Critic,
    *,
    ascend: Ascent,
    minibatch: Callable[[], tuple[Tensor, Tensor]],
    validate: Callable[[Critic], float],
    budget: Budget,
    decay: str,
    unit: float,
    observer: Observer,
    name: str,
) -> Trained:
    """Maximises the mean potential on A less that on B, and leaves the best critic by validation in ``critic``.

    Ctrl-C ends the training, not the program: what was best so far stands.

    Arguments:
        critic: in its first state.
        ascend: makes one step with a minibatch and changes the critic.
        minibatch: gives standardised samples of A and B.
        validate: the dual value of the critic on the validation split, in units of the standardised data.
        budget: how long.
        decay: of the learning rate, see :func:`wdist.training.optimizers.schedule`.
        unit: of the standardised data, in units of the data; for the observer.
        observer: is told of each validation.
        name: of the critic, for the observer.

    Raises:
        TrainingDiverged: the first validation was not finite.
    """
    factor, pace = schedule(decay), _pace(budget)
    course = _Course(critic, validate, unit, observer, name)
    clock, step, interrupted = budget.start(), 0, False
    critic.train()
    try:
        while True:
            spent = clock.fraction(step)
            if spent >= len(course.history) * pace or spent >= 1:
                if not course.validate(step, clock):
                    if course.history:
                        break  # the best so far stands
                    raise TrainingDiverged(f"{name} gave no finite value at step {step}; try a lower --learning-rate")
                if spent >= 1:
                    break
            course.add(ascend(*minibatch(), factor=factor(spent)))
            step += 1
    except KeyboardInterrupt:
        interrupted = True
        if not course.history or course.history[-1].step < step:
            course.validate(step, clock)
    seconds = clock.seconds
    course.restore_best()
    return Trained(steps=step, seconds=seconds, history=tuple(course.history), interrupted=interrupted)


def _pace(budget: Budget) -> float:
    """Share of the budget between two validations."""
    pace = 1 / VALIDATIONS
    return pace if budget.seconds is None else min(pace, SECONDS_BETWEEN_VALIDATIONS / budget.seconds)
