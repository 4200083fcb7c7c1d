"""Several kinds of critics for one pair, and the choice between them by the validation split."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.bounds.dual import dual_value
from wdist.critics.blend import BlendRecipe, best_blend, blended
from wdist.critics.catalogue import AutoRecipe, Recipe
from wdist.critics.cones import ConeRecipe
from wdist.critics.frozen import FrozenCritic
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import CriticSettings
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows
from wdist.errors import CertificateError, TrainingDiverged
from wdist.estimation.fit import fit, fit_ahead
from wdist.estimation.result import Attempt
from wdist.estimation.samples import evaluate_rows, training_sample
from wdist.estimation.task import Fitted, Task

QUICK_SHARES = {ConeRecipe: 0.1, CriticRecipe: 0.15}
"""Of a length of time, for the first run of each kind: a network is slower to show what it can do."""
_BLEND_NUMBERS = 1 << 23
"""Coordinates of the training samples that decide how two critics are put together."""


def choose(auto: AutoRecipe, task: Task) -> Fitted:
    """The best critic by the validation split, of all kinds that ``auto`` names.

    Closed forms cost next to nothing. A number of steps, or no budget at all, lets each kind train as long as it would alone. Of a
    length of time each has a part first, and the best of these the rest; nothing is lost by that, since the first runs stay
    candidates. Where few samples stand against many dimensions, the difference of the means beats every network on samples that
    neither has seen, and then it is chosen.

    Arguments:
        auto: the kinds to try.
        task: its budget is in seconds for everything together, or in steps for each.

    Raises:
        TrainingDiverged: nothing finite came of any kind.
    """
    in_parts = _in_parts(task)
    trials = _Candidates(value=partial(_validation_value, task=task))
    for recipe in auto.closed_forms:
        trials.add(partial(fit, recipe, task))
    # After Ctrl-C nothing more is trained than what was trained ahead.
    for kind in auto.trained if not task.interrupted else [kind for kind in auto.trained if _is_ready(kind, task)]:
        trials.add(partial(fit, kind, _task_of(kind, task), share=_first_share(kind, task)))
    if in_parts and (leader := trials.leader) is not None:
        assert not isinstance(leader.recipe, BlendRecipe), "blends come last"
        rest = 1 - sum(QUICK_SHARES[type(kind)] for kind in auto.trained)
        trials.add(partial(fit, leader.recipe, _task_of(leader.recipe, task), share=rest))
    for recipe in auto.late_closed_forms:
        trials.add(partial(fit, recipe, task))
    if (best := trials.best_two()) is not None:
        trials.add(partial(_together, *best, pair=task.pair))
    return trials.chosen()


def choose_ahead(auto: AutoRecipe, tasks: Sequence[Task]) -> None:
    """Trains the first networks of several choices side by side, for :func:`choose` to find on the shelves of ``tasks``."""
    for kind in auto.trained:
        fit_ahead(kind, [_task_of(kind, task) for task in tasks], share=_first_share(kind, tasks[0]))


def _in_parts(task: Task) -> bool:
    return task.budget is not None and task.budget.seconds is not None


def _first_share(kind: Recipe, task: Task) -> float:
    """Of the budget, for the first run of a kind."""
    return QUICK_SHARES[type(kind)] if _in_parts(task) else 1.0


def _is_ready(kind: Recipe, task: Task) -> bool:
    return (kind.name, task.seed, _first_share(kind, task)) in task.shelf


def _task_of(kind: Recipe, task: Task) -> Task:
    """With the settings that concern one kind: of cones their number; the rest is said of networks."""
    settings = task.settings
    if isinstance(kind, ConeRecipe):
        return replace(task, settings=CriticSettings(centres=settings.centres, lipschitz=settings.lipschitz))
    return replace(task, settings=replace(settings, centres=None))


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

    def best_two(self) -> tuple[Fitted, Fitted] | None:
        """The best of two different kinds."""
        best_of_kind: dict[str, _Candidate] = {}
        for each in sorted(self._all, key=lambda each: each.validation):
            best_of_kind[each.fitted.recipe.name] = each
        ranked = sorted(best_of_kind.values(), key=lambda each: each.validation, reverse=True)
        return (ranked[0].fitted, ranked[1].fitted) if len(ranked) > 1 else None

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
        members = tuple(each.fitted for each in self._all)
        return replace(best.fitted, tried=tried, members=members, interrupted=self.interrupted)


def _together(first: Fitted, second: Fitted, *, pair: Pair) -> Fitted:
    """The maximum or minimum of two critics, whichever is worth more on the training split."""
    a, b = (training_sample(side, _BLEND_NUMBERS // side.info.dim) for side in (pair.a, pair.b))
    began = time.perf_counter()
    unit = first.critic.standardisation.spread * first.critic.lipschitz

    def potentials(critic: FrozenCritic, rows: ResidentRows) -> Tensor:
        return torch.from_numpy(evaluate_rows(critic, rows).values) / unit

    values = [(potentials(each.critic, a), potentials(each.critic, b)) for each in (first, second)]
    blend = best_blend(*values)
    trained = replace(first.trained, steps=0, seconds=time.perf_counter() - began)
    return Fitted(
        recipe=BlendRecipe(name=f"{blend.how} of {first.recipe.name} and {second.recipe.name}"),
        critic=blended(first.critic, second.critic, blend),
        trained=trained,
        settings=first.settings,
    )


def _validation_value(fitted: Fitted, *, task: Task) -> float:
    """Dual value on the validation split over the certificate, in the units of the data."""
    critic = fitted.critic
    a, b = (evaluate_rows(critic, side.validation) for side in (task.pair.a, task.pair.b))
    return dual_value(a, b) / certify(critic, task.metric).lipschitz_bound
