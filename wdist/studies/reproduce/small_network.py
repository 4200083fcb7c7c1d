"""Figures 10 and 11: the units of small GroupSort networks.

In figure 10 one hidden layer of two units approximates the absolute value; in figure 11 two hidden layers of four units approximate
a curve like the letter W.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figures 10 and 11, appendix A.1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from wdist.critics.networks import DenseCritic, NetworkPlan, dense
from wdist.data.standardisation import Standardisation
from wdist.lipschitz.activations import activation
from wdist.lipschitz.constraints import constraint
from wdist.lipschitz.linear import ConstraintOptions
from wdist.studies.panels import Panel, curves
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study, percent
from wdist.training.minimisation import minimise_
from wdist.training.optimizers import make_optimizers

_POINTS = 401
_REACH = 2.0  # networks are fitted from -2 to 2
_SLOPE = 0.99  # slopes from here on count as 1
_SHARE = 0.95  # shares of the line from here on count as almost everywhere
_ACCURATE = 0.05
_GOOD_ENOUGH = 1e-5  # mean squared error below which no other start is tried


@dataclass(frozen=True, kw_only=True)
class SmallFit:
    """A function on the line, and the network that approximates it."""

    target: Callable[[Tensor], Tensor]
    target_name: str
    hidden: tuple[int, ...]
    """Units of the hidden layers, all of one width."""
    steps: int
    learning_rate: float
    """Learning rate of Adam for the weights."""
    restarts: int
    """Largest number of trainings from different weights; the best is shown, because networks this small get stuck."""

    @property
    def plan(self) -> NetworkPlan:
        """The plan of the network, with orthonormal weights and groups of two."""
        return NetworkPlan(
            event_shape=(1,),
            dim=1,
            width=self.hidden[0],
            depth=len(self.hidden) + 1,
            layer=constraint("bjorck"),
            options=ConstraintOptions(),
            activation=activation("maxmin"),
        )

    def operations(self, quick: bool) -> float:
        """Operations of all starts, in either form; layers this small cost only their calls."""
        del quick
        return self.restarts * self.steps * 1e7 * (len(self.hidden) + 1)


ABSOLUTE_VALUE = SmallFit(target=torch.abs, target_name="the absolute value", hidden=(2,), steps=400, learning_rate=0.1, restarts=4)
LETTER_W = SmallFit(
    target=lambda x: (x.abs() - 1).abs(), target_name="the letter W", hidden=(4, 4), steps=1500, learning_rate=0.01, restarts=10
)
"""||x| - 1|, with slope 1 almost everywhere and minima at -1 and 1."""


def fit(problem: SmallFit, conditions: Conditions) -> tuple[DenseCritic, float]:
    """The best of several networks with orthonormal weights by mean squared error, and this error."""
    x = torch.linspace(-_REACH, _REACH, _POINTS)[:, None]
    y = problem.target(x[:, 0])
    fits: list[tuple[float, DenseCritic]] = []
    conditions.announce(f"fitting {problem.target_name} from up to {problem.restarts} starts, {problem.steps} steps each")
    for restart in range(problem.restarts):
        network = dense(problem.plan, torch.Generator().manual_seed(1000 * conditions.seed + restart))
        squared_error = partial(_squared_error, network, x, y)
        optimizers = make_optimizers(network, name="adam", learning_rate=problem.learning_rate)
        minimise_(network, squared_error, optimizers=optimizers, steps=problem.steps)
        fits.append((float(squared_error().detach()), network))
        if fits[-1][0] < _GOOD_ENOUGH:
            break
    error, network = min(fits, key=lambda fit: fit[0])
    return network, error


def _squared_error(network: DenseCritic, x: Tensor, y: Tensor) -> Tensor:
    return (network(x) - y).square().mean()


def traced(network: DenseCritic, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Outputs of the frozen network, shape (n,), and pre-activations and activations of every hidden layer, shape (n, units)."""
    as_it_is = Standardisation(shift=x.new_zeros(x.shape[1]), spread=1.0)
    _, *outputs = accumulate(network.freeze(as_it_is).layers, lambda h, layer: layer(h), initial=x)
    return outputs[-1].squeeze(1), list(zip(outputs[:-1:2], outputs[1::2], strict=True))


def look(problem: SmallFit, conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    """Shows the network's units as functions of its input, and its output beside the target."""
    network, _ = fit(problem, conditions)
    x = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64)
    output, trace = traced(network, x[:, None])
    target = problem.target(x)
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
                detail=f"at least {_SLOPE} on {percent(steep)} of the line, nowhere above {steepest:.6f}",
            ),
            ClaimCheck(
                claim="The activations of each group are its sorted pre-activations.",
                holds=all(torch.equal(before.sort(1).values, after.sort(1).values) for before, after in trace),
                detail=f"in all {len(trace)} hidden layers, at every x" if len(trace) > 1 else "at every x",
            ),
        ),
        panels=tuple(_panels(problem, x, trace, output)),
        remarks=("The paper gives no numbers for this figure and does not say how the network was fitted; ours by squared error.",),
    )


def _panels(problem: SmallFit, x: Tensor, trace: list[tuple[Tensor, Tensor]], output: Tensor) -> Iterator[Panel]:
    for number, pair in enumerate(trace, start=1):
        for what, values in zip(("pre-activations", "activations"), pair, strict=True):
            units = curves(x, {f"unit {i}": unit for i, unit in enumerate(values.mT, start=1)})
            title = f"{what}, layer {number}" if len(trace) > 1 else what
            yield Panel(title=title, x_label="x", y_label="unit", series=units)
    functions = {"network": output, problem.target_name: problem.target(x)}
    series = curves(x, functions, reference=(problem.target_name,))
    yield Panel(title="output", x_label="x", y_label="f(x)", series=series)


FIGURE10, FIGURE11 = (
    Study(
        name=f"figure{number}",
        title=f"Pre-activations and activations for {problem.target_name}",
        source=f"figure {number}, appendix A.1",
        measure=partial(look, problem),
        operations=problem.operations,
    )
    for number, problem in ((10, ABSOLUTE_VALUE), (11, LETTER_W))
)
