"""Optimisers for critics: Muon, means of orthogonalised gradients, Adam and aggregated momentum; and learning-rate schedules.

They have the interface of torch.optim but do not derive from it, because its base class imports torch's compiler, which takes as
long as importing torch itself.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from wdist.lipschitz.bjorck import OrthonormalLinear
from wdist.lipschitz.linalg.orthonormalise import polar_express


class Optimizing(Protocol):
    """The interface of an optimiser; those of torch.optim have it, too."""

    param_groups: list[dict[str, Any]]
    """Groups, each with its ``params`` and its ``lr``, which may be changed between steps."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients."""
        ...

    def step(self) -> Any:
        """Moves parameters against their gradients."""
        ...


class Optimizer(ABC):
    """Groups of parameters, with a state for each parameter.

    Arguments:
        params: parameters, or groups of them with their own settings.
        defaults: settings of all groups.
    """

    resumable = ("state",)

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        given = list(params)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = [{**defaults, **group, "params": list(group["params"])} for group in groups]
        self.state: dict[Tensor, dict[str, Any]] = {each: {} for group in self.param_groups for each in group["params"]}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients, or sets them to zero in place."""
        for parameter in self.state:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    @abstractmethod
    def step(self) -> None:
        """Moves parameters against their gradients."""


class SeparateOptimizer(Optimizer):
    """An optimiser that moves each parameter on its own."""

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                self._move(parameter, parameter.grad, self.state[parameter], group)

    @abstractmethod
    def _move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Moves one parameter of a group; its state is empty at first."""


class Adam(Optimizer):
    r"""Adam with bias correction, with one fused call per group.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        \theta \leftarrow \theta - \gamma \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}

    Arguments:
        params: any parameters, all on one device.
        lr: :math:`\gamma`.
        betas, eps: see above.

    References:
        Kingma & Ba (2015), Adam: a method for stochastic optimization, arXiv:1412.6980.
    """

    def __init__(self, params: Iterable[Any], *, lr: float, betas: tuple[float, float] = (0.9, 0.99), eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        for parameter, state in self.state.items():
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not moved:
                continue
            states = [self.state[parameter] for parameter in moved]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            gradients = [parameter.grad for parameter in moved]
            means, squares = ([state[name] for state in states] for name in ("mean", "square"))
            rates = {"lr": group["lr"], "beta1": group["betas"][0], "beta2": group["betas"][1], "eps": group["eps"]}
            torch._fused_adam_(
                moved, gradients, means, squares, [], steps, **rates, weight_decay=0.0, amsgrad=False, maximize=False
            )


class Muon(SeparateOptimizer):
    """Momentum with each update replaced by its approximate polar factor, which has equal length in all directions.

    The update has spectral norm about ``lr``, whatever the width.

    Arguments:
        params: matrices, or stacks of matrices along a leading axis.
        lr: spectral norm of one update.
        momentum: of the running sum of gradients; Nesterov's form.

    References:
        Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def _move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        update = polar_express(_nesterov(state, gradient, group["momentum"]))
        parameter.sub_(update.mul_(group["lr"]))  # the rate may be a tensor, which alpha= does not accept


class OrthogonalSGD(SeparateOptimizer):
    """Stochastic gradient descent with Nesterov momentum on approximate polar factors of the gradients.

    Muon orthogonalises the running mean, which has full rank and takes nine products of the size of W in each step. The gradient of
    one minibatch is a product of two matrices with few rows, so layers with orthonormal weights compute its polar factor cheaply;
    the running mean is taken afterwards. Polar factors that disagree have a small mean, so rates are about four times those of
    Muon.

    Arguments:
        params: matrices, or groups of them; in a group with ``polar`` true, the gradients are polar factors already.
        lr: spectral norm of an update if all gradients agree.
        momentum: of the running mean.

    References:
        Tuddenham, Prügel-Bennett & Hare (2022), Orthogonalising gradients to speed up neural network optimisation,
            arXiv:2202.07052.
    """

    def __init__(self, params: Iterable[Any], *, lr: float, momentum: float = 0.8) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "polar": False})

    @classmethod
    def of(cls, critic: nn.Module, matrices: Iterable[Tensor], *, lr: float) -> "OrthogonalSGD":
        """Makes an optimiser for the ``matrices`` of a critic, whose orthonormal layers then deliver polar factors as gradients."""
        layers = [module for module in critic.modules() if isinstance(module, OrthonormalLinear)]
        for layer in layers:
            layer.polar_gradient = True
        own = {layer.weight for layer in layers}
        others = [matrix for matrix in matrices if matrix not in own]
        return cls([{"params": [layer.weight for layer in layers], "polar": True}, {"params": others}], lr=lr)

    def _move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        gradient = gradient if group["polar"] else polar_express(gradient)
        parameter.sub_(_nesterov(state, gradient, group["momentum"]).mul_(group["lr"]))


def _nesterov(state: dict[str, Any], gradient: Tensor, momentum: float) -> Tensor:
    """Updates the running mean of the gradients, which starts at zero, and returns Nesterov's combination of mean and gradient."""
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    return gradient.lerp(state["momentum"].lerp_(gradient, 1 - momentum), momentum)


class AggMo(SeparateOptimizer):
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

    def _move(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state["velocities"] = [torch.zeros_like(parameter) for _ in group["betas"]]
        for beta, velocity in zip(group["betas"], state["velocities"], strict=True):
            velocity.mul_(beta).sub_(gradient)
            parameter.add_(velocity * (group["lr"] / len(group["betas"])))


LEARNING_RATES = {"muon": 0.05, "orthogonal-sgd": 0.4, "adam": 0.003, "aggmo": 0.03}
"""Default learning rates of weight matrices."""
BIAS_LEARNING_RATE = 0.003
"""Learning rate of Adam for biases, for standardised data with root mean square radius 1."""


def make_optimizers(
    critic: nn.Module,
    *,
    name: str,
    learning_rate: float,
    bias_learning_rate: float = BIAS_LEARNING_RATE,
    side_by_side: bool = False,
) -> list[Optimizer]:
    """Makes optimisers for all parameters of a critic: ``name`` for weight matrices, Adam for vectors (AggMo handles both).

    Arguments:
        critic: in training.
        name: ``muon``, ``orthogonal-sgd``, ``adam`` or ``aggmo``.
        learning_rate: of the weight matrices.
        bias_learning_rate: of the vectors, for Adam.
        side_by_side: whether the parameters have a leading axis for several critics.
    """
    axes = 3 if side_by_side else 2
    matrices = [parameter for parameter in critic.parameters() if parameter.ndim == axes]
    vectors = [parameter for parameter in critic.parameters() if parameter.ndim != axes]
    if name == "aggmo":
        return [AggMo([{"params": matrices}, {"params": vectors, "lr": learning_rate / 10}], lr=learning_rate)]
    biases = Adam(vectors, lr=bias_learning_rate)
    if name == "orthogonal-sgd":
        return [OrthogonalSGD.of(critic, matrices, lr=learning_rate), biases]
    return [Muon(matrices, lr=learning_rate) if name == "muon" else Adam(matrices, lr=learning_rate), biases]


def schedule(name: str) -> Callable[[float], float]:
    """Returns the factor on the learning rate as a function of the spent fraction of the budget, both in [0, 1].

    ``linear`` and ``step`` are constant for the first half of the budget. Then ``linear`` falls linearly to 0, and ``step`` falls
    tenfold at 1/2 and again at 3/4.
    """
    return {
        "constant": lambda spent: 1.0,
        "linear": lambda spent: min(1.0, 2 * (1 - spent)),
        "cosine": lambda spent: 0.5 * (1 + math.cos(math.pi * spent)),
        "step": lambda spent: 0.1 ** (int(spent >= 0.5) + int(spent >= 0.75)),
    }[name]
