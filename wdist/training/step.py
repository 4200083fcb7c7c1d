"""One step of training: both sides in one forward pass, the gradient, the update, and now and then the constraint."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.training.optimizers import Optimizing
from wdist.training.penalties.penalty import Penalty
from wdist.training.readback import Readback


class Ascent(Protocol):
    """One step after another that raises the dual value of a critic, whatever its kind."""

    def __call__(self, a: Tensor, b: Tensor, *, factor: float) -> Tensor:
        """A step with standardised samples of A and B, at ``factor`` times the learning rate; gives the dual value before it."""
        ...


class Cadence:
    """How many steps lie between two returns to the constraint, from the defect that each of them meets.

    Steps become short as the learning rate falls, and weights then stay near the constraint by themselves; at large rates they may
    leave it sooner than was thought.

    Arguments:
        first: steps until the first return. Where it is 1, each step returns, whatever it meets.
    """

    def __init__(self, first: int) -> None:
        self.steps = first
        self._longest = 1 if first == 1 else _LONGEST

    def met(self, defect: float) -> None:
        """Takes note of the defect that a return has met, as :func:`wdist.lipschitz.linalg.orthonormalise.retract_` measures it."""
        if defect > _LARGE_DEFECT:
            self.steps = max(1, self.steps // 2)
        elif defect < _SMALL_DEFECT:
            self.steps = min(self._longest, 2 * self.steps)


_SMALL_DEFECT, _LARGE_DEFECT = 0.01, 1.0
"""Between them the cadence stays. A small defect of 0.1 instead of 0.01 cost 2 % of the bound on three cones (1000 steps, 2 seeds:
0.927 and 0.948 against 0.947 and 0.970; with a return every four steps 0.950 and 0.971) and saved no time worth it, nor did 0.03
(800 steps of Adam, 0.945 against 0.969, a tenth of the time saved); defects of 0.8,
which Adam's first steps leave on wide layers, cost nothing that more returns would win."""
_LONGEST = 32


class TrainingStep:
    """Raises the mean potential on A less that on B.

    Arguments:
        critic: in training; or several of them as one, see :mod:`wdist.critics.side_by_side`.
        optimizers: of all its parameters; their learning rates are those at the start, which ``factor`` multiplies.
        penalty: is taken off the dual value before the step.
        apart: one forward pass for each side rather than one for both; only slower, for comparison with code that does so.
    """

    def __init__(
        self, critic: Critic, optimizers: Sequence[Optimizing], *, penalty: Penalty | None = None, apart: bool = False
    ) -> None:
        self._critic, self._optimizers, self._penalty, self._apart = critic, optimizers, penalty, apart
        self._rates = [(group, group["lr"]) for each in optimizers for group in each.param_groups]
        self._since_constrained = 0
        self._cadence = Cadence(critic.constrain_every)
        self._defect: Readback | None = None

    def __call__(self, a: Tensor, b: Tensor, *, factor: float) -> Tensor:
        """One step.

        Arguments:
            a, b: standardised samples of each side, shapes (n, dim) and (m, dim); of k critics as one (k, n, dim) and (k, m, dim).
            factor: on the learning rates.

        Returns:
            The dual value of the minibatch before the step, a scalar on the device (of several critics one each, shape (k,)),
            without waiting for it.
        """
        self._set_rates(factor)
        dual = self._move(a, b)
        self._since_constrained += 1
        if self._since_constrained >= self._cadence.steps:
            self._constrain()
        return dual

    def _set_rates(self, factor: float) -> None:
        for group, rate in self._rates:
            group["lr"] = rate * factor

    def _move(self, a: Tensor, b: Tensor) -> Tensor:
        """Gradient and update; the dual value before them."""
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        dual = self._dual(a, b)
        total = dual.sum()  # critics side by side share no weight, so that each has the gradient of its own
        (-total if self._penalty is None else self._penalty(self._critic, a, b) - total).backward()
        for optimizer in self._optimizers:
            optimizer.step()
        return dual.detach()

    def _return(self) -> Tensor | None:
        """Back to the constraint; the defect that was met there, where it is measured."""
        return self._critic.constrain_()

    def _constrain(self) -> None:
        """A return, and how soon the next. What the last one met is looked at only now, when it has long arrived."""
        if self._defect is not None:
            self._cadence.met(self._defect.read())
        defect = self._return()
        self._defect = None if defect is None else Readback(defect)
        self._since_constrained = 0

    def _dual(self, a: Tensor, b: Tensor) -> Tensor:
        if self._apart:
            return self._critic(a).mean(-1) - self._critic(b).mean(-1)
        potentials = self._critic(torch.cat([a, b], -2))
        n = a.shape[-2]
        return potentials[..., :n].mean(-1) - potentials[..., n:].mean(-1)
