"""``estimate``: from two sources to bounds for the Wasserstein-1 distance between them."""

import math
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from wdist.bounds.confidence import resolve
from wdist.checkpoints.checkpoint import now
from wdist.data.memory import give_back_memory
from wdist.data.pairing import Pair, fingerprint, open_pair
from wdist.data.rows import gather
from wdist.distributed.processes import check_same, processes
from wdist.environment import environment
from wdist.errors import UsageError
from wdist.estimation import cautions
from wdist.estimation.blocks import BlockPlan, Blocks, block_distances, block_plan, rows_for_blocks
from wdist.estimation.critics import FoundCritics
from wdist.estimation.detection import detect
from wdist.estimation.divergence import Divergence
from wdist.estimation.divergence_search import find_divergence
from wdist.estimation.evaluation import ErrorBudget, averages_folds, diameters, union_diameter
from wdist.estimation.folds import find_over_folds, number_of_folds
from wdist.estimation.noise_floor import NoiseFloor, noise_floor
from wdist.estimation.options import EstimateOptions
from wdist.estimation.population_upper import PopulationUpper
from wdist.estimation.requested import RequestedCritic, mean_difference, requested_critics, without_training
from wdist.estimation.result import Estimate, TransportBounds
from wdist.estimation.run import Run
from wdist.estimation.semi_discrete import GROUPS, SemiDiscrete, SemiDiscretePlan, semi_discrete_bounds, semi_discrete_plan
from wdist.estimation.transport_bounds import memory_warnings, population_upper, population_upper_is_planned, transport_bounds
from wdist.training.budget import Budget
from wdist.training.observer import Observer, SamplesBounded
from wdist.transport.blocks import tree_seconds
from wdist.transport.coupling import Execution, predicted_seconds
from wdist.transport.samples import expected_seconds

_PREVIEW_ROWS = 1000
_WITH_FLOOR = ("estimate", "synthetic")
"""Commands that show a noise floor; a comparison computes its own."""
_GRACE = 3.0
"""Seconds by which a stage may exceed its planned time."""
_DRAWN_SHARE = 4
"""Ratio of the time for transport to draws of a generator to the time for blocks."""


def run_estimate(
    a: Any,
    b: Any,
    options: EstimateOptions,
    *,
    observer: Observer | None = None,
    truth: float | None = None,
    command: str = "estimate",
    to_distribution: bool = False,
) -> Estimate:
    """Implements :func:`wdist.estimate` for validated options; ``command`` is the command that the result names.

    With ``to_distribution``, bounding W1 from the samples of A to the distribution of B may take as long as transport between
    the samples.

    Raises:
        WdistError: as :func:`wdist.estimate`.
        KeyboardInterrupt: Ctrl-C came before anything was proved.
    """
    if options.divergence is not None and command not in ("estimate", "synthetic"):
        raise UsageError(f"--divergence belongs to wdist estimate, and wdist {command} bounds W1 only; leave it out")
    run = Run.start(options, observer)
    with closing(_open(a, b, run, recombined=command == "dependence")) as pair:
        run = replace(run, options=_settled(run.options, pair, command))
        requested = requested_critics(run.options, pair)
        untrained = without_training(requested, run.options, pair)
        slow = list(cautions.slow_reading(pair, run))
        errors = _divide_errors(requested, untrained, pair, run, transport_of_all=not slow)
        bounds = _bound_samples(pair, errors, run)
        searching = run if bounds.coupling is None else replace(run, ceiling=bounds.coupling.cost)
        if run.options.tolerance is not None and bounds.closed(run.options.tolerance):
            requested = untrained
        drawn = _plan_draws(pair, run, wanted=to_distribution)
        reserved = run.population_seconds + run.block_seconds + (0.0 if drawn is None else drawn.seconds)
        found = _find_critics(requested, pair, errors, searching, proved=bounds.coupling is not None, reserved=reserved)
        give_back_memory()
        bounds = _bound_populations(pair, bounds, errors, run)
        plan = _plan_blocks(pair, run)
        block = None if plan is None else _measure_blocks(pair, plan, errors, run)
        semi_discrete = None if drawn is None else _bound_to_distribution(pair, drawn, errors, run)
        floor = _noise_floor(pair, run) if command in _WITH_FLOOR else None
        missing = (
            *slow,
            *cautions.no_population_upper(bounds, errors, run),
            *cautions.no_blocks(pair, plan, block, run),
            *cautions.few_draws(pair, run),
        )
        found = replace(found, left_out=(*found.left_out, *missing))
        divergence = _bound_divergence(pair, found, bounds, errors, run)
        estimate = _as_estimate(pair, bounds, found, errors, run, truth=truth, command=command)
        return replace(estimate, block=block, noise_floor=floor, semi_discrete=semi_discrete, divergence=divergence)


def _open(a: Any, b: Any, run: Run, *, recombined: bool) -> Pair:
    features = "" if run.space is None else ", and computing features"
    run.agenda.begin(f"reading and checking the samples{features}", run.limit)
    options = run.options
    pair = open_pair(
        a,
        b,
        access=options.access,
        seed=options.seed,
        device=run.device,
        metric=run.metric,
        features=run.space,
        draws=options.draws,
        recombined=recombined,
        progress=run.agenda.progress,
    )
    pair = _in_shared_units(pair)
    give_back_memory()
    if options.draws is not None and pair.a.info.count is not None and pair.b.info.count is not None:
        pair.close()
        raise UsageError("--draws is for generators and built-in distributions, but both sides are stored; leave it out")
    return pair


def _in_shared_units(pair: Pair) -> Pair:
    """The pair in the units of the first process.

    Raises:
        ProcessesError: another process has read different samples.
    """
    if processes().size == 1:
        return pair
    check_same("samples", fingerprint(pair))
    shared = processes().from_first("units", lambda: (pair.standardisation, pair.participation))
    return replace(pair, standardisation=shared[0], participation=shared[1])


def _settled(options: EstimateOptions, pair: Pair, command: str) -> EstimateOptions:
    """Completes the options by the number of folds, or limits them to a single step if the sides are identical."""
    if pair.identical:  # the answer is known in advance
        return replace(options, budget=Budget(steps=1), repeats=1, folds=None)
    return replace(options, folds=number_of_folds(pair, options, command))


def _divide_errors(
    requested: tuple[RequestedCritic, ...],
    untrained: tuple[RequestedCritic, ...],
    pair: Pair,
    run: Run,
    *,
    transport_of_all: bool,
) -> ErrorBudget:
    """Divides the error among all population bounds that the result may state.

    These include the bounds of the untrained critics if closing the gap may make training unnecessary. ``transport_of_all`` tells
    whether there is time for transport between independent blocks of all samples.

    Raises:
        UsageError: the confidence bound needs a bounded support, or a tolerance is requested although both sides are endless.
    """
    options = run.options
    if options.tolerance is not None and pair.a.digest is None and pair.b.digest is None:
        raise UsageError(
            "--tol closes the interval between two sample sets, but both sides are drawn without end; "
            "leave it out, or save draws to files"
        )
    upper = (
        options.couplings
        and transport_of_all
        and population_upper_is_planned(
            pair, union_diameter(pair, run.metric), seconds=run.population_seconds, most_seconds=run.most_population_seconds
        )
    )
    method = resolve(options.ci, diameters(pair.a.info, pair.b.info, run.metric))
    critics = {each.name for each in (*requested, *(untrained if options.tolerance is not None else ()))}
    each = 1 if averages_folds(method) else options.folds or 1
    lower_bounds = len(critics) * each + (options.divergence is not None)
    compared = 1 if options.critics is None else len(critics)
    return ErrorBudget(
        confidence=options.confidence, method=method, lower_bounds=lower_bounds, upper_bound=upper, compared=compared
    )


def _bound_samples(pair: Pair, errors: ErrorBudget, run: Run) -> TransportBounds:
    """Bounds W1 between the samples by transport."""
    if not run.options.couplings:
        return TransportBounds()
    n, m = pair.a.everything.count, pair.b.everything.count
    expected = _expected_transport(pair, run)
    later = _plan_blocks(pair, run)
    expected_later = 0.0 if later is None else later.seconds
    run.agenda.plan(expected + expected_later + (_expected_between_blocks(pair, run) if errors.upper_bound else 0.0))
    run.agenda.stage(f"transport between {n:,} and {m:,} samples", expected)
    bounds = transport_bounds(
        pair,
        run.metric,
        seed=run.options.seed,
        seconds=run.transport_seconds,
        most_seconds=run.most_transport_seconds,
        tolerance=run.options.tolerance,
        execution=Execution(
            device=run.device,
            interruption=run.interruption,
            # Without a time budget there is no deadline, so that the run is reproducible.
            deadline=now() + run.transport_seconds if run.options.timed else math.inf,
            progress=run.agenda.progress,
            bounded=lambda lower, upper: run.agenda.observer.notify(SamplesBounded(lower=max(0.0, lower), upper=upper)),
        ),
    )
    if run.interruption.requested and bounds.coupling is None:
        raise KeyboardInterrupt
    if bounds.coupling is not None:
        run.agenda.observer.notify(SamplesBounded(lower=bounds.lower, upper=bounds.coupling.cost))
    return bounds


def _expected_transport(pair: Pair, run: Run) -> float:
    """Expected seconds of transport between the samples; those of the cheapest coupling if the others take too long."""
    n, m, dim = pair.a.everything.count, pair.b.everything.count, pair.a.info.dim
    expected, cheapest = min(expected_seconds(n, m, dim), run.transport_seconds), tree_seconds(n, m, dim)
    if cheapest <= expected:
        return expected
    if cheapest <= run.most_transport_seconds:
        return cheapest
    return run.most_transport_seconds if tree_seconds(n, m, dim, levels=1) <= run.most_transport_seconds else 0.0


def _stop_time(run: Run, planned: float) -> float:
    """Clock time at which a stage planned for ``planned`` seconds is given up; infinite without a time budget."""
    return math.inf if run.limit is None else now() + max(run.limit - run.seconds, planned + _GRACE)


def _find_critics(
    requested: tuple[RequestedCritic, ...], pair: Pair, errors: ErrorBudget, run: Run, *, proved: bool, reserved: float
) -> FoundCritics:
    """Finds the critics.

    If the run is interrupted before any is found, but transport has already ``proved`` something, the difference of the means is
    evaluated instead, so that this proof is not lost.
    """
    try:
        if not run.interruption.requested:
            return find_over_folds(requested, pair, errors, run, reserved=reserved)
    except KeyboardInterrupt:
        if not proved:
            raise
        run.interruption.requested = True
    return find_over_folds((mean_difference(run.options, pair),), pair, errors, run.uninterrupted, reserved=reserved)


def _bound_populations(pair: Pair, bounds: TransportBounds, errors: ErrorBudget, run: Run) -> TransportBounds:
    """Adds the upper bound for the populations if one was planned and the run is not interrupted."""
    if not errors.upper_bound:
        return bounds

    def bounded() -> PopulationUpper | None:
        run.agenda.stage("transport between independent blocks of samples", _expected_between_blocks(pair, run))
        return population_upper(
            pair,
            run.metric,
            alpha=errors.alpha,
            diameter=union_diameter(pair, run.metric),
            seed=run.options.seed,
            whole=bounds,
            seconds=run.population_seconds,
            most_seconds=run.most_population_seconds,
            execution=Execution(deadline=_stop_time(run, run.most_population_seconds), progress=run.agenda.progress),
        )

    found = run.interruption.attempt(bounded)
    unvaried = found is not None and math.isinf(found.value)
    return replace(bounds, population_upper=None if unvaried else found, unvaried=unvaried)


def _expected_between_blocks(pair: Pair, run: Run) -> float:
    """Expected seconds of transport between blocks, at most those of transport between all samples."""
    return min(predicted_seconds(pair.a.everything.count, pair.b.everything.count), run.population_seconds / 2)


def _plan_blocks(pair: Pair, run: Run) -> BlockPlan | None:
    """Size and number of blocks; None if blocks are not wanted or the samples are too few."""
    if pair.identical or run.options.blocks == 0 or not (run.options.couplings or run.options.blocks):
        return None
    n, m = (rows.count for rows in rows_for_blocks(pair))
    return block_plan(n, m, pair.a.info.dim, seconds=run.block_seconds, size=run.options.blocks)


def _measure_blocks(pair: Pair, plan: BlockPlan, errors: ErrorBudget, run: Run) -> Blocks | None:
    """The mean distance between blocks; None if the run is interrupted."""

    def measured() -> Blocks | None:
        run.agenda.stage(f"transport between blocks of {plan.size} sample{'s' * (plan.size > 1)}", plan.seconds)
        return block_distances(pair, run.metric, plan, deadline=_stop_time(run, plan.seconds), **_mean_options(pair, errors, run))

    return run.interruption.attempt(measured)


def _noise_floor(pair: Pair, run: Run) -> NoiseFloor | None:
    """The noise floor; None without transport, and for identical sides."""
    if pair.identical or not run.options.couplings:
        return None
    measured = partial(noise_floor, pair, run.metric, seed=run.options.seed)
    return run.interruption.attempt(partial(processes().from_first, "the noise floor", measured))


def _mean_options(pair: Pair, errors: ErrorBudget, run: Run) -> dict[str, Any]:
    """Keyword arguments for bounding a mean of distances; asymptotic if the bounds for the populations are."""
    return {
        "confidence": errors.confidence,
        "diameter": None if errors.method == "welch" else union_diameter(pair, run.metric),
        "seed": run.options.seed,
        "progress": run.agenda.progress,
    }


def _plan_draws(pair: Pair, run: Run, *, wanted: bool) -> SemiDiscretePlan | None:
    """Plans the draws of B for W1 from the samples of A to its distribution; None if B is stored or this bound is not wanted."""
    if not (wanted or run.options.couplings):
        return None
    seconds = run.transport_seconds if wanted else _DRAWN_SHARE * run.block_seconds
    plan = semi_discrete_plan(pair, seconds=seconds, draws=run.options.draws)
    if plan is not None:
        run.agenda.plan(plan.seconds)
    return plan


def _bound_to_distribution(pair: Pair, plan: SemiDiscretePlan, errors: ErrorBudget, run: Run) -> SemiDiscrete | None:
    """Bounds W1 from the samples of A to the distribution of B; None if the run is interrupted."""

    def bounded() -> SemiDiscrete | None:
        run.agenda.stage(f"transport from the samples of A to {GROUPS * plan.size:,} draws of B", plan.seconds)
        return semi_discrete_bounds(pair, run.metric, plan, **_mean_options(pair, errors, run))

    return run.interruption.attempt(bounded)


def _bound_divergence(pair: Pair, found: FoundCritics, bounds: TransportBounds, errors: ErrorBudget, run: Run) -> Divergence | None:
    """Bounds the divergence that the options request, on the first process; None if they request none."""
    if run.options.divergence is None:
        return None
    return processes().from_first("a divergence", partial(find_divergence, pair, found.results, bounds, errors, run))


def _as_estimate(
    pair: Pair, bounds: TransportBounds, found: FoundCritics, errors: ErrorBudget, run: Run, *, truth: float | None, command: str
) -> Estimate:
    options = run.options
    results = [bounds.on(result) for result in found.results]
    main = results[0]
    if options.critics is not None:
        main = max(results, key=lambda result: (result.samples.lower, result.population.lower))  # the highest lower bound
    return Estimate(
        command=command,
        samples=bounds.tightest(results),
        critic=main,
        baselines=tuple(result for result in results if result is not main),
        a=pair.a.info,
        b=pair.b.info,
        digest_a=pair.a.digest,
        digest_b=pair.b.digest,
        metric=options.metric,
        seed=options.seed,
        truth=truth,
        seconds=run.seconds,
        environment=environment(run.device),
        preview=_preview(pair),
        warnings=(
            *pair.warnings,
            *cautions.few_held_out(main, errors, command),
            *cautions.no_upper_bound(pair, bounds, run),
            *cautions.unproved(pair, bounds),
            *memory_warnings(pair),
            *cautions.contradictions(results),
            *found.left_out,
        ),
        interrupted=run.interruption.requested,
        comparison=options.critics is not None,
        tolerance=options.tolerance,
        draws=options.draws,
        folds=options.folds,
        features=None if run.space is None else replace(run.space.facts, dim=pair.a.info.dim),
        transport=bounds,
        detected=None if _same_samples(pair) else detect(main, errors, seed=options.seed),
    )


def _same_samples(pair: Pair) -> bool:
    """Whether both sides hold the same rows; such rows are not independent draws from two distributions."""
    return pair.a.digest is not None and pair.a.digest == pair.b.digest


def _preview(pair: Pair) -> tuple[torch.Tensor, torch.Tensor] | None:
    if pair.a.info.dim > 2:
        return None
    return gather(pair.a.held_out, _PREVIEW_ROWS), gather(pair.b.held_out, _PREVIEW_ROWS)
