"""``estimate``: from two sources to bounds for the Wasserstein-1 distance between them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch

from wdist.confidence.methods import resolve
from wdist.critics.settings import CriticSettings
from wdist.device import choose_device
from wdist.ends import (
    NO_ENDS,
    POPULATION_SECONDS,
    TRANSPORT_SECONDS,
    Ends,
    memory_warnings,
    population_upper,
    population_upper_is_planned,
    samples_ends,
)
from wdist.entrants import AUTO, Entrant, check_buildable, enter
from wdist.errors import CertificateError, TrainingDiverged, UsageError, WdistError
from wdist.fitting import Task
from wdist.ground_metric import GroundMetric, ground_metric
from wdist.measures.pairing import Pair, open_pair
from wdist.measures.rows import gather
from wdist.measures.split import ENOUGH_HELD_OUT
from wdist.provenance import environment
from wdist.result import CriticResult, Estimate, Repeats
from wdist.sources.features_opening import open_features
from wdist.sources.source import Access
from wdist.training import observer as events
from wdist.training.budget import Budget
from wdist.training.observer import Observer, Silent, Stage
from wdist.trial import Shelf, Statement, diameters, run_trial, union_diameter

_PREVIEW_ROWS = 1000


def estimate(
    a: Any,
    b: Any,
    *,
    settings: CriticSettings | None = None,
    budget: Budget | str | None = None,
    steps: int | None = None,
    critic: str = AUTO,
    critics: str | Sequence[str] | None = None,
    baselines: str | Sequence[str] = "default",
    metric: str = "l2",
    repeats: int = 1,
    confidence: float = 0.95,
    ci: str = "auto",
    tolerance: float | None = None,
    couplings: bool = True,
    seed: int = 0,
    device: str = "auto",
    access: Access | None = None,
    features: Any = None,
    observer: Observer | None = None,
    truth: float | None = None,
    command: str = "estimate",
) -> Estimate:
    r"""Bounds the Wasserstein-1 distance between two sample sets, and between the distributions behind them.

    A critic f with a proved Lipschitz constant K is trained to make E_A f - E_B f large; by Kantorovich-Rubinstein duality that
    difference over K is a lower bound for W1 whatever the training did. For the two sample sets it is evaluated on all samples and
    holds as it stands; for the distributions it is evaluated on samples that nothing was chosen by, and holds at ``confidence``.
    The upper bound for the sample sets is the cost of an explicit coupling; where that is optimal, its dual variables make a critic
    that closes the gap from below. The upper bound for the distributions follows from couplings of independent blocks.

    Arguments:
        a, b: two addresses (``a.h5``, ``synthetic:gaussian?dim=10``), tensors, arrays or open sources; samples come first.
        settings: of critic and training; what is left open follows from the shape of the data.
        budget: for each critic: a :class:`~wdist.training.budget.Budget` or a length of time such as ``"2m"``.
        steps: for each critic, instead of a budget.
        critic: which critic makes the headline: ``auto`` tries several kinds and chooses by the validation split; or a name of
            :data:`wdist.critics.catalogue.RECIPES`. ``activation`` and ``constraint`` of the settings put a network together.
        critics: ``default``, ``all``, or names: critics to be compared instead; the one that proves most makes the headline, and
            all bounds hold together.
        baselines: ``none``, ``default``, ``all``, or names: critics trained beside the main one on the same budget.
        metric: by which samples are apart: ``l2``, ``l1`` or ``linf``.
        repeats: how many seeds, from ``seed`` on, each critic is trained with on the one split. The bounds are those of the first.
        confidence: of all population bounds of the result together.
        ci: ``auto``, ``welch``, ``empirical-bernstein`` or ``betting``; auto takes what suits what is known of the support.
        tolerance: the gap between the ends for the sample sets, as a share of the upper one, that is wanted: transport then comes
            first and may take as long as a critic.
        couplings: whether upper ends are sought at all; without them there is more left of the error for the lower one.
        seed: of splits, draws, weights and minibatches.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        access: what opening the sources may do.
        features: the space that the distance is taken in, as for :func:`wdist.sources.features_opening.open_features`: a function
            of a batch, ``module:function``, or ``resnet18?weights=FILE&layer=avgpool``; None for that of the samples.
        observer: is told how far the work is.
        truth: the known W1 of the two distributions, shown beside the bounds.
        command: the name of the caller, for the document.

    Returns:
        The estimate, in the units of the data. After Ctrl-C in training: what is proved so far, with ``interrupted`` set.

    Raises:
        WdistError: bad input, a device that is not there, or a training that diverged before anything was proved.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.2.
    """
    began = time.perf_counter()
    _check_numbers(confidence=confidence, tolerance=tolerance, seed=seed, repeats=repeats)
    ground, chosen_budget, chosen_device = ground_metric(metric), _budget(budget, steps), choose_device(device)
    entrants = enter(settings or CriticSettings(), critic=critic, critics=critics, baselines=baselines, metric=ground)
    observer = observer or Silent()
    access = access or Access(seed=seed)
    space = open_features(features, access, chosen_device)
    observer.notify(Stage(what="reading and checking the samples" + ("" if space is None else ", and computing features")))
    with closing(open_pair(a, b, access=access, seed=seed, device=chosen_device, features=space)) as pair:
        method, diameter = resolve(ci, diameters(pair, ground)), union_diameter(pair, ground)
        if tolerance is not None:
            _check_finite(pair)
        if pair.identical:
            entrants, chosen_budget, repeats = entrants[:1], Budget(steps=1), 1
        check_buildable(entrants, dim=pair.a.info.dim, participation=pair.participation, metric=ground)
        patience = _patience(chosen_budget)
        upper_planned = couplings and population_upper_is_planned(pair, diameter, seconds=patience)
        statement = Statement(confidence=confidence, method=method, bounds=len(entrants) + upper_planned)
        ends = _Couplings(pair, ground, seed=seed, observer=observer)
        if tolerance is not None:
            ends.couple(seconds=max(TRANSPORT_SECONDS, chosen_budget.seconds or 0.0 if chosen_budget else 0.0))
        task = Task(
            pair=pair,
            settings=CriticSettings(),
            budget=chosen_budget,
            seed=seed,
            device=chosen_device,
            observer=observer,
            metric=ground,
            critics=len(entrants) + (repeats - 1) * sum(entrant.trained for entrant in entrants),
        )
        indispensable = entrants[0] if critics is None else None
        trials = _until_interrupted(task, entrants, statement, repeats=repeats, indispensable=indispensable)
        interrupted = trials.interrupted
        if couplings and not interrupted:
            try:
                ends.couple(seconds=TRANSPORT_SECONDS)
                if upper_planned:
                    ends.bound_population(alpha=statement.alpha, diameter=diameter, seconds=patience)
            except KeyboardInterrupt:
                interrupted = True
    results = [ends.found.on(result) for result in trials.results()]
    main = max(results, key=_proved) if critics is not None else results[0]
    return Estimate(
        command=command,
        samples=ends.found.tightest(results),
        critic=main,
        baselines=tuple(result for result in results if result is not main),
        a=pair.a.info,
        b=pair.b.info,
        digest_a=pair.a.digest,
        digest_b=pair.b.digest,
        metric=ground.name,
        seed=seed,
        truth=truth,
        seconds=time.perf_counter() - began,
        environment=environment(chosen_device),
        preview=_preview(pair),
        warnings=(*pair.warnings, *_few_held_out(pair, method), *memory_warnings(pair), *trials.failures),
        interrupted=interrupted,
        comparison=critics is not None,
        tolerance=tolerance,
        features=None if space is None else replace(space.facts, dim=pair.a.info.dim),
    )


def _check_numbers(*, confidence: float, tolerance: float | None, seed: int, repeats: int) -> None:
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be at least 0.5 and below 1, not {confidence}")
    if tolerance is not None and not 0 < tolerance < 1:
        raise UsageError(f"--tol is a share of the distance, such as 0.02, and must lie between 0 and 1, not be {tolerance}")
    if seed < 0:
        raise UsageError(f"--seed must not be negative, and {seed} is")
    if repeats < 1:
        raise UsageError(f"--repeats must be at least 1, not {repeats}")


def _check_finite(pair: Pair) -> None:
    if pair.a.digest is None and pair.b.digest is None:
        raise UsageError(
            "--tol closes the interval between two sample sets, and both sides are drawn without end; "
            "leave it out, or save draws to files"
        )


def _patience(budget: Budget | None) -> float:
    """Seconds for the upper end of the populations: little where the user has little time for each critic."""
    if budget is None or budget.seconds is None:
        return POPULATION_SECONDS
    return min(POPULATION_SECONDS, max(1.0, budget.seconds / 6))


def _budget(budget: Budget | str | None, steps: int | None) -> Budget | None:
    if budget is not None and steps is not None:
        raise UsageError("--steps and --budget exclude each other; give one of them")
    if steps is not None:
        return Budget(steps=steps)
    return Budget.parse(budget) if isinstance(budget, str) else budget


class _Couplings:
    """The ends that couplings prove, as they are found."""

    def __init__(self, pair: Pair, metric: GroundMetric, *, seed: int, observer: Observer) -> None:
        self._pair, self._metric, self._seed, self._observer = pair, metric, seed, observer
        self.found: Ends = NO_ENDS
        self._coupled = False

    def couple(self, *, seconds: float) -> None:
        """Both ends for the sample sets, unless they are known already."""
        if self._coupled:
            return
        a, b = self._pair.a.everything, self._pair.b.everything
        self._observer.notify(Stage(what=f"transport between {a.count} and {b.count} samples"))
        self.found = samples_ends(self._pair, self._metric, seed=self._seed, seconds=seconds)
        self._coupled = True
        if self.found.coupling is not None:
            self._observer.notify(events.Ends(lower=self.found.lower, upper=self.found.coupling.cost))

    def bound_population(self, *, alpha: float, diameter: float | None, seconds: float) -> None:
        """The upper end for the distributions, in about ``seconds``."""
        self._observer.notify(Stage(what="transport between independent blocks of samples"))
        upper = population_upper(
            self._pair,
            self._metric,
            alpha=alpha,
            diameter=diameter,
            seed=self._seed,
            whole=self.found.coupling,
            seconds=seconds,
        )
        self.found = replace(self.found, population_upper=upper)


@dataclass(kw_only=True)
class _Trials:
    """What the trainings came to, seed by seed."""

    by_seed: dict[int, dict[int, CriticResult]]
    """For each seed, results by the position of their critic."""
    failures: list[str]
    interrupted: bool = False

    def results(self) -> Iterator[CriticResult]:
        """Those of the first seed, with their repeats."""
        seeds = list(self.by_seed)
        for position, result in self.by_seed[seeds[0]].items():
            done = {seed: found[position] for seed, found in self.by_seed.items() if position in found}
            repeats = Repeats(
                seeds=tuple(done),
                estimates=tuple(each.population.estimate for each in done.values()),
                lowers=tuple(each.samples.lower for each in done.values()),
            )
            yield replace(result, repeats=repeats) if len(done) > 1 else result


def _until_interrupted(
    task: Task, entrants: Sequence[Entrant], statement: Statement, *, repeats: int, indispensable: Entrant | None
) -> _Trials:
    """Trains each critic with the first seed, then each with the next, and so on, or as far as that went when Ctrl-C came.

    Arguments:
        task: with the first seed; settings are those of each entrant.
        entrants: the critics.
        statement: how population bounds are stated.
        repeats: how many seeds.
        indispensable: whose divergence ends everything; another critic that diverges is only left out.
    """
    seeds, shelf = range(task.seed, task.seed + repeats), Shelf()
    trials = _Trials(by_seed={seed: {} for seed in seeds}, failures=[])
    first = trials.by_seed[seeds[0]]
    planned = [
        (seed, number, entrant) for seed in seeds for number, entrant in enumerate(entrants) if seed == seeds[0] or entrant.trained
    ]
    failure: WdistError | None = None
    try:
        for position, (seed, number, entrant) in enumerate(planned, start=1):
            if number and 0 in first and first[0].name == entrant.recipe.name:
                continue  # the main critic chose the very kind
            try:
                each = replace(task, settings=entrant.settings, seed=seed, position=position)
                result = run_trial(entrant.recipe, each, statement=statement, shelf=shelf)
            except (TrainingDiverged, CertificateError) as diverged:
                if entrant is indispensable and seed == seeds[0]:
                    raise
                failure = diverged
                trials.failures.append(f"{entrant.recipe.name} with seed {seed} is left out: {diverged}")
                continue
            # Of a repeat that was cut short nothing can be said but that it was cut short.
            if seed == seeds[0] or not result.interrupted:
                trials.by_seed[seed][number] = result
            if result.interrupted:
                trials.interrupted = True
                break
    except KeyboardInterrupt:
        if not first:
            raise
        trials.interrupted = True
    if failure is not None and not first:
        raise failure
    return trials


def _proved(result: CriticResult) -> tuple[bool, float, float]:
    """The order of critics, by what they prove."""
    return result.certified, result.samples.lower, result.population.lower


def _few_held_out(pair: Pair, ci: str) -> Iterator[str]:
    for name, measure in (("A", pair.a), ("B", pair.b)):
        if ci == "welch" and measure.held_out.count < ENOUGH_HELD_OUT:
            yield (
                f"only {measure.held_out.count} samples of {name} were held out; the bound for the populations rests on the "
                f"normal approximation of their mean and may be wrong more often than it says; give more samples"
            )


def _preview(pair: Pair) -> tuple[torch.Tensor, torch.Tensor] | None:
    if pair.a.info.dim > 2:
        return None
    return gather(pair.a.held_out, _PREVIEW_ROWS), gather(pair.b.held_out, _PREVIEW_ROWS)
