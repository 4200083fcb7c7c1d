"""Coverage: how often each population bound is wrong, against its stated confidence.

Sample sets are drawn again and again from pairs of known W1. Lower bounds come from the values of a critic that does not depend on
the samples or, over folds, from critics chosen on the other folds; upper bounds come from transport between blocks. Each method is
measured alone, with the whole error, wherever it applies. A bound that holds at every sample size may be wrong as often as it
states, up to counting noise; an asymptotic one may be wrong more often if samples are few or tails heavy, and the study shows how
often.

W1 is known in closed form. A translation moves every point by the same vector, and no coupling is cheaper (Jensen's inequality). On
the line, W1 is the difference of the means if one side is stochastically larger than the other. A contraction towards a point moves
along rays, on which the distance from that point is an optimal potential.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from wdist.bounds.certificate import certify
from wdist.bounds.confidence import METHODS, lower_confidence_bound
from wdist.critics.frozen import FrozenCritic
from wdist.data.measure import LEAST_IN_FOLD, fold_rows
from wdist.data.rows import ResidentRows
from wdist.data.sources.arrays import open_values
from wdist.data.standardisation import Standardisation
from wdist.estimation.evaluation import ErrorBudget, lower_over_folds
from wdist.estimation.population_upper import population_upper_bound
from wdist.estimation.result import CROSS_FITTED, HeldOut
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer
from wdist.studies.error_rate import CountsErrors
from wdist.studies.panels import Panel, series_of
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Study, StudyTable, percent
from wdist.transport.coupling import Effort, Sides
from wdist.transport.samples import upper_bound

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
"""Maps a generator and (runs, n) to float64 samples of shape (runs, n, dim)."""


@dataclass(frozen=True, kw_only=True)
class CoveragePair:
    """Two distributions, W1 between them, and an optimal critic that does not depend on samples."""

    name: str
    a: Draw
    b: Draw
    dim: int
    w1: float
    layers: tuple[FrozenLayer, ...]
    """Layers of the critic, on unstandardised samples."""
    diameter: float | None = None
    """Diameter of the union of both supports, which the critic maps to [0, diameter]; None if it is unbounded."""
    sizes: tuple[tuple[int, int], ...]
    """Numbers of samples of A and of B."""

    @property
    def critic(self) -> FrozenCritic:
        return FrozenCritic(self.layers, Standardisation(shift=torch.zeros(self.dim, dtype=torch.float64), spread=1.0))


def _normal(dim: int) -> Draw:
    return lambda random, counts: random.standard_normal((*counts, dim))


def _pareto(scale: float) -> Draw:
    return lambda random, counts: scale * (1 + random.pareto(_PARETO, (*counts, 1)))


def _rare(share: float, value: float = 1.0) -> Draw:
    return lambda random, counts: value * (random.random((*counts, 1)) < share)


def _rare_in_the_plane(random: np.random.Generator, counts: tuple[int, int]) -> np.ndarray:
    """Samples that are normal in the first coordinate; in the second 0, or 1000 in one of fifty samples."""
    return np.stack([random.standard_normal(counts), 1000.0 * (random.random(counts) < 0.02)], axis=-1)


def _whole_numbers(largest: int) -> Draw:
    return lambda random, counts: random.integers(largest + 1, size=(*counts, 1)).astype(np.float64)


def _uniform(dim: int, change: Callable[[np.ndarray], np.ndarray] = lambda x: x) -> Draw:
    return lambda random, counts: change(random.random((*counts, dim)))


SIZES = ((10, 10), (30, 30), (100, 100), (300, 300))
"""Samples of A and of B."""
UNEQUAL_SIZES = ((10, 10), (10, 300), (300, 10), (30, 30), (100, 100), (3000, 100), (3000, 3000))


def _pair(
    name: str,
    a: Draw,
    b: Draw,
    w1: float,
    *,
    dim: int = 1,
    diameter: float | None = None,
    radial: bool = False,
    sizes: tuple[tuple[int, int], ...] = SIZES,
) -> CoveragePair:
    """A pair whose optimal critic is the first coordinate or the distance from the origin, with the diameter as its range."""
    origin, zero = torch.zeros(1, dim, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    layer = Cones(centres=origin, offsets=zero) if radial else Affine(weight=torch.eye(1, dim, dtype=torch.float64), bias=zero)
    return CoveragePair(name=name, a=a, b=b, dim=dim, w1=w1, layers=(layer,), diameter=diameter, sizes=sizes)


def _translation(name: str, draw: Draw, dim: int, *, shift: float = 1.0, **others: Any) -> CoveragePair:
    return _pair(name, lambda random, counts: draw(random, counts) + shift * np.eye(1, dim)[0], draw, shift, dim=dim, **others)


_PARETO = 2.2  # index: the variance is finite, the third moment is not
_RARE = 0.05
_MEAN_RADIUS = (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 3
"""Mean distance of the unit square's points from one of its corners."""

PAIRS = (
    _translation("normal, shifted, 10 dimensions", _normal(10), 10),
    _pair("the same normal twice, 3 dimensions", _normal(3), _normal(3), 0.0, dim=3),
    _translation("Student's t with 3 degrees, shifted, 2 dimensions", lambda random, counts: random.standard_t(3, (*counts, 2)), 2),
    _pair("Pareto of index 2.2, twice as far out", _pareto(2.0), _pareto(1.0), _PARETO / (_PARETO - 1)),
    _pair(
        "1 against 0, or 1 in one of twenty", lambda random, counts: np.ones((*counts, 1)), _rare(_RARE), 1 - _RARE, diameter=1.0
    ),
    _pair("uniform numbers and their squares", _uniform(1), _uniform(1, np.square), 1 / 6, diameter=1.0),
    _pair(
        "the unit square and its half",
        _uniform(2),
        _uniform(2, lambda x: x / 2),
        _MEAN_RADIUS / 2,
        dim=2,
        diameter=math.sqrt(2),
        radial=True,
    ),
    _translation("normal, shifted by 30, plane", _normal(2), 2, shift=30.0),
    _translation("0, or 1000 in one of fifty, plane, shifted", _rare_in_the_plane, 2, shift=30.0),
    _translation("normal, shifted by 1000", _normal(1), 1, shift=1000.0, sizes=UNEQUAL_SIZES),
    _translation(
        "normal, rounded to whole numbers, shifted",
        lambda random, counts: np.round(random.standard_normal((*counts, 1))),
        1,
        sizes=UNEQUAL_SIZES,
    ),
    _translation("0, or 1000 in one of fifty, shifted", _rare(0.02, 1000.0), 1, sizes=UNEQUAL_SIZES),
    _translation("whole numbers to 200, shifted by 40", _whole_numbers(200), 1, shift=40.0, diameter=240.0, sizes=UNEQUAL_SIZES),
    _pair("whole numbers to 3, twice", _whole_numbers(3), _whole_numbers(3), 0.0, diameter=3.0, sizes=UNEQUAL_SIZES),
    _pair("0, or 1 in one of a thousand, against 0", _rare(0.001), _rare(0.0), 0.001, diameter=1.0, sizes=UNEQUAL_SIZES),
)

LEVEL = 0.95
_RUNS, _QUICK_RUNS = 1000, 200
_QUICK_SIZES = ((10, 10), (10, 300), (100, 100))
_MANY = 300
"""Samples a side from which on asymptotic bounds should keep their level if tails are light."""
_BLOCKS, _DUAL = "Student's t over blocks", "spread of dual variables"
_ASYMPTOTIC = ("welch", CROSS_FITTED, _BLOCKS, _DUAL)
_FOLDS = 5
_BOUNDED_UPPER = "McDiarmid or betting"
_EFFORT = Effort(seconds=60.0, nbytes=1 << 30)


@dataclass(frozen=True, kw_only=True)
class CoverageRow(CountsErrors):
    """One bound by one method, on one pair, at one sample size."""

    stated = 1 - LEVEL
    pair: str
    samples: int
    """Samples of A; those of B have their own count."""
    samples_b: int
    end: str
    """``lower`` or ``upper``."""
    method: str
    asymptotic: bool
    """Whether the level holds only in the limit of many samples."""
    runs: int
    wrong: int
    """Runs in which the bound is on the wrong side of the truth."""
    w1: float
    mean: float
    """Mean bound, where one is stated; a bound that is withheld is not wrong."""

    @property
    def noise(self) -> float:
        """Two standard deviations of the share of wrong runs, for a bound that is wrong as often as it states."""
        return 2 * (LEVEL * (1 - LEVEL) / self.runs) ** 0.5

    @property
    def share_of_truth(self) -> float | None:
        """Mean bound over W1; None if W1 is 0."""
        return self.mean / self.w1 if self.w1 else None


def _measure(conditions: Conditions) -> Iterator[CoverageRow]:
    runs = conditions.trials or _RUNS
    for pair in PAIRS:
        if not conditions.wanted(pair.name):
            continue
        for sizes in pair.sizes:
            if conditions.quick and sizes not in _QUICK_SIZES:
                continue
            what = f"{runs * len(conditions.seeds)} draws of {sizes[0]} and {sizes[1]} samples: {pair.name}"
            measured = partial(rows_of, pair, sizes, runs=runs, seeds=conditions.seeds)
            yield from conditions.rows(f"{pair.name} {sizes[0]} {sizes[1]}", measured, what=what)


def rows_of(pair: CoveragePair, sizes: tuple[int, int], *, runs: int, seeds: Sequence[int] = (0,)) -> Iterator[CoverageRow]:
    """Both bounds by all methods that apply to a pair, from these numbers of samples of A and of B."""
    draws = [np.random.default_rng([seed, sizes[0]]) for seed in seeds]
    sides = [np.concatenate([draw(random, (runs, n)) for random in draws]) for draw, n in zip((pair.a, pair.b), sizes, strict=True)]
    for method, bound in _lower_methods(pair).items():
        potentials = [_potentials(pair, side) for side in sides]
        bounds = [max(0.0, bound(a, b)) for a, b in zip(*potentials, strict=True)]
        yield _row(pair, sizes, "lower", method, np.array(bounds))
    if min(sizes) >= _FOLDS * LEAST_IN_FOLD:
        yield _row(pair, sizes, "lower", CROSS_FITTED, np.array([_over_folds(a, b) for a, b in zip(*sides, strict=True)]))
    for method in _upper_methods(pair):
        found = [_upper(a, b, pair, method, seed=run) for run, (a, b) in enumerate(zip(*sides, strict=True))]
        if any(math.isfinite(each) for each in found):
            yield _row(pair, sizes, "upper", method, np.array(found))


def _row(pair: CoveragePair, sizes: tuple[int, int], end: str, method: str, bounds: np.ndarray) -> CoverageRow:
    # Bounds that equal the truth are rounded to either side of it.
    excess = (bounds - pair.w1) * (1 if end == "lower" else -1)
    return CoverageRow(
        pair=pair.name,
        samples=sizes[0],
        samples_b=sizes[1],
        end=end,
        method=method,
        asymptotic=method in _ASYMPTOTIC,
        runs=len(bounds),
        wrong=int((excess > 1e-12 * max(1.0, pair.w1)).sum()),
        w1=pair.w1,
        mean=float(bounds[np.isfinite(bounds)].mean()),
    )


def _lower_methods(pair: CoveragePair) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Method -> function from the potentials of each side to the bound."""
    known = pair.diameter
    return {
        method: partial(lower_confidence_bound, alpha=1 - LEVEL, method=method, ranges=(known, known), apart=known)
        for method in METHODS
        if method == "welch" or known is not None
    }


def _potentials(pair: CoveragePair, samples: np.ndarray) -> np.ndarray:
    """Potentials over the critic's certificate, shape (runs, n)."""
    runs, n, dim = samples.shape
    values = pair.critic.evaluate(torch.from_numpy(samples.reshape(runs * n, dim))).values
    return values.reshape(runs, n) / certify(pair.critic).lipschitz_bound


def _over_folds(a: np.ndarray, b: np.ndarray) -> float:
    """The lower bound over folds, with each fold's critic chosen on the others, from samples of shapes (n, dim) and (m, dim)."""
    folds = []
    for number in range(_FOLDS):
        held_out = [fold_rows(len(side), _FOLDS, number, seed=0) for side in (a, b)]
        others = [np.delete(side, rows, axis=0) for side, rows in zip((a, b), held_out, strict=True)]
        critic = _chosen(*others)
        values = [critic(side[rows]) for side, rows in zip((a, b), held_out, strict=True)]
        folds.append(HeldOut(a=values[0], b=values[1], rounding=0.0, ranges=(None, None), apart=None))
    return lower_over_folds(folds, ErrorBudget(confidence=LEVEL, method="welch"))


def _chosen(a: np.ndarray, b: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The best of several 1-Lipschitz functions at separating these samples; the choice is unstable if all are nearly as good."""
    step, centre = a.mean(axis=0) - b.mean(axis=0), np.concatenate([a, b]).mean(axis=0)
    directions = [*np.eye(a.shape[1]), step / (np.linalg.norm(step) or 1.0)]
    functions: list[Callable[[np.ndarray], np.ndarray]] = [
        *(partial(np.dot, b=each) for each in directions),
        lambda x: np.linalg.norm(x - centre, axis=1),
    ]
    gains = [float(each(a).mean() - each(b).mean()) for each in functions]
    best = int(np.argmax(np.abs(gains)))
    return lambda x: math.copysign(1.0, gains[best]) * functions[best](x)


def _upper_methods(pair: CoveragePair) -> Iterator[str]:
    yield _BLOCKS
    if pair.dim > 1:  # on a line W1 needs no dual variables
        yield _DUAL
    if pair.diameter is not None:
        yield _BOUNDED_UPPER


def _upper(a: np.ndarray, b: np.ndarray, pair: CoveragePair, method: str, *, seed: int) -> float:
    sides = Sides(a=_rows(a), b=_rows(b))
    bound = population_upper_bound(
        sides,
        alpha=1 - LEVEL,
        diameter=pair.diameter if method == _BOUNDED_UPPER else None,
        effort=_EFFORT,
        seed=seed,
        whole=upper_bound(sides, effort=_EFFORT, seed=seed) if method == _DUAL else None,
    )
    return math.inf if bound is None else bound.value


def _rows(samples: np.ndarray) -> ResidentRows:
    source = open_values(samples)
    return ResidentRows(values=source.read(slice(0, source.count)), info=source.info)


def conclude(rows: Sequence[CoverageRow]) -> Conclusion:
    """Checks whether every bound keeps its level, and shows by how much asymptotic bounds miss it."""
    noise = max(row.noise for row in rows)
    return Conclusion(
        checks=tuple(_checks(rows)),
        panels=tuple(_panel(end, rows) for end in ("lower", "upper")),
        remarks=(
            f"Each bound is stated at {percent(LEVEL, 0)}; chance makes two standard deviations of {percent(noise)} of the runs.",
        ),
    )


def _checks(rows: Sequence[CoverageRow]) -> Iterator[ClaimCheck]:
    for asymptotic in (False, True):
        if not (chosen := [row for row in rows if row.asymptotic == asymptotic]):
            continue
        worst, above = max(chosen, key=lambda row: row.share_wrong), [row for row in chosen if not row.holds]
        share, case = percent(worst.share_wrong), f"{worst.method}, {worst.samples} and {worst.samples_b} samples, {worst.pair}"
        if asymptotic:
            yield ClaimCheck(
                claim="Asymptotic bounds are wrong no more often than stated if samples are many and tails light.",
                holds=not any(min(row.samples, row.samples_b) >= _MANY and "normal" in row.pair for row in above),
                detail=f"{len(above)} of {len(chosen)} cases exceed the level, at worst {share} of runs: {case}",
            )
        else:
            yield ClaimCheck(
                claim="Bounds that hold at every sample size are wrong no more often than stated.",
                holds=not above,
                detail=f"at most {share} of {worst.runs} runs against {percent(1 - LEVEL, 0)}: {case}",
            )


def _panel(end: str, rows: Sequence[CoverageRow]) -> Panel:
    """The share of wrong runs over the sample size, for each method on each pair."""
    series = series_of(
        (row for row in rows if row.end == end and row.samples == row.samples_b),
        name=lambda row: f"{row.method}, {row.pair}",
        x="samples",
        y="share_wrong",
        reference="asymptotic",
    )
    title, y_label = f"{end} bounds", "share of wrong runs"
    return Panel(title=title, x_label="samples per side", y_label=y_label, series=series, log_x=True, level=1 - LEVEL, bottom=0.0)


STUDY = Study(
    name="coverage",
    title="How often population bounds are wrong",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    tables=(
        StudyTable(
            f"wrong bounds, stated at {percent(LEVEL, 0)}",
            CoverageRow,
            Column("pair"),
            Column("samples\nof A", "samples"),
            Column("of B", "samples_b"),
            Column("bound", "end"),
            Column("method"),
            Column("wrong", "share_wrong", "share"),
            Column("as\nstated", "holds"),
            Column("mean over\nthe truth", "share_of_truth"),
        ),
    ),
    trials=_RUNS,
    quick_trials=_QUICK_RUNS,
    reduced=(f"{_QUICK_RUNS} runs instead of {_RUNS}", "few sample sizes"),
)
