"""Minimisation of any loss of a network under its constraints: step, schedule, and now and then the constraint."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from wdist.lipschitz.linalg.rounding import products_on
from wdist.training.optimizers import Optimizer, schedule


class Constrained(Protocol):
    """A network whose weights obey a constraint, or none."""

    constrain_every: int
    """Steps between two calls of :meth:`constrain_`."""

    def constrain_(self, *, tightly: bool = False) -> Tensor | None:
        """Returns the weights to their constraint, after a step or, tightly, before an evaluation."""
        ...


def minimise_(
    network: Constrained,
    loss: Callable[[], Tensor],
    *,
    optimizers: Sequence[Optimizer],
    steps: int,
    decay: str = "linear",
    after_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Minimises a loss, and then constrains the network tightly. On a GPU the products of the steps are those of TF32.

    Arguments:
        network: whose parameters ``optimizers`` hold.
        loss: on a fresh minibatch, a scalar tensor.
        optimizers: with their learning rates at the start.
        steps: number of steps, at least 1.
        decay: schedule of the learning rate: a name of :data:`wdist.critics.settings.SCHEDULES`.
        after_step: is told the number of steps done.

    Returns:
        The last loss.
    """
    rates = [(group, group["lr"]) for each in optimizers for group in each.param_groups]
    factor, value = schedule(decay), torch.zeros(())
    device = optimizers[0].param_groups[0]["params"][0].device
    for step in range(steps):
        for group, rate in rates:
            group["lr"] = rate * factor(step / steps)
        for each in optimizers:
            each.zero_grad()
        with products_on(device):
            value = loss()
            value.backward()
            for each in optimizers:
                each.step()
            if (step + 1) % network.constrain_every == 0:
                network.constrain_()
        if after_step is not None:
            after_step(step + 1)
    network.constrain_(tightly=True)
    return value.detach()
