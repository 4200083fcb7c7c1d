"""Optimisers for critics: Muon on the manifold's tangent gradients, Adam, and aggregated momentum; and learning-rate schedules."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wdist.linalg.orthonormalise import polar_express


class Muon(Optimizer):
    """Momentum whose every update is replaced by its approximate polar factor, so that it turns all directions alike.

    The update has spectral norm about ``lr`` whatever the width.

    Arguments:
        params: matrices.
        lr: spectral norm of one update.
        momentum: of the running sum of gradients; Nesterov's form.

    References:
        Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                buffer = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(buffer, group["momentum"])
                parameter.add_(polar_express(update), alpha=-group["lr"])


class AggMo(Optimizer):
    r"""Aggregated momentum: several velocities with different damping, averaged.

    .. math:: v^{(i)} \leftarrow \beta^{(i)} v^{(i)} - g, \qquad \theta \leftarrow \theta + \frac{\gamma}{K} \sum_i v^{(i)}

    Arguments:
        params: any parameters.
        lr: :math:`\gamma`.
        betas: the damping coefficients; those of the source by default.

    References:
        Lucas, Sun, Zemel & Grosse (2019), Aggregated momentum: stability through passive damping, arXiv:1804.00325.
    """

    def __init__(self, params: Iterable[Any], *, lr: float, betas: tuple[float, ...] = (0.0, 0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["velocities"] = [torch.zeros_like(parameter) for _ in group["betas"]]
                for beta, velocity in zip(group["betas"], state["velocities"], strict=True):
                    velocity.mul_(beta).sub_(parameter.grad)
                    parameter.add_(velocity, alpha=group["lr"] / len(group["betas"]))


LEARNING_RATES = {"muon": 0.05, "adam": 0.003, "aggmo": 0.03}
"""Of weight matrices, where the user names none."""
BIAS_LEARNING_RATE = 0.003
"""Of biases by Adam, for standardised data, whose root mean square radius is 1."""


def make_optimizers(critic: nn.Module, *, name: str, learning_rate: float) -> list[Optimizer]:
    """Optimisers for all parameters of a critic: ``name`` for weight matrices, Adam for what has one axis (AggMo takes both)."""
    matrices = [parameter for parameter in critic.parameters() if parameter.ndim == 2]
    vectors = [parameter for parameter in critic.parameters() if parameter.ndim != 2]
    if name == "aggmo":
        return [AggMo([{"params": matrices}, {"params": vectors, "lr": learning_rate / 10}], lr=learning_rate)]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in critic.parameters())
    biases = torch.optim.Adam(vectors, lr=BIAS_LEARNING_RATE, betas=(0.9, 0.99), fused=fused)
    if name == "muon":
        return [Muon(matrices, lr=learning_rate), biases]
    return [torch.optim.Adam(matrices, lr=learning_rate, betas=(0.9, 0.99), fused=fused), biases]


def schedule(name: str) -> Callable[[float], float]:
    """The factor on the learning rate as a function of the share of the budget that is spent, both in [0, 1].

    ``linear`` and ``step`` are constant for half of the budget; then the one falls to 0 in a line, the other by 10 at 1/2 and 3/4.
    """
    return {
        "constant": lambda spent: 1.0,
        "linear": lambda spent: min(1.0, 2 * (1 - spent)),
        "cosine": lambda spent: 0.5 * (1 + math.cos(math.pi * spent)),
        "step": lambda spent: 0.1 ** (int(spent >= 0.5) + int(spent >= 0.75)),
    }[name]
