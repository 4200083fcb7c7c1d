"""Section 7.1.1: critics with different activations approximate the absolute value (figure 4), three circular cones (figure 5), and
cones in many dimensions (table 1), each pair with W1 = 1.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figures 4 and 5, table 1, appendix H.1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TypeAlias, TypeVar

import numpy as np
import torch

from wdist.critics.settings import CriticSettings
from wdist.data.sources.pairs import KnownPair, absolute_value, cones, sphere
from wdist.estimation.result import CriticResult
from wdist.studies.machine import critic_operations
from wdist.studies.panels import Panel, Series, Surface, series_of
from wdist.studies.progress import SuiteProgress
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

TITLES = {
    "relu": "ReLU",
    "tanh": "tanh",
    "abs": "absolute value",
    "maxout:2": "Maxout",
    "maxmin": "MaxMin",
    "full-sort": "FullSort",
}
"""Activation -> its name in the paper."""
TRUTH = 1.0
"""W1 of all pairs of these experiments."""
_OBJECTIVES = ("The paper gives objective values in its picture only; the truth is 1.",)
Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Settings that the critics of an experiment share."""

    width: int
    depth: int = 4
    """Number of linear layers, including the last: one more than the paper's hidden layers."""
    batch_size: int
    optimizer: str
    steps: int

    def settings(self, activation: str) -> CriticSettings:
        shared = CriticSettings(width=self.width, depth=self.depth, batch_size=self.batch_size, optimizer=self.optimizer)
        return replace(shared, activation=activation, constraint="bjorck")

    @property
    def facts(self) -> dict[str, str | int | float]:
        """The settings as the result shows them."""
        return {
            "width": self.width,
            "optimizer": self.optimizer,
            "steps": self.steps,
            "batch size": self.batch_size,
            "constraint": "bjorck",
            "truth": TRUTH,
        }

    def operations(self, dim: int) -> float:
        """Operations of one training on samples of dimension ``dim``."""
        muon, batch = self.optimizer == "muon", 2 * self.batch_size
        return critic_operations(dim=dim, width=self.width, depth=self.depth, batch=batch, steps=self.steps, muon=muon)


@dataclass(frozen=True, kw_only=True)
class BothSizes:
    """Sizes of the full and of the quick form."""

    full: Sizes
    quick: Sizes

    def sizes(self, quick: bool) -> Sizes:
        return self.quick if quick else self.full

    @property
    def reduced(self) -> tuple[str, ...]:
        """Reductions of the quick form, a clause each."""
        quick, full = self.quick, self.full
        by, instead = (" of Muon", " of AggMo") if quick.optimizer != full.optimizer else ("", "")
        clauses = {
            f"width {quick.width} instead of {full.width}": quick.width < full.width,
            f"{quick.steps} steps{by} instead of {full.steps}{instead}": quick.steps < full.steps,
            f"batch size {quick.batch_size} instead of {full.batch_size}": quick.batch_size < full.batch_size,
        }
        return tuple(clause for clause, smaller in clauses.items() if smaller)


SIZES = {
    "figure4": BothSizes(
        full=Sizes(width=128, batch_size=256, optimizer="aggmo", steps=3000),
        quick=Sizes(width=128, batch_size=256, optimizer="aggmo", steps=400),
    ),
    "figure5": BothSizes(
        full=Sizes(width=312, batch_size=512, optimizer="aggmo", steps=2000),
        quick=Sizes(width=128, batch_size=256, optimizer="muon", steps=500),
    ),
    "table1": BothSizes(
        full=Sizes(width=512, batch_size=512, optimizer="muon", steps=600),
        quick=Sizes(width=320, batch_size=256, optimizer="muon", steps=150),
    ),
}
"""Sizes by table or figure; depths, and the full widths of both figures, are the paper's."""


def trained(
    critics: Mapping[Key, CriticSettings],
    conditions: Conditions,
    *,
    steps: int,
    label: Callable[[Key], str],
    pair: Callable[[Key], KnownPair],
) -> Iterator[tuple[Key, CriticResult]]:
    """Trains and certifies critics, one after another; their population estimate is the held-out dual value over the certificate.

    Raises:
        KeyboardInterrupt: the user interrupted a training.
    """
    progress = SuiteProgress(conditions, runs=len(critics))
    for key, settings in critics.items():
        sides, shared = pair(key), {"settings": settings, "couplings": False, "seed": conditions.seed}
        yield key, progress.estimate(label(key), sides.a, sides.b, steps=steps, truth=sides.w1, **shared).critic


def _by_activation(
    activations: tuple[str, ...], pair: KnownPair, sizes: Sizes, conditions: Conditions, found: dict[str, CriticResult]
) -> Iterator[ReproducedNumber]:
    """Trains a critic with each activation, and adds it to ``found``."""
    critics = {activation: sizes.settings(activation) for activation in activations}
    for activation, result in trained(critics, conditions, steps=sizes.steps, label=TITLES.__getitem__, pair=lambda _: pair):
        found[activation] = result
        yield ReproducedNumber(row=TITLES[activation], column="objective value", ours=result.population.estimate)


def _listed(values: Mapping[str, float], activations: Iterable[str]) -> str:
    return ", ".join(f"{TITLES[activation]} {values[activation]:.3f}" for activation in activations)


def _truth_check(what: str, values: Iterable[float]) -> ClaimCheck:
    largest = max(values)
    return ClaimCheck(claim=f"No {what} exceeds the truth, 1.", holds=largest <= TRUTH, detail=f"the largest is {largest:.6f}")


NOT_PRESERVING, PRESERVING = ("relu", "tanh", "maxout:2"), ("abs", "maxmin", "full-sort")
"""Activations of figure 4 that do not preserve gradient norm, and those that do."""
_APPROXIMATES = 0.99
_POINTS = 401


def _figure4(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    sizes, found = SIZES["figure4"].sizes(conditions.quick), dict[str, CriticResult]()
    yield from _by_activation((*NOT_PRESERVING, *PRESERVING), absolute_value(), sizes, conditions, found)
    values = {activation: result.population.estimate for activation, result in found.items()}
    target = Series(name="|x|", x=(-1.5, 0.0, 1.5), y=(1.5, 0.0, 1.5), reference=True)
    yield Conclusion(
        settings={"hidden layers": sizes.depth - 1, **sizes.facts},
        checks=(
            ClaimCheck(
                claim="Activations that do not preserve gradient norm cannot approximate the absolute value.",
                holds=all(values[activation] < _APPROXIMATES for activation in NOT_PRESERVING),
                detail=_listed(values, NOT_PRESERVING),
            ),
            ClaimCheck(
                claim="Activations that preserve it can.",
                holds=all(values[activation] >= _APPROXIMATES for activation in PRESERVING),
                detail=_listed(values, PRESERVING),
            ),
            _truth_check("certified value", values.values()),
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
        remarks=_OBJECTIVES,
    )


def _curve(result: CriticResult) -> Series:
    """The critic on the line, divided by its certificate and shifted to 0 at 0."""
    x = torch.linspace(-1.5, 1.5, _POINTS, dtype=torch.float64)
    values = _potentials(result, x[:, None])
    values = values - values[_POINTS // 2]
    return Series(name="critic", x=tuple(x.tolist()), y=tuple(values.tolist()))


PEAKS = ((-2.0, 0.0), (0.0, 0.0), (2.0, 0.0))
_WORST, _BEST = ("relu", "maxout:2"), ("maxmin", "full-sort")
_TOUCHES = 0.9  # a peak is touched if it is this high above the mean of the circle around it; at the optimum it is 1
_ROWS, _CIRCLE = 51, 360


def _figure5(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    sizes, found = SIZES["figure5"].sizes(conditions.quick), dict[str, CriticResult]()
    yield from _by_activation((*_WORST, *_BEST), cones(3), sizes, conditions, found)
    values = {activation: result.population.estimate for activation, result in found.items()}
    peaks = {activation: _heights(result) for activation, result in found.items()}
    for activation in _BEST:
        for (x, y), height in zip(PEAKS, peaks[activation], strict=True):
            yield ReproducedNumber(row=TITLES[activation], column=f"height of the peak at ({x:g}, {y:g})", ours=height, paper=TRUTH)
    best = max(_BEST, key=lambda activation: values[activation])
    yield Conclusion(
        settings={"hidden layers": sizes.depth - 1, **sizes.facts},
        checks=(
            ClaimCheck(
                claim="Networks that do not preserve gradient norm distort the shape of the function.",
                holds=max(values[activation] for activation in _WORST) < min(values[activation] for activation in _BEST),
                detail=_listed(values, values),
            ),
            ClaimCheck(
                claim="The optimal dual function consists of three cones, and the best critic touches all three peaks.",
                holds=min(peaks[best]) >= _TOUCHES,
                detail=f"{TITLES[best]}: heights {', '.join(f'{height:.3f}' for height in peaks[best])}; the optimum has 1",
            ),
            _truth_check("lower confidence bound", (result.population.lower for result in found.values())),
        ),
        panels=tuple(_surface(result, activation, values[activation]) for activation, result in found.items()),
        remarks=_OBJECTIVES,
    )


def _potentials(result: CriticResult, points: torch.Tensor) -> torch.Tensor:
    return result.frozen.potentials(points) / result.lipschitz_bound


def _heights(result: CriticResult) -> tuple[float, ...]:
    """Height of each of the three peaks above the mean of the unit circle around it; 1 for the optimal potential."""
    angle = 2 * torch.pi * torch.arange(_CIRCLE, dtype=torch.float64) / _CIRCLE
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    centres = torch.tensor(PEAKS, dtype=torch.float64)
    return tuple(
        float(_potentials(result, centre[None]).mean() - _potentials(result, centre + circle).mean()) for centre in centres
    )


def _surface(result: CriticResult, activation: str, value: float) -> Surface:
    x, y = np.linspace(-3.4, 3.4, 2 * _ROWS - 1), np.linspace(-1.7, 1.7, _ROWS)
    grid = torch.from_numpy(np.stack([side.ravel() for side in np.meshgrid(x, y)], axis=1))
    z = _potentials(result, grid).reshape(len(y), len(x)).numpy()
    return Surface(title=f"{TITLES[activation]}: {value:.3f}", x=x, y=y, z=z - z.min(), peaks=PEAKS, main=activation in _BEST)


DIMENSIONS, QUICK_DIMENSIONS = (128, 256, 512), (128, 256)
DEPTHS = (3, 7)
"""Numbers of hidden layers, counted as in the paper's other experiments on cones (appendices B.2 and H.1: "3 hidden layers")."""
VALUES = {
    "relu": {(128, 3): 0.51, (128, 7): 0.60, (256, 3): 0.50, (256, 7): 0.53, (512, 3): 0.46, (512, 7): 0.49},
    "maxout:2": {(128, 3): 0.66, (128, 7): 0.71, (256, 3): 0.60, (256, 7): 0.66, (512, 3): 0.52, (512, 7): 0.56},
    "maxmin": {(128, 3): 0.87, (128, 7): 0.95, (256, 3): 0.83, (256, 7): 0.93, (512, 3): 0.72, (512, 7): 0.88},
    "full-sort": {(128, 3): 1.00, (128, 7): 1.00, (256, 3): 1.00, (256, 7): 1.00, (512, 3): 1.00, (512, 7): 1.00},
}
"""Table 1: activation -> (dimension, depth) -> dual value; the truth is 1."""
_ROUNDING = 0.005  # rounding of the paper's two decimals
_NOISE = 0.01  # smallest difference of two trainings that counts

Cell: TypeAlias = tuple[str, int, int]
"""Activation, dimension, depth."""


def _cells(quick: bool) -> dict[Cell, Sizes]:
    sizes, dimensions = SIZES["table1"].sizes(quick), QUICK_DIMENSIONS if quick else DIMENSIONS
    columns = [(dim, depth) for dim in dimensions for depth in DEPTHS]
    return {(activation, dim, depth): replace(sizes, depth=depth + 1) for activation in VALUES for dim, depth in columns}


def _column(dim: int, depth: int) -> str:
    return f"dimension {dim}, depth {depth}"


def _table1(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    sizes, found = SIZES["table1"].sizes(conditions.quick), dict[Cell, float]()
    critics = {cell: each.settings(cell[0]) for cell, each in _cells(conditions.quick).items()}
    for (activation, dim, depth), result in trained(
        critics,
        conditions,
        steps=sizes.steps,
        label=lambda cell: f"{TITLES[cell[0]]}, {_column(*cell[1:])}",
        pair=lambda cell: sphere(cell[1]),
    ):
        value = found[activation, dim, depth] = result.population.estimate
        paper = VALUES[activation][dim, depth]
        yield ReproducedNumber(row=TITLES[activation], column=_column(dim, depth), ours=value, paper=paper)
    columns = list(dict.fromkeys((dim, depth) for _, dim, depth in found))
    draw = partial(series_of, found, x=lambda cell: columns.index(cell[1:]))
    yield Conclusion(
        settings=sizes.facts,
        checks=tuple(_checks(found, columns)),
        panels=(
            Panel(
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
            ),
        ),
        remarks=(
            "The paper used AggMo and does not state width, steps or batch size of this table; ours are below. Depth counts the "
            "hidden layers.",
            "Ours are held-out values of frozen critics divided by their certificates.",
        ),
    )


def _checks(found: dict[Cell, float], columns: list[tuple[int, int]]) -> Iterator[ClaimCheck]:
    disordered = [
        f"{TITLES[worse]} above {TITLES[better]} at {_column(*column)}"
        for column in columns
        for worse, better in pairwise(VALUES)
        if found[worse, *column] > found[better, *column] + _NOISE
    ]
    yield ClaimCheck(
        claim="The order of the activations: ReLU, Maxout, MaxMin, FullSort.",
        holds=not disordered,
        detail="; ".join(disordered) or "the same in every column",
    )
    for activation in ("maxmin", "full-sort"):
        missed = [column for column in columns if found[activation, *column] < VALUES[activation][column] - _ROUNDING]
        yield ClaimCheck(
            claim=f"{TITLES[activation]} reaches the paper's values.",
            holds=not missed,
            detail="not at " + "; ".join(_column(*column) for column in missed) if missed else "in every column",
        )
    yield _truth_check("certified value", found.values())


def _figure(number: int, title: str, measure: Callable[[Conditions], Iterator[object]], *, critics: int, dim: int) -> Study:
    name = f"figure{number}"
    forms = SIZES[name]
    return Study(
        name=name,
        title=title,
        source=f"figure {number}, section 7.1.1, appendix H.1",
        measure=measure,
        operations=lambda quick: critics * forms.sizes(quick).operations(dim),
        reduced=forms.reduced,
    )


FIGURE4 = _figure(4, "Approximating the absolute value", _figure4, critics=len(NOT_PRESERVING + PRESERVING), dim=1)
FIGURE5 = _figure(5, "Approximating three circular cones", _figure5, critics=len(_WORST + _BEST), dim=2)
TABLE1 = Study(
    name="table1",
    title="Effect of problem dimensionality",
    source="table 1, section 7.1.1, appendix H.1",
    measure=_table1,
    operations=lambda quick: sum(sizes.operations(dim) for (_, dim, _), sizes in _cells(quick).items()),
    reduced=(f"dimensions {' and '.join(map(str, QUICK_DIMENSIONS))} only", *SIZES["table1"].reduced),
)
