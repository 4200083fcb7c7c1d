"""Minimisation of any loss of a network under its constraint: step, schedule, and at intervals the constraint."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from wdist.checkpoints.checkpoint import Part, current
from wdist.lipschitz.linalg.rounding import products_on
from wdist.training.optimizers import Optimizer, schedule


class Constrained(Protocol):
    """A network whose weights may obey a constraint."""

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
    after_step: Callable[[int], None] | None = None,
    name: str | None = None,
    drawn: Sequence[Any] = (),
) -> Tensor:
    """Minimises a loss, and then constrains the network tightly. On a GPU, the steps compute products in TF32.

    Arguments:
        network: the network, whose parameters ``optimizers`` hold.
        loss: returns the loss on a fresh minibatch, a scalar tensor.
        optimizers: with their initial learning rates, which fall to 0 over the second half of the steps.
        steps: number of steps, at least 1.
        after_step: called with the number of steps done.
        name: of the training in a checkpoint; the network must be a module, and ``loss`` a function that closes over everything it
            draws from. None if the training is not kept.
        drawn: those of these sources that later trainings continue to use.

    Returns:
        The last loss.
    """
    steps_ = _Steps(network, loss, optimizers=optimizers, steps=steps)
    part = Part() if name is None else current().part(name, [steps_, *drawn], shared=drawn)
    if part.result is not None:
        network.load_state_dict(part.result["network"])  # type: ignore[attr-defined]
        value: Tensor = part.result["loss"]
        return value
    part.run(lambda: steps_.take(part, after_step))
    network.constrain_(tightly=True)
    if name is not None:
        part.finish({"network": dict(network.state_dict()), "loss": steps_.value})  # type: ignore[attr-defined]
    return steps_.value


class _Steps:
    """The steps of a minimisation and all state that they change: network, optimisers, sources of randomness, and torch's own
    generator, which dropout draws from."""

    resumable = ("_network", "_optimizers", "_loss", "_random", "_step", "value")

    def __init__(self, network: Constrained, loss: Callable[[], Tensor], *, optimizers: Sequence[Optimizer], steps: int) -> None:
        self._network, self._loss, self._optimizers, self._steps = network, loss, list(optimizers), steps
        self._rates = [(group, group["lr"]) for each in optimizers for group in each.param_groups]
        self._factor, self._step, self.value = schedule("linear"), 0, torch.zeros(())
        self._device = optimizers[0].param_groups[0]["params"][0].device

    def take(self, part: Part, after_step: Callable[[int], None] | None) -> None:
        """Takes the remaining steps."""
        while self._step < self._steps:
            with part.step():
                self._next()
            if after_step is not None:
                after_step(self._step)

    def _next(self) -> None:
        for group, rate in self._rates:
            group["lr"] = rate * self._factor(self._step / self._steps)
        for each in self._optimizers:
            each.zero_grad()
        with products_on(self._device):
            value = self._loss()
            value.backward()
            for each in self._optimizers:
                each.step()
            if (self._step + 1) % self._network.constrain_every == 0:
                self._network.constrain_()
        self.value = value.detach()
        self._step += 1

    @property
    def _random(self) -> list[Tensor]:
        """States of torch's generators on the devices in use."""
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(self._device)] if self._device.type == "cuda" else [])]

    @_random.setter
    def _random(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if len(states) > 1:
            torch.cuda.set_rng_state(states[1], self._device)
