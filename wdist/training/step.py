"""One step of training: both sides in one forward pass, the gradient, the update, and now and then the constraint."""

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
"""Defects between which the cadence stays. A small defect of 0.1 instead of 0.01 cost 2 % of the bound on three cones, and saved
hardly any time."""
_LONGEST = 32


class Readback:
    """A scalar tensor that is copied to the host while the device continues.

    Reading waits for the device's work up to the copy, but for nothing queued since; on a CPU the number is there at once.
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
        """Whether reading would not wait."""
        return self._copied is None or self._copied.query()

    def read(self) -> float:
        """Returns the number."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._value)


class Ascent(Protocol):
    """Raises the objective of a critic, step by step."""

    def __call__(self, a: Tensor, b: Tensor, *, factor: float) -> Tensor:
        """Makes a step with standardised samples of A and B at ``factor`` times the learning rate; returns the objective before
        it."""
        ...


class Cadence:
    """Number of steps between two returns to the constraint, adapted to the defect that each return meets.

    Steps become short as the learning rate falls, and weights then stay near the constraint by themselves; at large rates they may
    leave it sooner than expected.

    Arguments:
        first: steps until the first return. If it is 1, every step returns, whatever it meets.
    """

    resumable = ("steps",)

    def __init__(self, first: int) -> None:
        self.steps = first
        self._longest = 1 if first == 1 else _LONGEST

    def met(self, defect: float) -> None:
        """Records the defect that a return met, as :func:`wdist.lipschitz.linalg.orthonormalise.retract_` measures it."""
        if defect > _LARGE_DEFECT:
            self.steps = max(1, self.steps // 2)
        elif defect < _SMALL_DEFECT:
            self.steps = min(self._longest, 2 * self.steps)


class TrainingStep:
    """Raises an objective: by default the mean potential on A minus the mean potential on B.

    On a GPU its products are those of TF32, whose errors the returns to the constraint correct; the certificate is of float64.

    Arguments:
        critic: in training; or several of them as one, see :mod:`wdist.critics.networks`.
        optimizers: of all its parameters; their learning rates are the initial ones, which ``factor`` multiplies.
        objective: of the potentials of both sides.
        penalty: subtracted from the objective before the step.
        apart: one forward pass for each side instead of one for both; slower, for comparison with code that does so.
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
        """Makes one step.

        Arguments:
            a, b: standardised samples of each side, shapes (n, dim) and (m, dim); of k critics as one (k, n, dim) and (k, m, dim).
            factor: multiplies the learning rates.

        Returns:
            The objective of the minibatch before the step, a scalar on the device (for several critics one each, shape (k,)),
            without waiting for it.
        """
        for group, rate in self._rates:
            group["lr"] = rate * factor
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        with products_on(a.device):
            value = self._value(a, b)
            total = value.sum()  # critics side by side share no weight, so each has the gradient of its own
            (-total if self._penalty is None else self._penalty(self._critic, a, b) - total).backward()
            for optimizer in self._optimizers:
                optimizer.step()
            self._since_constrained += 1
            if self._since_constrained >= self._cadence.steps:
                self._constrain()
        return value.detach()

    @property
    def _met(self) -> float | None:
        """The defect that the cadence has not seen yet."""
        return None if self._defect is None else self._defect.read()

    @_met.setter
    def _met(self, defect: float | None) -> None:
        self._defect = None if defect is None else Readback(torch.tensor(defect))

    def _constrain(self) -> None:
        """Returns to the constraint. The defect of the previous return is read only now, when it has long arrived."""
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
