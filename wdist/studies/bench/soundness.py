"""Soundness: every bound for the samples is checked against an independent value of W1, in tens of thousands of small trials.

A trial draws two sample sets and a metric, and computes their bounds in one of several ways. W1 of the same sets lies between two
numbers that are proved in extended precision (:mod:`wdist.studies.bench.soundness_truth`). A lower bound above the larger number is
wrong, and so is an upper bound below the smaller one; there is no tolerance. Unexpected errors, such as that for bounds which
exclude each other, count as wrong, too. A wrong trial is shrunk to fewer samples and coordinates for as long as it stays wrong.

The suite ``coverage`` checks the bounds for the populations against known truths.
"""

import math
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from wdist.errors import WdistError
from wdist.studies.bench.soundness_paths import PATHS, Claim, Path
from wdist.studies.bench.soundness_problems import Problem
from wdist.studies.bench.soundness_truth import Truth, check_precision
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Study, StudyTable
from wdist.training.observer import StageProgress

TRIALS, QUICK_TRIALS = 100_000, 2_000
_ANNOUNCED_EVERY = 200
_SHRINKING_SECONDS = 60.0
_MOST_WRONG = 5
"""Number of wrong trials of each path that are shrunk and shown; all are counted."""


@dataclass(frozen=True, kw_only=True)
class SoundnessRow:
    """Counts over all trials of one path, with one seed."""

    path: str
    seed: int
    trials: int
    refused: int
    """Trials whose sample sets were refused with a sentence instead of bounds."""
    lower: int
    upper: int
    """Number of computed bounds."""
    wrong: int
    """Trials with a bound on the wrong side of W1, or with an unexpected error."""
    closest_lower: float | None
    closest_upper: float | None
    """Smallest distance of a bound from W1, over W1; None if there was no finite bound of a positive W1."""
    widest_truth: float
    """Largest distance between the two proved numbers around W1, over the larger one."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class WrongBound:
    """A trial with a wrong bound, after shrinking."""

    path: str
    seed: int
    trial: int
    """Number of the trial among those of the path, from 0."""
    problem: str
    what: str
    """The wrong bound and the numbers that W1 lies between, or the error."""
    a: str
    b: str
    """The sample sets, shortened if they are large."""


@dataclass
class _Count:
    """Running counts of one row."""

    of: Counter[str] = field(default_factory=Counter)
    """Trials, refused ones, computed lower and upper bounds, and wrong trials."""
    closest: dict[str, float] = field(default_factory=dict)
    """Smallest distance of a finite bound from a positive W1, over W1, by end."""
    widest: float = 0.0

    def add(self, claim: Claim, truth: Truth) -> None:
        self.of[claim.end] += 1
        w1 = truth.high if claim.end == "lower" else truth.low
        if w1 > 0 and math.isfinite(claim.value):
            distance = abs(float((w1 - claim.value) / w1))
            self.closest[claim.end] = min(self.closest.get(claim.end, math.inf), distance)


def is_wrong(claim: Claim, truth: Truth) -> bool:
    """Whether a bound is on the wrong side of W1, or nan."""
    value = np.longdouble(claim.value)
    return not (value <= truth.high if claim.end == "lower" else value >= truth.low)


def _measure(conditions: Conditions) -> Iterator[SoundnessRow | WrongBound]:
    check_precision()
    trials = conditions.trials or TRIALS
    for seed in conditions.seeds:
        for path in PATHS:
            if conditions.wanted(path.name):
                measured = partial(rows_of, path, trials=max(1, round(trials * path.share)), seed=seed, conditions=conditions)
                yield from conditions.rows(f"{path.name} {seed}", measured)


def rows_of(path: Path, *, trials: int, seed: int, conditions: Conditions) -> Iterator[SoundnessRow | WrongBound]:
    """Counts of one path, over all trials or those before an interruption; then its wrong trials."""
    began, count, shown = time.perf_counter(), _Count(), list[WrongBound]()
    conditions.announce(f"{trials:,} trials: {path.name}")
    for number in range(trials):
        found = conditions.interruption.attempt(partial(_trial, path, seed, number, count))
        if conditions.interruption.requested:
            break
        count.of["trials"] += 1
        if found is not None and found[1]:
            count.of["wrong"] += 1
            if len(shown) < _MOST_WRONG:
                shown.append(_shown(path, seed, number, *shrunk(path, *found)))
        if number % _ANNOUNCED_EVERY == 0:
            conditions.observer.notify(StageProgress(fraction=number / trials))
    yield SoundnessRow(
        path=path.name,
        seed=seed,
        **{name: count.of[name] for name in ("trials", "refused", "lower", "upper", "wrong")},
        closest_lower=count.closest.get("lower"),
        closest_upper=count.closest.get("upper"),
        widest_truth=count.widest,
        seconds=time.perf_counter() - began,
    )
    yield from shown


def _trial(path: Path, seed: int, number: int, count: _Count) -> tuple[Problem, str]:
    """The problem of one trial, and the fault in its bounds; empty if they hold."""
    problem = path.draw(np.random.default_rng([seed, number, *path.name.encode()]))
    return problem, outcome(path, problem, count)


def outcome(path: Path, problem: Problem, count: _Count | None = None) -> str:
    """The fault in the bounds of a problem; empty if they hold."""
    count = count or _Count()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = path.truth(problem)
        try:
            claims = list(path.claims(problem, truth))
        except WdistError as error:
            count.of["refused"] += 1
            return "" if len(str(error).splitlines()) == 1 else f"an error of several lines: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    count.widest = max(count.widest, truth.spread)
    for claim in claims:
        of = claim.truth or truth
        if is_wrong(claim, of):
            return f"{claim.end} bound {claim.value!r} ({claim.what}), W1 between {of.low} and {of.high}"
        count.add(claim, of)
    return ""


def shrunk(path: Path, problem: Problem, reason: str) -> tuple[Problem, str]:
    """A smaller problem with a fault of the same kind (a wrong bound, or the same error), and that fault."""
    deadline, kind = time.perf_counter() + _SHRINKING_SECONDS, reason.split()[0]
    while time.perf_counter() < deadline:
        for smaller in problem.smaller(path.least):
            again = outcome(path, smaller)
            if again.startswith(kind):
                problem, reason = smaller, again
                break
            if time.perf_counter() > deadline:
                return problem, reason
        else:
            break
    return problem, reason


def _shown(path: Path, seed: int, number: int, problem: Problem, reason: str) -> WrongBound:
    a, b = _numbers(problem.x), _numbers(problem.y)
    return WrongBound(path=path.name, seed=seed, trial=number, problem=problem.name, what=reason, a=a, b=b)


def _numbers(values: torch.Tensor) -> str:
    """The numbers with enough digits to be read back; only the first ones if there are many."""
    text = str(values.tolist())
    return text if len(text) <= 2000 else f"{text[:2000]} ..."


def conclude(rows: Sequence[SoundnessRow | WrongBound]) -> Conclusion:
    """Checks whether every bound was on the right side of W1."""
    counted = [row for row in rows if isinstance(row, SoundnessRow)]
    wrong, trials = sum(row.wrong for row in counted), sum(row.trials for row in counted)
    bounds, seconds = sum(row.lower + row.upper for row in counted), sum(row.seconds for row in counted)
    return Conclusion(
        checks=(
            ClaimCheck(
                claim="Every bound for the samples is on the right side of W1.",
                holds=wrong == 0,
                detail=f"{wrong:,} wrong of {trials:,} trials, with {bounds:,} bounds",
            ),
        ),
        remarks=(
            "W1 lies between two numbers that are proved in extended precision, from plans by scipy; there is no tolerance.",
            f"{60 * trials / max(seconds, 1e-9):,.0f} trials a minute.",
        ),
    )


STUDY = Study(
    name="soundness",
    title="Whether bounds for the samples are ever wrong",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    trials=TRIALS,
    quick_trials=QUICK_TRIALS,
    tables=(
        StudyTable(
            "bounds held against W1 in extended precision",
            SoundnessRow,
            Column("method", "path"),
            *Column.named("trials", "refused"),
            Column("lower\nbounds", "lower"),
            Column("upper\nbounds", "upper"),
            Column("wrong"),
            Column("closest\nlower", "closest_lower"),
            Column("closest\nupper", "closest_upper"),
            Column("time", "seconds", "seconds"),
        ),
        StudyTable(
            "wrong bounds, in the smallest case found",
            WrongBound,
            Column("method", "path"),
            *Column.named("trial", "problem"),
            Column("what is wrong", "what"),
        ),
    ),
    reduced=(f"{QUICK_TRIALS:,} trials instead of {TRIALS:,}",),
)
