"""Gates: how often a verdict is wrong and how often it is inconclusive, for pairs of known W1.

Sample sets are drawn again and again from pairs of known W1, estimated once, and judged at limits below, at and above the truth, on
the populations and on the sample sets. A pass is wrong if W1 is above the limit, a fail if it is not. A verdict on the populations
may be wrong with the probability that its confidence leaves, up to counting noise; one on sample sets is never wrong. For a given
truth only one of the two verdicts can be wrong, and both bounds share the error, so only about half of the stated error should be
seen.

On ``detected`` each bound gets the whole error. The truth is the expected value of what the critics of a run find: a pass is wrong
if it is above the limit, and a fail if it is not. For linear critics one point, and the same point shifted like B, gives this value
exactly; for clipped critics 20,000 such pairs leave almost no noise. If W1 is 0, limits are multiples of another unit.

All critics but one are closed forms, which makes hundreds of gates affordable; the validity of a bound does not depend on how its
critic was found.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
import torch

from wdist.critics.settings import CriticSettings
from wdist.estimation.result import Estimate
from wdist.gates.gate import interval_of
from wdist.gates.limits import On
from wdist.gates.rules import Answer, Interval, Maximum, NoMoreDetected, NoWorse, Rule
from wdist.gates.verdict import judge
from wdist.studies.error_rate import CountsErrors
from wdist.studies.panels import Panel, series_of
from wdist.studies.progress import estimated
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Study, StudyTable, percent

_CLOSED_FORM = (("critic", "mean-difference"),)
Sides: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class GateCase:
    """Sample sets of known W1, with the options of their estimates."""

    name: str
    draw: Callable[[np.random.Generator, int], Sides]
    """Draws samples of both sides, given their number."""
    w1: float
    """True value of the estimand that is judged."""
    samples: int
    """Number of samples a side."""
    on: On = "population"
    options: tuple[tuple[str, Any], ...] = _CLOSED_FORM
    """Arguments of the estimate."""
    fresh: Sides | None = None
    """Points, and the same points shifted like B, whose mean potentials differ by the expected detected distance; None for other
    estimands."""
    unit: float | None = None
    """Unit of the limits; None for W1."""


def _normal(dim: int, shift: float = 1.0) -> Callable[[np.random.Generator, int], Sides]:
    return lambda random, n: (random.standard_normal((n, dim)), random.standard_normal((n, dim)) + shift * np.eye(1, dim)[0])


def _greys(random: np.random.Generator, n: int) -> Sides:
    """Bytes in the plane, whose range is known; those of B are shifted by 100 in one coordinate."""
    a, b = (random.integers(0, 156, (n, 2), dtype=np.uint8) for _ in range(2))
    return a, b + np.array([100, 0], dtype=np.uint8)


def _coins(random: np.random.Generator, n: int) -> Sides:
    """Black and white: W1 is the difference of the two shares."""
    a, b = ((255 * (random.random((n, 1)) < share)).astype(np.uint8) for share in (0.8, 0.3))
    return a, b


def _moved(random: np.random.Generator, n: int) -> Sides:
    """A set of bytes in 8 dimensions and the same set shifted, in another order: no coupling is cheaper than the shift."""
    a = random.integers(0, 200, (n, 8), dtype=np.uint8)
    return a, random.permutation(a) + np.array([40] * 4 + [0] * 4, dtype=np.uint8)


def _few_against_many(random: np.random.Generator, n: int) -> Sides:
    """A set, and the same set shifted with each point twice: the counts differ, W1 does not."""
    a, b = _moved(random, n)
    return a, np.concatenate([b, b])


_FOLDS = (*_CLOSED_FORM, ("folds", 5), ("couplings", False))
_CLIPPED = (("critic", "sparse-mean-difference"), *_FOLDS[1:])
_ONE_SPLIT = (*_CLOSED_FORM, ("folds", 1), ("couplings", False))
_DEPENDENCE = 0.9
_FREEDOM = 2.5
"""Degrees of freedom of Student's t, at which fourth moments are infinite."""


def _student(random: np.random.Generator, n: int) -> Sides:
    """Samples with heavy tails in 10 dimensions; those of B are shifted."""
    return random.standard_t(_FREEDOM, (n, 10)), random.standard_t(_FREEDOM, (n, 10)) + np.eye(1, 10)[0]


def _dependent(random: np.random.Generator, n: int) -> Sides:
    """Ten normal columns with a common part; those of B are shifted in the first column."""
    a, b = (
        math.sqrt(_DEPENDENCE) * random.standard_normal((n, 1)) + math.sqrt(1 - _DEPENDENCE) * random.standard_normal((n, 10))
        for _ in range(2)
    )
    return a, b + np.eye(1, 10)[0]


def _detected(
    name: str, draw: Callable[[np.random.Generator, int], Sides], dim: int, n: int, points: np.ndarray | None = None, **facts: Any
) -> GateCase:
    """A case in which B is A shifted in the first coordinate; linear critics need no points of A."""
    facts = {"w1": 1.0, "options": _FOLDS, **facts}
    points = np.zeros((1, dim)) if points is None else points
    fresh = points, points + facts["w1"] * np.eye(1, dim)
    return GateCase(name=name, draw=draw, samples=n, on="detected", fresh=fresh, **facts)


_TRAINED = (("critic", "groupsort-bjorck"), ("steps", 20), ("settings", CriticSettings(width=16, depth=2, batch_size=64)))

_SHIFTED = math.sqrt(4) * 40 / 255
_FAR_POINTS = np.random.default_rng(0).standard_t(_FREEDOM, (20_000, 10))
CASES = (
    GateCase(name="normal, shifted, plane", draw=_normal(2), w1=1.0, samples=100),
    GateCase(name="normal, shifted, plane", draw=_normal(2), w1=1.0, samples=1000),
    GateCase(name="normal, shifted, plane, trained critic", draw=_normal(2), w1=1.0, samples=100, options=_TRAINED),
    GateCase(name="normal, shifted, 10 dimensions", draw=_normal(10), w1=1.0, samples=300),
    GateCase(name="bytes in the plane, shifted", draw=_greys, w1=100 / 255, samples=300),
    GateCase(name="black and white, shares 0.8 and 0.3", draw=_coins, w1=0.5, samples=1000),
    GateCase(name="a set and itself moved, 8 dimensions", draw=_moved, w1=_SHIFTED, samples=100, on="samples"),
    GateCase(name="a set and itself moved and doubled", draw=_few_against_many, w1=_SHIFTED, samples=100, on="samples"),
    _detected("normal, shifted, 10 dimensions", _normal(10), 10, 300),
    _detected("normal, shifted, 10 dimensions, one split", _normal(10), 10, 300, options=_ONE_SPLIT),
    _detected("normal, shifted, 64 dimensions", _normal(64), 64, 1000),
    _detected("heavy tails, shifted, 10 dimensions", _student, 10, 300),
    _detected("heavy tails, clipped, 10 dimensions", _student, 10, 300, points=_FAR_POINTS, options=_CLIPPED),
    _detected("dependent columns, shifted, 10 dimensions", _dependent, 10, 300),
    _detected("equal normal, 10 dimensions", _normal(10, 0.0), 10, 300, w1=0.0, unit=0.5),
    _detected("equal normal, 64 dimensions", _normal(64, 0.0), 64, 1000, w1=0.0, unit=0.5),
)


@dataclass(frozen=True, kw_only=True)
class GateRow(CountsErrors):
    """All gates of one case at one limit."""

    case: str
    rule: str
    """``max`` or ``baseline``."""
    on: On
    samples: int
    limit: float
    """Limit over the truth or over the unit of the case; for a baseline, the largest allowed value over the truth."""
    runs: int
    passed: int
    failed: int
    wrong: int
    stated: float
    """Error probability that the confidence leaves; 0 on sample sets."""

    @property
    def inconclusive(self) -> int:
        return self.runs - self.passed - self.failed

    @property
    def share_inconclusive(self) -> float:
        return self.inconclusive / self.runs


_RULES: dict[On, str] = {"population": "", "samples": ", sets", "detected": ", detected"}
"""Suffix of the names of rules and cases."""
LIMITS = (0.5, 0.8, 0.95, 1.0, 1.05, 1.25, 2.0)
"""Limits over the truth."""
CONFIDENCE = 0.95
GROWTH = (0.5, 0.9, 1.0, 1.05, 1.2, 2.0)
"""W1 over that of the baseline, for regressions judged with a tolerance of 5 %."""
TOLERANCE = 0.05
_RUNS, _QUICK_RUNS = 100, 10
_ROUNDED = 1e-12
_DECIDED = "normal, shifted, 10 dimensions"
_REGRESSION = "normal, plane, a shift that grew"
_REGRESSION_SAMPLES = 300


def _measure(conditions: Conditions) -> Iterator[GateRow]:
    runs = _QUICK_RUNS if conditions.quick else _RUNS
    total = runs * len(conditions.seeds)
    for case in CASES:
        name = f"{case.name}{_RULES[case.on]}"
        if conditions.wanted(name):
            what = f"{total} draws of {case.samples} samples per side: {case.name}"
            yield from conditions.rows(name, partial(rows_of, case, runs=runs, seeds=conditions.seeds), what=what)
    for on in ("population", "detected"):
        name = f"{_REGRESSION}{_RULES[on]}"
        if conditions.wanted(name):
            what = f"{total} baselines with {len(GROWTH)} later results each: {name}"
            measured = partial(regression_rows, runs=max(1, runs // 2), seeds=conditions.seeds, growth=GROWTH, on=on)
            yield from conditions.rows(name, measured, what=what)


def rows_of(case: GateCase, *, runs: int, seeds: Sequence[int] = (0,), limits: Sequence[float] = LIMITS) -> Iterator[GateRow]:
    """Gates of one case at all limits."""
    runs_of: list[tuple[Interval, float]] = []
    for seed in seeds:
        random = np.random.default_rng([seed, case.samples])
        for run in range(runs):
            found = _estimate(*case.draw(random, case.samples), seed=run, options=dict(case.options))
            runs_of.append((interval_of(found, case.on), case.w1 if case.fresh is None else _expected_detected(found, case.fresh)))
    unit = case.w1 if case.unit is None else case.unit
    for limit in limits if case.unit is None else (0.0, *limits):
        rule, answers, wrong = Maximum(value=limit * unit), Counter[Answer](), 0
        for interval, truth in runs_of:
            answer = judge(rule, interval).answer
            answers[answer] += 1
            wrong += answer is (Answer.FAIL if truth <= rule.value * (1 + _ROUNDED) else Answer.PASS)
        yield _row(
            answers,
            wrong,
            case=case.name,
            rule="max",
            on=case.on,
            samples=case.samples,
            limit=limit,
            stated=0.0 if case.on == "samples" else 1 - CONFIDENCE,
        )


def _expected_detected(found: Estimate, fresh: Sides) -> float:
    """Expected detected distance of the critics of a run."""
    a, b = (torch.from_numpy(side) for side in fresh)
    critics = found.critic.folds or (found.critic,)
    return fmean(float((each.frozen.potentials(a) - each.frozen.potentials(b)).mean()) / each.lipschitz_bound for each in critics)


def regression_rows(*, runs: int, seeds: Sequence[int] = (0,), growth: Sequence[float], on: On = "population") -> Iterator[GateRow]:
    """Gates against an earlier result for the same reference, whose W1 was 1; ``growth`` holds the values of W1 now."""
    answers: dict[float, Counter[Answer]] = {each: Counter() for each in growth}
    wrong: Counter[float] = Counter()
    for seed in seeds:
        random = np.random.default_rng([seed, 1])
        for run in range(runs):
            reference = random.standard_normal((_REGRESSION_SAMPLES, 2))
            before, then = _known(reference, 1.0, random, run, on)
            for each in growth:
                now, truth = _known(reference, each, random, run, on)
                rule: Rule = NoWorse(before=before, tolerance=TOLERANCE)
                if on == "detected":
                    rule = NoMoreDetected(before=before, now=now, tolerance=TOLERANCE)
                answer = judge(rule, now).answer
                answers[each][answer] += 1
                within = truth <= (1 + TOLERANCE) * max(then, 0.0) * (1 + _ROUNDED)
                wrong[each] += answer is (Answer.FAIL if within else Answer.PASS)
    for each in growth:
        yield _row(
            answers[each],
            wrong[each],
            case=_REGRESSION,
            rule="baseline",
            on=on,
            samples=_REGRESSION_SAMPLES,
            limit=(1 + TOLERANCE) / each,
            stated=(1 - CONFIDENCE) * (1 if on == "detected" else 2),
        )


def _known(reference: np.ndarray, shift: float, random: np.random.Generator, seed: int, on: On) -> tuple[Interval, float]:
    """The interval of one result at a known shift, and the true value."""
    b = random.standard_normal((_REGRESSION_SAMPLES, 2)) + shift * np.eye(1, 2)[0]
    found = _estimate(reference, b, seed=seed, options=dict(_FOLDS if on == "detected" else _CLOSED_FORM))
    truth = _expected_detected(found, (np.zeros((1, 2)), shift * np.eye(1, 2))) if on == "detected" else shift
    return interval_of(found, on), truth


def _estimate(a: np.ndarray, b: np.ndarray, *, seed: int, options: dict[str, Any]) -> Estimate:
    return estimated(a, b, seed=seed, baselines="none", confidence=CONFIDENCE, device="cpu", **options)


def _row(answers: Counter[Answer], wrong: int, **facts: Any) -> GateRow:
    return GateRow(runs=answers.total(), passed=answers[Answer.PASS], failed=answers[Answer.FAIL], wrong=wrong, **facts)


def conclude(rows: Sequence[GateRow]) -> Conclusion:
    """Checks whether verdicts keep their level, and shows at which limits gates are inconclusive."""
    inconclusive = _sum(rows, "inconclusive") / _sum(rows, "runs")
    return Conclusion(
        checks=tuple(_checks(rows)),
        panels=(_panel("inconclusive", rows), _panel("wrong", rows)),
        remarks=(
            f"Inconclusive over all limits: {percent(inconclusive, 0)}. Below the truth a fail is right, otherwise a pass.",
            f"Stated error: {percent(1 - CONFIDENCE, 0)}; twice that for a baseline on the populations, 0 on sample sets.",
        ),
    )


def _checks(rows: Sequence[GateRow]) -> Iterator[ClaimCheck]:
    certain = [row for row in rows if row.on == "samples"]
    for on, what in (("population", "populations"), ("detected", "what critics find")):
        uncertain = [row for row in rows if row.on == on]
        if not uncertain:
            continue
        worst = max(uncertain, key=lambda row: row.share_wrong)
        yield ClaimCheck(
            claim=f"Verdicts on {what} are wrong no more often than their confidence allows.",
            holds=all(row.holds for row in uncertain),
            detail=f"{_sum(uncertain, 'wrong'):,} of {_sum(uncertain, 'runs'):,} in all; at worst {percent(worst.share_wrong)} of "
            f"{worst.runs} against {percent(worst.stated, 0)}: {worst.case}, limit {worst.limit:.3g} of the truth",
        )
    if certain:
        wrong, claim = _sum(certain, "wrong"), "No verdict on sample sets is wrong."
        yield ClaimCheck(claim=claim, holds=wrong == 0, detail=f"{wrong:,} of {_sum(certain, 'runs'):,}")
    sharp = [row for row in rows if (row.case, row.on) == (_DECIDED, "detected") and row.limit in (0.5, 2.0)]
    if sharp:
        worst = max(sharp, key=lambda row: row.share_inconclusive)
        yield ClaimCheck(
            claim="With 300 samples in 10 dimensions, at most 10 % of gates on detected are inconclusive at half or twice W1.",
            holds=worst.share_inconclusive <= 0.1,
            detail=f"at worst {percent(worst.share_inconclusive)} of {worst.runs}, at {worst.limit:g} times W1",
        )


def _sum(rows: Sequence[GateRow], count: str) -> int:
    return sum(getattr(row, count) for row in rows)


def _panel(title: str, rows: Sequence[GateRow]) -> Panel:
    """The share of inconclusive or wrong gates of each case over the limit."""
    series = series_of(
        sorted(rows, key=lambda row: row.limit),
        name=lambda row: f"{row.case}, {row.samples}{_RULES[row.on]}",
        x="limit",
        y=f"share_{title}",
        reference=lambda row: row.on == "samples",
    )
    level = 1 - CONFIDENCE if title == "wrong" else None
    return Panel(title=title, x_label="limit over the truth", y_label="share of gates", level=level, bottom=0.0, series=series)


STUDY = Study(
    name="gates",
    title="How often a gate is wrong or inconclusive",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    tables=(
        StudyTable(
            "verdicts",
            GateRow,
            Column("case"),
            Column("samples\nper side", "samples"),
            Column("rule", lambda row: f"{row.rule}{_RULES[row.on]}"),
            Column("limit/\ntruth", "limit"),
            Column("pass", lambda row: row.passed / row.runs, "share"),
            Column("fail", lambda row: row.failed / row.runs, "share"),
            Column("open", "share_inconclusive", "share"),
            Column("wrong", "share_wrong", "share"),
        ),
    ),
    reduced=(f"{_QUICK_RUNS} runs instead of {_RUNS}",),
)
