"""How often each end of the interval for the populations is on the wrong side, against the level that it states.

Sample sets are drawn again and again from pairs of known W1. A lower end is computed from the values of a critic that was there
before them, an upper end from transport between blocks of them, each by every method that applies, alone and at the whole error.
A bound that holds at every sample size may be wrong as often as it says and no oftener, up to the noise of counting; an asymptotic
one may exceed that where samples are few, or tails heavy, and how much is shown.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.bounds.confidence import METHODS, lower_confidence_bound
from wdist.critics.frozen import FrozenCritic
from wdist.data.rows import ResidentRows
from wdist.data.sources.arrays import open_values
from wdist.data.standardisation import Standardisation
from wdist.estimation.population_upper import population_upper_bound
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer
from wdist.studies.bench.bench import Bench, BenchTable, Column, Conclusion, Conditions, Panel, Series, most_by_chance
from wdist.studies.claim_check import Finding
from wdist.training.observer import Stage
from wdist.transport.coupling import Effort

# MERGED bench.coverage_pairs: Pairs whose W1 is known in closed form, with a critic that was there before any sample: what confidence bounds are tried on.
#
# - A translation moves every point by the same vector, and no coupling beats its length (Jensen's inequality).
# - On the line W1 is the difference of the means where one side is never below the other (in the usual stochastic order).
# - A contraction towards a point moves along rays, on which the distance from that point is an optimal potential.

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
"""From a generator and (runs, n) to float64 samples of shape (runs, n, dim)."""


@dataclass(frozen=True, kw_only=True)
class CoveragePair:
    """Two distributions, W1 between them, and an optimal critic."""

    name: str
    a: Draw
    b: Draw
    dim: int
    w1: float
    layers: tuple[FrozenLayer, ...]
    """Of the critic, on samples as they are."""
    diameter: float | None = None
    """Of the union of both supports; None where it is not bounded, or taken as unknown."""
    extremes: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest value of the critic on the support, where that is bounded."""

    @property
    def critic(self) -> FrozenCritic:
        """The critic, which no sample has had a part in."""
        return FrozenCritic(self.layers, Standardisation(shift=torch.zeros(self.dim, dtype=torch.float64), spread=1.0))


def _first_coordinate(dim: int) -> tuple[FrozenLayer, ...]:
    return (Affine(weight=torch.eye(1, dim, dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64)),)


def _from_origin(dim: int) -> tuple[FrozenLayer, ...]:
    return (Cones(centres=torch.zeros(1, dim, dtype=torch.float64), offsets=torch.zeros(1, dtype=torch.float64)),)


def _shifted(draw: Draw, dim: int) -> Draw:
    return lambda random, counts: draw(random, counts) + np.eye(1, dim)[0]


def _translation(name: str, draw: Draw, dim: int) -> CoveragePair:
    return CoveragePair(name=name, a=_shifted(draw, dim), b=draw, dim=dim, w1=1.0, layers=_first_coordinate(dim))


def _normal(dim: int) -> Draw:
    return lambda random, counts: random.standard_normal((*counts, dim))


_PARETO = 2.2
"""Index: the variance is finite, the third moment is not."""


def _pareto(scale: float) -> Draw:
    return lambda random, counts: scale * (1 + random.pareto(_PARETO, (*counts, 1)))


_RARE = 0.05


def _rare(random: np.random.Generator, counts: tuple[int, int]) -> np.ndarray:
    return (random.random((*counts, 1)) < _RARE).astype(np.float64)


_MEAN_RADIUS = (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 3
"""Mean distance of the unit square's points from one of its corners."""

PAIRS = (
    _translation("normal, shifted, 10 dimensions", _normal(10), 10),
    CoveragePair(
        name="the same normal twice, 3 dimensions", a=_normal(3), b=_normal(3), dim=3, w1=0.0, layers=_first_coordinate(3)
    ),
    _translation("Student's t with 3 degrees, shifted, 2 dimensions", lambda random, n: random.standard_t(3, (*n, 2)), 2),
    CoveragePair(
        name="Pareto of index 2.2, twice as far out",
        a=_pareto(2.0),
        b=_pareto(1.0),
        dim=1,
        w1=_PARETO / (_PARETO - 1),
        layers=_first_coordinate(1),
    ),
    CoveragePair(
        name="1 against 0, or 1 in one of twenty",
        a=lambda random, counts: np.ones((*counts, 1)),
        b=_rare,
        dim=1,
        w1=1 - _RARE,
        layers=_first_coordinate(1),
        diameter=1.0,
        extremes=(0.0, 1.0),
    ),
    CoveragePair(
        name="uniform numbers and their squares",
        a=lambda random, counts: random.random((*counts, 1)),
        b=lambda random, counts: random.random((*counts, 1)) ** 2,
        dim=1,
        w1=1 / 6,
        layers=_first_coordinate(1),
        diameter=1.0,
        extremes=(0.0, 1.0),
    ),
    CoveragePair(
        name="the unit square and its half",
        a=lambda random, counts: random.random((*counts, 2)),
        b=lambda random, counts: random.random((*counts, 2)) / 2,
        dim=2,
        w1=_MEAN_RADIUS / 2,
        layers=_from_origin(2),
        diameter=math.sqrt(2),
        extremes=(0.0, math.sqrt(2)),
    ),
)

SIZES = (10, 30, 100, 300)
"""Samples of each side."""
LEVEL = 0.95
_RUNS, _QUICK_RUNS, _QUICK_SIZES = 1000, 200, (10, 100)
_ASYMPTOTIC = ("welch", "Student's t over blocks")
_BOUNDED_UPPER = "McDiarmid or betting"
_EFFORT = Effort(seconds=60.0, nbytes=1 << 30)


@dataclass(frozen=True, kw_only=True)
class CoverageRow:
    """One end by one method, on one pair, from so many samples."""

    pair: str
    samples: int
    """Of each side."""
    end: str
    """``lower`` or ``upper``."""
    method: str
    asymptotic: bool
    """It promises its level only as samples become many."""
    runs: int
    wrong: int
    """Runs in which the end is on the wrong side of the truth."""
    w1: float
    mean: float
    """Of the bounds."""

    @property
    def share_wrong(self) -> float:
        return self.wrong / self.runs

    @property
    def noise(self) -> float:
        """Two standard deviations of the share, if the true one were as stated."""
        return 2 * (LEVEL * (1 - LEVEL) / self.runs) ** 0.5

    @property
    def holds(self) -> bool:
        """No oftener wrong than a bound that is wrong as often as it says is by chance, but for one time in a thousand."""
        return self.wrong <= most_by_chance(self.runs, 1 - LEVEL)

    @property
    def share_of_truth(self) -> float | None:
        """Mean bound over W1; None where that is 0."""
        return self.mean / self.w1 if self.w1 else None


def _measure(conditions: Conditions) -> Iterator[CoverageRow]:
    sizes, runs = (_QUICK_SIZES, _QUICK_RUNS) if conditions.quick else (SIZES, _RUNS)
    for pair in PAIRS:
        if not conditions.wanted(pair.name):
            continue
        for n in sizes:
            conditions.observer.notify(Stage(what=f"{runs * len(conditions.seeds)} times {n} samples of each side: {pair.name}"))
            yield from rows_of(pair, n, runs=runs, seeds=conditions.seeds)


def rows_of(pair: CoveragePair, n: int, *, runs: int, seeds: Sequence[int] = (0,)) -> Iterator[CoverageRow]:
    """All ends by all methods that apply to a pair.

    Arguments:
        pair: of known W1.
        n: samples of each side.
        runs: how often they are drawn with each seed.
        seeds: of the draws.
    """
    draws = [np.random.default_rng([seed, n]) for seed in seeds]
    sides = [np.concatenate([draw(random, (runs, n)) for random in draws]) for draw in (pair.a, pair.b)]
    for method, bound in _lower_methods(pair).items():
        potentials = [_potentials(pair, side) for side in sides]
        bounds = [max(0.0, bound(a, b)) for a, b in zip(*potentials, strict=True)]
        yield _row(pair, n, "lower", method, np.array(bounds))
    for method, diameter in _upper_methods(pair).items():
        found = [_upper(a, b, diameter, seed=run) for run, (a, b) in enumerate(zip(*sides, strict=True))]
        if all(each is not None for each in found):
            yield _row(pair, n, "upper", method, np.array(found))


def _row(pair: CoveragePair, n: int, end: str, method: str, bounds: np.ndarray) -> CoverageRow:
    # Bounds that meet the truth exactly are rounded to either side of it.
    excess = (bounds - pair.w1) * (1 if end == "lower" else -1)
    return CoverageRow(
        pair=pair.name,
        samples=n,
        end=end,
        method=method,
        asymptotic=method in _ASYMPTOTIC,
        runs=len(bounds),
        wrong=int((excess > 1e-12).sum()),
        w1=pair.w1,
        mean=float(bounds.mean()),
    )


def _lower_methods(pair: CoveragePair) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """By name, from the potentials of each side to the bound."""
    known = None if pair.diameter is None else pair.extremes[1] - pair.extremes[0]
    return {
        method: partial(lower_confidence_bound, alpha=1 - LEVEL, method=method, ranges=(known, known), apart=known)
        for method in METHODS
        if method == "welch" or known is not None
    }


def _potentials(pair: CoveragePair, samples: np.ndarray) -> np.ndarray:
    """Of each run, shape (runs, n), over the critic's certificate."""
    runs, n, dim = samples.shape
    values = pair.critic.evaluate(torch.from_numpy(samples.reshape(runs * n, dim))).values
    return values.reshape(runs, n) / certify(pair.critic).lipschitz_bound


def _upper_methods(pair: CoveragePair) -> dict[str, float | None]:
    """By name, the diameter that the bound is told of."""
    methods: dict[str, float | None] = {"Student's t over blocks": None}
    return methods if pair.diameter is None else {**methods, _BOUNDED_UPPER: pair.diameter}


def _upper(a: np.ndarray, b: np.ndarray, diameter: float | None, *, seed: int) -> float | None:
    bound = population_upper_bound(
        _rows(a), _rows(b), prepare=_as_it_is, alpha=1 - LEVEL, diameter=diameter, effort=_EFFORT, seed=seed
    )
    return None if bound is None else bound.value


def _rows(samples: np.ndarray) -> ResidentRows:
    source = open_values(samples)
    return ResidentRows(values=source.read(slice(0, source.count)), info=source.info)


def _as_it_is(x: Tensor) -> Tensor:
    return x


def conclude(rows: Sequence[CoverageRow]) -> Conclusion:
    """Whether every bound keeps to what it states, and by how much the asymptotic ones do not."""
    finite, asymptotic = ([row for row in rows if row.asymptotic == kind] for kind in (False, True))
    findings = []
    if finite:
        worst = max(finite, key=lambda row: row.share_wrong)
        findings.append(
            Finding(
                claim="Bounds that hold at every sample size are wrong no oftener than they say.",
                holds=all(row.holds for row in finite),
                detail=f"at most {worst.share_wrong:.1%} of {worst.runs} runs against {1 - LEVEL:.0%}: {worst.method}, "
                f"{worst.samples} samples, {worst.pair}",
            )
        )
    if asymptotic:
        worst = max(asymptotic, key=lambda row: row.share_wrong)
        above = [row for row in asymptotic if not row.holds]
        findings.append(
            Finding(
                claim="Asymptotic bounds are wrong no oftener than they say, where samples are many and tails light.",
                holds=not any(row.samples >= max(SIZES) and "normal" in row.pair for row in above),
                detail=f"{len(above)} of {len(asymptotic)} cases exceed it; most of all {worst.share_wrong:.1%} of runs: "
                f"{worst.method}, {worst.samples} samples, {worst.pair}",
            )
        )
    noise = max((row.noise for row in rows), default=0.0)
    return Conclusion(
        findings=tuple(findings),
        panels=tuple(_panel(end, [row for row in rows if row.end == end]) for end in ("lower", "upper")) if rows else (),
        remarks=(
            f"Each bound is stated at {LEVEL:.0%}; of a share that is wrong, {noise:.1%} is two standard deviations of chance.",
        ),
    )


def _panel(end: str, rows: list[CoverageRow]) -> Panel:
    """For each method, on each pair, the share of runs that are wrong."""
    return Panel(
        title=f"{end} ends",
        x_label="samples of each side",
        y_label="wrong, share of runs",
        log_x=True,
        level=1 - LEVEL,
        bottom=0.0,
        series=tuple(
            Series(
                name=f"{method}, {pair}",
                x=tuple(float(row.samples) for row in rows if (row.method, row.pair) == (method, pair)),
                y=tuple(row.share_wrong for row in rows if (row.method, row.pair) == (method, pair)),
                line=True,
                reference=method in _ASYMPTOTIC,
            )
            for method, pair in dict.fromkeys((row.method, row.pair) for row in rows)
        ),
    )


BENCH = Bench(
    name="coverage",
    title="How often bounds for the populations are wrong",
    measure=_measure,
    tables=(
        BenchTable(
            title=f"wrong, at a stated {1 - LEVEL:.0%}",
            of=CoverageRow,
            columns=(
                Column(header="pair", cell=lambda row: row.pair, kind="text"),
                Column(header="samples\na side", cell=lambda row: row.samples, kind="count"),
                Column(header="end", cell=lambda row: row.end, kind="text"),
                Column(header="method", cell=lambda row: row.method, kind="text"),
                Column(header="wrong", cell=lambda row: row.share_wrong, kind="share"),
                Column(header="as it\nsays", cell=lambda row: row.holds, kind="yes or no"),
                Column(header="mean over\nthe truth", cell=lambda row: row.share_of_truth),
            ),
        ),
    ),
    conclude=conclude,
    seeds=1,
    reduced=(f"{_QUICK_RUNS} runs instead of {_RUNS}", f"{len(_QUICK_SIZES)} of {len(SIZES)} sample sizes"),
)
