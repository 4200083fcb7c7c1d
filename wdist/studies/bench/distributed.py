"""Several processes: the speed-up of two over one, and the agreement of their results.

torchrun starts a job of two processes with one thread each. One process works alone while the other waits in an exchange, then both
share the same work. Blocks of the two ways alternate, and each ratio compares neighbouring blocks. Times are by the clock,
because waiting counts; other work on the machine shows as spread.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.comparison.compare import run_comparison
from wdist.critics.networks import StackedCritic
from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.pairing import Pair, open_pair
from wdist.distributed.job import Job
from wdist.distributed.processes import ProcessesError, alone, processes
from wdist.environment import versions
from wdist.estimation.blocks import BlockPlan, block_distances
from wdist.estimation.evaluation import ErrorBudget, evaluate_rows, judge
from wdist.estimation.options import EstimateOptions
from wdist.ground_metric import L2
from wdist.studies.machine import ONE_THREAD
from wdist.studies.panels import Panel, series_of
from wdist.studies.progress import estimated
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Skipped, Study, StudyTable, half_range
from wdist.training.catalogue import network
from wdist.training.kind import DataShape, TrainingJob
from wdist.training.networks import ResolvedNetwork
from wdist.training.optimizers import make_optimizers
from wdist.training.shared_batches import SharedBatches
from wdist.training.step import TrainingStep
from wdist.transport.pricing import Pricing

PROCESSES = 2
STEPS, WORK = 1.6, 1.8
"""Speed-ups over one process that two should reach, for steps on large minibatches and for independent work."""
LARGE = 16_384
"""Smallest number of samples a side in minibatches that count as large."""
_KIND = "groupsort-bjorck"
_CPU = torch.device("cpu")
REMARKS = (
    "Training: a whole training by one process and by two, whose sums are rounded differently and lead to another critic.",
    "Speed-up: the median over rounds, ± half their range; one process alone alternates with both, on one thread each.",
    "Other work on the machine slows two processes more than one.",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Settings of one measurement."""

    name: str
    work: str
    """Kind of work: a key of :data:`_WORKS`, or ``agreement``."""
    n: int
    """Number of samples a side; for a step, in its minibatch."""
    dim: int
    width: int = 128
    """Width of the network, if the work has one."""
    steps: int = 20
    """Steps of a training, if the work has one."""
    rounds: int = 5
    seconds: float = 1.0
    """Shortest time of a block of one process."""
    quick: bool = False


def _step(width: int, batch: int, **form: Any) -> Case:
    return Case(name=f"step width {width} batch {batch}", work="step", n=batch, dim=64, width=width, **form)


CASES = (
    *(_step(width, batch) for width in (128, 256, 512) for batch in (4096, LARGE)),
    Case(name="sources of a comparison", work="sources", n=4000, dim=16, steps=150),
    Case(name="critics of an estimate", work="critics", n=4000, dim=16, steps=150),
    Case(name="blocks", work="blocks", n=12_000, dim=16),
    Case(name="pricing of transport", work="pricing", n=12_000, dim=32),
    Case(name="evaluation", work="evaluation", n=40_000, dim=64, width=256),
    Case(name="same results", work="agreement", n=9000, dim=16),
)
QUICK_CASES = (
    _step(128, 4096, rounds=3),
    Case(name="blocks", work="blocks", n=2400, dim=16, rounds=3),
    Case(name="pricing of transport", work="pricing", n=6000, dim=32, rounds=3),
    Case(name="same results", work="agreement", n=9000, dim=4, steps=5),
)


@dataclass(frozen=True, kw_only=True)
class ScalingRow:
    """Times of the same work by one process and by two."""

    name: str
    one: float
    """Seconds that one process takes: median over rounds."""
    two: float
    """Seconds that two processes take together: median over rounds."""
    speed_up: float
    """Time of one process over that of two: median over rounds."""
    speed_ups: tuple[float, ...]
    """Speed-up in each round."""

    @property
    def spread(self) -> float | None:
        return half_range(self.speed_ups)


@dataclass(frozen=True, kw_only=True)
class StepScalingRow(ScalingRow):
    """Times of training steps on divided minibatches."""

    width: int
    batch: int
    """Number of samples a side."""
    sent: int
    """Bytes of the tensors that the processes sum in a step."""


@dataclass(frozen=True, kw_only=True)
class AgreementRow:
    """One number, computed by one process and by two."""

    name: str
    one: float
    two: float
    rounding: float | None
    """Difference that the counted rounding explains; None if different rounding in training led to another critic."""

    @property
    def difference(self) -> float:
        return abs(self.two - self.one)

    @property
    def agrees(self) -> bool:
        return self.rounding is None or self.difference <= self.rounding


Row: TypeAlias = ScalingRow | StepScalingRow | AgreementRow


def _samples(case: Case, sides: int = 2) -> list[Tensor]:
    """Normal samples with different means, each of shape (n, dim), float32."""
    random = torch.Generator().manual_seed(0)
    return [torch.randn(case.n, case.dim, generator=random) + 0.3 * side for side in range(sides)]


def _pair(case: Case) -> Pair:
    return open_pair(*_samples(case), access=Access(), seed=0, device=_CPU)


def _network(width: int, pair: Pair) -> tuple[StackedCritic, ResolvedNetwork]:
    """The default network with fresh weights, and its settings."""
    kind, shape = network(_KIND), DataShape.of(pair)
    spec = kind.resolve(CriticSettings(width=width), shape)
    return kind.build(spec, shape, torch.Generator().manual_seed(0)), spec.settings


class _Steps:
    """Steps of the default network, each on new minibatches."""

    def __init__(self, case: Case) -> None:
        large = Case(name=case.name, work=case.work, n=2 * case.n, dim=case.dim)
        self._job = TrainingJob(pair=_pair(large), seed=0, device=_CPU)
        self._batch = case.n
        critic, settings = _network(case.width, self._job.pair)
        made = make_optimizers(critic, name=settings.optimizer, learning_rate=settings.learning_rate)
        self._shared = None if processes().size == 1 else SharedBatches(critic, case.n)
        step = TrainingStep(critic, made if self._shared is None else [self._shared, *made])
        self._ascend = step if self._shared is None else self._shared.ascent(step)
        self.sent = sum(each.numel() * each.element_size() for each in critic.parameters()) + 4  # the gradient and the dual value

    def __call__(self) -> None:
        sides = (self._job.pair.a, self._job.pair.b)
        drawn = [side.train.next(self._batch) for side in sides]
        a, b = (self._job.standardised(x if self._shared is None else self._shared.own(x)) for x in drawn)
        self._ascend(a, b, factor=0.1)


def _sources(case: Case) -> Callable[[], object]:
    reference, *others = _samples(case, sides=5)
    options = EstimateOptions.validated(critic=_KIND, width=case.width, steps=case.steps, couplings=False)
    return lambda: run_comparison(reference, others, options)


def _critics(case: Case) -> Callable[[], object]:
    critics = ("groupsort-bjorck", "groupsort-spectral", "relu-bjorck", "relu-spectral")
    return lambda: estimated(*_samples(case), critics=critics, width=case.width, steps=case.steps, couplings=False)


def _blocks(case: Case) -> Callable[[], object]:
    size = min(256, case.n // 20)
    plan = BlockPlan(size=size, groups=case.n // (2 * size) // PROCESSES * PROCESSES, seconds=0.0)
    return partial(block_distances, _pair(case), L2, plan, confidence=0.95, diameter=None, seed=0)


def _pricing(case: Case) -> Callable[[], object]:
    x, y = (side.double() for side in _samples(case))
    u, v = (np.random.default_rng(side).normal(scale=0.1, size=case.n) for side in range(2))
    return partial(Pricing(x, y, L2).below, u, v)


def _evaluation(case: Case) -> Callable[[], object]:
    pair = _pair(case)
    critic = _network(case.width, pair)[0].freeze(pair.standardisation)
    return lambda: [evaluate_rows(critic, side.everything) for side in (pair.a, pair.b)]


_WORKS: dict[str, Callable[[Case], Callable[[], object]]] = {
    "step": _Steps,
    "sources": _sources,
    "critics": _critics,
    "blocks": _blocks,
    "pricing": _pricing,
    "evaluation": _evaluation,
}


def _seconds(work: Callable[[], object], repetitions: int = 1) -> float:
    """Seconds until all processes have done their share of the work."""
    began = time.perf_counter()
    for _ in range(repetitions):
        work()
    processes().gathered("the end of a block", None)
    return time.perf_counter() - began


def scaling(case: Case) -> ScalingRow:
    """Times the work of a case by the first process alone and by all processes, in rounds whose order alternates."""
    together = _WORKS[case.work](case)
    with alone():
        by_one = _WORKS[case.work](case)

    def alone_first(repetitions: int) -> float:
        return processes().from_first("the work of one", partial(_seconds, by_one, repetitions))

    alone_first(1)
    _seconds(together)  # warm-up: imports and first touches of memory
    repetitions = max(1, round(case.seconds / alone_first(1)))
    taken = []
    for number in range(case.rounds):
        ways = [partial(alone_first, repetitions), partial(_seconds, together, repetitions)]
        order = (0, 1) if number % 2 == 0 else (1, 0)
        seconds = {way: ways[way]() / repetitions for way in order}
        taken.append((seconds[0], seconds[1]))
    ratios = tuple(one / two for one, two in taken)
    found: dict[str, Any] = {
        "name": case.name,
        "one": median(one for one, _ in taken),
        "two": median(two for _, two in taken),
        "speed_up": median(ratios),
        "speed_ups": ratios,
    }
    if isinstance(together, _Steps):
        return StepScalingRow(**found, width=case.width, batch=case.n, sent=together.sent)
    return ScalingRow(**found)


def agreement(case: Case) -> Iterator[AgreementRow]:
    """Compares results of the first process alone with those of all processes.

    The results are an estimate with small minibatches; the evaluation of a critic that was trained on divided minibatches; and the
    lower bounds of this critic and of one that the first process trained alone.
    """
    x, y = _samples(case)
    how: dict[str, Any] = {"critic": _KIND, "baselines": "none", "width": case.width, "steps": case.steps}

    def numbers() -> list[tuple[str, float, float]]:
        found = estimated(x[:1000], y[:1000], **how)
        rounding = 0.0 if found.critic.held_out is None else found.critic.held_out.rounding
        return [
            ("Lipschitz constant", found.critic.lipschitz_bound, 0.0),
            ("samples, lower end", found.samples.lower, rounding),
            ("samples, upper end", found.samples.upper or 0.0, rounding),
            ("populations, lower end", found.population.lower, rounding),
            ("held-out estimate", found.population.estimate, rounding),
        ]

    yield from _compared("estimate", numbers)
    divided = estimated(x, y, batch_size=case.n // 2, couplings=False, **how)
    with alone():
        whole = estimated(x, y, batch_size=case.n // 2, couplings=False, **how)
    pair, critic = _pair(case), divided.critic.frozen

    def judged() -> list[tuple[str, float, float]]:
        certificate = certify(critic)
        found = judge(critic, certificate, pair, ErrorBudget(confidence=0.95, method="welch"))
        return [
            ("Lipschitz constant", certificate.lipschitz_bound, 0.0),
            ("samples, lower end", found.samples.lower, found.held_out.rounding),
            ("held-out estimate", found.population.estimate, found.held_out.rounding),
        ]

    yield from _compared("critic trained by two", judged)
    lower = (whole.samples.lower, divided.samples.lower)
    yield AgreementRow(name="training: samples, lower end", one=lower[0], two=lower[1], rounding=None)


def _compared(of: str, numbers: Callable[[], list[tuple[str, float, float]]]) -> Iterator[AgreementRow]:
    """Numbers of the first process alone beside those of all processes, each with its counted rounding."""
    together = numbers()
    by_one = processes().from_first("the results of one", numbers)
    for (name, one, rounding), (_, two, _) in zip(by_one, together, strict=True):
        yield AgreementRow(name=f"{of}: {name}", one=one, two=two, rounding=rounding)


def rows_of(case: Case) -> list[Row]:
    """Measures the rows of a case with the processes of this job."""
    return list(agreement(case)) if case.work == "agreement" else [scaling(case)]


def _measure(conditions: Conditions) -> Iterator[Row | Skipped]:
    cases = [case for case in (QUICK_CASES if conditions.quick else CASES) if conditions.wanted(case.name)]
    if (os.cpu_count() or 1) < PROCESSES:
        for case in [case for case in cases if case.work != "agreement"]:
            cases.remove(case)
            yield Skipped(name=case.name, reason=f"needs {PROCESSES} processor cores")
    if cases:
        yield from conditions.rows(", ".join(case.name for case in cases), partial(by_job, cases, conditions.announce))


def by_job(cases: Sequence[Case], announce: Callable[[str], None] = lambda what: None) -> Iterator[Row]:
    """Measures the rows of cases in a new job of two processes; ProcessesError if the job ends before all are measured."""
    kinds = {kind.__name__: kind for kind in (ScalingRow, StepScalingRow, AgreementRow)}
    with _job(json.dumps([asdict(case) for case in cases])) as said:
        for case in cases:
            announce(case.name)
            line = said()
            for kind, values in json.loads(line):
                yield kinds[kind](**values)


@contextmanager
def _job(request: str) -> Iterator[Callable[[], str]]:
    """Starts a torchrun job, and yields a function that reads its next line of output."""
    words = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES), "-m", "wdist.studies.bench.distributed")
    own = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    with tempfile.TemporaryFile("w+") as complaints:
        job = subprocess.Popen(
            [sys.executable, "-m", *words, request],
            env={**own, **ONE_THREAD},
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends the job
        )

        def line() -> str:
            assert job.stdout is not None
            if said := job.stdout.readline():
                return said
            job.wait()
            complaints.seek(0)
            errors = [each.strip() for each in complaints if "Error: " in each]
            reason = errors[0] if errors else f"exit status {job.returncode}"
            raise ProcessesError(
                f"the job of {PROCESSES} processes ended too soon ({reason}); check that torchrun works on this machine"
            )

        try:
            yield line
        finally:
            job.terminate()
            job.communicate()


def main() -> None:
    """Measures the cases given as the first argument in one process of the job; the first process prints a line for each case."""
    request = sys.argv[1]
    torch.set_num_threads(1)
    with Job().joined(versions=versions(), command=[request]):
        for case in json.loads(request):
            rows = [(type(row).__name__, asdict(row)) for row in rows_of(Case(**case))]
            if processes().rank == 0:
                sys.stdout.write(json.dumps(rows) + "\n")
                sys.stdout.flush()


def conclude(rows: Sequence[Row]) -> Conclusion:
    """Checks whether two processes are as fast as they should be and find the same numbers, and draws the speed-ups."""
    steps = [row for row in rows if isinstance(row, StepScalingRow)]
    work = [row for row in rows if isinstance(row, ScalingRow) and not isinstance(row, StepScalingRow)]
    same = [row for row in rows if isinstance(row, AgreementRow) and row.rounding is not None]
    large = [row for row in steps if row.batch >= LARGE]
    checks = [
        *_fast("steps on large minibatches", large, STEPS),
        *_fast("independent work", work, WORK),
    ]
    if same:
        apart, largest = [row for row in same if not row.agrees], max(row.difference for row in same)
        checks.append(
            ClaimCheck(
                claim="Two processes find the same certificates, intervals and evaluations as one, up to counted rounding.",
                holds=not apart,
                detail=f"{len(same) - len(apart)} of {len(same)} numbers; largest difference {largest:.2g}",
            )
        )
    return Conclusion(checks=tuple(checks), panels=tuple(_panels(steps, work)), remarks=REMARKS)


def _fast(what: str, rows: Sequence[ScalingRow], target: float) -> Iterator[ClaimCheck]:
    if rows:
        slowest = min(rows, key=lambda row: row.speed_up)
        spread = "" if slowest.spread is None else f" ± {slowest.spread:.2f}"
        yield ClaimCheck(
            claim=f"Two processes do {what} at least {target} times as fast as one.",
            holds=slowest.speed_up >= target,
            detail=f"median {median(row.speed_up for row in rows):.2f}; lowest {slowest.speed_up:.2f}{spread}, {slowest.name}",
        )


def _panels(steps: Sequence[StepScalingRow], work: Sequence[ScalingRow]) -> Iterator[Panel]:
    y_label = "times as fast as one process"
    if steps:
        widths = sorted({row.width for row in steps})
        series = series_of(
            steps,
            name=lambda row: f"{row.batch:,} samples a side",
            x=lambda row: widths.index(row.width),
            y="speed_up",
            errors="spread",
        )
        ticks = tuple(map(str, widths))
        yield Panel(
            title="training steps", x_label="width of the network", y_label=y_label, series=series, ticks=ticks, level=STEPS
        )
    if work:
        names = tuple(row.name for row in work)
        series = series_of(
            work, name=lambda row: "two processes", x=lambda row: names.index(row.name), y="speed_up", errors="spread", marks=True
        )
        yield Panel(title="independent work", x_label="", y_label=y_label, series=series, ticks=names, level=WORK)


_TIMES = (Column("one, s", "one"), Column("two, s", "two"), Column("speed-up", "speed_up", spread="spread"))

STUDY = Study(
    name="distributed",
    title="Two processes beside one: speed, and the same results",
    measure=_measure,
    conclude=conclude,
    tables=(
        StudyTable(
            "training steps on divided minibatches",
            StepScalingRow,
            Column("width", lambda row: str(row.width)),
            Column("batch"),
            *_TIMES,
            Column("bytes a step", "sent"),
        ),
        StudyTable("independent work", ScalingRow, Column("work", "name"), *_TIMES),
        StudyTable(
            "results of one process and of two",
            AgreementRow,
            Column("number", "name"),
            *Column.named("one", "two"),
            Column("apart", "difference"),
            Column("rounding", "rounding", "at most", empty="–"),
        ),
    ),
    reduced=("1 of 6 networks and batches", "2 of 5 kinds of independent work, smaller", "3 rounds instead of 5"),
)

if __name__ == "__main__":
    main()
