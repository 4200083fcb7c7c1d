"""One critic on one pair: train, freeze, certify, evaluate. Nothing here knows what kind of critic it is."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wdist.certificate import Certificate, certify
from wdist.confidence import lower_confidence_bound
from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import CriticSettings
from wdist.dual import dual_value, evaluate, lower_bound
from wdist.measures.measure import Measure
from wdist.measures.pairing import Pair
from wdist.measures.rows import ResidentRows, Rows, evenly
from wdist.result import CriticResult, PopulationBound, SamplesInterval
from wdist.training.budget import Budget
from wdist.training.defaults import default_budget, settle
from wdist.training.loop import Trained, train
from wdist.training.observer import CriticFinished, CriticStarted, Observer

_VALIDATION_ROWS = 2048
"""Of each side, looked at in every validation."""
_BATCH_NUMBERS = 1 << 18
"""Coordinates evaluated at a time: 2 MB in float64, which stays in the cache of one core."""


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


def run_trial(
    recipe: CriticRecipe,
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
) -> CriticResult:
    """Trains a critic on the training split, keeps the best by the validation split, and judges it on the held-out one.

    Arguments:
        recipe: the kind of critic.
        pair: the two measures.
        settings: of the user; what is open is chosen from the shape of the data.
        budget: of the training; None for about half a minute.
        statement: how population bounds are stated.
        seed: of the weights.
        device: of the training.
        observer: is told of start, progress and end.
        position, critics: of this trial among those of one result, for the observer.
    """
    settings = settle(recipe, settings, dim=pair.a.info.dim, participation=pair.participation)
    budget = budget or default_budget(settings, dim=pair.a.info.dim)
    observer.notify(CriticStarted(critic=recipe.name, position=position, critics=critics, budget=str(budget)))
    critic = recipe.build(pair.a.info.dim, settings, torch.Generator().manual_seed(seed)).to(device)
    trained = _train(critic, pair, recipe.name, settings, budget, device, observer)
    observer.notify(
        CriticFinished(
            critic=recipe.name, steps=trained.steps, seconds=trained.seconds, best=trained.best, interrupted=trained.interrupted
        )
    )
    frozen = critic.freeze(pair.standardisation, lipschitz=settings.lipschitz or 1.0)
    certificate = certify(frozen)
    judged = judge(frozen, certificate, pair, statement)
    return CriticResult(
        name=recipe.name,
        samples=judged.samples,
        population=judged.population,
        training_value=judged.training_value,
        lipschitz_bound=certificate.lipschitz_bound,
        certified=True,
        layers=certificate.layers,
        steps=trained.steps,
        seconds=trained.seconds,
        parameters=frozen.parameters,
        settings={**vars(settings), "budget": str(budget)},
        history=trained.history,
        converged=trained.converged,
        frozen=frozen,
        interrupted=trained.interrupted,
    )


def _train(
    critic: Critic,
    pair: Pair,
    name: str,
    settings: CriticSettings,
    budget: Budget,
    device: torch.device,
    observer: Observer,
) -> Trained:
    standardisation = pair.standardisation.to(device)
    batch_size = settings.batch_size or 0

    def standardised(x: Tensor) -> Tensor:
        return standardisation.apply(x.to(device, non_blocking=True)).float()

    def chosen(rows: ResidentRows) -> Tensor:
        return standardised(rows.take(evenly(rows.count, _VALIDATION_ROWS).to(rows.values.device)))

    def minibatch(measure: Measure) -> Tensor:
        rows = measure.training_rows
        return standardised(measure.train.next(batch_size if rows is None else min(batch_size, rows.count)))

    validation_a, validation_b = chosen(pair.a.validation), chosen(pair.b.validation)

    @torch.no_grad()
    def validate(critic: Critic) -> float:
        return float(critic(validation_a).mean() - critic(validation_b).mean())

    return train(
        critic,
        minibatch=lambda: (minibatch(pair.a), minibatch(pair.b)),
        validate=validate,
        budget=budget,
        optimizer=settings.optimizer or "",
        learning_rate=settings.learning_rate or 0.0,
        decay=settings.schedule or "",
        unit=pair.standardisation.spread,
        observer=observer,
        name=name,
    )


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one certified critic proves of one pair."""

    samples: SamplesInterval
    population: PopulationBound
    training_value: float


def judge(frozen: FrozenCritic, certificate: Certificate, pair: Pair, statement: Statement) -> Judgement:
    """Evaluates a frozen critic on all samples and on those that no choice has depended on.

    Arguments:
        frozen: the critic, fixed before the held-out samples are looked at.
        certificate: of the same object.
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
        ranges=diameters(pair),
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


def diameters(pair: Pair) -> tuple[float | None, float | None]:
    """Of the two supports, where the type of the samples bounds them: a 1-Lipschitz function has no larger range."""
    return _diameter(pair.a), _diameter(pair.b)


def _diameter(measure: Measure) -> float | None:
    if measure.info.bounds is None:
        return None
    low, high = measure.info.bounds
    return float((high - low) * np.sqrt(measure.info.dim))
