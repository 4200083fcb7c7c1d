"""``estimate``: from two sources to bounds for the Wasserstein-1 distance between them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from wdist.confidence import check_method
from wdist.critics.catalogue import baselines as named_baselines
from wdist.critics.catalogue import critics as named_critics
from wdist.critics.catalogue import main as main_critic
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import PARTICULAR, CriticSettings
from wdist.device import choose_device
from wdist.errors import CertificateError, TrainingDiverged, UsageError, WdistError
from wdist.ground_metric import GroundMetric, ground_metric
from wdist.measures.pairing import Pair, open_pair
from wdist.measures.rows import gather
from wdist.measures.split import ENOUGH_HELD_OUT
from wdist.primal import Coupling, Effort, upper_bound
from wdist.provenance import environment
from wdist.result import CriticResult, Estimate, Repeats
from wdist.sources.memory import free_memory
from wdist.sources.source import Access
from wdist.training.budget import Budget
from wdist.training.defaults import settle
from wdist.training.observer import Observer, Silent, Stage
from wdist.trial import Statement, diameters, run_trial

TRANSPORT_SECONDS = 20.0
"""That the upper bound for two sample sets may take, as predicted."""
_PREVIEW_ROWS = 1000


def estimate(
    a: Any,
    b: Any,
    *,
    settings: CriticSettings | None = None,
    budget: Budget | str | None = None,
    steps: int | None = None,
    critics: str | Sequence[str] | None = None,
    baselines: str | Sequence[str] = "default",
    metric: str = "l2",
    repeats: int = 1,
    confidence: float = 0.95,
    ci: str = "welch",
    seed: int = 0,
    device: str = "auto",
    access: Access | None = None,
    observer: Observer | None = None,
    truth: float | None = None,
    command: str = "estimate",
) -> Estimate:
    r"""Bounds the Wasserstein-1 distance between two sample sets, and between the distributions behind them.

    A critic f with a proved Lipschitz constant K is trained to make E_A f - E_B f large; by Kantorovich-Rubinstein duality that
    difference over K is a lower bound for W1 whatever the training did. For the two sample sets it is evaluated on all samples and
    holds as it stands; for the distributions it is evaluated on samples that nothing was chosen by, and holds at ``confidence``.
    The upper bound for the sample sets is the cost of an explicit coupling.

    Arguments:
        a, b: two addresses (``a.h5``, ``synthetic:gaussian?dim=10``), tensors, arrays or open sources; samples come first.
        settings: of critic and training; what is left open follows from the shape of the data.
        budget: for each critic: a :class:`~wdist.training.budget.Budget` or a length of time such as ``"2m"``.
        steps: for each critic, instead of a budget.
        critics: ``default``, ``all``, or names: critics to be compared; the one that proves most makes the headline, and all bounds
            hold together. None: the main critic, which ``activation`` and ``constraint`` of the settings may change, and baselines.
        baselines: ``none``, ``default``, ``all``, or names: critics trained beside the main one on the same budget.
        metric: by which samples are apart: ``l2``, ``l1`` or ``linf``.
        repeats: how many seeds, from ``seed`` on, each critic is trained with on the one split. The bounds are those of the first.
        confidence: of all population bounds of the result together.
        ci: ``welch`` or ``empirical-bernstein``.
        seed: of splits, draws, weights and minibatches.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        access: what opening the sources may do.
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
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be at least 0.5 and below 1, not {confidence}")
    if seed < 0:
        raise UsageError(f"--seed must not be negative, and {seed} is")
    if repeats < 1:
        raise UsageError(f"--repeats must be at least 1, not {repeats}")
    ground, chosen_budget, chosen_device = ground_metric(metric), _budget(budget, steps), choose_device(device)
    entrants = _entrants(settings or CriticSettings(), critics, baselines, ground)
    observer = observer or Silent()
    observer.notify(Stage(what="reading and checking the samples"))
    with closing(open_pair(a, b, access=access or Access(seed=seed), seed=seed, device=chosen_device)) as pair:
        check_method(ci, diameters(pair, ground))
        if pair.identical:
            entrants, chosen_budget, repeats = entrants[:1], Budget(steps=1), 1
        _check_buildable(entrants, pair, ground)
        trial = partial(
            run_trial,
            pair=pair,
            metric=ground,
            budget=chosen_budget,
            statement=Statement(confidence=confidence, method=ci, bounds=len(entrants)),
            device=chosen_device,
            observer=observer,
            critics=len(entrants) + (repeats - 1) * sum(entrant.trained for entrant in entrants),
        )
        indispensable = entrants[0] if critics is None else None
        trials = _until_interrupted(trial, entrants, seeds=range(seed, seed + repeats), indispensable=indispensable)
        interrupted, coupling = trials.interrupted, None
        if not interrupted:
            try:
                coupling = _coupling(pair, ground, seed, observer)
            except KeyboardInterrupt:
                interrupted = True
    results = [_with_upper_end(result, coupling) for result in trials.results()]
    main = max(results, key=_proved) if critics is not None else results[0]
    return Estimate(
        command=command,
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
        warnings=(*pair.warnings, *_few_held_out(pair, ci), *trials.failures),
        interrupted=interrupted,
        comparison=critics is not None,
    )


def _budget(budget: Budget | str | None, steps: int | None) -> Budget | None:
    if budget is not None and steps is not None:
        raise UsageError("--steps and --budget exclude each other; give one of them")
    if steps is not None:
        return Budget(steps=steps)
    return Budget.parse(budget) if isinstance(budget, str) else budget


@dataclass(frozen=True, kw_only=True)
class _Entrant:
    """One critic that takes part, with the settings that concern it."""

    recipe: CriticRecipe | ClosedFormRecipe
    settings: CriticSettings

    @property
    def trained(self) -> bool:
        """Whether seeds make a difference."""
        return isinstance(self.recipe, CriticRecipe)


def _entrants(
    settings: CriticSettings, critics: str | Sequence[str] | None, baselines: str | Sequence[str], metric: GroundMetric
) -> tuple[_Entrant, ...]:
    """The main critic first; a critic that the user put together stands beside baselines that are what their names say."""
    parts = [f"--{name}" for name in ("activation", "constraint") if getattr(settings, name) is not None]
    plain = replace(settings, activation=None, constraint=None)
    if critics is None:
        main = main_critic(metric).chosen(settings)
        others = (_Entrant(recipe=recipe, settings=plain) for recipe in named_baselines(baselines, beside=main.name))
        return _Entrant(recipe=main, settings=settings), *others
    if baselines != "default":
        raise UsageError("--critics names all critics and --baselines those beside the main one; give one of them")
    if parts:
        raise UsageError(
            f"{' and '.join(parts)} put one critic together, and --critics names others that are complete; leave either out, "
            f"or name the others with --baselines"
        )
    return tuple(_Entrant(recipe=recipe, settings=plain) for recipe in named_critics(critics, metric))


def _check_buildable(entrants: Sequence[_Entrant], pair: Pair, metric: GroundMetric) -> None:
    """Builds each critic once before any is trained: what cannot be combined should not be found out after an hour.

    Raises:
        UsageError: the settings do not fit each other, or no critic has a use for one of them.
    """
    dim = pair.a.info.dim
    for entrant in entrants:
        # What is chosen from the shape of the data fits.
        if entrant.settings != CriticSettings() and isinstance(entrant.recipe, CriticRecipe):
            settings = settle(entrant.recipe, entrant.settings, dim=dim, participation=pair.participation)
            entrant.recipe.build(dim, settings, torch.Generator().manual_seed(0), metric=metric)
    recipes = [entrant.recipe for entrant in entrants if isinstance(entrant.recipe, CriticRecipe)]
    for name in PARTICULAR:
        if getattr(entrants[0].settings, name) is not None and not any(name in recipe.takes for recipe in recipes):
            named = ", ".join(entrant.recipe.name for entrant in entrants)
            raise UsageError(f"--{name.replace('_', '-')} makes no difference to {named}; leave it out, or choose another critic")


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
    trial: Callable[..., CriticResult], entrants: Sequence[_Entrant], *, seeds: Sequence[int], indispensable: _Entrant | None
) -> _Trials:
    """Trains each critic with the first seed, then each with the next, and so on, or as far as that went when Ctrl-C came.

    Arguments:
        indispensable: whose divergence ends everything; another critic that diverges is only left out.
    """
    trials = _Trials(by_seed={seed: {} for seed in seeds}, failures=[])
    first = trials.by_seed[seeds[0]]
    planned = [
        (seed, number, entrant) for seed in seeds for number, entrant in enumerate(entrants) if seed == seeds[0] or entrant.trained
    ]
    failure: WdistError | None = None
    try:
        for position, (seed, number, entrant) in enumerate(planned, start=1):
            try:
                result = trial(entrant.recipe, settings=entrant.settings, seed=seed, position=position)
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


def _coupling(pair: Pair, metric: GroundMetric, seed: int, observer: Observer) -> Coupling | None:
    """An upper end for the two sample sets, solved in standardised units, so that nothing overflows."""
    if pair.identical:
        return Coupling(cost=0.0, exact=True, method="A and B are the same")
    a, b = pair.a.everything, pair.b.everything
    drawn = pair.a.digest is None and pair.b.digest is None
    observer.notify(Stage(what=f"transport between {a.count} and {b.count} samples"))
    coupling = upper_bound(
        a,
        b,
        prepare=lambda x: pair.standardisation.apply(x.cpu()),
        # Two sets of draws are nobody's samples: only an upper bound that costs nothing is worth stating.
        effort=Effort(seconds=0.0 if drawn else TRANSPORT_SECONDS, nbytes=free_memory() // 2),
        seed=seed,
        metric=metric,
    )
    return coupling and replace(coupling, cost=coupling.cost * pair.standardisation.spread)


def _with_upper_end(result: CriticResult, coupling: Coupling | None) -> CriticResult:
    if coupling is None:
        return result
    samples = replace(result.samples, upper=coupling.cost, exact=coupling.exact, upper_method=coupling.method)
    return replace(result, samples=samples)


def _preview(pair: Pair) -> tuple[torch.Tensor, torch.Tensor] | None:
    if pair.a.info.dim > 2:
        return None
    return gather(pair.a.held_out, _PREVIEW_ROWS), gather(pair.b.held_out, _PREVIEW_ROWS)
