"""Table 1: cones in many dimensions, by activation and depth.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 1, section 7.1.1, appendix H.1.
"""

from itertools import pairwise
from typing import TypeAlias

from wdist.data.sources.pairs import sphere
from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.dual_training import TITLES, Trial, train_one
from wdist.studies.reproduce.experiment import Experiment, Outcome
from wdist.studies.reproduce.forecast import critic_operations
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Series

DIMENSIONS = (128, 256, 512)
DEPTHS = (3, 7)
"""Hidden layers, as in the paper's other experiments on cones (appendices B.2 and H.1: "3 hidden layers")."""
VALUES = {
    "relu": {(128, 3): 0.51, (128, 7): 0.60, (256, 3): 0.50, (256, 7): 0.53, (512, 3): 0.46, (512, 7): 0.49},
    "maxout:2": {(128, 3): 0.66, (128, 7): 0.71, (256, 3): 0.60, (256, 7): 0.66, (512, 3): 0.52, (512, 7): 0.56},
    "maxmin": {(128, 3): 0.87, (128, 7): 0.95, (256, 3): 0.83, (256, 7): 0.93, (512, 3): 0.72, (512, 7): 0.88},
    "full-sort": {(128, 3): 1.00, (128, 7): 1.00, (256, 3): 1.00, (256, 7): 1.00, (512, 3): 1.00, (512, 7): 1.00},
}
"""Table 1: activation -> (dimension, depth) -> dual value; the truth is 1."""
TRUTH = 1.0
_ROUNDING = 0.005
"""Of the paper's two decimals."""
_NOISE = 0.01
"""By which two trainings may differ before they are said to be in another order."""
_WIDTH, _BATCH, _STEPS = 512, 512, 600
_QUICK_DIMENSIONS, _QUICK_WIDTH, _QUICK_BATCH, _QUICK_STEPS = (128, 256), 320, 256, 150


def _trials(quick: bool) -> dict[tuple[str, int, int], Trial]:
    """(activation, dimension, depth) -> critic."""
    dimensions = _QUICK_DIMENSIONS if quick else DIMENSIONS
    return {
        (activation, dim, depth): Trial(
            label=f"{TITLES[activation]}, dimension {dim}, depth {depth}",
            activation=activation,
            width=_QUICK_WIDTH if quick else _WIDTH,
            depth=depth + 1,
            batch_size=_QUICK_BATCH if quick else _BATCH,
            optimizer="muon",
            steps=_QUICK_STEPS if quick else _STEPS,
        )
        for dim in dimensions
        for depth in DEPTHS
        for activation in VALUES
    }


Values: TypeAlias = dict[tuple[str, int, int], float]
"""(activation, dimension, depth) -> held-out value over the certificate."""


def _conduct(conditions: Conditions) -> Outcome:
    trials = _trials(conditions.quick)
    pairs = {dim: sphere(dim) for dim in dict.fromkeys(dim for _, dim, _ in trials)}
    found: Values = {
        (activation, dim, depth): train_one(
            pairs[dim], trial, conditions, position=position, trials=len(trials)
        ).population.estimate
        for position, ((activation, dim, depth), trial) in enumerate(trials.items(), start=1)
    }
    columns = list(dict.fromkeys((dim, depth) for _, dim, depth in trials))
    return Outcome(
        settings={
            "width": _QUICK_WIDTH if conditions.quick else _WIDTH,
            "steps": _QUICK_STEPS if conditions.quick else _STEPS,
            "batch size": _QUICK_BATCH if conditions.quick else _BATCH,
            "optimizer": "muon",
            "constraint": "bjorck",
            "truth": TRUTH,
        },
        comparisons=tuple(
            Comparison(
                row=TITLES[activation],
                column=f"dimension {dim}, depth {depth}",
                ours=found[activation, dim, depth],
                paper=VALUES[activation][dim, depth],
            )
            for activation in VALUES
            for dim, depth in columns
        ),
        findings=_findings(found, columns),
        panels=(_panel(found, columns),),
        remarks=(
            "The paper states neither width, steps nor batch size of this table, and used AggMo; ours are above. Depth counts the "
            "hidden layers.",
            "Ours are held-out values of frozen critics divided by their certificates.",
        ),
    )


def _findings(found: Values, columns: list[tuple[int, int]]) -> tuple[Finding, ...]:
    order = list(VALUES)
    disordered = [
        f"{TITLES[worse]} above {TITLES[better]} at dimension {dim}, depth {depth}"
        for dim, depth in columns
        for worse, better in pairwise(order)
        if found[worse, dim, depth] > found[better, dim, depth] + _NOISE
    ]
    behind = {
        activation: [column for column in columns if found[activation, *column] < VALUES[activation][column] - _ROUNDING]
        for activation in ("maxmin", "full-sort")
    }
    highest = max(found.values())
    return (
        Finding(
            claim="The order of the activations: ReLU, Maxout, MaxMin, FullSort.",
            holds=not disordered,
            detail="the same in every column" if not disordered else "; ".join(disordered),
        ),
        *(
            Finding(
                claim=f"{TITLES[activation]} reaches the paper's values.",
                holds=not columns_behind,
                detail="in every column" if not columns_behind else "not at " + _names(columns_behind),
            )
            for activation, columns_behind in behind.items()
        ),
        Finding(
            claim="No certified value exceeds the truth, 1.",
            holds=highest <= TRUTH,
            detail=f"the largest is {highest:.6f}",
        ),
    )


def _panel(found: Values, columns: list[tuple[int, int]]) -> Curves:
    """Ours and the paper's, for each activation, over the columns of the table."""
    x = tuple(range(len(columns)))
    return Curves(
        title="dual value of the certified critic; the truth is 1",
        x_label="dimension, depth",
        ticks=tuple(f"{dim}, {depth}" for dim, depth in columns),
        y_label="dual value",
        series=tuple(
            series
            for activation in VALUES
            for series in (
                Series(name=TITLES[activation], x=x, y=tuple(found[activation, *column] for column in columns)),
                Series(
                    name=f"{TITLES[activation]}, paper",
                    x=x,
                    y=tuple(VALUES[activation][column] for column in columns),
                    dashed=True,
                ),
            )
        ),
    )


def _names(columns: list[tuple[int, int]]) -> str:
    return "; ".join(f"dimension {dim}, depth {depth}" for dim, depth in columns)


def _operations(quick: bool) -> float:
    return sum(
        critic_operations(dim=dim, width=trial.width, depth=trial.depth, batch=2 * trial.batch_size, steps=trial.steps)
        for (_, dim, depth), trial in _trials(quick).items()
    )


EXPERIMENT = Experiment(
    name="table1",
    title="Effect of problem dimensionality",
    source="table 1, section 7.1.1, appendix H.1",
    conduct=_conduct,
    operations=_operations,
    reduced=(
        f"dimensions {' and '.join(map(str, _QUICK_DIMENSIONS))} only",
        f"width {_QUICK_WIDTH} instead of {_WIDTH}",
        f"{_QUICK_STEPS} steps instead of {_STEPS}",
        f"batch size {_QUICK_BATCH} instead of {_BATCH}",
    ),
)
