"""Figure 4: critics with different activations approximate the absolute value.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 4, section 7.1.1, appendix H.1.
"""

from collections.abc import Iterator

import torch

from wdist.data.sources.pairs import absolute_value
from wdist.estimation.result import CriticResult
from wdist.studies.panels import Panel, Series
from wdist.studies.reproduce.paper_critic import TITLES, PaperCritic, trained, truth_check
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

HIDDEN_LAYERS, WIDTH = 3, 128
"""From the paper."""
NOT_PRESERVING = ("relu", "tanh", "maxout:2")
"""Activations that do not preserve the norm of gradients."""
PRESERVING = ("abs", "maxmin", "full-sort")
_TOUCHES = 0.99
_BATCH, _STEPS, _QUICK_STEPS = 256, 3000, 400
_POINTS = 401


def _critics(quick: bool) -> dict[str, PaperCritic]:
    return {
        activation: PaperCritic(
            label=TITLES[activation],
            activation=activation,
            width=WIDTH,
            depth=HIDDEN_LAYERS + 1,
            batch_size=_BATCH,
            optimizer="aggmo",
            steps=_QUICK_STEPS if quick else _STEPS,
        )
        for activation in (*NOT_PRESERVING, *PRESERVING)
    }


def _curve(result: CriticResult) -> Series:
    """The critic over the line, divided by its certificate, shifted to 0 at 0."""
    x = torch.linspace(-1.5, 1.5, _POINTS, dtype=torch.float64)
    values = result.frozen.potentials(x[:, None]) / result.lipschitz_bound
    values = values - values[_POINTS // 2]
    return Series(name="critic", x=tuple(x.tolist()), y=tuple(values.tolist()))


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    critics, pair, found = _critics(conditions.quick), absolute_value(), {}
    for activation, result in trained(critics, lambda _: pair, conditions):
        found[activation] = result
        yield ReproducedNumber(row=TITLES[activation], column="objective value", ours=result.population.estimate)
    values = {activation: result.population.estimate for activation, result in found.items()}
    target = Series(name="|x|", x=(-1.5, 0.0, 1.5), y=(1.5, 0.0, 1.5), reference=True)
    yield Conclusion(
        settings={"hidden layers": HIDDEN_LAYERS, **critics["relu"].facts},
        checks=(
            ClaimCheck(
                claim="Activations that do not preserve gradient norm cannot approximate the absolute value.",
                holds=all(values[activation] < _TOUCHES for activation in NOT_PRESERVING),
                detail=", ".join(f"{TITLES[activation]} {values[activation]:.3f}" for activation in NOT_PRESERVING),
            ),
            ClaimCheck(
                claim="Activations that preserve it can.",
                holds=all(values[activation] >= _TOUCHES for activation in PRESERVING),
                detail=", ".join(f"{TITLES[activation]} {values[activation]:.3f}" for activation in PRESERVING),
            ),
            truth_check("certified value", values.values()),
        ),
        panels=tuple(
            Panel(
                title=f"{TITLES[activation]}: {values[activation]:.3f}",
                x_label="x",
                y_label="potential, 0 at 0",
                series=(target, _curve(result)),
            )
            for activation, result in found.items()
        ),
        remarks=("The paper shows objective values in its picture only, not in its text; the truth is 1.",),
    )


STUDIES = (
    Study(
        name="figure4",
        title="Approximating the absolute value",
        source="figure 4, section 7.1.1, appendix H.1",
        measure=_measure,
        operations=lambda quick: sum(critic.operations(1) for critic in _critics(quick).values()),
        reduced=(f"{_QUICK_STEPS} steps instead of {_STEPS}",),
    ),
)
