"""Sequential gates: how many samples a verdict takes, beside a test of fixed size, and how often it is wrong.

Both sides are endless sources in 10 dimensions, B is A shifted by W1, and the critics are closed forms. The test of fixed size is
``gate --on detected --folds 5`` with the smallest number of samples, on a grid, that decides in 90 % of its runs; nobody knows that
number beforehand. A fail is wrong if W1 is within the limit. A pass is wrong if the limit is below 0.9 W1: its critics may find
less than W1, but not that much less.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.source import EndlessSource, SourceInfo
from wdist.estimation.options import EstimateOptions
from wdist.gates.gate import interval_of
from wdist.gates.limits import GateLimits
from wdist.gates.rules import Answer, Maximum
from wdist.gates.sequential import UntilDecided, run_until_decided
from wdist.gates.verdict import judge
from wdist.studies.error_rate import CountsErrors
from wdist.studies.progress import complete, estimated
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Study, StudyTable, percent

CONFIDENCE = 0.95
LIMITS = (0.1, 0.5, 0.8, 0.9, 1.0, 1.25, 2.0)
"""Limits over W1."""
_LIMITS_AT_0 = (0.0, 0.5, 1.0)
_EASY, _HARD = 0.1, 0.9
_MOST, _MOST_AT_W1 = 20_000, 2_000
_POWER, _STEP, _FIRST = 0.9, 1.25, 60
_RUNS, _QUICK_RUNS, _FIXED_RUNS = 200, 10, 100
_FREEDOM = 2.5
_LEAST_FOUND = 0.9
"""Share of W1 below which a limit makes a pass wrong, because critics should find at least this much."""
_OPTIONS: dict[str, Any] = {"critic": "mean-difference", "baselines": "none", "device": "cpu", "confidence": CONFIDENCE}


def _normal(n: int, dim: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, dim, generator=generator, dtype=torch.float64)


def _student(n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Samples with heavy tails: Student's t with 2.5 degrees of freedom, at which fourth moments are infinite."""
    seed = int(torch.randint(1 << 62, (1,), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).standard_t(_FREEDOM, (n, dim)))


class _Draws(EndlessSource):
    """Draws from one distribution, shifted in the first coordinate."""

    def __init__(self, law: Callable[[int, int, torch.Generator], Tensor], dim: int, shift: float) -> None:
        self._law, self._shift = law, shift
        self.info = SourceInfo(address="draws", kind="synthetic", event_shape=(dim,), count=None, dtype="float64")

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        x = self._law(n, self.info.dim, generator)
        x[:, 0] += self._shift
        return x


@dataclass(frozen=True, kw_only=True)
class SequentialCase:
    """Two endless sources of known W1."""

    name: str
    law: Callable[[int, int, torch.Generator], Tensor]
    dim: int
    w1: float


CASES = (
    SequentialCase(name="normal, shifted", law=_normal, dim=10, w1=1.0),
    SequentialCase(name="heavy tails", law=_student, dim=10, w1=1.0),
    SequentialCase(name="equal normal", law=_normal, dim=10, w1=0.0),
)


@dataclass(frozen=True, kw_only=True)
class SequentialRow(CountsErrors):
    """Counts over all sequential gates of one case at one limit."""

    stated = 1 - CONFIDENCE
    case: str
    limit: float
    """Limit over W1, or the limit itself if W1 is 0."""
    runs: int
    passed: int
    failed: int
    wrong: int
    median: int
    """Median number of samples a side until the verdict, or until the run stopped without one."""
    most: int
    """Number of samples a side that 90 % of the runs did not exceed."""
    fixed: int | None
    """Number of samples a side of the test of fixed size; None if none was tried or none decides."""

    @property
    def ratio(self) -> float | None:
        """Median over the number of samples of the test of fixed size."""
        return None if self.fixed is None else self.median / self.fixed


def _measure(conditions: Conditions) -> Iterator[SequentialRow]:
    runs = (conditions.trials or _RUNS) * len(conditions.seeds)
    for case in CASES:
        if conditions.wanted(case.name):
            for limit in LIMITS if case.w1 else _LIMITS_AT_0:
                what = f"{runs} sequential gates at {limit:g}: {case.name}"
                measured = partial(row_of, case, limit, runs=runs, fixed_runs=min(runs, _FIXED_RUNS), seed=conditions.seed)
                yield conditions.row(f"{case.name} {limit:g}", measured, what=what)


def row_of(case: SequentialCase, limit: float, *, runs: int, fixed_runs: int, seed: int = 0) -> SequentialRow:
    """Runs all gates of one case at one limit, and the test of fixed size."""
    maximum = limit * (case.w1 or 1.0)
    least = maximum == case.w1
    answers, taken = Counter[Answer](), []
    sides = _Draws(case.law, case.dim, 0.0), _Draws(case.law, case.dim, case.w1)
    limits, until = GateLimits(maximum=maximum, on="detected"), UntilDecided(max_samples=_MOST_AT_W1 if least else _MOST)
    for run in range(runs):
        options = EstimateOptions.validated(**_OPTIONS, seed=1000 * runs * seed + run)
        result = run_until_decided(*sides, options, limits, until)
        complete(result.estimate)
        answers[result.answer] += 1
        taken.append(result.looks[-1].samples)
    wrong = answers[Answer.FAIL] if case.w1 <= maximum else 0
    wrong += answers[Answer.PASS] if maximum < _LEAST_FOUND * case.w1 else 0
    return SequentialRow(
        case=case.name,
        limit=limit,
        runs=runs,
        passed=answers[Answer.PASS],
        failed=answers[Answer.FAIL],
        wrong=wrong,
        median=round(np.median(taken)),
        most=round(np.quantile(taken, 0.9)),
        fixed=None if least else fixed_size(case, maximum, runs=fixed_runs),
    )


def fixed_size(case: SequentialCase, maximum: float, *, runs: int) -> int | None:
    """The smallest number of samples a side, on a grid, at which a test of fixed size decides in 90 % of its runs."""
    wanted = Answer.PASS if case.w1 < maximum else Answer.FAIL
    n = float(_FIRST)
    while n <= _MOST:
        decided = sum(_fixed(case, int(n), maximum, run) is wanted for run in range(runs))
        if decided >= _POWER * runs:
            return int(n)
        n *= _STEP
    return None


def _fixed(case: SequentialCase, n: int, maximum: float, run: int) -> Answer:
    generator = torch.Generator().manual_seed(run)
    a, b = (_Draws(case.law, case.dim, shift).draw(n, generator) for shift in (0.0, case.w1))
    found = estimated(a, b, **_OPTIONS, seed=run, folds=5, couplings=False)
    return judge(Maximum(value=maximum), interval_of(found, "detected")).answer


def conclude(rows: Sequence[SequentialRow]) -> Conclusion:
    """Checks how often verdicts are wrong, and how many samples they take beside a test of fixed size."""
    return Conclusion(
        checks=tuple(_checks(rows)),
        remarks=(
            f"With the number of samples in its column, which nobody knows beforehand, a test of fixed size decides in "
            f"{percent(_POWER, 0)} of its runs; {_FIRST} is the smallest number tried. A run stops at {_MOST_AT_W1:,} samples a "
            f"side if the limit is W1, and otherwise at {_MOST:,}.",
        ),
    )


def _checks(rows: Sequence[SequentialRow]) -> Iterator[ClaimCheck]:
    worst = max(rows, key=lambda row: row.share_wrong)
    yield ClaimCheck(
        claim="However often it looks, a sequential gate is wrong no more often than its confidence allows.",
        holds=all(row.holds for row in rows),
        detail=f"at worst {percent(worst.share_wrong)} of {worst.runs}: {worst.case}, limit {worst.limit:g}",
    )
    beside = [row for row in rows if row.ratio is not None]
    if beside:
        slowest = max(beside, key=lambda row: row.ratio or 0.0)
        yield ClaimCheck(
            claim="Its median number of samples is at most twice that of a test of fixed size which nearly always decides.",
            holds=(slowest.ratio or math.inf) <= 2,
            detail=f"at worst {slowest.ratio:.2f} times: {slowest.case}, limit {slowest.limit:g}",
        )
    for case in CASES:
        known = {row.limit: row for row in rows if row.case == case.name}
        easy, hard = known.get(_EASY), known.get(_HARD)
        if easy is not None and hard is not None and hard.fixed is not None:
            yield ClaimCheck(
                claim=f"A large difference takes at most a tenth of the samples planned for a small one ({case.name}).",
                holds=easy.median <= hard.fixed / 10,
                detail=f"{easy.median:,} samples in the median; a test planned for a limit of {_HARD:g} takes {hard.fixed:,}",
            )


STUDY = Study(
    name="sequential",
    title="How many samples a sequential gate takes",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    tables=(
        StudyTable(
            "verdicts",
            SequentialRow,
            Column("case"),
            Column("limit/\nW1", "limit"),
            Column("pass", lambda row: row.passed / row.runs, "share"),
            Column("fail", lambda row: row.failed / row.runs, "share"),
            Column("wrong", "share_wrong", "share"),
            Column("samples,\nmedian", "median"),
            Column("9 in 10", "most"),
            Column("fixed\nsize", "fixed"),
            Column("ratio"),
        ),
    ),
    trials=_RUNS,
    quick_trials=_QUICK_RUNS,
    reduced=(f"{_QUICK_RUNS} runs instead of {_RUNS}",),
)
