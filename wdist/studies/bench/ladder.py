"""Ladders: how often ``compare`` ranks sources of known order correctly, and how often it claims an order, rightly or wrongly.

A ladder is a reference and sources at growing distances from it: shifted normal distributions, whose distances are known, and a
trained generator with growing noise on its images. Each run draws new samples. The estimates give an order in every run; claims of
an order, at several levels, may be wrong only as often as the confidence allows, and so may any claim about two seeds of one
source. In 64 dimensions, where intervals for the populations overlap, only the tests are run, with five folds, beside the relative
MMD test.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise
from statistics import fmean, stdev
from typing import Any

from torch import Tensor

from wdist.comparison.compare import run_comparison
from wdist.comparison.orders import Order
from wdist.comparison.ranking import Comparison
from wdist.data.sources.source import random_stream
from wdist.estimation.options import EstimateOptions
from wdist.studies.bench.ladder_sources import Ladder, digit_ladders, normal_ladders, wide_ladders
from wdist.studies.bench.relative_mmd import relative_mmd
from wdist.studies.error_rate import CountsErrors, most_by_chance
from wdist.studies.panels import Panel, grouped, series_of
from wdist.studies.progress import complete, estimated
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Skipped, Study, StudyTable, percent

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class LadderRow(CountsErrors):
    """Counts over all comparisons of one ladder."""

    stated = 1 - CONFIDENCE
    ladder: str
    samples: int
    """Number of samples of each source."""
    rungs: int
    runs: int
    right: int
    """Runs in which the estimates are in the right order."""
    samples_right: int
    """Runs in which the distances of the sample sets are in the right order."""
    claimed: int
    """Pairs, over all runs, whose order is claimed."""
    wrong: int
    """Runs with a wrong claim."""

    @property
    def share_claimed(self) -> float:
        return self.claimed / (self.runs * self.rungs * (self.rungs - 1) / 2)


@dataclass(frozen=True, kw_only=True)
class TwinRow:
    """Counts over all comparisons of two seeds of one source."""

    ladder: str
    samples: int
    runs: int
    not_separable: int
    """Runs that claim no order, as they should."""

    @property
    def share(self) -> float:
        return self.not_separable / self.runs


@dataclass(frozen=True, kw_only=True)
class LevelRow(CountsErrors):
    """Counts over all claims about one ladder at one level."""

    stated = 1 - CONFIDENCE
    ladder: str
    level: str
    """A level of :mod:`wdist.comparison.orders`, or ``relative MMD``."""
    samples: int
    runs: int
    neighbours: int | None
    """Pairs of neighbours, over all runs, whose right order is claimed; None for two seeds of one source."""
    pairs: int
    """Pairs of neighbours, over all runs."""
    wrong: int
    """Runs with a wrong claim."""

    @property
    def share(self) -> float | None:
        return None if self.neighbours is None else self.neighbours / self.pairs


@dataclass(frozen=True, kw_only=True)
class RungRow:
    """Estimate and bounds of one source of a ladder, over all runs."""

    ladder: str
    rung: str
    place: int
    truth: float | None
    estimate: float
    deviation: float
    """Standard deviation of the estimate over runs."""
    lower: float
    """Mean lower bound."""
    upper: float | None
    """Mean upper bound; None if a run had none."""


@dataclass(frozen=True, kw_only=True)
class OverheadRow:
    """Processor time of one comparison, and of separate estimates of its sources."""

    sources: int
    together: float
    """Processor seconds of the comparison, over all threads."""
    apart: float
    """Processor seconds of the separate estimates, over all threads."""

    @property
    def overhead(self) -> float:
        return self.together / self.apart - 1


_RUNS, _QUICK_RUNS = 50, 50
_FOLDS, _BLOCK = 5, 50
MMD = "relative MMD"
_SAMPLES, _QUICK_SAMPLES = 1000, 400
_OVERHEAD_STEPS = 100


Row = LadderRow | TwinRow | LevelRow | RungRow | OverheadRow


def _measure(conditions: Conditions) -> Iterator[Row | Skipped]:
    runs, n = conditions.trials or _RUNS, _QUICK_SAMPLES if conditions.quick else _SAMPLES
    for ladder in [*normal_ladders(), *wide_ladders(), *([] if conditions.quick else digit_ladders(conditions.data))]:
        if isinstance(ladder, Skipped):
            yield from [ladder] if conditions.wanted(ladder.name) else []
        elif conditions.wanted(ladder.name):
            measured = partial(rows_of, ladder, n, runs=runs, seeds=conditions.seeds)
            yield from conditions.rows(ladder.name, measured, what=f"{runs * len(conditions.seeds)} comparisons: {ladder.name}")
    if conditions.wanted("overhead"):
        yield conditions.row("overhead", partial(overhead, n, seed=conditions.seed), what="overhead of a comparison")


def rows_of(
    ladder: Ladder, n: int, *, runs: int, seeds: Sequence[int] = (0,)
) -> Iterator[LadderRow | TwinRow | LevelRow | RungRow]:
    """Compares all sources of a ladder in many runs."""
    names = [f"{place}: {label}" for place, label in enumerate(ladder.labels, start=1)]
    numbers = [1000 * seed + run for seed in seeds for run in range(runs)]
    found = [_compared(ladder, names, n, seed=number) for number in numbers]
    yield from _levels(ladder, names, n, [_claims(ladder, names, n, each, seed) for each, seed in zip(found, numbers, strict=True)])
    if ladder.tests_only:
        return
    if ladder.twins:
        separate = sum(bool(comparison.orders.population.claims) for comparison in found)
        yield TwinRow(ladder=ladder.name, samples=n, runs=len(found), not_separable=len(found) - separate)
        return
    claims = [_pairs(comparison.orders.population) for comparison in found]
    by_samples = [sorted(comparison.ranking, key=lambda entry: entry.samples.lower) for comparison in found]
    yield LadderRow(
        ladder=ladder.name,
        samples=n,
        rungs=len(names),
        runs=len(found),
        right=sum([entry.name for entry in comparison.ranking] == names for comparison in found),
        samples_right=sum([entry.name for entry in ranking] == names for ranking in by_samples),
        claimed=sum(map(len, claims)),
        wrong=sum(not claimed <= set(combinations(names, 2)) for claimed in claims),
    )
    yield from _rungs(ladder, names, found)


def _pairs(order: Order) -> set[tuple[str, str]]:
    """The claimed pairs of names, the nearer one first."""
    return {(claim.nearer, claim.farther) for claim in order.claims}


def _rungs(ladder: Ladder, names: Sequence[str], found: Sequence[Comparison]) -> Iterator[RungRow]:
    for place, name in enumerate(names):
        bounds = [entry.population for comparison in found for entry in comparison.ranking if entry.name == name]
        estimates, uppers = [bound.estimate for bound in bounds], [bound.upper for bound in bounds if bound.upper is not None]
        yield RungRow(
            ladder=ladder.name,
            rung=ladder.labels[place],
            place=place + 1,
            truth=ladder.truths[place] if ladder.truths else None,
            estimate=fmean(estimates),
            deviation=stdev(estimates) if len(estimates) > 1 else 0.0,
            lower=fmean(bound.lower for bound in bounds),
            upper=fmean(uppers) if len(uppers) == len(bounds) else None,
        )


def _claims(ladder: Ladder, names: Sequence[str], n: int, comparison: Comparison, seed: int) -> dict[str, set[tuple[str, str]]]:
    """Level -> claimed pairs of names, the nearer one first."""
    claims: dict[str, set[tuple[str, str]]] = {
        order.level: _pairs(order)
        for order in comparison.orders.levels[1:]
        if order.tested or (order.level == "population" and not ladder.tests_only)
    }
    if ladder.tests_only:
        draws = _drawn(ladder, n, seed)
        tested = relative_mmd(draws[0], dict(zip(names, draws[1:], strict=True)))
        claims[MMD] = {(each.nearer, each.farther) for each in tested if (each.p_value or 0.0) <= 1 - CONFIDENCE}
    return claims


def _levels(ladder: Ladder, names: Sequence[str], n: int, runs: Sequence[dict[str, set[tuple[str, str]]]]) -> Iterator[LevelRow]:
    known = set() if ladder.twins else set(combinations(names, 2))
    neighbours = set(pairwise(names))
    for level in dict.fromkeys(level for run in runs for level in run):
        claimed = [run.get(level, set()) for run in runs]
        yield LevelRow(
            ladder=ladder.name,
            level=level,
            samples=n,
            runs=len(runs),
            neighbours=None if ladder.twins else sum(len(each & neighbours) for each in claimed),
            pairs=len(runs) * len(neighbours),
            wrong=sum(not each <= known for each in claimed),
        )


def _drawn(ladder: Ladder, n: int, seed: int) -> list[Tensor]:
    return [draw(n, random_stream(seed, side, 5)) for side, draw in enumerate((ladder.reference, *ladder.rungs))]


def _compared(ladder: Ladder, names: Sequence[str], n: int, *, seed: int) -> Comparison:
    draws = _drawn(ladder, n, seed)
    tests: dict[str, Any] = {"folds": _FOLDS, "couplings": False, "blocks": _BLOCK} if ladder.tests_only else {}
    options = EstimateOptions.validated(critic=ladder.critic, steps=ladder.steps, confidence=CONFIDENCE, seed=seed, **tests)
    return complete(run_comparison(draws[0], draws[1:], options, names=names))


def overhead(n: int, *, seed: int) -> OverheadRow:
    """Processor time of one comparison of four sources, and of four separate estimates, each with all kinds of critics."""
    draws = _drawn(normal_ladders()[0], n, seed)
    run_comparison(draws[0], draws[1:2], EstimateOptions.validated(steps=1))  # warm-up: imports and caches

    began = time.process_time()
    for source in draws[1:]:
        estimated(draws[0], source, baselines="none", steps=_OVERHEAD_STEPS)
    apart = time.process_time() - began
    began = time.process_time()
    complete(run_comparison(draws[0], draws[1:], EstimateOptions.validated(steps=_OVERHEAD_STEPS)))
    return OverheadRow(sources=len(draws) - 1, together=time.process_time() - began, apart=apart)


def conclude(rows: Sequence[Row]) -> Conclusion:
    """Checks whether claimed orders are wrong no more often than stated."""
    ladders = [row for row in rows if isinstance(row, LadderRow)]
    twins = [row for row in rows if isinstance(row, TwinRow)]
    rungs = grouped((row for row in rows if isinstance(row, RungRow)), "ladder")
    return Conclusion(
        checks=(*_checks(ladders, twins), *_level_checks([row for row in rows if isinstance(row, LevelRow)])),
        panels=tuple(_panel(row.ladder, rungs.get(row.ladder, [])) for row in ladders),
        remarks=(
            f"An order is claimed if population intervals are disjoint, at {percent(CONFIDENCE, 0)} for all together; the order by "
            "samples is that of the distances between the sample sets.",
        ),
    )


def _checks(ladders: Sequence[LadderRow], twins: Sequence[TwinRow]) -> Iterator[ClaimCheck]:
    if ladders:
        wrong, runs = sum(row.wrong for row in ladders), sum(row.runs for row in ladders)
        yield ClaimCheck(
            claim=f"A wrong order is claimed in at most {percent(1 - CONFIDENCE, 0)} of runs.",
            holds=all(row.holds for row in ladders),
            detail=f"{wrong} of {runs} runs claim a wrong order; an order is claimed for "
            f"{', '.join(f'{percent(row.share_claimed)} of pairs ({row.ladder})' for row in ladders)}",
        )
    if twins:
        worst = min(twins, key=lambda row: row.share)
        yield ClaimCheck(
            claim=f"Two seeds of one source are not separable in at least {percent(CONFIDENCE, 0)} of runs.",
            holds=all(row.runs - row.not_separable <= most_by_chance(row.runs, 1 - CONFIDENCE) for row in twins),
            detail=f"at least {percent(worst.share)} of {worst.runs} runs: {worst.ladder}",
        )


def _level_checks(rows: Sequence[LevelRow]) -> Iterator[ClaimCheck]:
    for level, own in grouped((row for row in rows if row.level != MMD), "level").items():
        worst = max(own, key=lambda row: row.share_wrong)
        shares = ", ".join(f"{percent(row.share)} ({row.ladder})" for row in own if row.share is not None)
        yield ClaimCheck(
            claim=f"A wrong order is claimed at the level {level!r} in at most {percent(1 - CONFIDENCE, 0)} of runs.",
            holds=all(row.holds for row in own),
            detail=f"at most {percent(worst.share_wrong)} of {worst.runs} runs: {worst.ladder}"
            + (f"; neighbours in order: {shares}" if shares else ""),
        )


def _panel(ladder: str, rungs: Sequence[RungRow]) -> Panel:
    draw = partial(series_of, rungs, x=lambda rung: rung.place - 1)
    series = [
        *draw(name=lambda rung: "lower bound", y="lower"),
        *draw(name=lambda rung: "held-out estimate", y="estimate", errors="deviation", marks=True),
    ]
    if all(rung.upper is not None for rung in rungs):
        series[:0] = draw(name=lambda rung: "upper bound", y="upper")
    if all(rung.truth is not None for rung in rungs):
        series += draw(name=lambda rung: "truth", y="truth", marks=True, reference=lambda rung: True)
    return Panel(
        title=ladder,
        x_label="rung: shift, or noise of each pixel",
        y_label="W1, means over runs",
        series=tuple(series),
        ticks=tuple(rung.rung for rung in rungs),
        bottom=0.0,
    )


_TABLES = (
    StudyTable(
        "ladders: sources of known order",
        LadderRow,
        *Column.named("ladder", "samples", "rungs", "runs"),
        Column("right\norder", lambda row: row.right / row.runs, "share"),
        Column("right by\nsamples", lambda row: row.samples_right / row.runs, "share"),
        Column("pairs\nclaimed", "share_claimed", "share"),
        Column("runs with a\nwrong claim", "wrong"),
    ),
    StudyTable(
        "levels: which orders are claimed",
        LevelRow,
        *Column.named("ladder", "level", "samples", "runs"),
        Column("neighbours\nclaimed", "share", "share"),
        Column("runs with a\nwrong claim", "wrong"),
    ),
    StudyTable(
        "two seeds of one source",
        TwinRow,
        Column("sources", "ladder"),
        *Column.named("samples", "runs"),
        Column("not\nseparable", "share", "share"),
    ),
    StudyTable(
        "rungs, means over runs",
        RungRow,
        *Column.named("ladder", "rung", "truth"),
        Column("held-out\nestimate", "estimate", spread="deviation"),
        Column("population\n>=", "lower", "at least"),
        Column("\n<=", "upper", "at most"),
    ),
    StudyTable(
        "time of one comparison against separate estimates",
        OverheadRow,
        Column("sources"),
        *Column.named("together", "apart", kind="seconds"),
        Column("overhead", kind="share"),
    ),
)

STUDY = Study(
    name="ladder",
    title="How often sources of known order are ranked correctly",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    tables=_TABLES,
    takes_data=True,
    trials=_RUNS,
    quick_trials=_QUICK_RUNS,
    reduced=(f"{_QUICK_SAMPLES} samples instead of {_SAMPLES}", "no digits"),
)
