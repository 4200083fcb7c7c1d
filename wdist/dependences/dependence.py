r"""``dependence``: how far the joint distribution of some columns is from the product of their marginal distributions.

.. math:: D(X, Y) = W_1(P_{XY},\ P_X \otimes P_Y)

is 0 only if the columns x and the columns y are independent; correlation may miss dependence. Three bounds share the error equally.
The lower bound is that of an estimate between rows and recombined rows (:mod:`wdist.dependences.recombination`), which trains and
judges a critic. The upper bounds are that of transport between rows and recombined rows, all independent, and the mean distance
between two values of y, or of x, because replacing these alone turns the joint distribution into the product.

References:
    Ozair et al. (2019), Wasserstein dependency measure for representation learning, arXiv:1903.11780.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from wdist.bounds.confidence import share_upper, student_upper
from wdist.bounds.dual import evaluate
from wdist.checkpoints.checkpoint import now
from wdist.data.access import Access
from wdist.data.points import TablePoints, table_points
from wdist.data.sources.arrays import open_values
from wdist.data.sources.column import CATEGORY, Column, plain_columns
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource, SelectedColumns, Source, SourceInfo
from wdist.data.sources.tables import check_columns
from wdist.data.survey import MINIMUM_ROWS
from wdist.data.tables.joint import jointly_encoded
from wdist.dependences.detection import DetectedDependence, detect_dependence
from wdist.dependences.recombination import Recombination, disjoint_pairs, recombination
from wdist.errors import SourceError, UsageError
from wdist.estimation.estimate import run_estimate
from wdist.estimation.options import NONE, EstimateOptions
from wdist.estimation.result import Estimate, PopulationBound
from wdist.ground_metric import ground_metric
from wdist.presentable import Plottable
from wdist.training.observer import Observer, Silent, Stage
from wdist.transport.solution import transport

_MOST_COMBINATIONS, _MOST_PAIRS = 20_000, 1 << 22
"""Most combinations of distinct values of x and y, and most pairs of these with distinct rows, for transport within seconds."""
_EVALUATED = 4096
_BOUNDS = 3
"""Bounds that share the error."""
_SHOWN = 1000
BY_DISTANCE = "mean distance between two values of {}, Student's t, asymptotic"


@dataclass(frozen=True, kw_only=True)
class DependenceOfRows:
    """Bounds for W1 between the rows of the table and all combinations of their values; no statistics are involved."""

    lower: float
    upper: float
    exact: bool
    """Whether the plan is optimal, so that ``upper`` is W1, up to rounding."""
    combinations: int
    """Number of combinations of distinct values of x and of y."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Dependence(Plottable):
    """Dependence between columns of a table: a test, and bounds in the units of the distances."""

    table: SourceInfo
    columns: tuple[str, ...]
    """Columns x."""
    with_: tuple[str, ...]
    """Columns y."""
    rows: int
    """Rows of the table that were used."""
    samples: DependenceOfRows | None
    """W1 between the rows and all combinations of their values; None if there are too many combinations."""
    population: PopulationBound
    """Bounds for W1 between the joint distribution and the product of its marginals."""
    detected: DetectedDependence
    """Value that the critic finds on held-out rows, and the test of independence."""
    digest: str | None
    """SHA-256 of the stored values of these columns."""
    estimate: Estimate
    """The estimate between rows and recombined rows that trained the critic and proves the lower bound."""
    shown: tuple[np.ndarray, np.ndarray] | None = field(compare=False)
    """Some values of x and of y for a figure, in the units of the columns; None unless both are one column of numbers."""
    warnings: tuple[str, ...] = ()
    seconds: float

    @property
    def found(self) -> bool:
        """Whether the test finds that the columns depend on each other."""
        return self.detected.significant

    @property
    def interrupted(self) -> bool:
        return self.estimate.interrupted


def run_dependence(
    table: Any,
    columns: Sequence[str],
    with_: Sequence[str] | None,
    options: EstimateOptions,
    *,
    observer: Observer | None,
) -> Dependence:
    """Measures the dependence between columns with validated options; arguments, result and errors as for :func:`wdist.dependence`.

    The confidence of the options is that of both bounds for the populations together, and that of the test.
    """
    began, observer = now(), observer or Silent()
    _check_options(options)
    observer.notify(Stage(what="reading the table"))
    opened = _opened(table, options)
    x, y = _positions(opened, columns, with_)
    read, warnings = _read(opened, (x, y), options)
    columns_x, columns_y = read.columns[: len(x)], read.columns[len(x) :]
    sides = [np.hstack([read.points[:, each.start : each.stop] for each in own]) for own in (columns_x, columns_y)]
    names = [", ".join(column.name for column in own) for own in (columns_x, columns_y)]
    for side, name in zip(sides, names, strict=True):
        if not _varies(side):
            raise SourceError(
                f"{read.info.address} holds a single value of {name}, and nothing depends on a constant; name columns that vary"
            )
    made = recombination(len(read.points), seed=options.seed)
    for side, name in zip(sides, names, strict=True):
        if not _varies(side[made.held_out]):
            warnings += (
                f"the {len(made.held_out):,} held-out rows hold a single value of {name}, so no critic can find in them what "
                f"depends on it; give more rows",
            )
    estimate = _estimated(read.info, sides, made, options, observer)
    observer.notify(Stage(what="upper bounds, and the test of independence"))
    uppers = [_by_distance(sides, made, options)]
    if not estimate.interrupted:
        uppers += _by_transport(read.info, sides, made, options)
    upper, upper_method = min(uppers, key=lambda each: each[0])
    return Dependence(
        table=read.info,
        columns=tuple(column.name for column in columns_x),
        with_=tuple(column.name for column in columns_y),
        rows=len(read.points),
        samples=_of_rows(sides, options),
        population=replace(
            estimate.population,
            upper=upper,
            upper_method=upper_method,
            confidence=options.confidence,
            jointly_with=_BOUNDS,
        ),
        detected=detect_dependence(_values(estimate, sides), made.held_out, confidence=options.confidence, seed=options.seed),
        digest=read.digest,
        estimate=estimate,
        shown=_shown(sides, columns_x, columns_y),
        warnings=(*warnings, *estimate.warnings),
        seconds=now() - began,
    )


def _check_options(options: EstimateOptions) -> None:
    given = {
        "--folds": options.folds is not None,
        "--repeats": options.repeats > 1,
        "--critics": options.critics is not None,
        "--tol": options.tolerance is not None,
        "--blocks": bool(options.blocks),
        "--draws": options.draws is not None,
        "--features": options.features is not None,
        "--divergence": options.divergence is not None,
    }
    if names := [name for name, there in given.items() if there]:
        raise UsageError(f"a dependence is judged by one critic on rows held out once, so {names[0]} has no effect; leave it out")


def _opened(table: Any, options: EstimateOptions) -> FiniteSource:
    source = open_source(table, options.access, seed=options.seed, strict=False)
    if not isinstance(source, FiniteSource) or len(source.info.event_shape) != 1:
        raise SourceError(f"{source.info.address} is not a table of rows and columns; give a table with at least two columns")
    return source


def _positions(source: Source, columns: Sequence[str], with_: Sequence[str] | None) -> tuple[list[int], list[int]]:
    names = [column.name for column in source.info.columns or plain_columns([None] * source.info.dim)]
    for name in (*columns, *(with_ or ())):
        if name not in names:
            shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise SourceError(f"{source.info.address} has no column {name!r}; the columns are {shown}")
    if not columns:
        raise UsageError("--columns names no column; name those whose dependence is measured, separated by commas")
    if with_ is not None and not with_:
        raise UsageError("--with names no column; name some, separated by commas, or leave it out for all others")
    x = [names.index(name) for name in dict.fromkeys(columns)]
    y = [names.index(name) for name in dict.fromkeys(with_)] if with_ else [k for k in range(len(names)) if k not in x]
    if both := sorted(set(x) & set(y)):
        raise UsageError(f"the column {names[both[0]]!r} is in both --columns and --with; name it in one of them")
    if not y:
        raise UsageError("--columns names all columns of the table, so no others are left; leave some out")
    return x, y


def _read(
    source: FiniteSource, chosen: tuple[list[int], list[int]], options: EstimateOptions
) -> tuple[TablePoints, tuple[str, ...]]:
    """All rows as points, the columns x first; units of length are fitted to training rows."""
    order = [*chosen[0], *chosen[1]]
    if source.info.columns is not None:
        source = SelectedColumns(source, order)
        check_columns(source.info.columns)
        order = list(range(len(order)))
    joint = jointly_encoded([source], options.access, seed=options.seed, metric=ground_metric(options.metric))
    read = table_points(joint.sources[0], options.access, seed=options.seed)
    info = replace(read.info, units=read.info.units.removesuffix(" in A"))  # there is one table
    return replace(read, info=info, columns=tuple(read.columns[k] for k in order)), joint.warnings


def _estimated(
    info: SourceInfo, sides: Sequence[np.ndarray], made: Recombination, options: EstimateOptions, observer: Observer | None
) -> Estimate:
    """The estimate between rows and recombined rows, at the error of one bound."""
    parts = ((made.joint, made.joint), (made.x, made.y))
    if not all(_varies(_points(sides, rows)) for rows in parts):
        raise SourceError(
            f"nearly all rows of {info.address} hold the same values of these columns, so too few differ for a measure of "
            f"dependence; give more rows, or name columns that vary more"
        )
    first, second = _source(info, sides, parts[0]), _source(info, sides, parts[1], recombined=True)
    of_one = replace(options, confidence=1 - _error(options), couplings=False, blocks=0, baselines=NONE, access=Access())
    return run_estimate(first, second, of_one, observer=observer, command="dependence")


def _error(options: EstimateOptions) -> float:
    return (1 - options.confidence) / _BOUNDS


def _source(
    info: SourceInfo, sides: Sequence[np.ndarray], rows: tuple[np.ndarray, np.ndarray], *, recombined: bool = False
) -> FiniteSource:
    """Points that combine the x of some rows with the y of others."""
    address = f"{info.address}, recombined" if recombined else info.address
    source = open_values(_points(sides, rows), address=address)
    source.info = replace(source.info, units=info.units)
    return source


def _points(sides: Sequence[np.ndarray], rows: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.hstack([side[own] for side, own in zip(sides, rows, strict=True)])


def _varies(points: np.ndarray) -> bool:
    """Whether the points, shape (n, d), are not all equal."""
    return bool((points != points[0]).any())


def _by_transport(
    info: SourceInfo, sides: Sequence[np.ndarray], made: Recombination, options: EstimateOptions
) -> Iterator[tuple[float, str]]:
    """The upper bound of an estimate between rows and recombined rows that are all independent.

    If units of length were fitted to training rows, only the other rows are used, because they are independent of these units.
    """
    everything = np.random.default_rng([options.seed, 11]).permutation(len(sides[0]))
    joint, x, y = disjoint_pairs(made.held_out if info.fitted else everything)
    if len(joint) < MINIMUM_ROWS or not all(_varies(_points(sides, rows)) for rows in ((joint, joint), (x, y))):
        return
    # The estimate divides its error between this bound and a lower bound, which takes no time.
    of_two = EstimateOptions(
        confidence=1 - 2 * _error(options),
        critic="mean-difference",
        baselines=NONE,
        blocks=0,
        metric=options.metric,
        seed=options.seed,
        device=options.device,
    )
    first, second = _source(info, sides, (joint, joint)), _source(info, sides, (x, y), recombined=True)
    found = run_estimate(first, second, of_two, command="dependence").population
    if found.upper is not None:
        yield found.upper, found.upper_method or ""


def _by_distance(sides: Sequence[np.ndarray], made: Recombination, options: EstimateOptions) -> tuple[float, str]:
    """An upper confidence bound for the mean distance between two values of x or of y, whichever is smaller in training rows.

    Replacing either one in each sample by that of an independent sample turns the joint distribution into the product. Where most
    values are equal, few pairs may hold none that differ: the bound is at least that for the share of pairs that differ, times
    their mean distance in the table.
    """
    metric, seen = ground_metric(options.metric), np.setdiff1d(np.arange(len(sides[0])), made.held_out)
    random = np.random.default_rng([options.seed, 13])
    rows, everything = random.permutation(made.held_out), random.permutation(len(sides[0]))

    def distances(side: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return metric.norm(torch.from_numpy(side[first] - side[second])).numpy()

    def halves(own: np.ndarray) -> np.ndarray:
        return own[: len(own) // 2 * 2].reshape(2, -1)

    chosen = int(np.argmin([distances(side, *halves(seen)).mean() for side in sides]))
    side, alpha = sides[chosen], _error(options)
    found, spread = distances(side, *halves(rows)), distances(side, everything, np.roll(everything, 1))
    different = share_upper(int(np.count_nonzero(found)), len(found), alpha) * float(spread[spread > 0].mean())
    return max(student_upper(found, alpha), different), BY_DISTANCE.format(("--columns", "--with")[chosen])


def _values(estimate: Estimate, sides: Sequence[np.ndarray]) -> Any:
    """A function of row numbers: the potentials, divided by the certificate, at the x of some rows with the y of others."""
    critic, bound = estimate.critic.frozen, estimate.critic.lipschitz_bound

    def values(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        parts = (slice(start, start + _EVALUATED) for start in range(0, len(x), _EVALUATED))
        batches = (torch.from_numpy(np.hstack([sides[0][x[part]], sides[1][y[part]]])) for part in parts)
        return evaluate(critic, batches).values / bound

    return values


def _of_rows(sides: Sequence[np.ndarray], options: EstimateOptions) -> DependenceOfRows | None:
    """Transport between the distinct rows and all combinations of distinct values; None if it would take too long."""
    (x, of_x, counts_x), (y, of_y, counts_y) = (np.unique(side, axis=0, return_inverse=True, return_counts=True) for side in sides)
    cells, counts = np.unique(of_x.ravel() * len(y) + of_y.ravel(), return_counts=True)
    combinations = len(x) * len(y)
    if combinations > _MOST_COMBINATIONS or combinations * len(cells) > _MOST_PAIRS:
        return None

    def points(places: np.ndarray) -> np.ndarray:
        return np.hstack([x[places // len(y)], y[places % len(y)]])

    found = transport(
        points(cells),
        points(np.arange(combinations)),
        weights=(counts, np.outer(counts_x, counts_y).ravel()),
        metric=options.metric,
        seed=options.seed,
        device="cpu",
    )
    return DependenceOfRows(lower=found.lower, upper=found.upper, exact=found.exact, combinations=combinations)


def _shown(sides: Sequence[np.ndarray], *columns: Sequence[Column]) -> tuple[np.ndarray, np.ndarray] | None:
    if any(len(own) > 1 or own[0].type == CATEGORY or own[0].indicator for own in columns):
        return None
    chosen = np.random.default_rng(0).permutation(len(sides[0]))[:_SHOWN]
    x, y = (side[chosen, 0] * own[0].scale for side, own in zip(sides, columns, strict=True))
    return x, y
