"""Sequential gates: samples are drawn in batches until there is a verdict, which is valid although it is checked after each batch.

Each critic is trained on all earlier batches and judged on the next one, which then joins the training samples. The values of a
batch are independent given the past, so a confidence sequence covers the running average of what the critics find. Each critic
finds at most W1: a lower end above the limit fails the gate for W1 itself, but an upper end is about the critics alone. A critic
trained on few samples finds little, so the upper end comes from a second sequence, which begins with critics trained on enough. One
end of each sequence is used, with half of the error.

References:
    Shekhar & Ramdas (2023), Nonparametric two-sample testing by betting, arXiv:2112.09162: predictable critics.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.arguments import check_fields
from wdist.bounds.confidence import resolve
from wdist.bounds.dual import CLAIM, evaluate
from wdist.bounds.sequences import AsymptoticSequence, BernsteinSequence, ConfidenceSequence
from wdist.checkpoints.checkpoint import now
from wdist.data.comparable import comparable
from wdist.data.features.opening import open_features
from wdist.data.features.space import check_one_space
from wdist.data.measure import split
from wdist.data.rows import in_units, read_again
from wdist.data.sources.arrays import exact_float
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource, Source, SourceInfo, random_stream
from wdist.data.tables.joint import jointly_encoded
from wdist.distributed.processes import processes
from wdist.environment import choose_device
from wdist.errors import UsageError
from wdist.estimation.estimate import run_estimate
from wdist.estimation.options import AUTO, EstimateOptions
from wdist.estimation.result import Estimate
from wdist.gates.gate import GateResult, Judged
from wdist.gates.limits import GateLimits
from wdist.gates.rules import Answer, Interval, Look, Maximum
from wdist.gates.verdict import judge
from wdist.ground_metric import ground_metric
from wdist.interruption import Interruption
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE
from wdist.training.observer import Observer, Silent, Stage

MOST_SAMPLES = 100_000
"""Default number of samples of each side after which a gate stops without a verdict."""
_FIRST, _LEAST_BATCH = 20, 20
"""Samples of each side on which the first critic is trained, and in the smallest batch."""
_ENOUGH_TO_PASS = 80
"""Fewest training samples of each side for a critic to count towards a pass; with fewer, it finds little whatever W1 is."""
_GROWTH = 0.3
"""Size of a batch relative to all samples before it, so that the number of trainings grows with the logarithm of the samples."""
_STEPS = 300
"""Steps of each training, unless ``--steps`` gives another number."""
_INTERRUPTED = "The run was interrupted."
_STREAM = 6
"""Purpose of the random stream, which no other draws share."""


@dataclass(frozen=True, kw_only=True)
class UntilDecided:
    """Limits at which a sequential gate stops without a verdict, validated when made."""

    max_samples: int = MOST_SAMPLES
    """Samples of each side."""
    max_seconds: float | None = None
    """Time limit, which the last training may exceed; None for no limit."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.max_samples < _FIRST + _LEAST_BATCH:
            raise UsageError(f"--max-samples must be at least {_FIRST + _LEAST_BATCH}, not {self.max_samples}")
        if self.max_seconds is not None and not 0 < self.max_seconds < math.inf:
            raise UsageError(f"--max-time must be positive, not {self.max_seconds:g} seconds; write --max-time 10m")


def run_until_decided(
    a: Any, b: Any, options: EstimateOptions, limits: GateLimits, until: UntilDecided, *, observer: Observer | None = None
) -> GateResult:
    """Judges batch by batch until the gate passes or fails, or a limit of samples or time is reached, as :func:`wdist.gate` does.

    Rows are read in random order, and a number of steps is that of each training.
    """
    rule = _rule(options, limits)
    observer, began, interruption = observer or Silent(), now(), Interruption()
    observer.notify(Stage(what="opening the sources"))
    options = replace(options, features=open_features(options.features, options.access, choose_device(options.device)))
    run = _SequentialRun(*_opened(a, b, options), options, most=until.max_samples)
    ended: str | None = None
    while ended is None:
        observer.notify(Stage(what=run.progress))
        interruption.attempt(run.look)
        if not run.looks:
            raise KeyboardInterrupt
        if run.decides(judge(rule, run.interval).answer):
            ended = ""
        elif interruption.requested or run.last.interrupted:
            ended = _INTERRUPTED
        elif until.max_seconds is not None and processes().decided(now() - began) > until.max_seconds:
            ended = "The time of --max-time is up."
        else:
            ended = run.exhausted
    return _result(rule, run, ended, timed=until.max_seconds is not None, seconds=now() - began)


def _rule(options: EstimateOptions, limits: GateLimits) -> Maximum:
    """The only rule of a sequential gate; UsageError if another one is given, or an option that would have no effect."""
    if limits.maximum is None or limits.baseline is not None or limits.max_lower is not None:
        raise UsageError("--until-decided decides about --max T only; give --max alone")
    if limits.on != "detected":
        raise UsageError(f"--until-decided judges what critics detect, not --on {limits.on}; leave out --on")
    idle = {
        "--folds": options.folds is not None,
        "--repeats": options.repeats > 1,
        "--critics": options.critics is not None,
        "--draws": options.draws is not None,
        "--divergence": options.divergence is not None,
        "--budget": options.timed,
    }
    if given := [name for name, value in idle.items() if value]:
        raise UsageError(
            f"--until-decided trains one critic after another on more and more samples, without {' and '.join(given)}; "
            f"leave {'it' if len(given) == 1 else 'them'} out; --max-time limits the time"
        )
    limit = limits.limit
    assert isinstance(limit, float), "limits relative to the reference are for blocks"
    return Maximum(value=limit)


class _Stream:
    """Fresh samples of one side: draws, or rows of a finite source in random order."""

    def __init__(self, source: Source, digest: str | None, *, side: int, seed: int) -> None:
        self.source, self.info, self.digest = source, source.info, digest
        self._generator = random_stream(seed, side, _STREAM)
        # Units that are fitted to rows of A must not depend on samples that are judged.
        fitted = isinstance(source, FiniteSource) and side == 0 and self.info.fitted
        fitted_to = split(source.info.count or 0, seed=seed).train if fitted else np.empty(0, dtype=np.int64)
        rows = np.setdiff1d(np.arange(source.info.count or 0), fitted_to)
        self._order = np.random.default_rng([seed, side, _STREAM]).permutation(rows)
        self._taken = 0

    @property
    def left(self) -> float:
        """Samples that are left; infinite for draws."""
        return len(self._order) - self._taken if isinstance(self.source, FiniteSource) else math.inf

    def next(self, n: int) -> Tensor:
        """The next ``n`` samples, floating point, shape (n, dim), in the units of the source."""
        if not isinstance(self.source, FiniteSource):
            return self.source.draw(n, self._generator)
        wanted = self._order[self._taken : self._taken + n]
        self._taken += n
        rows = read_again(self.source, np.sort(wanted))
        # Back in random order: neighbours in a file may be alike, and values of both sides are paired.
        return in_units(rows[torch.from_numpy(wanted.argsort().argsort())], self.info, exact_float(rows.dtype))


def _opened(a: Any, b: Any, options: EstimateOptions) -> tuple[_Stream, _Stream, tuple[str, ...]]:
    """Opens and checks both sides; returns their streams, and warnings about them.

    Raises:
        UsageError: both sides hold the same samples, or one has too few.
        SourceError: the sides are not samples of one space.
    """
    opened = [open_source(side, options.access, seed=options.seed) for side in (a, b)]
    joint = jointly_encoded(opened, options.access, seed=options.seed, metric=ground_metric(options.metric))
    space = options.features
    sides = comparable(joint.sources, options.access, seed=options.seed, mapped=space is not None)
    first, second = (side.source for side in sides)
    if space is not None:  # features are computed batch by batch, unless they are kept on disk
        first, second = (space.of(side.source, side.ends, digest=side.digest, ahead=False) for side in sides)
        check_one_space(first, second)
    streams = [
        _Stream(source, side.digest, side=number, seed=options.seed)
        for number, (source, side) in enumerate(zip((first, second), sides, strict=True))
    ]
    if streams[0].digest is not None and streams[0].digest == streams[1].digest:
        raise UsageError(
            "--until-decided needs independent samples, but both sides hold the same ones; give others, or --on samples"
        )
    for stream in streams:
        if stream.left < _FIRST + _LEAST_BATCH:
            raise UsageError(
                f"--until-decided takes at least {_FIRST + _LEAST_BATCH} samples of each side, but {stream.info.address} has "
                f"{stream.left}; leave it out"
            )
    return streams[0], streams[1], (*joint.warnings, *sides[1].warnings)


class _SequentialRun:
    """State of a sequential gate: the samples so far, the critic trained on them, and the interval after each batch."""

    def __init__(self, a: _Stream, b: _Stream, warnings: tuple[str, ...], options: EstimateOptions, *, most: int) -> None:
        self.streams, self.warnings, self.space = (a, b), warnings, options.features
        self.options = _training_options(options)
        self.last: Estimate
        self._past = [stream.next(_FIRST) for stream in self.streams]
        self._most, self._rounding = most, 0.0
        self._sequence, self._passing = (_sequence(a.info, b.info, options) for _ in range(2))
        self._trained_on = 0
        self.looks: list[Look] = []

    @property
    def count(self) -> int:
        """Samples of each side so far."""
        return len(self._past[0])

    @property
    def _next(self) -> int:
        """Size of the next batch; too small if samples run out."""
        left = min(self._most - self.count, *(stream.left for stream in self.streams))
        return int(min(max(_LEAST_BATCH, _GROWTH * self.count), left))

    @property
    def exhausted(self) -> str | None:
        """Sentence with the reason why there is no further batch; None if there is one."""
        if self._next >= _LEAST_BATCH // 2:
            return None
        empty = next((stream.info.address for stream in self.streams if stream.left < _LEAST_BATCH), None)
        return f"--max-samples {self._most} is reached." if empty is None else f"{empty} has no more samples."

    @property
    def progress(self) -> str:
        """The current stage in words."""
        done = f"batch {len(self.looks) + 1}, {self.count + self._next:,} samples a side"
        return done if not self.looks else f"{done}; so far {self.looks[-1].lower:.4g} to {self.looks[-1].upper:.4g}"

    def decides(self, answer: Answer) -> bool:
        """Whether an answer ends the gate; a pass waits for critics that are trained on enough samples."""
        early = self._trained_on < _ENOUGH_TO_PASS and self.exhausted is None
        return answer is Answer.FAIL or (answer is Answer.PASS and not early)

    def look(self) -> None:
        """Trains a critic on the past and judges it on the next batch."""
        before_a, before_b = (
            rows.reshape(len(rows), *stream.info.event_shape) for rows, stream in zip(self._past, self.streams, strict=True)
        )
        found = run_estimate(before_a, before_b, self.options, command="gate")
        size = self._next  # before either side is read
        batch = [stream.next(size) for stream in self.streams]
        a, b = (evaluate(found.critic.frozen, rows.to(torch.float64).split(4096)) for rows in batch)
        K = found.critic.lipschitz_bound
        self._rounding = max(self._rounding, CLAIM.roundings * (a.rounding + b.rounding) / K)
        values, self._trained_on = (a.values - b.values) / K, self.count
        self._sequence.update(values)
        if self._trained_on >= _ENOUGH_TO_PASS:
            self._passing.update(values)
        self._past = [torch.cat(parts) for parts in zip(self._past, batch, strict=True)]
        self.last = found
        estimate, (lower, upper) = self._sequence.estimate, self._sequence.interval
        if self._trained_on >= _ENOUGH_TO_PASS:
            upper = max(self._passing.interval[1], estimate)
        ends = max(lower - self._rounding, 0.0), max(upper + self._rounding, 0.0)
        self.looks.append(Look(samples=self.count, estimate=estimate, lower=ends[0], upper=ends[1]))

    @property
    def interval(self) -> Interval:
        """The interval after the last batch."""
        look = self.looks[-1]
        return Interval(
            on="detected",
            lower=look.lower,
            upper=look.upper,
            estimate=look.estimate,
            confidence=self.options.confidence,
            counts=(look.samples, look.samples),
            asymptotic=isinstance(self._sequence, AsymptoticSequence),
            anytime=True,
            converged=self.last.converged,
        )


def _sequence(a: SourceInfo, b: SourceInfo, options: EstimateOptions) -> ConfidenceSequence:
    """The confidence sequence that the sources allow and ``--ci`` requests."""
    alpha, metric = 1 - options.confidence, ground_metric(options.metric)
    if a.bounds is None or b.bounds is None:
        resolve(options.ci, (None, None))
        return AsymptoticSequence(alpha=alpha)
    diameter = metric.diameter(min(a.bounds[0], b.bounds[0]), max(a.bounds[1], b.bounds[1]), a.dim)
    if resolve(options.ci, (diameter, diameter)) == "welch":
        return AsymptoticSequence(alpha=alpha)
    # A 1-Lipschitz function differs by no more than the distance; the last digits are left for rounding.
    return BernsteinSequence(alpha=alpha, reach=diameter * (1 + 1e-9))


def _training_options(options: EstimateOptions) -> EstimateOptions:
    """Options of one training: no transport, no folds, few steps by default, and samples that are already encoded."""
    trained = options.critic == AUTO or (options.critic in CATALOGUE and CATALOGUE[options.critic].trained)
    budget = Budget(steps=_STEPS) if options.budget is None and trained else options.budget
    access = replace(options.access, scale="none", feature_cache=None)
    return replace(options, couplings=False, folds=1, budget=budget, access=access, features=None)


def _result(rule: Maximum, run: _SequentialRun, ended: str, *, timed: bool, seconds: float) -> GateResult:
    verdict, (a, b) = judge(rule, run.interval), run.streams
    took = f"It took {run.count:,} samples of each side."
    verdict = replace(verdict, reason=f"{verdict.reason} {took}", suggestions=tuple(filter(None, (ended, *verdict.suggestions))))
    estimate = replace(
        run.last,
        a=a.info,
        b=b.info,
        digest_a=a.digest,
        digest_b=b.digest,
        features=None if run.space is None else replace(run.space.facts, dim=a.info.dim),
        warnings=run.warnings,
        detected=None,
        interrupted=run.last.interrupted or ended == _INTERRUPTED,
        seconds=seconds,
    )
    return GateResult(
        verdict=verdict,
        judged=(Judged(rule=rule, verdict=verdict),),
        on="detected",
        interval=run.interval,
        confidence=run.interval.confidence,
        estimate=estimate,
        recorded=None,
        timed=timed,
        looks=tuple(run.looks),
    )
