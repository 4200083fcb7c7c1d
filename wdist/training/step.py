"""One training step: a forward pass of both sides, the gradient, the update, and at intervals the constraint."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.lipschitz.linalg.rounding import products_on
from wdist.training.objective import Objective, mean_difference
from wdist.training.optimizers import Optimizing
from wdist.training.penalties import Penalty

_SMALL_DEFECT, _LARGE_DEFECT = 0.01, 1.0
"""Defects between which the interval stays as it is. A small defect of 0.1 instead of 0.01 cost 2 % of the bound on three cones
and saved hardly any time."""
_LONGEST = 32
"""Most steps between two returns to the constraint."""


class Readback:
    """A scalar tensor that is copied to the host while the device continues.

    Reading waits for the device's work up to the copy, but not for work queued later; on a CPU the value is available at once.
    """

    def __init__(self, value: Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        value = value.detach()
        if value.device.type == "cuda":
            self._value = torch.empty((), dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(value.device))
        else:
            self._value = value.clone()

    @property
    def arrived(self) -> bool:
        """Whether the value can be read without waiting."""
        return self._copied is None or self._copied.query()

    def read(self) -> float:
        """Returns the value."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._value)


class Ascent(Protocol):
    """Raises the objective of a critic, step by step."""

    def __call__(self, a: Tensor, b: Tensor, *, factor: float) -> Tensor:
        """Takes a step on standardised samples of A and B at ``factor`` times the learning rate; returns the objective before the
        step."""
        ...


class Cadence:
    """Number of steps between two returns to the constraint, adapted to the defect found at each return.

    As the learning rate falls, steps become short and the weights stay near the constraint by themselves; at large rates they may
    leave it sooner than expected.

    Arguments:
        first: steps until the first return. If it is 1, every step returns, whatever the defect.
    """

    resumable = ("steps",)

    def __init__(self, first: int) -> None:
        self.steps = first
        self._longest = 1 if first == 1 else _LONGEST

    def met(self, defect: float) -> None:
        """Records the defect found at a return, as :func:`wdist.lipschitz.linalg.orthonormalise.retract_` measures it."""
        if defect > _LARGE_DEFECT:
            self.steps = max(1, self.steps // 2)
        elif defect < _SMALL_DEFECT:
            self.steps = min(self._longest, 2 * self.steps)


class TrainingStep:
    """Raises an objective, by default the mean potential on A minus the mean potential on B.

    On a GPU, matrix products use TF32. Returning to the constraint corrects its errors, and the certificate is computed in float64.

    Arguments:
        critic: in training, or several critics as one; see :mod:`wdist.critics.networks`.
        optimizers: of all its parameters; their learning rates are the initial ones, which ``factor`` multiplies.
        objective: function of the potentials of both sides.
        penalty: subtracted from the objective before the step.
        apart: whether each side has a forward pass of its own; slower, for comparison with code that does so.
    """

    resumable = ("_optimizers", "_penalty", "_since_constrained", "_cadence", "_met")

    def __init__(
        self,
        critic: Critic,
        optimizers: Sequence[Optimizing],
        *,
        objective: Objective = mean_difference,
        penalty: Penalty | None = None,
        apart: bool = False,
    ) -> None:
        self._critic, self._optimizers, self._objective = critic, optimizers, objective
        self._penalty, self._apart = penalty, apart
        self._rates = [(group, group["lr"]) for each in optimizers for group in each.param_groups]
        self._since_constrained = 0
        self._cadence = Cadence(critic.constrain_every)
        self._defect: Readback | None = None

    def __call__(self, a: Tensor, b: Tensor, *, factor: float) -> Tensor:
        """Takes one step.

        Arguments:
            a, b: standardised samples of each side, shapes (n, dim) and (m, dim); for k critics (k, n, dim) and (k, m, dim).
            factor: multiplies the learning rates.

        Returns:
            The objective of the minibatch before the step, a scalar on the device (for k critics one each, shape (k,)). It may
            still be pending on the device.
        """
        for group, rate in self._rates:
            group["lr"] = rate * factor
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        with products_on(a.device):
            value = self._value(a, b)
            total = value.sum()  # critics side by side share no weights, so each gets its own gradient
            (-total if self._penalty is None else self._penalty(self._critic, a, b) - total).backward()
            for optimizer in self._optimizers:
                optimizer.step()
            self._since_constrained += 1
            if self._since_constrained >= self._cadence.steps:
                self._constrain()
        return value.detach()

    @property
    def _met(self) -> float | None:
        """The last defect, which the cadence has not used yet."""
        return None if self._defect is None else self._defect.read()

    @_met.setter
    def _met(self, defect: float | None) -> None:
        self._defect = None if defect is None else Readback(torch.tensor(defect))

    def _constrain(self) -> None:
        """Returns to the constraint. Only now is the defect of the previous return read, which has long arrived."""
        if self._defect is not None:
            self._cadence.met(self._defect.read())
        defect = self._critic.constrain_()
        self._defect = None if defect is None else Readback(defect)
        self._since_constrained = 0

    def _value(self, a: Tensor, b: Tensor) -> Tensor:
        if self._apart:
            return self._objective(self._critic(a), self._critic(b))
        potentials = self._critic(torch.cat([a, b], -2))
        n = a.shape[-2]
        return self._objective(potentials[..., :n], potentials[..., n:])
