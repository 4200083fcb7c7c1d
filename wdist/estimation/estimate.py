"""``estimate``: from two sources to bounds for the Wasserstein-1 distance between them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch

from wdist.bounds.confidence import resolve
from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.pairing import Pair
from wdist.data.rows import gather
from wdist.data.split import ENOUGH_HELD_OUT
from wdist.environment import environment
from wdist.estimation.evaluation import Statement, diameters, union_diameter
from wdist.estimation.question import AUTO, Question
from wdist.estimation.result import CriticResult, Estimate
from wdist.estimation.runs import run_trials
from wdist.estimation.task import Shelf
from wdist.estimation.transport_bounds import (
    NO_ENDS,
    Ends,
    memory_warnings,
    population_upper,
    population_upper_is_planned,
    samples_ends,
)
from wdist.ground_metric import GroundMetric
from wdist.training import observer as events
from wdist.training.budget import Budget
from wdist.training.observer import Observer, Stage

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
        features: the space that the distance is taken in, as for :func:`wdist.data.features.opening.open_features`: a function
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
    question = Question.of(
        settings=settings,
        budget=budget,
        steps=steps,
        critic=critic,
        critics=critics,
        baselines=baselines,
        metric=metric,
        repeats=repeats,
        confidence=confidence,
        ci=ci,
        tolerance=tolerance,
        couplings=couplings,
        seed=seed,
        device=device,
        access=access,
        features=features,
        observer=observer,
        command=command,
    )
    with closing(question.open(a, b)) as pair:
        return answer(question, pair, truth=truth)


def answer(question: Question, pair: Pair, *, shelf: Shelf | None = None, truth: float | None = None) -> Estimate:
    """Bounds the distance between the two sides of a pair, as :func:`estimate` says.

    Arguments:
        question: what is asked.
        pair: open.
        shelf: critics of this pair that are trained already.
        truth: the known W1 of the two distributions.

    Raises:
        WdistError: the settings do not fit the samples, or nothing was proved.
    """
    question = question.about(pair)
    method, diameter = resolve(question.ci, diameters(pair, question.metric)), union_diameter(pair, question.metric)
    upper_planned = question.couplings and population_upper_is_planned(pair, diameter, seconds=question.population_seconds)
    bounds = len(question.entrants) + upper_planned
    statement = Statement(confidence=question.confidence, method=method, bounds=bounds)
    ends = _Couplings(pair, question.metric, seed=question.seed, observer=question.observer)
    if question.tolerance is not None:
        ends.couple(seconds=question.transport_seconds)
    trials = run_trials(question, question.task(pair, shelf), statement)
    interrupted = trials.interrupted
    if question.couplings and not interrupted:
        try:
            ends.couple(seconds=question.transport_seconds)
            if upper_planned:
                ends.bound_population(alpha=statement.alpha, diameter=diameter, seconds=question.population_seconds)
        except KeyboardInterrupt:
            interrupted = True
    results = [ends.found.on(result) for result in trials.results()]
    main = max(results, key=_proved) if question.comparison else results[0]
    space = question.space
    return Estimate(
        command=question.command,
        samples=ends.found.tightest(results),
        critic=main,
        baselines=tuple(result for result in results if result is not main),
        a=pair.a.info,
        b=pair.b.info,
        digest_a=pair.a.digest,
        digest_b=pair.b.digest,
        metric=question.metric.name,
        seed=question.seed,
        truth=truth,
        seconds=time.perf_counter() - question.began,
        environment=environment(question.device),
        preview=_preview(pair),
        warnings=(*pair.warnings, *_few_held_out(pair, method), *memory_warnings(pair), *trials.failures),
        interrupted=interrupted,
        comparison=question.comparison,
        tolerance=question.tolerance,
        features=None if space is None else replace(space.facts, dim=pair.a.info.dim),
    )


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
            self._observer.notify(events.SamplesBounded(lower=self.found.lower, upper=self.found.coupling.cost))

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
