"""The critics of a result: fitted with the first seed and then with the others, selected and evaluated."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

from wdist.bounds.dual import CLAIM, Margin
from wdist.data.pairing import Pair
from wdist.distributed.processes import processes
from wdist.errors import CertificateError, TrainingDiverged, WdistError
from wdist.estimation.evaluation import ErrorBudget, averages_folds, evaluate_critic, lower_over_folds
from wdist.estimation.model_selection import Selection, expected_seconds, improved, select_critics
from wdist.estimation.requested import RequestedCritic, budgets
from wdist.estimation.result import CROSS_FITTED, CriticResult, Repeats
from wdist.estimation.run import Run
from wdist.training.budget import Budget
from wdist.training.kind import TrainingJob

_TRAININGS = 2.0
"""Default budgets of one training that all folds share: with fewer, critics of five folds are left half trained."""

Row = list[CriticResult | WdistError | None]
"""Results of one requested critic, one for each seed; None where it was left out or interrupted."""


@dataclass(frozen=True, kw_only=True)
class FoundCritics:
    """Results of the requested critics."""

    results: tuple[CriticResult, ...]
    """With the first seed, in the order of the request; a baseline of the kind that the main critic chose is left out."""
    left_out: tuple[str, ...]
    """Sentences about critics that diverged."""


def find_over_folds(
    requested: Sequence[RequestedCritic], pair: Pair, errors: ErrorBudget, run: Run, *, reserved: float
) -> FoundCritics:
    """Finds critics as :func:`find_critics`, for each fold of the samples where there are several, which processes divide.

    Each fold's critics were fixed before its samples were looked at; its trainings take its share of the budget, or of two
    defaults.
    """
    folds = run.options.folds
    if folds is None:
        _plan(requested, run, reserved=reserved)
        return find_critics(requested, pair, errors, run, reserved=reserved)
    requested = [each.part(_TRAININGS / folds) for each in requested]
    # Folds exchange nothing until they are done; where they are too few for all processes, steps that can be divided are.
    size = processes().size
    at_once = 1 if folds < size and _shares_batches(requested, pair, run) else size
    _plan(requested, run, reserved=reserved, rounds=len(range(0, folds, at_once)))

    def find(number: int) -> FoundCritics | None:
        def found() -> FoundCritics:
            run.agenda.stage(f"critics of fold {number + 1} of {folds}")
            share = 1 / len(range(number, folds, at_once))
            with closing(pair.fold(folds, number, seed=run.options.seed)) as fold:
                return find_critics(requested, fold, errors, run, reserved=reserved, share=share)

        return run.interruption.attempt(found)

    tasks = [partial(find, number) for number in range(folds)]
    results = [task() for task in tasks] if at_once == 1 else processes().spread("folds", tasks)
    found = []
    for one in results:
        if one is None:  # a proof counts folds from the first one on
            break
        found.append(one)
    if not found:
        raise KeyboardInterrupt
    names = [result.name for result in found[0].results[1:]]
    others = [of_folds([each for one in found for each in one.results[1:] if each.name == name], errors) for name in names]
    main = of_folds([one.results[0] for one in found], errors)
    complete = [each for each in others if len(each.folds) == len(found) and each.name != main.name]
    left_out = dict.fromkeys(sentence for one in found for sentence in one.left_out)
    return FoundCritics(results=(main, *complete), left_out=tuple(left_out))


def of_folds(results: list[CriticResult], errors: ErrorBudget, *, margin: Margin = CLAIM) -> CriticResult:
    """The critic of the fold that proves most for the samples, with what all folds prove for the populations.

    The lower bound for the populations is over all held-out values by Welch's t, and by other methods the best of the folds, which
    then share the error.
    """
    best = max(results, key=lambda each: each.samples.lower)
    populations = [each.population for each in results]
    population = replace(
        max(populations, key=lambda each: each.lower),
        estimate=fmean(each.estimate for each in populations),
        n_a=sum(each.n_a for each in populations),
        n_b=sum(each.n_b for each in populations),
    )
    held_out = [each.held_out for each in results if each.held_out is not None]
    if averages_folds(errors.method) and len(held_out) == len(results) > 1:
        population = replace(population, lower=lower_over_folds(held_out, errors, margin=margin), method=CROSS_FITTED)
    steps, seconds = sum(each.steps for each in results), sum(each.seconds for each in results)
    return replace(best, population=population, steps=steps, seconds=seconds, folds=tuple(results))


def find_critics(
    requested: Sequence[RequestedCritic],
    pair: Pair,
    errors: ErrorBudget,
    run: Run,
    *,
    reserved: float,
    share: float = 1.0,
) -> FoundCritics:
    """Fits, selects and evaluates critics, or as many as there was time for before an interruption.

    The first seed runs alone, so that its digits do not depend on the number of repeats; the others run side by side where they
    can.

    Arguments:
        requested: the main critic first.
        pair, errors, run: of the estimate under way.
        reserved: seconds to keep for what follows.
        share: of the time left that may be taken.

    Raises:
        WdistError: the only critic that was asked for diverged, or all of them did.
        KeyboardInterrupt: before anything was proved.
    """
    options, search = run.options, _Search(requested, pair, errors, run)
    shares = _budgets(requested, run, reserved=reserved, share=share)
    rows = search.with_seeds([options.seed], shares)
    found = [row[0] for row in rows]
    failures = [_failure(each, options.seed, result) for each, result in zip(requested, found, strict=False)]
    results = {number: result for number, result in enumerate(found) if isinstance(result, CriticResult)}
    if isinstance(found[0], WdistError) and (options.critics is None or not results):
        raise found[0]
    if not results:
        raise KeyboardInterrupt
    seeds = range(options.seed + 1, options.seed + options.repeats)
    if seeds and not run.interruption.requested:
        for number, row in enumerate(search.with_seeds(seeds, shares)):
            failures += [_failure(requested[number], seed, result) for seed, result in zip(seeds, row, strict=True)]
            if number in results:
                results[number] = _repeated(results[number], options.seed, seeds, row)
    return FoundCritics(results=tuple(results.values()), left_out=tuple(filter(None, failures)))


def _budgets(requested: Sequence[RequestedCritic], run: Run, *, reserved: float, share: float) -> list[Budget | None]:
    seconds = run.training_seconds(reserved=reserved)
    return budgets(requested, run.options, seconds=None if seconds is None else seconds * share)


def _plan(requested: Sequence[RequestedCritic], run: Run, *, reserved: float, rounds: int = 1) -> None:
    """Announces the critics of all searches that follow one after another."""
    for each, budget in zip(requested, _budgets(requested, run, reserved=reserved, share=1 / rounds), strict=True):
        if not requested[0].covers(each):
            seeds = run.options.repeats if each.trained else 1
            seconds = rounds * seeds * expected_seconds(each, budget)
            run.agenda.plan(seconds, critics=rounds * min(seeds, 2) * len(each.specs))


def _shares_batches(requested: Sequence[RequestedCritic], pair: Pair, run: Run) -> bool:
    """Whether processes divide the minibatches of some training."""
    return any(spec.kind.shares_batches(spec, pair, run.device) for each in requested for spec in each.specs)


class _Search:
    """The search for all critics of one pair."""

    def __init__(self, requested: Sequence[RequestedCritic], pair: Pair, errors: ErrorBudget, run: Run) -> None:
        self._requested, self._pair, self._errors, self._run = requested, pair, errors, run
        # Trainings take their minibatches from one sequence: one process does them all, or all do each.
        self._together = _shares_batches(requested, pair, run)

    def with_seeds(self, seeds: Sequence[int], shares: Sequence[Budget | None]) -> list[Row]:
        """Results of each requested critic with some seeds; shorter after an interruption."""
        run, observer = self._run, self._run.agenda.observer
        jobs = [
            TrainingJob(
                pair=self._pair, seed=seed, device=run.device, observer=observer, interruption=run.interruption, ceiling=run.ceiling
            )
            for seed in seeds
        ]
        columns: list[list[Selection | WdistError | None]] = []
        rows: list[Row] = []
        for each, share in zip(self._requested, shares, strict=True):
            if not each.trained and run.options.seed not in seeds:
                columns.append([None] * len(jobs))  # another seed gives the same
            else:
                select = partial(self._select, each, jobs, share, columns[0] if columns else [])
                found = run.interruption.attempt(select if self._together else partial(processes().from_first, "critics", select))
                if found is None:
                    break
                columns.append(found)
            rows.append([self._evaluated(selection, job) for selection, job in zip(columns[-1], jobs, strict=True)])
        if not run.interruption.requested:
            for position, job in enumerate(jobs):
                self._promote(position, job, columns, rows)
        return rows or [[None]]

    def _promote(
        self, position: int, job: TrainingJob, columns: Sequence[Sequence[Selection | WdistError | None]], rows: list[Row]
    ) -> None:
        """Puts a baseline that beats the main critic of a job on the validation split into its place."""
        main, *others = (column[position] for column in columns)
        if not isinstance(main, Selection):
            return
        better = improved(main, [each.critic for each in others if isinstance(each, Selection)], job.pair, self._run.metric)
        for row, each in zip(rows[1:], others, strict=True):
            if better is not main and isinstance(each, Selection) and each.critic is better.fitted[0]:
                rows[0][position], row[position] = self._evaluated(better, job), None

    def _select(
        self,
        requested: RequestedCritic,
        jobs: Sequence[TrainingJob],
        share: Budget | None,
        main: Sequence[Selection | WdistError | None],
    ) -> list[Selection | WdistError | None]:
        """Selects one critic for each job; one that was fitted while the main critic was chosen is not fitted again."""
        selections = [each for each in main if isinstance(each, Selection)]
        if selections and any(each.critic.name == requested.name for each in selections):
            return [None] * len(jobs)  # the main critic is of this very kind
        ready = [next((critic for critic in each.fitted if critic.name == requested.name), None) for each in selections]
        if ready and all(ready):
            return [Selection(critic=critic) for critic in ready if critic is not None]
        return select_critics(requested, jobs, share, self._run.agenda)

    def _evaluated(self, selection: Selection | WdistError | None, job: TrainingJob) -> CriticResult | WdistError | None:
        if not isinstance(selection, Selection):
            return selection
        if job.interruption.requested and job.seed != self._run.options.seed:
            return None  # a repeat that was cut short says nothing
        try:
            return evaluate_critic(
                selection.critic, self._pair, self._errors, metric=self._run.metric, seed=job.seed, tried=selection.tried
            )
        except (TrainingDiverged, CertificateError) as error:
            return error


def _failure(requested: RequestedCritic, seed: int, result: CriticResult | WdistError | None) -> str:
    return f"{requested.name} with seed {seed} is left out: {result}" if isinstance(result, WdistError) else ""


def _repeated(result: CriticResult, first: int, seeds: Sequence[int], row: Row) -> CriticResult:
    """The result of the first seed with the spread over all of them."""
    others = {seed: each for seed, each in zip(seeds, row, strict=True) if isinstance(each, CriticResult)}
    if not others:
        return result
    done = {first: result, **others}
    repeats = Repeats(
        seeds=tuple(done),
        estimates=tuple(each.population.estimate for each in done.values()),
        lowers=tuple(each.samples.lower for each in done.values()),
    )
    return replace(result, repeats=repeats)
