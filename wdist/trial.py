"""One critic on one pair: train, freeze, certify, evaluate. Nothing here knows what kind of critic it is."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.certificate import Certificate, certify
from wdist.confidence import lower_confidence_bound
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import PARTICULAR, CriticSettings
from wdist.dual import dual_value, evaluate, lower_bound
from wdist.ground_metric import L2, GroundMetric
from wdist.measures.measure import Measure
from wdist.measures.pairing import Pair
from wdist.measures.rows import ResidentRows, Rows, evenly
from wdist.result import CriticResult, HistoryPoint, PopulationBound, SamplesInterval
from wdist.slope import largest_slope
from wdist.training.budget import Budget
from wdist.training.defaults import default_budget, settle
from wdist.training.loop import Trained, train
from wdist.training.observer import CriticFinished, CriticStarted, Observer
from wdist.training.penalties.catalogue import penalty
from wdist.training.penalties.penalty import Penalty

_VALIDATION_ROWS = 2048
"""Of each side, looked at in every validation."""
_BATCH_NUMBERS = 1 << 18
"""Coordinates evaluated at a time: 2 MB in float64, which stays in the cache of one core."""
_FIT_ROWS, _FIT_NUMBERS = 20_000, 1 << 24
"""Training samples of each side that a closed form follows from, and the coordinates that they may have together."""
_SEARCHED_ROWS = 512
"""Of each side, from which the search for the largest slope starts."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What the population bounds of one result claim together."""

    confidence: float
    method: str
    bounds: int
    """How many lower bounds share the error."""

    @property
    def alpha(self) -> float:
        """Error of each."""
        return (1 - self.confidence) / self.bounds


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A critic as it came out of training, or of a formula."""

    critic: FrozenCritic
    trained: Trained
    settings: dict[str, str | int | float | None]


def run_trial(
    recipe: CriticRecipe | ClosedFormRecipe,
    pair: Pair,
    *,
    settings: CriticSettings,
    budget: Budget | None,
    statement: Statement,
    seed: int,
    device: torch.device,
    observer: Observer,
    position: int = 1,
    critics: int = 1,
    metric: GroundMetric = L2,
) -> CriticResult:
    """Trains a critic on the training split, keeps the best by the validation split, and judges it on the held-out one.

    Arguments:
        recipe: the kind of critic; one of a closed form is not trained and takes no step.
        pair: the two measures.
        settings: of the user; what is open is chosen from the shape of the data.
        budget: of the training; None for about half a minute.
        statement: how population bounds are stated.
        seed: of the weights.
        device: of the training.
        observer: is told of start, progress and end.
        position, critics: of this trial among those of one result, for the observer.
        metric: between samples.
    """
    if isinstance(recipe, ClosedFormRecipe):
        told = "no training"
    else:
        recipe = recipe.chosen(settings)
        settings = settle(recipe, settings, dim=pair.a.info.dim, participation=pair.participation)
        budget = budget or default_budget(settings, dim=pair.a.info.dim, samples=_training_samples(pair))
        told = str(budget)
    observer.notify(CriticStarted(critic=recipe.name, position=position, critics=critics, budget=told))
    if isinstance(recipe, ClosedFormRecipe):
        found = _fit(recipe, pair, settings, metric)
    else:
        assert budget is not None, "settled above"
        found = _train(recipe, pair, settings, budget, seed, device, observer, metric)
    trained = found.trained
    observer.notify(
        CriticFinished(
            critic=recipe.name, steps=trained.steps, seconds=trained.seconds, best=trained.best, interrupted=trained.interrupted
        )
    )
    certificate = certify(found.critic, metric)
    judged = judge(found.critic, certificate, pair, statement)
    unbounded = not recipe.bound_by_construction
    return CriticResult(
        name=recipe.name,
        title=recipe.title,
        samples=judged.samples,
        population=judged.population,
        training_value=judged.training_value,
        lipschitz_bound=certificate.lipschitz_bound,
        certified=True,
        layers=certificate.layers,
        steps=trained.steps,
        seconds=trained.seconds,
        parameters=found.critic.parameters,
        settings={**found.settings, "budget": told},
        history=trained.history,
        converged=trained.converged,
        frozen=found.critic,
        interrupted=trained.interrupted,
        bound_by_construction=recipe.bound_by_construction,
        raw_value=judged.held_out_value / found.critic.lipschitz if unbounded else None,
        largest_slope=_largest_slope(found.critic, pair, metric, seed) if unbounded else None,
    )


def _fit(recipe: ClosedFormRecipe, pair: Pair, settings: CriticSettings, metric: GroundMetric) -> _Found:
    lipschitz, began = settings.lipschitz or 1.0, time.perf_counter()
    a, b = (_training_sample(side, _FIT_NUMBERS // side.info.dim) for side in (pair.a, pair.b))
    critic = recipe.fit(a, b, pair.standardisation.to(torch.device("cpu")), metric, lipschitz=lipschitz)
    value = dual_value(*(evaluate(critic, [side]) for side in (a, b))) / lipschitz
    seconds = time.perf_counter() - began
    # One point of a history that is over at once; the training samples are all that it has seen.
    history = (HistoryPoint(step=0, seconds=seconds, training=value, validation=value),)
    trained = Trained(steps=0, seconds=seconds, history=history, interrupted=False, final=True)
    return _Found(critic=critic, trained=trained, settings={"lipschitz": lipschitz})


def _training_sample(measure: Measure, limit: int) -> Tensor:
    """At most ``limit`` training samples, float64, on the CPU."""
    rows = measure.training_rows
    if rows is None:
        return measure.train.next(min(limit, _FIT_ROWS)).double().cpu()
    return rows.take(evenly(rows.count, min(limit, _FIT_ROWS)).to(rows.values.device)).cpu()


def _largest_slope(critic: FrozenCritic, pair: Pair, metric: GroundMetric, seed: int) -> float:
    a, b = (_training_sample(side, _SEARCHED_ROWS) for side in (pair.a, pair.b))
    return largest_slope(critic, a, b, metric=metric, generator=torch.Generator().manual_seed(seed))


def _training_samples(pair: Pair) -> int | None:
    """On the smaller side; None where both are streamed or drawn."""
    return min((side.training_rows.count for side in (pair.a, pair.b) if side.training_rows is not None), default=None)


def _train(
    recipe: CriticRecipe,
    pair: Pair,
    settings: CriticSettings,
    budget: Budget,
    seed: int,
    device: torch.device,
    observer: Observer,
    metric: GroundMetric,
) -> _Found:
    critic = recipe.build(pair.a.info.dim, settings, torch.Generator().manual_seed(seed), metric=metric).to(device)
    standardisation = pair.standardisation.to(device)
    batch_size = settings.batch_size or 0

    def standardised(x: Tensor) -> Tensor:
        return standardisation.apply(x.to(device, non_blocking=True)).float()

    def chosen(rows: ResidentRows) -> Tensor:
        return standardised(rows.take(evenly(rows.count, _VALIDATION_ROWS).to(rows.values.device)))

    def minibatch(measure: Measure) -> Tensor:
        rows = measure.training_rows
        return standardised(measure.train.next(batch_size if rows is None else min(batch_size, rows.count)))

    def make_penalty() -> Penalty | None:
        if recipe.penalty is None:
            return None
        return penalty(recipe.penalty, torch.Generator(device).manual_seed(seed))

    validation_a, validation_b = chosen(pair.a.validation), chosen(pair.b.validation)

    @torch.no_grad()
    def validate(critic: Critic) -> float:
        dual = float(critic(validation_a).mean() - critic(validation_b).mean())
        price = make_penalty()  # anew, so that all validations look at the same points
        if price is None:
            return dual
        with torch.enable_grad():
            return dual - float(price(critic, validation_a, validation_b).detach())

    trained = train(
        critic,
        minibatch=lambda: (minibatch(pair.a), minibatch(pair.b)),
        validate=validate,
        budget=budget,
        optimizer=settings.optimizer or "",
        learning_rate=settings.learning_rate or 0.0,
        decay=settings.schedule or "",
        unit=pair.standardisation.spread,
        observer=observer,
        name=recipe.name,
        penalty=make_penalty(),
    )
    frozen = critic.freeze(pair.standardisation, lipschitz=settings.lipschitz or 1.0)
    told = {name: value for name, value in vars(settings).items() if name in recipe.takes or name not in PARTICULAR}
    return _Found(critic=frozen, trained=trained, settings=told)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one certified critic proves of one pair."""

    samples: SamplesInterval
    population: PopulationBound
    training_value: float
    held_out_value: float
    """Held-out dual value, divided by nothing."""


def judge(frozen: FrozenCritic, certificate: Certificate, pair: Pair, statement: Statement) -> Judgement:
    """Evaluates a frozen critic on all samples and on those that no choice has depended on.

    Arguments:
        frozen: the critic, fixed before the held-out samples are looked at.
        certificate: of the same object, in the metric of the bounds.
        pair: the two measures.
        statement: how population bounds are stated.
    """
    K = certificate.lipschitz_bound
    all_a, all_b = (_evaluate(frozen, measure.everything) for measure in (pair.a, pair.b))
    held_a, held_b = (_part(frozen, measure.held_out, measure, whole) for measure, whole in ((pair.a, all_a), (pair.b, all_b)))
    seen_a, seen_b = (
        _part(frozen, measure.training_rows or measure.validation, measure, whole)
        for measure, whole in ((pair.a, all_a), (pair.b, all_b))
    )
    lower = lower_confidence_bound(
        held_a.values / K,
        held_b.values / K,
        alpha=statement.alpha,
        method=statement.method,
        ranges=diameters(pair, certificate.metric),
    )
    return Judgement(
        samples=SamplesInterval(
            lower=lower_bound(all_a, all_b, K),
            upper=None,
            exact=False,
            upper_method=None,
            n_a=len(all_a.values),
            n_b=len(all_b.values),
        ),
        population=PopulationBound(
            estimate=dual_value(held_a, held_b) / K,
            lower=max(0.0, lower - (held_a.rounding + held_b.rounding) / K),
            upper=None,
            confidence=statement.confidence,
            jointly_with=statement.bounds,
            method=statement.method,
            n_a=len(held_a.values),
            n_b=len(held_b.values),
        ),
        training_value=dual_value(seen_a, seen_b) / K,
        held_out_value=dual_value(held_a, held_b),
    )


def _evaluate(frozen: FrozenCritic, rows: Rows) -> Potentials:
    return evaluate(frozen, rows.batches(max(1, _BATCH_NUMBERS // max(frozen.dim, 256))))


def _part(frozen: FrozenCritic, rows: ResidentRows, measure: Measure, whole: Potentials) -> Potentials:
    """Potentials of a part of the samples: looked up where it is a part of all in memory, else evaluated."""
    if rows is measure.everything:
        return whole
    if isinstance(measure.everything, ResidentRows) and rows.values is measure.everything.values and rows.index is not None:
        return Potentials(values=whole.values[rows.index.cpu().numpy()], rounding=whole.rounding)
    return _evaluate(frozen, rows)


def diameters(pair: Pair, metric: GroundMetric = L2) -> tuple[float | None, float | None]:
    """Of the two supports, where the type of the samples bounds them: a 1-Lipschitz function has no larger range."""
    return _diameter(pair.a, metric), _diameter(pair.b, metric)


def _diameter(measure: Measure, metric: GroundMetric) -> float | None:
    if measure.info.bounds is None:
        return None
    low, high = measure.info.bounds
    return metric.diameter(low, high, measure.info.dim)
