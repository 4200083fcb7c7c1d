"""The training loop: minibatch, step, constraint, validation. The weights with the best validation value are kept."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wdist.checkpoints.checkpoint import Part, current
from wdist.critics.critic import Critic
from wdist.distributed.processes import processes
from wdist.errors import TrainingDiverged
from wdist.interruption import Interruption
from wdist.training.budget import Budget, Clock
from wdist.training.objective import Objective, mean_difference
from wdist.training.observer import HistoryPoint, Observer, Progress
from wdist.training.optimizers import schedule
from wdist.training.step import Ascent, Readback

VALIDATIONS = 40
"""Number of validations in one training, evenly spread over its budget."""
SECONDS_BETWEEN_VALIDATIONS = 2.0
"""Longest time between two validations under a time budget."""
IMPROVING = 0.01
"""Largest relative rise of the best validation value over the last quarter of a training that counts as converged."""
_NEWEST = 9
"""After s steps, the average gives the newest weights a weight of 9 / (s + 9)."""
_FLAT_POINTS, _FLAT = 10, 2e-4
"""A training ends early once this many validation values in a row differ by at most this fraction of the largest."""

Minibatch = Callable[[], tuple[Tensor, Tensor]]
"""Returns standardised samples of A and B."""


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    """Outcome of one training; the critic itself holds the best weights."""

    steps: int
    seconds: float
    history: tuple[HistoryPoint, ...]
    interrupted: bool

    @property
    def best(self) -> float | None:
        """Largest validation value; None for a closed form, which has no training."""
        return max((point.validation for point in self.history), default=None)

    @property
    def converged(self) -> bool:
        """Whether the best validation value rose by less than 1 % in the last quarter of the training."""
        return self.rise <= IMPROVING * abs(self.best or 0.0)

    @property
    def rise(self) -> float:
        """Rise of the best validation value in the last quarter of the training; infinite if interrupted or too short."""
        if self.steps == 0 and not self.interrupted:
            return 0.0
        if self.interrupted or self.best is None or len(self.history) < 4:
            return math.inf
        return self.best - max(point.validation for point in self.history[: math.ceil(len(self.history) * 3 / 4)])


@dataclass(frozen=True, kw_only=True)
class _Validation:
    """A validation whose values have not arrived from the device yet."""

    value: Readback
    training: Readback
    """Sum of the dual values of the minibatches since the previous validation."""
    minibatches: int
    state: dict[str, Tensor]
    """State of the critic that was validated."""
    step: int
    seconds: float
    fraction: float


class TrainingRun:
    """One critic in training: its validations so far, and the weights of the best one.

    Validations are started, and recorded once their values have arrived. Only :meth:`settle` waits for the device, on request.

    Arguments:
        critic: in its initial state.
        validate: the dual value of the critic on the validation split, in units of the standardised data.
        unit: of the standardised data, in units of the data.
        observer: receives an event at each validation.
        name: of the critic, for the observer.
        averaged: whether to validate and keep an average of the weights over about the last tenth of the steps, which is less
            sensitive to the noise of the training samples than the weights themselves.

    References:
        Polyak & Juditsky (1992), Acceleration of stochastic approximation by averaging.
    """

    resumable = ("_arrived", "critic", "_best", "_best_state", "_sum", "_count", "_finite", "_average", "_steps")

    def __init__(
        self,
        critic: Critic,
        *,
        validate: Callable[[Critic], Tensor | float],
        unit: float,
        observer: Observer,
        name: str,
        averaged: bool = False,
    ) -> None:
        self.critic, self.name = critic, name
        self._validate, self._unit, self._observer = validate, unit, observer
        self._best, self._best_state = -math.inf, self._state()
        self._sum = torch.zeros((), device=next(critic.parameters()).device)
        self._count = 0
        self._begun: _Validation | None = None
        self._finite = True
        self._average = [parameter.detach().clone() for parameter in critic.parameters()] if averaged else None
        self._steps = 0
        self.history: list[HistoryPoint] = []

    def _state(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.critic.state_dict().items()}

    @torch.no_grad()
    def add(self, dual: Tensor) -> None:
        """Records one step, by the dual value of its minibatch."""
        self._sum += dual.detach()
        self._count += 1
        self._steps += 1
        if self._average is not None:
            torch._foreach_lerp_(self._average, list(self.critic.parameters()), _NEWEST / (_NEWEST + self._steps))

    def validate(self, step: int, clock: Clock) -> None:
        """Starts a validation of the critic in its current state."""
        self.settle(wait=True)
        present = None if self._average is None else self._replaced(self._average)
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
        if present is not None:
            self._set_parameters(present)

    def _replaced(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Replaces the values of the parameters, and returns the previous ones."""
        before = [parameter.detach().clone() for parameter in self.critic.parameters()]
        self._set_parameters(values)
        return before

    @torch.no_grad()
    def _set_parameters(self, values: Sequence[Tensor]) -> None:
        parameters: list[Tensor] = list(self.critic.parameters())
        torch._foreach_copy_(parameters, list(values))

    def settle(self, *, wait: bool) -> bool:
        """Records a validation that has arrived, and keeps its weights if they are the best; False once a value is not finite.

        Arguments:
            wait: whether to wait for a validation that has not arrived yet.
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
        point = HistoryPoint(step=begun.step, seconds=begun.seconds, training=training, validation=validation)
        self.history.append(point)
        self._observer.notify(Progress(critic=self.name, fraction=begun.fraction, best=self._best, **vars(point)))
        return True

    @property
    def settled(self) -> bool:
        """Whether the last validation values agree so closely that longer training would change nothing."""
        last = [point.validation for point in self.history[-_FLAT_POINTS:]]
        return len(last) == _FLAT_POINTS and max(last) - min(last) <= _FLAT * abs(max(last))

    @property
    def _arrived(self) -> list[HistoryPoint]:
        """The history, after waiting for a pending validation."""
        self.settle(wait=True)
        return self.history

    @_arrived.setter
    def _arrived(self, history: list[HistoryPoint]) -> None:
        self.history = history

    @property
    def found(self) -> dict[str, Any]:
        """Results of the training so far, for a checkpoint."""
        return {"history": self.history, "best": self._best_state}

    @found.setter
    def found(self, found: dict[str, Any]) -> None:
        self.history, self._best_state = found["history"], found["best"]

    def restore_best(self) -> None:
        """Puts the best weights back into the critic."""
        self.critic.load_state_dict(self._best_state)
        self.critic.eval()


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingPlan:
    """Steps, samples and length of one training."""

    ascend: Ascent
    """Takes one step with a minibatch, which updates all critics, and returns the dual value of each, shape (k,)."""
    minibatch: Minibatch
    """Draws the samples of one step."""
    budget: Budget
    """Budget of all critics together."""
    decay: str
    """Schedule of the learning rate."""
    interruption: Interruption
    """Ends the training at Ctrl-C."""
    drawn: Sequence[Any] = ()
    """Sources of the minibatches and other objects with a state, which a resumed run restores."""
    last: int | None = None
    """Step at which to end early and whose weights to keep; None to keep those with the best validation value."""
    between: int = 1
    """Fewest steps from one validation to the next."""


def train(run: TrainingRun, plan: TrainingPlan) -> TrainingOutcome:
    """Maximises the dual value, and leaves the weights with the best validation value in the critic.

    Ctrl-C ends the training, not the program, and keeps the best weights so far.

    Raises:
        TrainingDiverged: the first validation value was not finite.
    """
    (outcome,) = train_together([run], plan)
    if not outcome.history:
        raise TrainingDiverged(f"{run.name} gave no finite value at step {outcome.steps}; try a lower --learning-rate")
    return outcome


def train_together(runs: Sequence[TrainingRun], plan: TrainingPlan) -> list[TrainingOutcome]:
    """Trains several critics together, each step updating all of them; one that diverges does not stop the others.

    Returns:
        The outcome of each critic; its history is empty if its first validation value was not finite.
    """
    loop, interruption = _Loop(runs, plan), plan.interruption
    sizes = sum(parameter.numel() for run in runs for parameter in run.critic.parameters())
    name = f"training of {', '.join(run.name for run in runs)}, {sizes}"
    part = current().part(name, [loop, *plan.drawn], shared=plan.drawn)
    if part.result is None:
        interruption.attempt(lambda: part.run(lambda: loop.run(part)))
        if interruption.requested:
            loop.validate_last()
        else:
            part.finish({"steps": loop.step, "seconds": loop.clock.seconds, "runs": [run.found for run in runs]})
        steps, seconds = loop.step, loop.clock.seconds
    else:
        steps, seconds = part.result["steps"], part.result["seconds"]
        for run, found in zip(runs, part.result["runs"], strict=True):
            run.found = found
    for run in runs:
        run.restore_best()
    interrupted = interruption.requested
    return [TrainingOutcome(steps=steps, seconds=seconds, history=tuple(run.history), interrupted=interrupted) for run in runs]


class _Loop:
    """Steps and validations until the budget is spent; can be interrupted at any point."""

    resumable = ("_runs", "_places", "_ascend", "_validations", "_next_validation", "_ended", "clock", "step")

    def __init__(self, runs: Sequence[TrainingRun], plan: TrainingPlan) -> None:
        self._runs, self._running, self._plan, self._ascend = list(runs), list(runs), plan, plan.ascend
        self._factor, self._pace = schedule(plan.decay), 1 / VALIDATIONS  # fraction of the budget between two validations
        if plan.budget.seconds is not None:
            self._pace = min(self._pace, SECONDS_BETWEEN_VALIDATIONS / plan.budget.seconds)
        self.clock, self.step, self._validations, self._ended = plan.budget.start(), 0, 0, False
        self._next_validation = 0  # no validation before this step

    def run(self, part: Part) -> None:
        for run in self._runs:
            run.critic.train()
        while not self._ended:
            with part.step():
                self._ended = self._next()

    def _next(self) -> bool:
        """Takes one step, after a validation if one is due; returns whether the training has ended."""
        spent, last = self.clock.fraction(self.step), self._plan.last
        ended = False
        over = spent >= 1 if last is None else self.step >= last
        due = self.step >= self._next_validation and spent >= self._validations * self._pace
        if over or (last is None and due):
            self._validations, self._next_validation = self._validations + 1, self.step + self._plan.between
            for run in self._running:
                run.validate(self.step, self.clock)
            # By earlier validations only: when this one arrives depends on the device.
            ended = bool(processes().decided(over or all(run.settled for run in self._running)))
        wait = ended or processes().size > 1  # values arrive at different times in different processes
        self._running = [run for run in self._running if run.settle(wait=wait)]
        if not self._running or ended:
            return True
        duals = self._ascend(*self._plan.minibatch(), factor=self._factor(spent))
        for run, dual in zip(self._runs, duals.reshape(-1), strict=True):
            run.add(dual)
        self.step += 1
        return False

    @property
    def _places(self) -> list[int]:
        """Positions of the runs that are still training."""
        return [place for place, run in enumerate(self._runs) if run in self._running]

    @_places.setter
    def _places(self, places: list[int]) -> None:
        self._running = [self._runs[place] for place in places]

    def validate_last(self) -> None:
        """Validates the current weights after an interruption, unless they have been validated."""
        for run in self._running:
            run.settle(wait=True)
            if not run.history or run.history[-1].step < self.step:
                run.validate(self.step, self.clock)
                run.settle(wait=True)


def value_on(a: Tensor, b: Tensor, objective: Objective = mean_difference) -> Callable[[Critic], Tensor]:
    """Returns a function that evaluates the objective of a critic on these standardised samples, a scalar on their device."""

    @torch.no_grad()
    def value(critic: Critic) -> Tensor:
        return objective(critic(a), critic(b))

    return value
