"""How often a gate's verdict is wrong, and how often it leaves the question open, where W1 is known.

Pairs of known W1 are drawn again and again, each pair of sample sets is estimated once, and the verdict is asked for limits below,
at and above the truth, on the distributions and on the sample sets. A pass is wrong where W1 is above the limit, a fail where it is
not. A verdict on distributions may be wrong as often as its confidence leaves, up to the noise of counting; one on sample sets may
not be wrong at all. Whatever the truth is, only one of the two answers would be wrong, and the error is shared between both ends:
about half of what is stated is the most that should be seen.

All critics here but one follow from a formula, which is what makes hundreds of gates affordable; how a critic came about does not
matter to the validity of what it proves.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from wdist.critics import mean_difference
from wdist.critics.settings import CriticSettings
from wdist.estimation.estimate import estimate
from wdist.estimation.result import Estimate
from wdist.gates.gate import interval_of
from wdist.gates.rules import Answer, Interval, Maximum, NoWorse, On, joint_confidence
from wdist.gates.verdict import judge
from wdist.studies.bench.bench import Bench, BenchTable, Column, Conclusion, Conditions, Panel, Series, most_by_chance
from wdist.studies.claim_check import Finding
from wdist.training.observer import Stage

# MERGED bench.gate_cases: Sample sets of known W1 that gates are tried on.

Sides: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class GateCase:
    """Sample sets of known W1, and how they are estimated."""

    name: str
    draw: Callable[[np.random.Generator], Sides]
    w1: float
    """Of the estimand that is judged."""
    samples: int
    """Of each side."""
    on: On = "population"
    options: tuple[tuple[str, Any], ...] = (("critic", mean_difference.RECIPE.name),)
    """Of the estimation."""


def _normal(dim: int, n: int, shift: float = 1.0) -> Callable[[np.random.Generator], Sides]:
    return lambda random: (random.standard_normal((n, dim)), random.standard_normal((n, dim)) + shift * np.eye(1, dim)[0])


def _greys(random: np.random.Generator, n: int) -> Sides:
    """Bytes in the plane, those of B moved by 100 in one coordinate: within a known range."""
    a, b = (random.integers(0, 156, (n, 2), dtype=np.uint8) for _ in range(2))
    return a, b + np.array([100, 0], dtype=np.uint8)


def _coins(random: np.random.Generator, n: int) -> Sides:
    """Black and white: W1 is the difference of the two shares."""
    return tuple((255 * (random.random((n, 1)) < share)).astype(np.uint8) for share in (0.8, 0.3))  # type: ignore[return-value]


def _moved(random: np.random.Generator, n: int) -> Sides:
    """A set of bytes in 8 dimensions and the same set moved, in another order: no coupling is cheaper than the way of all."""
    a = random.integers(0, 200, (n, 8), dtype=np.uint8)
    return a, random.permutation(a) + np.array([40] * 4 + [0] * 4, dtype=np.uint8)


def _few_against_many(random: np.random.Generator, n: int) -> Sides:
    """A set and the same set moved, each of its points twice there: counts differ, and W1 does not change."""
    a, b = _moved(random, n)
    return a, np.concatenate([b, b])


_TRAINED = (
    ("critic", "groupsort-bjorck"),
    ("steps", 20),
    ("settings", CriticSettings(width=16, depth=2, batch_size=64)),
)

CASES = (
    GateCase(name="normal, shifted, plane", draw=_normal(2, 100), w1=1.0, samples=100),
    GateCase(name="normal, shifted, plane", draw=_normal(2, 1000), w1=1.0, samples=1000),
    GateCase(name="normal, shifted, plane, trained critic", draw=_normal(2, 100), w1=1.0, samples=100, options=_TRAINED),
    GateCase(name="normal, shifted, 10 dimensions", draw=_normal(10, 300), w1=1.0, samples=300),
    GateCase(name="bytes in the plane, shifted", draw=lambda random: _greys(random, 300), w1=100 / 255, samples=300),
    GateCase(name="black and white, shares 0.8 and 0.3", draw=lambda random: _coins(random, 1000), w1=0.5, samples=1000),
    GateCase(
        name="a set and itself moved, 8 dimensions",
        draw=lambda random: _moved(random, 100),
        w1=math.sqrt(4) * 40 / 255,
        samples=100,
        on="samples",
    ),
    GateCase(
        name="a set and itself moved and doubled",
        draw=lambda random: _few_against_many(random, 100),
        w1=math.sqrt(4) * 40 / 255,
        samples=100,
        on="samples",
    ),
)


# MERGED bench.gate_rows: What is measured of gates.


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """All gates of one case at one limit."""

    case: str
    rule: str
    """``max`` or ``baseline``."""
    on: On
    samples: int
    limit: float
    """Over the truth; for a baseline, the most that was allowed over the truth."""
    runs: int
    passed: int
    failed: int
    wrong: int
    stated: float
    """Error that the confidence leaves; 0 on sample sets."""

    @property
    def inconclusive(self) -> int:
        return self.runs - self.passed - self.failed

    @property
    def share_inconclusive(self) -> float:
        return self.inconclusive / self.runs

    @property
    def share_wrong(self) -> float:
        return self.wrong / self.runs

    @property
    def holds(self) -> bool:
        """No oftener wrong than a verdict that is wrong as often as stated is by chance, but for one time in a thousand."""
        return self.wrong <= most_by_chance(self.runs, self.stated)


# MERGED bench.gate_conclusion: What follows from the gates: whether verdicts keep to what they state, and where the question is left open.

LIMITS = (0.5, 0.8, 0.95, 1.0, 1.05, 1.25, 2.0)
"""Over the truth."""
CONFIDENCE = 0.95
_MANY, _RARE = 1000, 0.2
"""Samples of a side that decide what is far from the truth, and how seldom they may not."""


def conclude(rows: Sequence[GateRow]) -> Conclusion:
    """Whether verdicts keep to what they state, and where the question is left open."""
    findings = []
    uncertain, certain = ([row for row in rows if (row.on == on)] for on in ("population", "samples"))
    if uncertain:
        worst = max(uncertain, key=lambda row: row.share_wrong)
        gates = sum(row.runs for row in uncertain)
        findings.append(
            Finding(
                claim="Verdicts on distributions are wrong no oftener than their confidence leaves.",
                holds=all(row.holds for row in uncertain),
                detail=f"{sum(row.wrong for row in uncertain)} of {gates:,} in all; at most {worst.share_wrong:.1%} of "
                f"{worst.runs} against {worst.stated:.0%}: {worst.case}, limit {worst.limit:.3g} of the truth",
            )
        )
    if certain:
        findings.append(
            Finding(
                claim="No verdict on sample sets is wrong.",
                holds=all(row.wrong == 0 for row in certain),
                detail=f"{sum(row.wrong for row in certain)} of {sum(row.runs for row in certain):,}",
            )
        )
    far = [row for row in uncertain if row.samples >= _MANY and row.rule == "max" and row.limit in (min(LIMITS), max(LIMITS))]
    if far:
        worst = max(far, key=lambda row: row.share_inconclusive)
        findings.append(
            Finding(
                claim=f"From {_MANY} samples a side, on the line and in the plane, limits of half and twice the truth are decided.",
                holds=all(row.share_inconclusive < _RARE for row in far),
                detail=f"inconclusive {_share_inconclusive(far):.1%} of the time; most of all {worst.share_inconclusive:.1%}: "
                f"{worst.case}, limit {worst.limit:.3g} of the truth",
            )
        )
    if not rows:
        return Conclusion()
    return Conclusion(
        findings=tuple(findings),
        panels=(
            _panel("inconclusive", rows, lambda row: row.share_inconclusive),
            _panel("wrong", rows, lambda row: row.share_wrong),
        ),
        remarks=(
            f"Inconclusive over all limits: {_share_inconclusive(rows):.0%}. Below the truth a fail is right, else a pass.",
            f"Stated error: {1 - CONFIDENCE:.0%} for a maximum, the sum of two results' for a baseline, none on sample sets.",
        ),
    )


def _share_inconclusive(rows: Sequence[GateRow]) -> float:
    return sum(row.inconclusive for row in rows) / sum(row.runs for row in rows)


def _panel(title: str, rows: Sequence[GateRow], share: Callable[[GateRow], float]) -> Panel:
    """For each case, a share of its gates over the limit."""
    lines: dict[tuple[str, int], list[GateRow]] = {}
    for row in rows:
        lines.setdefault((row.case, row.samples), []).append(row)
    series = []
    for (case, samples), line in lines.items():
        line.sort(key=lambda row: row.limit)
        x, y = tuple(row.limit for row in line), tuple(share(row) for row in line)
        series.append(Series(name=f"{case}, {samples}", x=x, y=y, line=True, reference=line[0].on == "samples"))
    return Panel(
        title=title,
        x_label="limit over the truth",
        y_label="share of gates",
        level=1 - CONFIDENCE if title == "wrong" else None,
        bottom=0.0,
        series=tuple(series),
    )


GROWTH = (0.5, 0.9, 1.0, 1.05, 1.2, 2.0)
"""W1 over what it was, where a regression is judged with a tolerance of 5 %."""
TOLERANCE = 0.05
_RUNS, _QUICK_RUNS = 100, 10
_ROUNDED = 1e-12
_REGRESSION = "normal, plane, a shift that grew"
_REGRESSION_SAMPLES = 300


def _measure(conditions: Conditions) -> Iterator[GateRow]:
    runs = _QUICK_RUNS if conditions.quick else _RUNS
    total = runs * len(conditions.seeds)
    for case in CASES:
        if conditions.wanted(case.name):
            conditions.observer.notify(Stage(what=f"{total} times {case.samples} samples of each side: {case.name}"))
            yield from rows_of(case, runs=runs, seeds=conditions.seeds)
    if conditions.wanted(_REGRESSION):
        conditions.observer.notify(Stage(what=f"{total} times a baseline and {len(GROWTH)} results after it: {_REGRESSION}"))
        yield from regression_rows(runs=max(1, runs // 2), seeds=conditions.seeds)


def rows_of(case: GateCase, *, runs: int, seeds: Sequence[int] = (0,), limits: Sequence[float] = LIMITS) -> Iterator[GateRow]:
    """All limits of one case.

    Arguments:
        case: of known W1.
        runs: how often sample sets are drawn with each seed.
        seeds: of the draws.
        limits: over the truth.
    """
    intervals = []
    for seed in seeds:
        random = np.random.default_rng([seed, case.samples])
        intervals += [
            interval_of(_estimate(*case.draw(random), seed=run, options=dict(case.options)), case.on) for run in range(runs)
        ]
    for limit in limits:
        rule = Maximum(value=limit * case.w1)
        answers = Counter(judge(rule, interval).answer for interval in intervals)
        yield _row(
            answers,
            within=case.w1 <= rule.value * (1 + _ROUNDED),
            case=case.name,
            rule="max",
            on=case.on,
            samples=case.samples,
            limit=limit,
            stated=0.0 if case.on == "samples" else 1 - CONFIDENCE,
        )


def regression_rows(*, runs: int, seeds: Sequence[int] = (0,), growth: Sequence[float] = GROWTH) -> Iterator[GateRow]:
    """Gates against an earlier result of the same reference, whose W1 was 1.

    Arguments:
        runs: how often all is drawn with each seed.
        seeds: of the draws.
        growth: W1 now, over what it was.
    """
    answers: dict[float, Counter[Answer]] = {each: Counter() for each in growth}
    stated = 0.0
    for seed in seeds:
        random = np.random.default_rng([seed, 1])
        for run in range(runs):
            reference = random.standard_normal((_REGRESSION_SAMPLES, 2))
            before = _interval(reference, 1.0, random, run)
            for each in growth:
                now = _interval(reference, each, random, run)
                answers[each][judge(NoWorse(before=before, tolerance=TOLERANCE), now).answer] += 1
                stated = 1 - (joint_confidence(now, before) or 0.0)
    for each in growth:
        limit = (1 + TOLERANCE) / each
        yield _row(
            answers[each],
            within=limit >= 1 - _ROUNDED,
            case=_REGRESSION,
            rule="baseline",
            on="population",
            samples=_REGRESSION_SAMPLES,
            limit=limit,
            stated=stated,
        )


def _interval(reference: np.ndarray, shift: float, random: np.random.Generator, seed: int) -> Interval:
    b = random.standard_normal((_REGRESSION_SAMPLES, 2)) + shift * np.eye(1, 2)[0]
    return interval_of(_estimate(reference, b, seed=seed, options={"critic": mean_difference.RECIPE.name}), "population")


def _estimate(a: np.ndarray, b: np.ndarray, *, seed: int, options: dict[str, Any]) -> Estimate:
    found = estimate(a, b, seed=seed, baselines="none", confidence=CONFIDENCE, device="cpu", **options)
    if found.interrupted:  # Ctrl-C, which an estimation survives, is meant for the suite
        raise KeyboardInterrupt
    return found


def _row(answers: Counter[Answer], *, within: bool, **facts: Any) -> GateRow:
    """Counts of verdicts: where W1 is within the limit a fail is wrong, where it is not a pass."""
    passed, failed = answers[Answer.PASS], answers[Answer.FAIL]
    return GateRow(runs=answers.total(), passed=passed, failed=failed, wrong=failed if within else passed, **facts)


BENCH = Bench(
    name="gates",
    title="How often a gate is wrong, and how often it cannot tell",
    measure=_measure,
    tables=(
        BenchTable(
            title="verdicts",
            of=GateRow,
            columns=(
                Column(header="case", cell=lambda row: row.case, kind="text"),
                Column(header="samples\na side", cell=lambda row: row.samples, kind="count"),
                Column(header="rule", cell=lambda row: row.rule if row.on == "population" else f"{row.rule}, sets", kind="text"),
                Column(header="limit/\ntruth", cell=lambda row: row.limit),
                Column(header="pass", cell=lambda row: row.passed / row.runs, kind="share"),
                Column(header="fail", cell=lambda row: row.failed / row.runs, kind="share"),
                Column(header="open", cell=lambda row: row.share_inconclusive, kind="share"),
                Column(header="wrong", cell=lambda row: row.share_wrong, kind="share"),
            ),
        ),
    ),
    conclude=conclude,
    seeds=1,
    reduced=(f"{_QUICK_RUNS} runs instead of {_RUNS}",),
)
