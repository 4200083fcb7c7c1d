"""The training loop: minibatches, dual value, step, constraint; the best critic by validation is kept."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.errors import TrainingDiverged
from wdist.result import HistoryPoint
from wdist.training.budget import Budget
from wdist.training.observer import Observer, Progress
from wdist.training.optimizers import make_optimizers, schedule

VALIDATIONS = 40
"""In one training, evenly spread over its budget."""
CONSTRAIN_EVERY = 4
"""Steps between two retractions: the defect grows with the square of the steps' length, and one Björck step squares it again."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training came to; the critic itself holds the best weights."""

    steps: int
    seconds: float
    history: tuple[HistoryPoint, ...]
    interrupted: bool

    @property
    def best(self) -> float:
        """Largest validation value; nan before the first one."""
        return max((point.validation for point in self.history), default=math.nan)

    @property
    def converged(self) -> bool:
        """The best validation value rose by less than 1 % in the last quarter of the training."""
        if self.interrupted or len(self.history) < 4:
            return False
        early = max(point.validation for point in self.history[: math.ceil(len(self.history) * 3 / 4)])
        return self.best - early <= 0.01 * abs(self.best)


def train(
    critic: nn.Module,
    *,
    minibatch: Callable[[], tuple[Tensor, Tensor]],
    validate: Callable[[nn.Module], float],
    budget: Budget,
    optimizer: str,
    learning_rate: float,
    decay: str,
    unit: float,
    observer: Observer,
    name: str,
) -> Trained:
    """Maximises the mean potential on A less that on B, and leaves the best critic by validation in ``critic``.

    Ctrl-C ends the training, not the program: what was best so far stands.

    Arguments:
        critic: maps standardised samples (n, dim) to potentials (n,), and has ``constrain_``.
        minibatch: gives standardised samples of A and B.
        validate: the dual value of the critic on the validation split, in units of the standardised data.
        budget: how long.
        optimizer, learning_rate, decay: see :mod:`wdist.training.optimizers`.
        unit: of the standardised data, in units of the data; for the observer.
        observer: is told of each validation.
        name: of the critic, for the observer.

    Raises:
        TrainingDiverged: the first validation was not finite.
    """
    optimizers = make_optimizers(critic, name=optimizer, learning_rate=learning_rate)
    rates = [[group["lr"] for group in each.param_groups] for each in optimizers]
    factor = schedule(decay)
    history: list[HistoryPoint] = []
    best, best_state = -math.inf, copy.deepcopy(critic.state_dict())
    clock, step, interrupted = budget.start(), 0, False
    recent = torch.zeros((), device=next(critic.parameters()).device)
    recent_steps = 0
    critic.train()
    try:
        while True:
            spent = clock.fraction(step)
            if spent >= len(history) / VALIDATIONS or spent >= 1:
                critic.constrain_(tightly=True)
                critic.eval()
                validation = validate(critic) * unit
                critic.train()
                training = float(recent) / max(recent_steps, 1) * unit
                recent.zero_()
                recent_steps = 0
                if not math.isfinite(validation):
                    if math.isfinite(best):
                        break
                    raise TrainingDiverged(f"{name} gave {validation} at step {step}; try a lower --learning-rate")
                if validation > best:
                    best, best_state = validation, copy.deepcopy(critic.state_dict())
                history.append(HistoryPoint(step=step, seconds=clock.seconds, training=training, validation=validation))
                observer.notify(
                    Progress(
                        critic=name, step=step, fraction=spent, seconds=clock.seconds, training=training, validation=validation, best=best
                    )
                )
                if spent >= 1:
                    break
            a, b = minibatch()
            potentials = critic(torch.cat([a, b]))
            dual = potentials[: len(a)].mean() - potentials[len(a) :].mean()
            for each in optimizers:
                each.zero_grad(set_to_none=True)
            (-dual).backward()
            for each, initial in zip(optimizers, rates, strict=True):
                for group, rate in zip(each.param_groups, initial, strict=True):
                    group["lr"] = rate * factor(spent)
                each.step()
            recent += dual.detach()
            recent_steps += 1
            step += 1
            if step % CONSTRAIN_EVERY == 0:
                critic.constrain_()
    except KeyboardInterrupt:
        interrupted = True
    seconds = clock.seconds
    critic.load_state_dict(best_state)
    critic.eval()
    return Trained(steps=step, seconds=seconds, history=tuple(history), interrupted=interrupted)
