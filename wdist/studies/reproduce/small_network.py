"""GroupSort networks small enough to be looked at unit by unit.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix A.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.experiment import Outcome
from wdist.studies.reproduce.network import Network
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Series
from wdist.training.observer import Stage
from wdist.training.optimizers import make_optimizers, schedule

ACTIVATION = "maxmin"
_POINTS = 401
_SLOPE = 0.99
"""Steepness that counts as slope 1."""
_SHARE = 0.95
"""Share of the line that counts as almost everywhere."""
_ACCURATE = 0.05
_GOOD_ENOUGH = 1e-5
"""Mean squared error after which no other start is tried."""


@dataclass(frozen=True, kw_only=True)
class SmallFit:
    """A function of the line and the network that is to learn it."""

    target: Callable[[Tensor], Tensor]
    target_name: str
    reach: float
    """The line from -reach to reach."""
    hidden: tuple[int, ...]
    steps: int
    learning_rate: float
    """Of Adam on the weights."""
    restarts: int
    """At most so many trainings from different weights, of which the best is shown: nets this small get stuck."""


def fit(problem: SmallFit, conditions: Conditions) -> tuple[Network, float]:
    """The best of several networks with orthonormal weights, by mean squared error, and that error."""
    x = torch.linspace(-problem.reach, problem.reach, _POINTS)[:, None]
    y = problem.target(x[:, 0])
    best: tuple[float, Network] | None = None
    conditions.observer.notify(
        Stage(what=f"fitting {problem.target_name} from up to {problem.restarts} starts, {problem.steps} steps each")
    )
    for restart in range(problem.restarts):
        network = Network(
            (1, *problem.hidden, 1),
            activation=ACTIVATION,
            constraint="bjorck",
            generator=torch.Generator().manual_seed(1000 * conditions.seed + restart),
        )
        error = _train(network, x, y, steps=problem.steps, learning_rate=problem.learning_rate)
        if best is None or error < best[0]:
            best = (error, network)
        if error < _GOOD_ENOUGH:
            break
    assert best is not None, "there is at least one start"
    return best[1], best[0]


def _train(network: Network, x: Tensor, y: Tensor, *, steps: int, learning_rate: float) -> float:
    optimizers = make_optimizers(network, name="adam", learning_rate=learning_rate)
    rates = [[group["lr"] for group in each.param_groups] for each in optimizers]
    decay = schedule("linear")
    for step in range(steps):
        loss = (network(x)[:, 0] - y).square().mean()
        for each, initial in zip(optimizers, rates, strict=True):
            each.zero_grad(set_to_none=True)
            for group, rate in zip(each.param_groups, initial, strict=True):
                group["lr"] = rate * decay(step / steps)
        loss.backward()
        for each in optimizers:
            each.step()
        if step % network.constrain_every == network.constrain_every - 1:
            network.constrain_()
    network.constrain_(tightly=True)
    with torch.no_grad():
        return float((network(x)[:, 0] - y).square().mean())


def look(problem: SmallFit, conditions: Conditions) -> Outcome:
    """The network's units as functions of its input, and how well the whole follows the target."""
    network, _ = fit(problem, conditions)
    frozen = network.freeze()
    x = torch.linspace(-problem.reach, problem.reach, _POINTS, dtype=torch.float64)
    y, trace = frozen.traced(x[:, None])
    output, target = y[:, 0], problem.target(x)
    slopes = (output.diff() / x.diff()).abs()
    steep = float((slopes >= _SLOPE).double().mean())
    deviation = float((output - target).abs().max())
    steepest = float(slopes.max())
    layers = len(trace)
    panels = [
        Curves(
            title=f"{what}, layer {number}" if layers > 1 else what,
            x_label="x",
            y_label="unit",
            series=tuple(
                Series(name=f"unit {unit + 1}", x=tuple(x.tolist()), y=tuple(values[:, unit].tolist()))
                for unit in range(values.shape[1])
            ),
        )
        for number, pair in enumerate(trace, start=1)
        for what, values in zip(("pre-activations", "activations"), pair, strict=True)
    ]
    panels.append(
        Curves(
            title="output",
            x_label="x",
            y_label="f(x)",
            series=(
                Series(name="network", x=tuple(x.tolist()), y=tuple(output.tolist())),
                Series(name=problem.target_name, x=tuple(x.tolist()), y=tuple(target.tolist()), dashed=True),
            ),
        )
    )
    return Outcome(
        settings={
            "hidden units": " and ".join(map(str, problem.hidden)),
            "activation": "GroupSort(2)",
            "constraint": "bjorck",
            "optimizer": "adam",
            "learning rate": problem.learning_rate,
            "steps": problem.steps,
            "starts": f"at most {problem.restarts}",
        },
        comparisons=(
            Comparison(row="largest distance from the target", ours=deviation),
            Comparison(row=f"share of the line with slope at least {_SLOPE}", ours=steep),
            Comparison(row="steepest slope", ours=steepest, paper=1.0),
        ),
        findings=(
            Finding(
                claim=f"The network approximates {problem.target_name}.",
                holds=deviation <= _ACCURATE,
                detail=f"it is never farther than {deviation:.2g} from it",
            ),
            Finding(
                claim="Its slope is 1 almost everywhere.",
                holds=steep >= _SHARE and steepest <= 1 + 1e-9,
                detail=f"at least {_SLOPE} on {100 * steep:.1f} % of the line, nowhere above {steepest:.6f}",
            ),
            Finding(
                claim="The activations of each group are its pre-activations, sorted.",
                holds=all(_same_values(*pair) for pair in trace),
                detail=f"in all {layers} hidden layers, at every x" if layers > 1 else "at every x",
            ),
        ),
        panels=tuple(panels),
        remarks=("The paper states no numbers for this figure, nor how the network was fitted; ours minimises the squared error.",),
    )


def _same_values(before: Tensor, after: Tensor) -> bool:
    return bool(torch.equal(before.sort(1).values, after.sort(1).values))


def operations(problem: SmallFit) -> float:
    """Of all starts; such small layers cost their calls only."""
    return problem.restarts * problem.steps * 1e7 * sum(1 for _ in pairwise((1, *problem.hidden, 1)))
