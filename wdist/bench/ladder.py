"""How often ``compare`` ranks sources of known order rightly, how often it claims an order, and how often wrongly.

A ladder is a reference and sources ever farther from it: shifted normal distributions, whose distances are known, and a trained
generator with growing noise on what it draws. All samples are drawn anew for each run. The estimates give an order in every run;
an order of the distributions is claimed only of those pairs whose intervals are disjoint, and of two seeds of one source it may be
claimed in no larger share of runs than the confidence leaves.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import fmean, stdev

from wdist.bench.bench import Bench, BenchTable, Column, Conditions, Skipped
from wdist.bench.ladder_conclusion import CONFIDENCE, conclude
from wdist.bench.ladder_rows import LadderRow, OverheadRow, RungRow, TwinRow
from wdist.bench.ladder_sources import Ladder, digit_ladders, normal_ladders
from wdist.comparison import compare
from wdist.estimation import estimate
from wdist.measures.measure import random_stream
from wdist.ranking import Comparison
from wdist.training.observer import Stage

_RUNS = 50
_SAMPLES, _QUICK_SAMPLES = 1000, 400
_OVERHEAD_STEPS, _OVERHEAD_SOURCES = 100, 4


def _measure(conditions: Conditions) -> Iterator[LadderRow | TwinRow | RungRow | OverheadRow | Skipped]:
    runs, n = _RUNS, _QUICK_SAMPLES if conditions.quick else _SAMPLES
    ladders: list[Ladder | Skipped] = list(normal_ladders())
    if not conditions.quick:
        ladders += digit_ladders(conditions.data)
    for ladder in ladders:
        if not conditions.wanted(ladder.name):
            continue
        if isinstance(ladder, Skipped):
            yield ladder
            continue
        conditions.observer.notify(Stage(what=f"{runs * len(conditions.seeds)} times: {ladder.name}"))
        yield from rows_of(ladder, n, runs=runs, seeds=conditions.seeds)
    if conditions.wanted("overhead"):
        conditions.observer.notify(Stage(what="overhead of a comparison"))
        yield overhead(n, seed=conditions.seeds[0])


def rows_of(ladder: Ladder, n: int, *, runs: int, seeds: Sequence[int] = (0,)) -> Iterator[LadderRow | TwinRow | RungRow]:
    """A ladder climbed ``runs`` times with each seed.

    Arguments:
        ladder: what is compared.
        n: samples of each side.
        runs: how often they are drawn with each seed.
        seeds: of the draws.
    """
    names = [f"{place}: {label}" for place, label in enumerate(ladder.labels, start=1)]
    found = [_climbed(ladder, names, n, seed=1000 * seed + run) for seed in seeds for run in range(runs)]
    if ladder.twins:
        separate = sum(bool(comparison.population_order) for comparison in found)
        yield TwinRow(ladder=ladder.name, samples=n, runs=len(found), not_separable=len(found) - separate)
        return
    known = set(combinations(names, 2))
    claims = [{(claim.nearer, claim.farther) for claim in comparison.population_order} for comparison in found]
    yield LadderRow(
        ladder=ladder.name,
        samples=n,
        rungs=len(names),
        runs=len(found),
        right=sum([entry.name for entry in comparison.ranking] == names for comparison in found),
        samples_right=sum(_by_samples(comparison) == names for comparison in found),
        claimed=sum(map(len, claims)),
        wrong=sum(not claimed <= known for claimed in claims),
    )
    yield from _rungs(ladder, names, found)


def _climbed(ladder: Ladder, names: Sequence[str], n: int, *, seed: int) -> Comparison:
    draws = [draw(n, random_stream(seed, side, 5)) for side, draw in enumerate((ladder.reference, *ladder.rungs))]
    return compare(draws[0], draws[1:], names=names, critic=ladder.critic, confidence=CONFIDENCE, seed=seed)


def _by_samples(comparison: Comparison) -> list[str]:
    return [entry.name for entry in sorted(comparison.ranking, key=lambda entry: entry.samples.lower)]


def _rungs(ladder: Ladder, names: Sequence[str], found: Sequence[Comparison]) -> Iterator[RungRow]:
    by_name = [{entry.name: entry.population for entry in comparison.ranking} for comparison in found]
    for place, name in enumerate(names):
        bounds = [each[name] for each in by_name]
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


def overhead(n: int, *, seed: int, steps: int = _OVERHEAD_STEPS) -> OverheadRow:
    """One comparison of four sources against four estimations, each with all kinds of critics, by the time that they compute.

    Arguments:
        n: samples of each side.
        seed: of the draws.
        steps: of each critic that is trained.
    """
    ladder = normal_ladders()[0]
    draws = [draw(n, random_stream(seed, side, 5)) for side, draw in enumerate((ladder.reference, *ladder.rungs))]
    compare(draws[0], draws[1:2], steps=1)  # what is imported, compiled or cached once counts for neither

    began = time.process_time()
    for source in draws[1:]:
        estimate(draws[0], source, baselines="none", steps=steps)
    apart = time.process_time() - began
    began = time.process_time()
    compare(draws[0], draws[1:], steps=steps)
    return OverheadRow(sources=_OVERHEAD_SOURCES, together=time.process_time() - began, apart=apart)


BENCH = Bench(
    name="ladder",
    title="How often sources of known order are ranked rightly",
    measure=_measure,
    tables=(
        BenchTable(
            title="ladders: sources of known order",
            of=LadderRow,
            columns=(
                Column(header="ladder", cell=lambda row: row.ladder, kind="text"),
                Column(header="samples", cell=lambda row: row.samples, kind="count"),
                Column(header="rungs", cell=lambda row: row.rungs, kind="count"),
                Column(header="runs", cell=lambda row: row.runs, kind="count"),
                Column(header="right\norder", cell=lambda row: row.share_right, kind="share"),
                Column(header="right by\nsamples", cell=lambda row: row.share_samples_right, kind="share"),
                Column(header="pairs\nclaimed", cell=lambda row: row.share_claimed, kind="share"),
                Column(header="runs with a\nwrong claim", cell=lambda row: row.wrong, kind="count"),
            ),
        ),
        BenchTable(
            title="two seeds of one source",
            of=TwinRow,
            columns=(
                Column(header="sources", cell=lambda row: row.ladder, kind="text"),
                Column(header="samples", cell=lambda row: row.samples, kind="count"),
                Column(header="runs", cell=lambda row: row.runs, kind="count"),
                Column(header="not\nseparable", cell=lambda row: row.share, kind="share"),
            ),
        ),
        BenchTable(
            title="the rungs, means over runs",
            of=RungRow,
            columns=(
                Column(header="ladder", cell=lambda row: row.ladder, kind="text"),
                Column(header="rung", cell=lambda row: row.rung, kind="text"),
                Column(header="truth", cell=lambda row: row.truth),
                Column(header="held-out\nestimate", cell=lambda row: row.estimate, spread=lambda row: row.deviation),
                Column(header="distrib.\n>=", cell=lambda row: row.lower, kind="at least"),
                Column(header="\n<=", cell=lambda row: row.upper, kind="at most"),
            ),
        ),
        BenchTable(
            title="what a comparison costs beside its estimations",
            of=OverheadRow,
            columns=(
                Column(header="sources", cell=lambda row: row.sources, kind="count"),
                Column(header="together", cell=lambda row: row.together, kind="seconds"),
                Column(header="apart", cell=lambda row: row.apart, kind="seconds"),
                Column(header="overhead", cell=lambda row: row.overhead, kind="share"),
            ),
        ),
    ),
    conclude=conclude,
    seeds=1,
    takes_data=True,
    reduced=(f"{_QUICK_SAMPLES} samples instead of {_SAMPLES}", "no digits"),
)
