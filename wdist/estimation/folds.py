"""Cross-fitting: the samples are divided into folds, and each is held out from one search for critics; the bounds combine them."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from statistics import fmean

from wdist.bounds.confidence import resolve
from wdist.bounds.dual import CLAIM, Margin
from wdist.data.measure import LEAST_IN_FOLD
from wdist.data.pairing import Pair
from wdist.data.sources.source import SourceInfo
from wdist.distributed.processes import processes
from wdist.errors import UsageError
from wdist.estimation.critics import FoundCritics, expected, find_critics, has_long_steps, shares_batches
from wdist.estimation.evaluation import ErrorBudget, averages_folds, diameters, lower_over_folds
from wdist.estimation.options import EstimateOptions
from wdist.estimation.requested import RequestedCritic
from wdist.estimation.result import CROSS_FITTED, CriticResult
from wdist.estimation.run import Run
from wdist.estimation.side_by_side import lanes, pays, side_by_side
from wdist.ground_metric import ground_metric

DEFAULT_FOLDS = 5
_BY_DEFAULT = ("estimate", "gate", "compare")
"""Commands that divide few samples into folds by default."""
_MOST_DIVIDED = 2_000
"""Largest sample size for which folds are worth twice the time; of larger sets, a sixth held out is enough."""
_TRAININGS = 2.0
"""Time that all folds share, in default training budgets; with less, the critics of five folds would be left half trained."""


def number_of_folds(pair: Pair, options: EstimateOptions, command: str) -> int | None:
    """The number of folds; None if a single part of the samples is held out instead.

    Raises:
        UsageError: several folds were requested, but the samples cannot be divided.
    """
    if options.folds is not None:
        if options.divided and (reason := _indivisible(options.folds, pair)):
            raise UsageError(reason)
        return options.folds if options.divided else None
    wanted = command in _BY_DEFAULT and folds_pay(options, pair.a.info, pair.b.info)
    return DEFAULT_FOLDS if wanted and not _indivisible(DEFAULT_FOLDS, pair) else None


def folds_pay(options: EstimateOptions, a: SourceInfo, b: SourceInfo) -> bool:
    """Whether folds are worth their time if the options leave them open: few samples, and one bound that averages all folds."""
    counts = [side.count for side in (a, b) if side.count is not None]
    left_open = options.budget is None and options.critics is None and options.repeats == 1 and options.divergence is None
    few = bool(counts) and DEFAULT_FOLDS * LEAST_IN_FOLD <= min(counts) <= _MOST_DIVIDED
    return left_open and few and averages_folds(resolve(options.ci, diameters(a, b, ground_metric(options.metric))))


def _indivisible(folds: int, pair: Pair) -> str | None:
    """Why the samples cannot be divided into folds, and what to do; None if they can."""
    if pair.a.endless is not None and pair.b.endless is not None:
        return "--folds needs stored samples, but both sides are drawn without end; leave it out, and hold out more with --draws N"
    if not pair.divisible:
        return "--folds needs samples that fit into memory, but one side is streamed; leave it out: a sixth of that many is enough"
    if pair.a.info.fitted:
        return (
            "--folds holds every sample out in turn, but the units of the columns are fitted to training samples; leave it out, or "
            "state lengths with --scale FILE and leave out rows with missing values"
        )
    fewest, needed = min(side.everything.count for side in (pair.a, pair.b)), folds * LEAST_IN_FOLD
    if fewest < needed:
        return f"--folds {folds} needs at least {needed} samples of each side, not {fewest}; give fewer folds"
    return None


def find_over_folds(
    requested: Sequence[RequestedCritic], pair: Pair, errors: ErrorBudget, run: Run, *, reserved: float
) -> FoundCritics:
    """Finds critics as :func:`find_critics` does, once for each fold if there are several.

    The critics of a fold are fixed before its samples are looked at. Each fold's training takes an equal share of the budget, or of
    two default budgets. The folds are divided among processes or forks.
    """
    if run.options.folds is None:
        seconds, critics = expected(requested, pair, run, reserved=reserved)
        run.agenda.plan(seconds, critics=critics)
        return find_critics(requested, pair, errors, run, reserved=reserved)
    found = list(_found(requested, pair, errors, run, run.options.folds, reserved))
    if not found:
        raise KeyboardInterrupt
    names = [result.name for result in found[0].results[1:]]
    others = [of_folds([each for one in found for each in one.results[1:] if each.name == name], errors) for name in names]
    main = of_folds([one.results[0] for one in found], errors)
    complete = [each for each in others if len(each.folds) == len(found) and each.name != main.name]
    left_out = dict.fromkeys(sentence for one in found for sentence in one.left_out)
    return FoundCritics(results=(main, *complete), left_out=tuple(left_out))


def _found(
    requested: Sequence[RequestedCritic], pair: Pair, errors: ErrorBudget, run: Run, folds: int, reserved: float
) -> Iterator[FoundCritics]:
    """The critics of each fold, up to the first fold lost to an interruption, because a proof numbers its folds without gaps."""
    requested = [each.part(_TRAININGS / folds) for each in requested]
    count, forked = _folds_at_once(requested, pair, run, folds, reserved=reserved)

    def find(number: int) -> FoundCritics | None:
        def found() -> FoundCritics:
            run.agenda.stage(f"critics of fold {number + 1} of {folds}")
            share = 1 / len(range(number, folds, count))
            with closing(pair.fold(folds, number, seed=run.options.seed)) as fold:
                return find_critics(requested, fold, errors, run, reserved=reserved, share=share)

        return run.interruption.attempt(found)

    tasks = [partial(find, number) for number in range(folds)]
    if forked:
        what = f"critics of {len(forked)} of {folds} folds, {count} at a time"
        results = side_by_side(tasks[: len(forked)], run, what=what, count=count, costs=forked)
        results += [task() for task in tasks[len(forked) :]]
    else:
        results = [task() for task in tasks] if count == 1 else processes().spread("folds", tasks)
    for one in results:
        if one is None:
            return
        yield one


def of_folds(results: list[CriticResult], errors: ErrorBudget, *, margin: Margin = CLAIM) -> CriticResult:
    """The fold with the highest lower bound for the samples, with the bound for the populations that all folds prove together.

    By Welch's t, the lower bound for the populations uses all held-out values. By the other methods, it is the best of the folds'
    bounds, which then share the error.
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
    converged, rise = all(each.converged for each in results), fmean(each.rise for each in results)
    return replace(best, population=population, steps=steps, seconds=seconds, converged=converged, rise=rise, folds=tuple(results))


def _folds_at_once(
    requested: Sequence[RequestedCritic], pair: Pair, run: Run, folds: int, *, reserved: float
) -> tuple[int, list[float]]:
    """Plans all folds; returns how many run at once, and the expected times of the first ones, which run in forks.

    A fold that would run last and alone is not forked: its critics share the cores instead.
    """
    size, forked = processes().size, 0
    # Folds exchange nothing until they are done. If there are fewer folds than processes, divide the steps where possible.
    count = 1 if folds < size and shares_batches(requested, pair, run) else size
    if size == 1:
        count = min(lanes(pair, run), folds)
        forked = folds - (folds % count == 1)
        if not pays([1.0] * forked, count, threaded=has_long_steps(requested)):
            count, forked = 1, 0
    rounds = len(range(0, folds, count))
    seconds, critics = expected(requested, pair, run, reserved=reserved, share=1 / rounds)
    run.agenda.plan(rounds * seconds, critics=(folds - forked if forked else rounds) * critics)
    return count, [seconds] * forked
