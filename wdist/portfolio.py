"""Several kinds of critics on one budget: a short run of each, the rest to the best, and the choice by the validation split."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from wdist.certificate import certify
from wdist.critics.catalogue import AutoRecipe, Recipe
from wdist.critics.cones import ConeRecipe
from wdist.critics.settings import CriticSettings
from wdist.dual import dual_value
from wdist.errors import CertificateError, TrainingDiverged
from wdist.fitting import Fitted, evaluate_rows, fit
from wdist.ground_metric import L2, GroundMetric
from wdist.measures.pairing import Pair
from wdist.result import Attempt
from wdist.training.budget import Budget
from wdist.training.observer import Observer

QUICK_SHARE = 1 / 10
"""Of the budget, for the short run of each kind that is trained."""


def choose(
    auto: AutoRecipe,
    pair: Pair,
    *,
    settings: CriticSettings,
    budget: Budget | None,
    seed: int,
    device: torch.device,
    observer: Observer,
    position: int = 1,
    critics: int = 1,
    metric: GroundMetric = L2,
) -> Fitted:
    """The best critic by the validation split, of all kinds that ``auto`` names.

    Closed forms cost next to nothing. Each kind that is trained has a short run, and the best of these the rest of the budget;
    nothing is lost by that, since the short runs stay candidates. Where few samples stand against many dimensions, the difference
    of the means beats every network on samples that neither has seen, and then it is chosen.

    Arguments:
        auto: the kinds to try.
        budget: of everything together, in seconds; or in steps, for the longest training alone; None for what suits the data.
        pair, settings, seed, device, observer, position, critics, metric: as for :func:`wdist.fitting.fit`.

    Raises:
        TrainingDiverged: nothing finite came of any kind.
    """
    find = partial(
        fit,
        pair=pair,
        budget=budget,
        seed=seed,
        device=device,
        observer=observer,
        position=position,
        critics=critics,
        metric=metric,
    )
    trials = _Candidates(value=partial(_validation_value, pair=pair, metric=metric))
    for recipe in auto.closed_forms:
        trials.add(partial(find, recipe, settings=settings))
    for kind in auto.trained:
        trials.add(partial(find, kind, settings=_settings_of(kind, settings), share=QUICK_SHARE))
    if (leader := trials.leader) is not None:
        spent = QUICK_SHARE * len(auto.trained) if budget is not None and budget.seconds is not None else 0.0
        trials.add(partial(find, leader.recipe, settings=_settings_of(leader.recipe, settings), share=1 - spent))
    return trials.chosen()


def _settings_of(kind: Recipe, settings: CriticSettings) -> CriticSettings:
    """What concerns one kind: of cones their number; the rest is said of networks."""
    if isinstance(kind, ConeRecipe):
        return CriticSettings(centres=settings.centres, lipschitz=settings.lipschitz)
    return replace(settings, centres=None)


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    fitted: Fitted
    validation: float


class _Candidates:
    """What has been tried so far.

    Arguments:
        value: of a critic on the validation split.
    """

    def __init__(self, value: Callable[[Fitted], float]) -> None:
        self._value = value
        self._all: list[_Candidate] = []
        self._failure: TrainingDiverged | CertificateError | None = None
        self.interrupted = False

    def add(self, find: Callable[[], Fitted]) -> None:
        """Tries one more, unless Ctrl-C has come; one that diverges is left out."""
        if self.interrupted:
            return
        try:
            fitted = find()
            self._all.append(_Candidate(fitted=fitted, validation=self._value(fitted)))
            self.interrupted = fitted.trained.interrupted
        except (TrainingDiverged, CertificateError) as failure:
            self._failure = failure
        except KeyboardInterrupt:
            if not self._all:
                raise
            self.interrupted = True

    @property
    def leader(self) -> Fitted | None:
        """The best of those that training longer may improve."""
        trained = [each for each in self._all if not each.fitted.trained.final]
        return max(trained, key=lambda each: each.validation).fitted if trained else None

    def chosen(self) -> Fitted:
        """The best, with the story of all."""
        if not self._all:
            assert self._failure is not None, "something was tried"
            raise self._failure
        best = max(self._all, key=lambda each: each.validation)
        tried = tuple(
            Attempt(
                name=each.fitted.recipe.name,
                validation=each.validation,
                seconds=each.fitted.trained.seconds,
                steps=each.fitted.trained.steps,
                chosen=each is best,
            )
            for each in self._all
        )
        return replace(best.fitted, tried=tried, interrupted=self.interrupted)


def _validation_value(fitted: Fitted, *, pair: Pair, metric: GroundMetric) -> float:
    """Dual value on the validation split over the certificate, in the units of the data."""
    critic = fitted.critic
    a, b = (evaluate_rows(critic, side.validation) for side in (pair.a, pair.b))
    return dual_value(a, b) / certify(critic, metric).lipschitz_bound
