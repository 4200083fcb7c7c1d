"""How often a gate's verdict is wrong, and how often it leaves the question open, where W1 is known.

Pairs of known W1 are drawn again and again, each pair of sample sets is estimated once, and the verdict is asked for limits below,
at and above the truth, on the distributions and on the sample sets. A pass is wrong where W1 is above the limit, a fail where it is
not. A verdict on distributions may be wrong as often as its confidence leaves, up to the noise of counting; one on sample sets may
not be wrong at all. Whatever the truth is, only one of the two answers would be wrong, and the error is shared between both ends:
about half of what is stated is the most that should be seen.

All critics here but one follow from a formula, which is what makes hundreds of gates affordable; how a critic came about does not
matter to the validity of what it proves.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from wdist.bench.bench import Bench, BenchTable, Column, Conditions
from wdist.bench.gate_cases import CASES, GateCase
from wdist.bench.gate_conclusion import CONFIDENCE, LIMITS, conclude
from wdist.bench.gate_rows import GateRow
from wdist.critics import mean_difference
from wdist.estimation import estimate
from wdist.gating.answer import Answer
from wdist.gating.gate import interval_of
from wdist.gating.interval import Interval, joint_confidence
from wdist.gating.rules import Maximum, NoWorse
from wdist.gating.verdict import judge
from wdist.result import Estimate
from wdist.training.observer import Stage

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
