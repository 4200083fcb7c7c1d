"""Figure 4: the absolute value by critics with different activations.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 4, section 7.1.1, appendix H.1.
"""

import torch

from wdist.data.sources.pairs import absolute_value
from wdist.estimation.result import CriticResult
from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.dual_training import TITLES, Trial, train_one
from wdist.studies.reproduce.experiment import Experiment, Outcome
from wdist.studies.reproduce.forecast import critic_operations
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Series

TRUTH = 1.0
HIDDEN_LAYERS, WIDTH = 3, 128
"""Of the paper."""
NOT_PRESERVING = ("relu", "tanh", "maxout:2")
"""Activations that do not preserve the norm of gradients."""
PRESERVING = ("abs", "maxmin", "full-sort")
_TOUCHES = 0.99
_BATCH, _STEPS, _QUICK_STEPS = 256, 3000, 400
_POINTS = 401


def _trials(quick: bool) -> dict[str, Trial]:
    return {
        activation: Trial(
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
    """The critic over the line, divided by its certificate, with the value at 0 moved to 0."""
    x = torch.linspace(-1.5, 1.5, _POINTS, dtype=torch.float64)
    values = result.frozen.potentials(x[:, None]) / result.lipschitz_bound
    values = values - values[_POINTS // 2]
    return Series(name="critic", x=tuple(x.tolist()), y=tuple(values.tolist()))


def _conduct(conditions: Conditions) -> Outcome:
    trials, pair = _trials(conditions.quick), absolute_value()
    found = {
        activation: train_one(pair, trial, conditions, position=position, trials=len(trials))
        for position, (activation, trial) in enumerate(trials.items(), start=1)
    }
    values = {activation: result.population.estimate for activation, result in found.items()}
    target = Series(name="|x|", x=(-1.5, 0.0, 1.5), y=(1.5, 0.0, 1.5), dashed=True)
    return Outcome(
        settings={
            "hidden layers": HIDDEN_LAYERS,
            "width": WIDTH,
            "optimizer": "aggmo",
            "steps": _QUICK_STEPS if conditions.quick else _STEPS,
            "batch size": _BATCH,
            "constraint": "bjorck",
            "truth": TRUTH,
        },
        comparisons=tuple(
            Comparison(row=TITLES[activation], column="objective value", ours=value) for activation, value in values.items()
        ),
        findings=(
            Finding(
                claim="Activations that do not preserve gradient norm are incapable of approximating the absolute value.",
                holds=all(values[activation] < _TOUCHES for activation in NOT_PRESERVING),
                detail=", ".join(f"{TITLES[activation]} {values[activation]:.3f}" for activation in NOT_PRESERVING),
            ),
            Finding(
                claim="Those that preserve it approximate it.",
                holds=all(values[activation] >= _TOUCHES for activation in PRESERVING),
                detail=", ".join(f"{TITLES[activation]} {values[activation]:.3f}" for activation in PRESERVING),
            ),
            Finding(
                claim="No certified value exceeds the truth, 1.",
                holds=max(values.values()) <= TRUTH,
                detail=f"the largest is {max(values.values()):.6f}",
            ),
        ),
        panels=tuple(
            Curves(
                title=f"{TITLES[activation]}: {values[activation]:.3f}",
                x_label="x",
                y_label="potential, 0 at 0",
                series=(target, _curve(result)),
            )
            for activation, result in found.items()
        ),
        remarks=("The paper's objective values stand in its picture only, not in its text; the truth is 1.",),
    )


EXPERIMENT = Experiment(
    name="figure4",
    title="Approximating the absolute value",
    source="figure 4, section 7.1.1, appendix H.1",
    conduct=_conduct,
    operations=lambda quick: sum(
        critic_operations(dim=1, width=WIDTH, depth=trial.depth, batch=2 * _BATCH, steps=trial.steps, muon=False)
        for trial in _trials(quick).values()
    ),
    reduced=(f"{_QUICK_STEPS} steps instead of {_STEPS}",),
)
