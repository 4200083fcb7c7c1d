"""Bare training loops, for studies that time or look at single trainings; the one place of the studies that knows their inside."""

from collections.abc import Sequence

from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.networks import side_by_side
from wdist.lipschitz.linalg.rounding import products_on
from wdist.training.optimizers import Adam, Optimizing, make_optimizers, schedule
from wdist.training.step import TrainingStep

_SORTED_UNIT = 400.0
"""Operations that sorting a unit there and back is worth."""
_STEP = 2e8
"""Operations that a step costs whatever its sizes: the calls themselves."""


class DualTraining:
    """A critic that learns to separate two sides, step by step. On a GPU its matrix products are those of TF32.

    Arguments:
        critic: in its first state.
        optimizers: of all its parameters.
        apart: one forward pass for each side of a batch, as in the paper's code, rather than one for both.
    """

    def __init__(self, critic: Critic, optimizers: Sequence[Optimizing], *, apart: bool = False) -> None:
        self.critic, self._device = critic, next(critic.parameters()).device
        self._step, self._factor = TrainingStep(critic, optimizers, apart=apart), schedule("cosine")

    def step(self, a: Tensor, b: Tensor, spent: float = 0.0) -> None:
        """Takes one step on a minibatch of each side, when the share ``spent`` of the budget is spent."""
        with products_on(self._device):
            self._step(a, b, factor=self._factor(spent))


def optimizers_of(critic: Critic, name: str, *, weights: float, biases: float) -> list[Optimizing]:
    """Optimisers of all parameters of a critic, with learning rates for weights (in the optimiser's own units) and biases."""
    return [*make_optimizers(critic, name=name, learning_rate=weights, bias_learning_rate=biases)]


def bias_optimizer(biases: Sequence[Tensor], learning_rate: float) -> Optimizing:
    """Adam as every scheme uses it for biases."""
    return Adam(biases, lr=learning_rate)


def trained_in_turn(critics: Sequence[Critic], optimizer: str, learning_rate: float) -> list[DualTraining]:
    """Trainings of several critics, each by itself."""
    return [DualTraining(each, make_optimizers(each, name=optimizer, learning_rate=learning_rate)) for each in critics]


def trained_side_by_side(critics: Sequence[Critic], optimizer: str, learning_rate: float) -> DualTraining:
    """One training of several critics of one shape; its minibatches have shape (critics, n, dim)."""
    critic = side_by_side(critics)
    return DualTraining(critic, make_optimizers(critic, name=optimizer, learning_rate=learning_rate, side_by_side=True))


class Descent:
    """Minimises losses over all parameters of a module by Adam with a linear schedule.

    Arguments:
        module: is trained in place.
        learning_rate: of the weights.
    """

    def __init__(self, module: nn.Module, *, learning_rate: float) -> None:
        self._optimizers = make_optimizers(module, name="adam", learning_rate=learning_rate)
        self._groups = [(group, group["lr"]) for each in self._optimizers for group in each.param_groups]
        self._factor = schedule("linear")

    def step(self, loss: Tensor, spent: float) -> None:
        """Takes one step down a loss, when the share ``spent`` of the budget is spent."""
        for each in self._optimizers:
            each.zero_grad(set_to_none=True)
        for group, rate in self._groups:
            group["lr"] = rate * self._factor(spent)
        loss.backward()
        for each in self._optimizers:
            each.step()


def critic_operations(*, dim: int, width: int, depth: int, batch: int, steps: int, muon: bool = True, outputs: int = 1) -> float:
    """Floating-point operations of one training.

    Arguments:
        dim: of a sample.
        width, depth: of the network; depth counts the linear layers.
        batch: rows in one forward pass, both sides together.
        steps: number of updates.
        muon: whether updates are orthogonalised.
        outputs: of the last layer.
    """
    weights = dim * width + (depth - 2) * width * width + width * outputs
    cubic = min(dim, width) * dim * width + (depth - 2) * width**3
    products = 6 * batch * weights + (22 if muon else 2) * cubic
    return float(steps * (products + batch * width * (depth - 1) * _SORTED_UNIT + _STEP))
