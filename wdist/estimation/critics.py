"""Search for the critics of a result: fits them with every seed, selects and evaluates them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from wdist.data.measure import TrainingStreams
from wdist.data.pairing import Pair
from wdist.distributed.processes import balanced, processes
from wdist.errors import CertificateError, TrainingDiverged, WdistError
from wdist.estimation.evaluation import (
    ErrorBudget,
    Whole,
    evaluate_all,
    evaluate_critic,
    seconds_of_pass,
)
from wdist.estimation.model_selection import Selection, expected_seconds, improved, select_critics, trains_side_by_side
from wdist.estimation.requested import RequestedCritic, budgets
from wdist.estimation.result import CriticResult, Repeats
from wdist.estimation.run import Run
from wdist.estimation.side_by_side import lanes, pays, side_by_side
from wdist.training.budget import Budget
from wdist.training.kind import TrainedCritic, TrainingJob

_SEEDS = 2
"""Number of seeds fitted side by side on the CPU, where more gain hardly any speed; a GPU takes all of them."""


@dataclass(frozen=True, kw_only=True)
class FoundCritics:
    """Results of the requested critics."""

    results: tuple[CriticResult, ...]
    """Results with the first seed, in the order of the request; a baseline is left out if the main critic chose its kind."""
    left_out: tuple[str, ...]
    """Sentences about critics that diverged, or were not evaluated on all samples."""


def find_critics(
    requested: Sequence[RequestedCritic],
    pair: Pair,
    errors: ErrorBudget,
    run: Run,
    *,
    reserved: float,
    share: float = 1.0,
) -> FoundCritics:
    """Fits, selects and evaluates critics, or those finished before an interruption; processes divide the work.

    Each critic draws the same training samples, whatever else is fitted. The first seed runs alone, so that its digits do not
    depend on the number of repeats; the other seeds run a few at a time where possible.

    Arguments:
        requested: the main critic first.
        pair, errors, run: of the estimate under way.
        reserved: seconds to keep for later stages.
        share: fraction of the remaining time to use.

    Raises:
        WdistError: the only requested critic diverged, or all of them did.
        KeyboardInterrupt: the run was interrupted before anything was proved.
    """
    options = run.options
    shares = _budgets(requested, run, reserved=reserved + _kept_for_passes(pair, run), share=share)
    search = _Search(requested, pair, errors, run, shares)
    found = search.found(reserved=reserved)
    first = [found[number, options.seed] for number in range(len(requested))]
    failures = [_failure(each, options.seed, result) for each, result in zip(requested, first, strict=True)]
    results = {number: result for number, result in enumerate(first) if isinstance(result, CriticResult)}
    if isinstance(first[0], WdistError) and (options.critics is None or not results):
        raise first[0]
    if not results:
        raise KeyboardInterrupt
    for number, seeds in ((number, range(options.seed + 1, options.seed + options.repeats)) for number in results):
        others = {seed: found.get((number, seed)) for seed in seeds}
        failures += [_failure(requested[number], seed, result) for seed, result in others.items()]
        results[number] = _repeated(results[number], options.seed, others)
    return FoundCritics(results=tuple(results.values()), left_out=(*filter(None, failures), *search.notes))


def _kept_for_passes(pair: Pair, run: Run) -> float:
    """Seconds to keep for passes over all samples that are not in memory."""
    return run.evaluation_reserved if pair.a.streamed or pair.b.streamed else 0.0


def _budgets(requested: Sequence[RequestedCritic], run: Run, *, reserved: float, share: float) -> list[Budget | None]:
    seconds = run.training_seconds(reserved=reserved)
    return budgets(requested, run.options, seconds=None if seconds is None else seconds * share)


def expected(
    requested: Sequence[RequestedCritic], pair: Pair, run: Run, *, reserved: float, share: float = 1.0
) -> tuple[float, int]:
    """Expected seconds of :func:`find_critics` for these arguments, and the number of critics that it fits."""
    reserved += _kept_for_passes(pair, run)
    seconds, critics = 0.0, 0
    for each, budget in zip(requested, _budgets(requested, run, reserved=reserved, share=share), strict=True):
        if not requested[0].covers(each):
            groups = _groups(run) if each.trained else [(run.options.seed,)]
            seconds += sum(map(len, groups)) * expected_seconds(each, budget)
            critics += len(groups) * len(each.specs)
    return seconds, critics


def has_long_steps(requested: Sequence[RequestedCritic]) -> bool:
    """Whether several threads speed up the steps of some training."""
    return any(spec.has_long_steps for each in requested for spec in each.specs)


def _groups(run: Run) -> list[tuple[int, ...]]:
    """Groups of seeds that are fitted side by side; the first seed is a group of its own."""
    options = run.options
    together = _SEEDS if run.device.type == "cpu" else options.repeats
    later = range(options.seed + 1, options.seed + options.repeats)
    return [(options.seed,), *(tuple(later[at : at + together]) for at in range(0, len(later), together))]


def shares_batches(requested: Sequence[RequestedCritic], pair: Pair, run: Run) -> bool:
    """Whether processes divide the minibatches of some training."""
    return any(spec.kind.shares_batches(spec, pair, run.device) for each in requested for spec in each.specs)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One requested critic to be fitted with several seeds side by side."""

    number: int
    """Place of the critic in the request."""
    seeds: tuple[int, ...]
    sequence: int
    """Number of the sequence of minibatches that it is trained on."""


class _Search:
    """The search for all critics of one pair."""

    def __init__(
        self, requested: Sequence[RequestedCritic], pair: Pair, errors: ErrorBudget, run: Run, shares: Sequence[Budget | None]
    ) -> None:
        self._requested, self._pair, self._errors, self._run = requested, pair, errors, run
        self._streams = TrainingStreams(pair.a, pair.b)
        self._found: dict[tuple[int, int], Selection | WdistError | None] = {}
        """By place in the request and seed: the selection, or why it failed; None if it was left out."""
        self.notes: list[str] = []
        """Notes on critics that were not evaluated on all samples."""
        self._tasks = list(self._divided())
        self._shares = shares
        self._count = self._trained_at_once()
        if self._count > 1 and any(each is not None and each.seconds is not None for each in shares):
            self._shares = [each and each.part(self._parallel()) for each in shares]

    def found(self, *, reserved: float) -> dict[tuple[int, int], CriticResult | WdistError | None]:
        """Results by place in the request and seed; None for a critic without one.

        The critics are evaluated on all samples together, once all are chosen. ``reserved`` seconds are kept for later stages.
        """
        main = self._requested[0]
        now = [task for task in self._tasks if not main.covers(self._requested[task.number])]
        self._leave_to_others(now)
        self._do(now, forks=processes().size == 1 and self._count > 1)
        self._do([task for task in self._tasks if task not in now])  # fitted with the main one, unless its choice ended early
        self._streams.begin()
        self._run.interruption.attempt(self._promote)
        found = {place: each for place, each in self._found.items() if not isinstance(each, Selection)}
        return {**found, **self._evaluated(reserved)}

    def _divided(self) -> Iterator[_Task]:
        """The tasks of the first seed, then those of the others."""
        for sequence, seeds in enumerate(_groups(self._run)):
            for number, each in enumerate(self._requested):
                if each.trained or not sequence:  # without training, another seed would give the same critic
                    yield _Task(number=number, seeds=seeds, sequence=sequence)

    def _trained_at_once(self) -> int:
        """Number of tasks that run at once, in the processes of a job or in forks."""
        costs = [self._cost(task) for task in self._tasks if not self._requested[0].covers(self._requested[task.number])]
        count = min(lanes(self._pair, self._run), len(costs))
        forks = pays(costs, count, threaded=has_long_steps(self._requested))
        return count if forks else processes().size

    def _parallel(self) -> float:
        """Factor by which each time budget grows because several tasks run at once."""
        main, costs, alone = self._requested[0], [], 0.0
        for task in self._tasks:
            if main.covers(self._requested[task.number]):
                continue
            if self._is_shared(task):
                alone += self._cost(task)
            else:
                costs.append(self._cost(task))
        longest = alone + max(sum(costs[number] for number in each) for each in balanced(costs, self._count))
        return (alone + sum(costs)) / longest if longest else 1.0

    def _is_shared(self, task: _Task) -> bool:
        """Whether all processes work on this task, sharing either each training step or several trainings."""
        requested = self._requested[task.number]
        return processes().size > 1 and (trains_side_by_side(requested) or shares_batches([requested], self._pair, self._run))

    def _cost(self, task: _Task) -> float:
        return len(task.seeds) * expected_seconds(self._requested[task.number], self._shares[task.number])

    def _leave_to_others(self, tasks: Sequence[_Task]) -> None:
        """Removes the work of other processes from the plan."""
        divided = [task for task in tasks if not self._is_shared(task)]
        own = balanced([self._cost(task) for task in divided], processes().size)[processes().rank]
        for task in (task for number, task in enumerate(divided) if number not in own):
            self._run.agenda.plan(-self._cost(task), critics=-len(self._requested[task.number].specs))

    def _do(self, tasks: Sequence[_Task], *, forks: bool = False) -> None:
        """Runs independent tasks: those that processes share one after another, the others side by side."""
        shared = [task for task in tasks if self._is_shared(task)]
        others = [task for task in tasks if task not in shared]
        found = [self._attempted(task) for task in shared]
        costs, work = [self._cost(task) for task in others], [partial(self._attempted, task) for task in others]
        if forks and len(others) > 1:
            found += self._in_forks(others, work, costs)
        else:
            found += processes().spread("critics", work, costs=costs)
        for task, each in zip((*shared, *others), found, strict=True):
            for seed, one in zip(task.seeds, each or [None] * len(task.seeds), strict=True):
                self._found[task.number, seed] = one

    def _in_forks(
        self, tasks: Sequence[_Task], work: Sequence[Callable[[], Any]], costs: Sequence[float]
    ) -> list[list[Selection | WdistError | None] | None]:
        requested, count = [self._requested[task.number] for task in tasks], min(self._count, len(tasks))
        self._run.agenda.plan(sum(costs) * (1 / count - 1), critics=-sum(len(each.specs) for each in requested))
        for side in (self._pair.a, self._pair.b):
            side.close()  # the thread that draws ahead would not exist in a fork
        what = f"{', '.join(dict.fromkeys(each.name for each in requested))}: {len(tasks)} trainings, {count} at a time"
        return side_by_side(work, self._run, what=what, count=count, costs=costs)

    def _attempted(self, task: _Task) -> list[Selection | WdistError | None] | None:
        """The critic selected for each seed; None after an interruption."""
        return self._run.interruption.attempt(partial(self._selected, task))

    def _selected(self, task: _Task) -> list[Selection | WdistError | None]:
        run = self._run
        jobs = [
            TrainingJob(
                pair=self._pair,
                seed=seed,
                device=run.device,
                observer=run.agenda.observer,
                interruption=run.interruption,
                ceiling=run.ceiling,
                begin=partial(self._streams.begin, task.sequence),
            )
            for seed in task.seeds
        ]
        found = self._select(task, jobs)
        if run.interruption.requested:  # a repeat that was cut short is no evidence of the spread
            return [each if seed == run.options.seed else None for each, seed in zip(found, task.seeds, strict=True)]
        return found

    def _select(self, task: _Task, jobs: Sequence[TrainingJob]) -> list[Selection | WdistError | None]:
        """Selects one critic for each job; a critic fitted while the main one was being chosen is not fitted again."""
        requested = self._requested[task.number]
        mains = [self._found.get((0, seed)) for seed in task.seeds] if task.number else []
        selections = [each for each in mains if isinstance(each, Selection)]
        if selections and any(each.critic.name == requested.name for each in selections):
            return [None] * len(jobs)  # the main critic is of this very kind
        ready = [next((critic for critic in each.fitted if critic.name == requested.name), None) for each in selections]
        if ready and all(ready):
            return [Selection(critic=critic) for critic in ready if critic is not None]
        return select_critics(requested, jobs, self._shares[task.number], self._run.agenda)

    def _promote(self) -> None:
        """Replaces the main critic of a seed by a baseline that beats it on the validation split."""
        options = self._run.options
        for seed in range(options.seed, options.seed + options.repeats):
            main = self._found.get((0, seed))
            others = {
                number: each.critic
                for (number, own), each in self._found.items()
                if own == seed and number and isinstance(each, Selection)
            }
            if not isinstance(main, Selection):
                continue
            better = improved(main, list(others.values()), self._pair, self._run.metric)
            for number, critic in others.items():
                if better is not main and critic is better.fitted[0]:
                    self._found[0, seed], self._found[number, seed] = better, None

    def _evaluated(self, reserved: float) -> dict[tuple[int, int], CriticResult | WdistError | None]:
        """Results of the selected critics: one after another for samples in memory, all in one pass for streams."""
        in_order = sorted(self._found.items(), key=lambda item: (item[0][1], item[0][0]))
        selected = {place: each for place, each in in_order if isinstance(each, Selection)}
        if self._pair.a.streamed or self._pair.b.streamed:
            wholes = self._of_all([each.critic for each in selected.values()], reserved)
            tasks = [
                partial(self._result, each, seed, whole=whole, held_out_only=whole is None)
                for ((_, seed), each), whole in zip(selected.items(), wholes, strict=True)
            ]
            results = processes().spread("bounds of critics", tasks)
        else:
            results = [self._unless_interrupted(each, seed) for (_, seed), each in selected.items()]
        self._streams.begin()
        return dict(zip(selected, results, strict=True))

    def _unless_interrupted(self, selection: Selection, seed: int) -> CriticResult | WdistError:
        interruption, work = self._run.interruption, partial(self._result, selection, seed)
        found = work() if interruption.requested else interruption.attempt(work)
        return self._result(selection, seed, held_out_only=True) if found is None else found

    def _result(
        self, selection: Selection, seed: int, *, whole: Whole | None = None, held_out_only: bool = False
    ) -> CriticResult | WdistError:
        self._streams.begin()
        try:
            return evaluate_critic(
                selection.critic,
                self._pair,
                self._errors,
                metric=self._run.metric,
                seed=seed,
                tried=selection.tried,
                whole=whole,
                held_out_only=held_out_only,
            )
        except (TrainingDiverged, CertificateError) as error:
            return error

    def _of_all(self, trained: Sequence[TrainedCritic], reserved: float) -> list[Whole | None]:
        """Potentials of all samples by each critic, in one pass; None for a critic that there is no time for."""
        run, pair, critics = self._run, self._pair, [each.critic for each in trained]
        n = pair.a.everything.count + pair.b.everything.count
        reading, added = processes().from_first("time of a pass", partial(seconds_of_pass, critics, pair))
        allowed = processes().decided(run.evaluation_seconds(reserved=reserved))
        chosen, expected = affordable(reading, added, allowed)
        late = [number for number in range(len(critics)) if number not in chosen]
        if late:
            predicted = ", ".join(f"{reading + added[number]:,.0f} s with {trained[number].name}" for number in late)
            self.notes.append(
                f"a pass over all {n:,} samples takes longer than the {allowed:,.0f} s left for it ({predicted}), so "
                f"{'this critic gives' if len(late) == 1 else 'these critics give'} no lower bound for the samples; "
                f"give a longer --budget"
            )
        if not chosen:
            return [None] * len(critics)
        names = ", ".join(trained[number].name for number in chosen)
        run.agenda.stage(f"evaluating {names} on all {n:,} samples", expected)
        work = partial(evaluate_all, [critics[number] for number in chosen], pair, progress=run.agenda.progress)
        found = work() if run.interruption.requested else run.interruption.attempt(work)
        if found is None:
            zero = "their lower bounds for the samples are 0"
            self.notes.append(f"the run was interrupted before the critics were evaluated on all samples, so {zero}")
        known = dict(zip(chosen, found or [], strict=False))
        return [known.get(number) for number in range(len(critics))]


def affordable(reading: float, added: Sequence[float], allowed: float) -> tuple[list[int], float]:
    """Indices of the critics that one pass over all samples has time for, in order of priority, and the duration of that pass.

    Arguments:
        reading: seconds for reading alone.
        added: seconds that each critic adds.
        allowed: seconds that the pass may take.
    """
    chosen: list[int] = []
    for number, seconds in enumerate(added):
        if reading + seconds <= allowed:
            chosen, reading = [*chosen, number], reading + seconds
    return chosen, reading


def _failure(requested: RequestedCritic, seed: int, result: CriticResult | WdistError | None) -> str:
    return f"{requested.name} with seed {seed} is left out: {result}" if isinstance(result, WdistError) else ""


def _repeated(result: CriticResult, first: int, others: Mapping[int, CriticResult | WdistError | None]) -> CriticResult:
    """The result of the first seed with the spread over all of them."""
    done = {first: result, **{seed: each for seed, each in others.items() if isinstance(each, CriticResult)}}
    if len(done) == 1:
        return result
    repeats = Repeats(
        seeds=tuple(done),
        estimates=tuple(each.population.estimate for each in done.values()),
        lowers=tuple(each.samples.lower for each in done.values()),
    )
    return replace(result, repeats=repeats)
