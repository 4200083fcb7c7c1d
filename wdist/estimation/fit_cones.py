"""Envelopes of cones, found by assignment steps, first with both orientations where none is decided."""

from dataclasses import replace

import torch

from wdist.critics.cones import ConeRecipe
from wdist.critics.critic import Critic
from wdist.critics.settings import CriticSettings
from wdist.data.pool import Pool
from wdist.estimation.task import Fitted, Task
from wdist.training.budget import Budget
from wdist.training.cone_ascent import ConeAscent
from wdist.training.defaults import default_cone_budget
from wdist.training.loop import Course, Trained, dual_on, train

_VALIDATION_ROWS, _LEAST_VALIDATION_ROWS, _VALIDATION_NUMBERS = 16_384, 2048, 1 << 23
"""Of each side: cones are cheap to evaluate, and their last few per cent are worth telling apart; fewer of more coordinates."""
_SIGN_SHARE = 0.06
"""Of the budget, for each of the two orientations, before one is chosen."""


def plan_cones(recipe: ConeRecipe, task: Task) -> tuple[CriticSettings, Budget]:
    """Settings with nothing left open, and what is spent where the user named nothing."""
    settings = recipe.settle(task.settings, dim=task.dim, samples=task.training_samples)
    return settings, default_cone_budget(settings, dim=task.dim, samples=task.training_samples)


def fit_cones(recipe: ConeRecipe, task: Task, settings: CriticSettings, budget: Budget) -> Fitted:
    """A critic of the orientation that is better by the validation split.

    Arguments:
        recipe: the kind; its orientation may be open.
        task: for which pair.
        settings: with nothing left open.
        budget: of all of it.
    """
    a, b = (Pool(side, settings.batch_size or 0, task.standardised) for side in (task.pair.a, task.pair.b))
    validation = task.validation(max(_LEAST_VALIDATION_ROWS, min(_VALIDATION_ROWS, _VALIDATION_NUMBERS // task.dim)))

    seconds = 0.0  # of all ascents: those of the orientation that is given up are a part of the search

    def ascent(recipe: ConeRecipe, budget: Budget) -> tuple[Critic, Trained]:
        generator = torch.Generator().manual_seed(task.seed)
        critic = recipe.build(a.sample, b.sample, settings, generator, participation=task.pair.participation, metric=task.metric)
        course = Course(
            critic,
            validate=dual_on(*validation),
            unit=task.pair.standardisation.spread,
            observer=task.observer,
            name=recipe.name,
        )
        trained = train(
            course,
            ascend=ConeAscent(critic, rate=settings.learning_rate or 0.0),
            minibatch=lambda: (a.next(), b.next()),
            budget=budget,
            decay=settings.schedule or "",
        )
        nonlocal seconds
        seconds += trained.seconds
        return critic, trained

    def found(recipe: ConeRecipe, critic: Critic, trained: Trained) -> Fitted:
        told = {name: getattr(settings, name) for name in ("centres", "batch_size", "learning_rate", "schedule", "lipschitz")}
        frozen = critic.freeze(task.pair.standardisation, lipschitz=task.lipschitz)
        return Fitted(recipe=recipe, critic=frozen, trained=replace(trained, seconds=seconds), settings=told)

    if recipe.sign is not None:
        return found(recipe, *ascent(recipe, budget))
    tried = []
    for sign in (1, -1):
        critic, trained = ascent(recipe.signed(sign), budget.part(_SIGN_SHARE))
        tried.append((trained.best, sign, critic, trained))
        if trained.interrupted:
            break
    _, sign, critic, trained = max(tried, key=lambda each: each[0])
    recipe = recipe.signed(sign)
    if not any(each.interrupted for *_, each in tried):
        longer, after = ascent(recipe, budget.part(1 - 2 * _SIGN_SHARE))
        if after.best >= trained.best or after.interrupted:
            critic, trained = longer, after
    return found(recipe, critic, trained)
