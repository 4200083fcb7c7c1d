"""One critic on one pair: train, freeze, certify, evaluate. Nothing here knows what kind of critic it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from wdist.bounds.certificate import Certificate, certify
from wdist.bounds.confidence import lower_confidence_bound
from wdist.bounds.dual import dual_value, lower_bound
from wdist.bounds.lipschitz_search import largest_slope
from wdist.critics.catalogue import AutoRecipe, Recipe
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.data.measure import Measure
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows, gather
from wdist.estimation.fit import fit, fit_ahead
from wdist.estimation.model_selection import choose, choose_ahead
from wdist.estimation.result import CriticResult, PopulationBound, SamplesInterval
from wdist.estimation.samples import evaluate_rows, training_sample
from wdist.estimation.task import Task
from wdist.ground_metric import L2, GroundMetric

_SEARCHED_ROWS = 512
"""Of each side, from which the search for the largest slope starts."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What the population bounds of one result claim together."""

    confidence: float
    method: str
    bounds: int
    """How many of them share the error."""

    @property
    def alpha(self) -> float:
        """Error of each."""
        return (1 - self.confidence) / self.bounds


def train_ahead(recipe: Recipe | AutoRecipe, tasks: Sequence[Task]) -> None:
    """Trains what can be trained side by side for several trials of one recipe, and leaves it on the shelves of their tasks."""
    if isinstance(recipe, AutoRecipe):
        choose_ahead(recipe, tasks)
    else:
        fit_ahead(recipe, tasks)


def run_trial(recipe: Recipe | AutoRecipe, task: Task, *, statement: Statement) -> CriticResult:
    """Finds a critic on the training split, the best by the validation split, and judges it on the held-out one.

    Arguments:
        recipe: the kind of critic, or that several are to be tried.
        task: for which pair, and by which means; its shelf gains what is trained here with the whole budget.
        statement: how population bounds are stated.
    """
    pair, metric = task.pair, task.metric
    found = choose(recipe, task) if isinstance(recipe, AutoRecipe) else fit(recipe, task)
    if task.budget is None or task.budget.seconds is None:
        task.shelf.update({(member.recipe.name, task.seed, 1.0): member for member in found.members})
    kind, trained = found.recipe, found.trained
    certificate = certify(found.critic, metric)
    judged = judge(found.critic, certificate, pair, statement, name=kind.name)
    unbounded = not kind.bound_by_construction
    return CriticResult(
        name=kind.name,
        title=kind.title,
        samples=judged.samples,
        population=judged.population,
        training_value=judged.training_value,
        lipschitz_bound=certificate.lipschitz_bound,
        certified=True,
        layers=certificate.layers,
        steps=trained.steps,
        seconds=trained.seconds,
        parameters=found.critic.parameters,
        settings=found.settings,
        history=trained.history,
        converged=trained.converged,
        frozen=found.critic,
        interrupted=found.interrupted,
        bound_by_construction=kind.bound_by_construction,
        raw_value=judged.held_out_value / found.critic.lipschitz if unbounded else None,
        largest_slope=_largest_slope(found.critic, pair, metric, task.seed) if unbounded else None,
        tried=found.tried,
    )


def _largest_slope(critic: FrozenCritic, pair: Pair, metric: GroundMetric, seed: int) -> float:
    a, b = (gather(training_sample(side, _SEARCHED_ROWS)).cpu() for side in (pair.a, pair.b))
    return largest_slope(critic, a, b, metric=metric, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one certified critic proves of one pair."""

    samples: SamplesInterval
    population: PopulationBound
    training_value: float
    held_out_value: float
    """Held-out dual value, divided by nothing."""


def judge(frozen: FrozenCritic, certificate: Certificate, pair: Pair, statement: Statement, *, name: str = "") -> Judgement:
    """Evaluates a frozen critic on all samples and on those that no choice has depended on.

    Arguments:
        frozen: the critic, fixed before the held-out samples are looked at.
        certificate: of the same object, in the metric of the bounds.
        pair: the two measures.
        statement: how population bounds are stated.
        name: of the critic, as what proves the lower end.
    """
    K = certificate.lipschitz_bound
    all_a, all_b = (evaluate_rows(frozen, measure.everything) for measure in (pair.a, pair.b))
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
        ranges=_ranges(diameters(pair, certificate.metric), 2 * max(held_a.rounding, held_b.rounding) / K),
        apart=_widened(union_diameter(pair, certificate.metric), (held_a.rounding + held_b.rounding) / K),
    )
    return Judgement(
        samples=SamplesInterval(
            lower=lower_bound(all_a, all_b, K),
            upper=None,
            exact=False,
            upper_method=None,
            n_a=len(all_a.values),
            n_b=len(all_b.values),
            lower_method=name,
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


def _part(frozen: FrozenCritic, rows: ResidentRows, measure: Measure, whole: Potentials) -> Potentials:
    """Potentials of a part of the samples: looked up where it is a part of all in memory, else evaluated."""
    if rows is measure.everything:
        return whole
    if isinstance(measure.everything, ResidentRows) and rows.values is measure.everything.values and rows.index is not None:
        return Potentials(values=whole.values[rows.index.cpu().numpy()], rounding=whole.rounding)
    return evaluate_rows(frozen, rows)


def diameters(pair: Pair, metric: GroundMetric = L2) -> tuple[float | None, float | None]:
    """Of the two supports, where the type of the samples bounds them: a 1-Lipschitz function has no larger range."""
    return _diameter(pair.a, metric), _diameter(pair.b, metric)


def _ranges(diameters: tuple[float | None, float | None], rounding: float) -> tuple[float | None, float | None]:
    """Of the values as they were computed, from what a 1-Lipschitz function may reach."""
    return _widened(diameters[0], rounding), _widened(diameters[1], rounding)


def _widened(diameter: float | None, rounding: float) -> float | None:
    return None if diameter is None else diameter * (1 + 1e-12) + rounding


def union_diameter(pair: Pair, metric: GroundMetric = L2) -> float | None:
    """Of the union of the two supports, where the type of the samples bounds both."""
    if pair.a.info.bounds is None or pair.b.info.bounds is None:
        return None
    (low_a, high_a), (low_b, high_b) = pair.a.info.bounds, pair.b.info.bounds
    return metric.diameter(min(low_a, low_b), max(high_a, high_b), pair.a.info.dim)


def _diameter(measure: Measure, metric: GroundMetric) -> float | None:
    if measure.info.bounds is None:
        return None
    low, high = measure.info.bounds
    return metric.diameter(low, high, measure.info.dim)
