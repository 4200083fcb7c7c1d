"""Networks whose units can be looked at one by one, and figures 10 and 11: the inside of small GroupSort networks.

Figure 10 approximates the absolute value with one hidden layer of two units, figure 11 a curve like the letter W with two hidden
layers of four units.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figures 10 and 11, appendix A.1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from wdist.critics.networks import DenseCritic
from wdist.lipschitz.activations import Activation
from wdist.lipschitz.activations import activation as named_activation
from wdist.lipschitz.constraints import constraint as named_constraint
from wdist.studies.panels import Panel, Series
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study
from wdist.training.optimizers import make_optimizers, schedule


@dataclass(frozen=True, kw_only=True)
class FrozenNetwork:
    """Plain weights and the activation between them."""

    weights: tuple[tuple[Tensor, Tensor], ...]
    """Matrix and bias of each layer."""
    activation: Activation
    scale: float = 1.0
    """Factor on the output: the Lipschitz constant where every layer has norm 1."""

    def to(self, device: torch.device, dtype: torch.dtype) -> "FrozenNetwork":
        return replace(self, weights=tuple((W.to(device, dtype), b.to(device, dtype)) for W, b in self.weights))

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs of shape (n, outputs) for inputs of shape (n, dim)."""
        return self.traced(x)[0]

    def traced(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Outputs, and pre-activations and activations of every hidden layer, each of shape (n, units)."""
        trace = []
        for W, b in self.weights[:-1]:
            z = nn.functional.linear(x, W, b)
            x = self.activation.evaluate(z)
            trace.append((z, x))
        return self.scale * nn.functional.linear(x, *self.weights[-1]), trace


class SmallNetwork(DenseCritic):
    """Linear layers of one constraint with one activation between them and a factor on the outputs."""

    def __init__(
        self, sizes: Sequence[int], *, activation: str, constraint: str, generator: torch.Generator, scale: float = 1.0
    ) -> None:
        kind = named_constraint(constraint)
        layers = [kind(inputs, outputs, generator=generator) for inputs, outputs in pairwise(sizes)]
        super().__init__(layers, named_activation(activation))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * super().forward(x)

    def minimise_(self, loss: Callable[[], Tensor], *, steps: int, learning_rate: float) -> Tensor:
        """Trains the network by Adam with a linear schedule, then constrains it tightly; returns the last loss."""
        optimizers = make_optimizers(self, name="adam", learning_rate=learning_rate)
        rates = [(group, group["lr"]) for each in optimizers for group in each.param_groups]
        factor, value = schedule("linear"), torch.zeros(())
        for step in range(steps):
            for group, rate in rates:
                group["lr"] = rate * factor(step / steps)
            self.zero_grad(set_to_none=True)
            value = loss()
            value.backward()
            for each in optimizers:
                each.step()
            if (step + 1) % self.constrain_every == 0:
                self.constrain_()
        self.constrain_(tightly=True)
        return value.detach()

    def plain(self) -> FrozenNetwork:
        weights = tuple((layer.plain_weight(), layer.bias.detach().double().cpu()) for layer in self.linear)
        return FrozenNetwork(weights=weights, activation=self.activation, scale=self.scale)


_POINTS = 401
_REACH = 2.0  # networks are fitted from -2 to 2
_SLOPE = 0.99  # steepness that counts as slope 1
_SHARE = 0.95  # share of the line that counts as almost everywhere
_ACCURATE = 0.05
_GOOD_ENOUGH = 1e-5  # mean squared error after which no other start is tried


@dataclass(frozen=True, kw_only=True)
class SmallFit:
    """A function of the line and the network that learns it."""

    target: Callable[[Tensor], Tensor]
    target_name: str
    hidden: tuple[int, ...]
    steps: int
    learning_rate: float
    """Learning rate of Adam for the weights."""
    restarts: int
    """Trainings from different weights, at most; the best is shown, because networks this small get stuck."""

    def operations(self, quick: bool) -> float:
        """Operations of all starts, in either form; layers this small cost their calls only."""
        del quick
        return self.restarts * self.steps * 1e7 * (len(self.hidden) + 1)


ABSOLUTE_VALUE = SmallFit(target=torch.abs, target_name="the absolute value", hidden=(2,), steps=400, learning_rate=0.1, restarts=4)
LETTER_W = SmallFit(
    target=lambda x: (x.abs() - 1).abs(), target_name="the letter W", hidden=(4, 4), steps=1500, learning_rate=0.01, restarts=10
)
"""||x| - 1|: slope 1 almost everywhere, feet at -1 and 1."""


def fit(problem: SmallFit, conditions: Conditions) -> tuple[SmallNetwork, float]:
    """The best of several networks with orthonormal weights, by mean squared error, and that error."""
    x = torch.linspace(-_REACH, _REACH, _POINTS)[:, None]
    y = problem.target(x[:, 0])
    fits: list[tuple[float, SmallNetwork]] = []
    conditions.announce(f"fitting {problem.target_name} from up to {problem.restarts} starts, {problem.steps} steps each")
    for restart in range(problem.restarts):
        network = SmallNetwork(
            (1, *problem.hidden, 1),
            activation="maxmin",
            constraint="bjorck",
            generator=torch.Generator().manual_seed(1000 * conditions.seed + restart),
        )
        squared_error = partial(_squared_error, network, x, y)
        network.minimise_(squared_error, steps=problem.steps, learning_rate=problem.learning_rate)
        fits.append((float(squared_error().detach()), network))
        if fits[-1][0] < _GOOD_ENOUGH:
            break
    error, network = min(fits, key=lambda fit: fit[0])
    return network, error


def _squared_error(network: SmallNetwork, x: Tensor, y: Tensor) -> Tensor:
    return (network(x) - y).square().mean()


def look(problem: SmallFit, conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    """The network's units as functions of its input, and how well the whole follows the target."""
    network, _ = fit(problem, conditions)
    x = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64)
    y, trace = network.plain().traced(x[:, None])
    output, target = y[:, 0], problem.target(x)
    slopes = (output.diff() / x.diff()).abs()
    steep = float((slopes >= _SLOPE).double().mean())
    deviation = float((output - target).abs().max())
    steepest = float(slopes.max())
    yield ReproducedNumber(row="largest error", ours=deviation)
    yield ReproducedNumber(row=f"share of the line with slope at least {_SLOPE}", ours=steep)
    yield ReproducedNumber(row="steepest slope", ours=steepest, paper=1.0)
    yield Conclusion(
        settings={
            "hidden units": " and ".join(map(str, problem.hidden)),
            "activation": "GroupSort(2)",
            "constraint": "bjorck",
            "optimizer": "adam",
            "learning rate": problem.learning_rate,
            "steps": problem.steps,
            "starts": f"at most {problem.restarts}",
        },
        checks=(
            ClaimCheck(
                claim=f"The network approximates {problem.target_name}.",
                holds=deviation <= _ACCURATE,
                detail=f"the largest error is {deviation:.2g}",
            ),
            ClaimCheck(
                claim="Its slope is 1 almost everywhere.",
                holds=steep >= _SHARE and steepest <= 1 + 1e-9,
                detail=f"at least {_SLOPE} on {100 * steep:.1f} % of the line, nowhere above {steepest:.6f}",
            ),
            ClaimCheck(
                claim="The activations of each group are its sorted pre-activations.",
                holds=all(torch.equal(before.sort(1).values, after.sort(1).values) for before, after in trace),
                detail=f"in all {len(trace)} hidden layers, at every x" if len(trace) > 1 else "at every x",
            ),
        ),
        panels=tuple(_panels(problem, x, trace, output)),
        remarks=("The paper states no numbers for this figure, nor how the network was fitted; ours minimises the squared error.",),
    )


def _panels(problem: SmallFit, x: Tensor, trace: list[tuple[Tensor, Tensor]], output: Tensor) -> Iterator[Panel]:
    line = tuple(x.tolist())
    for number, pair in enumerate(trace, start=1):
        for what, values in zip(("pre-activations", "activations"), pair, strict=True):
            units = tuple(Series(name=f"unit {i + 1}", x=line, y=tuple(values[:, i].tolist())) for i in range(values.shape[1]))
            title = f"{what}, layer {number}" if len(trace) > 1 else what
            yield Panel(title=title, x_label="x", y_label="unit", series=units)
    target = Series(name=problem.target_name, x=line, y=tuple(problem.target(x).tolist()), reference=True)
    ours = Series(name="network", x=line, y=tuple(output.tolist()))
    yield Panel(title="output", x_label="x", y_label="f(x)", series=(ours, target))


STUDIES = tuple(
    Study(
        name=f"figure{number}",
        title=f"Pre-activations and activations for {problem.target_name}",
        source=f"figure {number}, appendix A.1",
        measure=partial(look, problem),
        operations=problem.operations,
    )
    for number, problem in ((10, ABSOLUTE_VALUE), (11, LETTER_W))
)
