"""The training loop: minibatches, dual value, step, constraint; the best critic by validation is kept."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.errors import TrainingDiverged
from wdist.training.budget import Budget, Clock
from wdist.training.observer import HistoryPoint, Observer, Progress
from wdist.training.optimizers import schedule
from wdist.training.readback import Readback
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


@dataclass(frozen=True, kw_only=True)
class _Validation:
    """A validation whose numbers are on their way from the device."""

    value: Readback
    training: Readback
    """Sum of the dual values of the minibatches since the one before."""
    minibatches: int
    state: dict[str, Tensor]
    """Of the critic that was validated."""
    step: int
    seconds: float
    fraction: float


class Course:
    """The way of one critic through its training: validations so far, and the weights of the best.

    Nothing waits for the device but :meth:`settle` where it is told to: validations are begun, and noted once they have arrived.

    Arguments:
        critic: in its first state.
        validate: the dual value of the critic on the validation split, in units of the standardised data.
        unit: of the standardised data, in units of the data.
        observer: is told of each validation.
        name: of the critic, for the observer.
    """

    def __init__(
        self, critic: Critic, *, validate: Callable[[Critic], Tensor | float], unit: float, observer: Observer, name: str
    ) -> None:
        self.critic, self.name = critic, name
        self._validate, self._unit, self._observer = validate, unit, observer
        self._best, self._best_state = -math.inf, self._state()
        self._sum = torch.zeros((), device=next(critic.parameters()).device)
        self._count = 0
        self._begun: _Validation | None = None
        self._finite = True
        self.history: list[HistoryPoint] = []

    def _state(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.critic.state_dict().items()}

    def add(self, dual: Tensor) -> None:
        """Notes the dual value of one minibatch."""
        self._sum += dual.detach()
        self._count += 1

    def validate(self, step: int, clock: Clock) -> None:
        """Begins to validate the critic as it is now."""
        self.settle(wait=True)
        self.critic.constrain_(tightly=True)
        self.critic.eval()
        value = self._validate(self.critic)
        self.critic.train()
        self._begun = _Validation(
            value=Readback(torch.as_tensor(value, dtype=torch.float64)),
            training=Readback(self._sum),
            minibatches=max(self._count, 1),
            state=self._state(),
            step=step,
            seconds=clock.seconds,
            fraction=clock.fraction(step),
        )
        self._sum.zero_()
        self._count = 0

    def settle(self, *, wait: bool = False) -> bool:
        """Notes a validation that has arrived, and keeps its critic if it is the best; False once a value was not finite.

        Arguments:
            wait: for one that has not arrived yet.
        """
        begun = self._begun
        if begun is None or not (wait or begun.value.arrived):
            return self._finite
        self._begun = None
        validation, training = begun.value.read() * self._unit, begun.training.read() / begun.minibatches * self._unit
        self._finite = self._finite and math.isfinite(validation)
        if not self._finite:
            return False
        if validation > self._best:
            self._best, self._best_state = validation, begun.state
        self.history.append(HistoryPoint(step=begun.step, seconds=begun.seconds, training=training, validation=validation))
        self._observer.notify(
            Progress(
                critic=self.name,
                step=begun.step,
                fraction=begun.fraction,
                seconds=begun.seconds,
                training=training,
                validation=validation,
                best=self._best,
            )
        )
        return True

    def restore_best(self) -> None:
        """Puts the best weights back into the critic."""
        self.critic.load_state_dict(self._best_state)
        self.critic.eval()


def train(course: Course, *, ascend: Ascent, minibatch: Callable[[], tuple[Tensor, Tensor]], budget: Budget, decay: str) -> Trained:
    """Maximises the mean potential on A less that on B, and leaves the best critic by validation in the critic of ``course``.

    Ctrl-C ends the training, not the program: what was best so far stands.

    Arguments:
        course: of the critic.
        ascend: makes one step with a minibatch and changes the critic.
        minibatch: gives standardised samples of A and B.
        budget: how long.
        decay: of the learning rate, see :func:`wdist.training.optimizers.schedule`.

    Raises:
        TrainingDiverged: the first validation was not finite.
    """
    (trained,) = train_together([course], ascend=ascend, minibatch=minibatch, budget=budget, decay=decay)
    if not trained.history:
        raise TrainingDiverged(f"{course.name} gave no finite value at step {trained.steps}; try a lower --learning-rate")
    return trained


def train_together(
    courses: Sequence[Course], *, ascend: Ascent, minibatch: Callable[[], tuple[Tensor, Tensor]], budget: Budget, decay: str
) -> list[Trained]:
    """The same for several critics that every step changes at once; one that has diverged does not hold up the others.

    Arguments:
        courses: of the critics.
        ascend: makes one step with a minibatch and changes all critics; gives the dual value of each, shape (k,).
        minibatch: gives standardised samples of A and B.
        budget: of all of them together.
        decay: of the learning rate.

    Returns:
        What the training of each came to; without a history where already its first value was not finite.
    """
    factor, pace = schedule(decay), _pace(budget)
    clock, step, validations, interrupted = budget.start(), 0, 0, False
    running = list(courses)
    for course in courses:
        course.critic.train()
    try:
        while True:
            spent = clock.fraction(step)
            if spent >= validations * pace or spent >= 1:
                validations += 1
                for course in running:
                    course.validate(step, clock)
            running = [course for course in running if course.settle(wait=spent >= 1)]  # of another, the best so far stands
            if not running or spent >= 1:
                break
            duals = ascend(*minibatch(), factor=factor(spent))
            for course, dual in zip(courses, duals.reshape(-1), strict=True):
                course.add(dual)
            step += 1
    except KeyboardInterrupt:
        interrupted = True
        for course in running:
            course.settle(wait=True)
            if not course.history or course.history[-1].step < step:
                course.validate(step, clock)
                course.settle(wait=True)
    seconds = clock.seconds
    for course in courses:
        course.restore_best()
    return [Trained(steps=step, seconds=seconds, history=tuple(course.history), interrupted=interrupted) for course in courses]


def dual_on(a: Tensor, b: Tensor) -> Callable[[Critic], Tensor]:
    """The dual value of a critic on standardised samples of each side, a scalar on their device."""

    @torch.no_grad()
    def value(critic: Critic) -> Tensor:
        return critic(a).mean() - critic(b).mean()

    return value


def _pace(budget: Budget) -> float:
    """Share of the budget between two validations."""
    pace = 1 / VALIDATIONS
    return pace if budget.seconds is None else min(pace, SECONDS_BETWEEN_VALIDATIONS / budget.seconds)
