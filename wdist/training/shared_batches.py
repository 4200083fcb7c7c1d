r"""Data-parallel training: each process takes its slice of every minibatch, and all take the same step.

The dual value is a mean, so its gradient is the mean of the slices' gradients, weighted by their shares :math:`w_r = n_r / n`:

.. math:: \nabla \tfrac1n \sum_i f(x_i) = \sum_r w_r \nabla \tfrac1{n_r} \sum_{i \in r} f(x_i)

All processes draw the same minibatch, add up the same gradients, and return to the constraint in the same way, so that their
weights stay equal; a digest of them is compared at each validation.

References:
    Goyal et al. (2017), Accurate, large minibatch SGD, arXiv:1706.02677 (synchronous data parallelism).
"""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.distributed.processes import ProcessesError, processes
from wdist.training.step import Ascent

LEAST_SLICE = 2048
"""Fewest samples of each side in a slice; with fewer, a process has too little work between two exchanges."""
_WORTH = 3.0
"""A step is shared if this saves at least this many times the cost of the exchange."""
_CPU, _GPU = (5e10, 1e9), (2e13, 2e10)
"""Orders of magnitude of a process's floating-point operations per second, and of the bytes per second between two processes."""
_LATENCY = 3e-4
"""Seconds that an empty exchange takes."""
_ROUNDING = 1e-3
"""Largest difference of weights between processes, relative to the largest weight, that rounding can explain."""


def worth_sharing(batch_sizes: tuple[int, int], *, operations: float, weights: int, device: torch.device) -> bool:
    """Whether processes should share each step, by a rule that depends on sizes alone.

    Arguments:
        batch_sizes: samples of A and of B in a minibatch.
        operations: floating-point operations of a step that grow with the minibatch.
        weights: numbers in the gradient.
        device: of the training.
    """
    size = processes().size
    if size == 1 or batch_sizes[0] != batch_sizes[1] or batch_sizes[0] < LEAST_SLICE * size:
        return False
    speed, bandwidth = _GPU if device.type == "cuda" else _CPU
    exchange = _LATENCY + 2 * (1 - 1 / size) * 4 * weights / bandwidth
    return operations / speed * (1 - 1 / size) >= _WORTH * exchange


class SharedBatches:
    """Exchanges gradients and dual values between processes; the first optimiser of a :class:`~wdist.training.step.TrainingStep`.

    Arguments:
        critic: in training, with the same weights on all processes.
        batch_size: samples of each side in a minibatch, at least one for each process.
    """

    resumable = ()

    def __init__(self, critic: Critic, batch_size: int) -> None:
        own, self._critic = processes(), critic
        self._slice = slice(own.rank * batch_size // own.size, (own.rank + 1) * batch_size // own.size)
        self._share = (self._slice.stop - self._slice.start) / batch_size
        self._differs = False
        self.param_groups: list[dict[str, Any]] = []

    def own(self, x: Tensor) -> Tensor:
        """This process's slice of one side of a minibatch, shape (batch_size, ...)."""
        return x[self._slice]

    def ascent(self, step: Ascent) -> Ascent:
        """Wraps a step so that it returns the dual value of the whole minibatch."""

        def shared(a: Tensor, b: Tensor, *, factor: float) -> Tensor:
            dual = step(a, b, factor=factor) * self._share
            processes().sum_(dual)
            return dual

        return shared

    def zero_grad(self, set_to_none: bool = True) -> None:
        pass

    @torch.no_grad()
    def step(self) -> None:
        """Replaces the gradients by those of the whole minibatch."""
        if self._differs:
            self._take_weights_of_first()
        gradients = [parameter.grad for parameter in self._critic.parameters() if parameter.grad is not None]
        together = torch.cat([each.reshape(-1) for each in gradients]).mul_(self._share)
        processes().sum_(together)
        parts = together.split([each.numel() for each in gradients])
        torch._foreach_copy_(gradients, [part.view_as(each) for part, each in zip(parts, gradients, strict=True)])

    def check(self) -> None:
        """Compares the current weights of all processes; the next step removes differences due to rounding.

        Raises:
            ProcessesError: the weights differ by more than rounding explains.
        """
        weights = np.concatenate([each.detach().reshape(-1).cpu().double().numpy() for each in self._critic.parameters()])
        digest = hashlib.sha256(weights.tobytes()).hexdigest()
        if len(set(processes().gathered("digests of the weights", digest))) == 1:
            return
        first = processes().from_first("weights", lambda: weights)
        difference = float(np.abs(weights - first).max() / max(np.abs(first).max(), 1e-300))
        largest = max(processes().gathered("differences of the weights", difference))
        if not largest <= _ROUNDING:
            raise ProcessesError(
                f"the weights of the processes differ by {largest:.1g} of the largest, which rounding does not explain; use the "
                "same versions everywhere, on machines of one kind"
            )
        self._differs = True

    @torch.no_grad()
    def _take_weights_of_first(self) -> None:
        parameters: list[Tensor] = list(self._critic.parameters())
        first = processes().from_first("weights", lambda: [each.detach().cpu() for each in parameters])
        torch._foreach_copy_(parameters, [each.to(own.device) for each, own in zip(first, parameters, strict=True)])
        self._differs = False
