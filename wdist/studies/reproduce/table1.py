"""Table 1: cones in many dimensions, by activation and depth.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 1, section 7.1.1, appendix H.1.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import TypeAlias

from wdist.data.sources.pairs import sphere
from wdist.studies.panels import Panel, series_of
from wdist.studies.reproduce.paper_critic import TITLES, PaperCritic, trained, truth_check
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

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
_ROUNDING = 0.005
"""Rounding of the paper's two decimals."""
_NOISE = 0.01
"""Difference of two trainings above which their order counts."""
_WIDTH, _BATCH, _STEPS = 512, 512, 600
_QUICK_DIMENSIONS, _QUICK_WIDTH, _QUICK_BATCH, _QUICK_STEPS = (128, 256), 320, 256, 150

Cell: TypeAlias = tuple[str, int, int]
"""Activation, dimension, depth."""


def _critics(quick: bool) -> dict[Cell, PaperCritic]:
    return {
        (activation, dim, depth): PaperCritic(
            label=f"{TITLES[activation]}, dimension {dim}, depth {depth}",
            activation=activation,
            width=_QUICK_WIDTH if quick else _WIDTH,
            depth=depth + 1,
            batch_size=_QUICK_BATCH if quick else _BATCH,
            optimizer="muon",
            steps=_QUICK_STEPS if quick else _STEPS,
        )
        for activation in VALUES
        for dim in (_QUICK_DIMENSIONS if quick else DIMENSIONS)
        for depth in DEPTHS
    }


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    critics = _critics(conditions.quick)
    found: dict[Cell, float] = {}
    for (activation, dim, depth), result in trained(critics, lambda cell: sphere(cell[1]), conditions):
        value = found[activation, dim, depth] = result.population.estimate
        paper = VALUES[activation][dim, depth]
        yield ReproducedNumber(row=TITLES[activation], column=f"dimension {dim}, depth {depth}", ours=value, paper=paper)
    columns = list(dict.fromkeys((dim, depth) for _, dim, depth in found))
    yield Conclusion(
        settings=next(iter(critics.values())).facts,
        checks=_checks(found, columns),
        panels=(_panel(found, columns),),
        remarks=(
            "The paper states neither width, steps nor batch size of this table, and used AggMo; ours are below. Depth counts the "
            "hidden layers.",
            "Ours are held-out values of frozen critics divided by their certificates.",
        ),
    )


def _checks(found: dict[Cell, float], columns: list[tuple[int, int]]) -> tuple[ClaimCheck, ...]:
    disordered = [
        f"{TITLES[worse]} above {TITLES[better]} at dimension {dim}, depth {depth}"
        for dim, depth in columns
        for worse, better in pairwise(VALUES)
        if found[worse, dim, depth] > found[better, dim, depth] + _NOISE
    ]
    behind = {
        activation: [column for column in columns if found[activation, *column] < VALUES[activation][column] - _ROUNDING]
        for activation in ("maxmin", "full-sort")
    }
    return (
        ClaimCheck(
            claim="The order of the activations: ReLU, Maxout, MaxMin, FullSort.",
            holds=not disordered,
            detail="the same in every column" if not disordered else "; ".join(disordered),
        ),
        *(
            ClaimCheck(
                claim=f"{TITLES[activation]} reaches the paper's values.",
                holds=not missed,
                detail="not at " + "; ".join(f"dimension {dim}, depth {depth}" for dim, depth in missed)
                if missed
                else "in every column",
            )
            for activation, missed in behind.items()
        ),
        truth_check("certified value", found.values()),
    )


def _panel(found: dict[Cell, float], columns: list[tuple[int, int]]) -> Panel:
    """Ours and the paper's, for each activation, over the columns of the table."""
    draw = partial(series_of, found, x=lambda cell: columns.index(cell[1:]))
    return Panel(
        title="dual value of the certified critic; the truth is 1",
        x_label="dimension, depth",
        ticks=tuple(f"{dim}, {depth}" for dim, depth in columns),
        y_label="dual value",
        series=(
            *draw(name=lambda cell: TITLES[cell[0]], y=found.__getitem__),
            *draw(
                name=lambda cell: f"{TITLES[cell[0]]}, paper",
                y=lambda cell: VALUES[cell[0]][cell[1:]],
                reference=lambda cell: True,
            ),
        ),
    )


STUDIES = (
    Study(
        name="table1",
        title="Effect of problem dimensionality",
        source="table 1, section 7.1.1, appendix H.1",
        measure=_measure,
        operations=lambda quick: sum(critic.operations(dim) for (_, dim, _), critic in _critics(quick).items()),
        reduced=(
            f"dimensions {' and '.join(map(str, _QUICK_DIMENSIONS))} only",
            f"width {_QUICK_WIDTH} instead of {_WIDTH}",
            f"{_QUICK_STEPS} steps instead of {_STEPS}",
            f"batch size {_QUICK_BATCH} instead of {_BATCH}",
        ),
    ),
)
