"""Critics found for pairs, from the training split and the validation split alone, whatever their kind."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from wdist.critics.catalogue import Recipe
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.cones import ConeRecipe
from wdist.critics.recipe import CriticRecipe
from wdist.data.memory import give_back_memory
from wdist.estimation.fit_closed_form import fit_closed_form
from wdist.estimation.fit_cones import fit_cones, plan_cones
from wdist.estimation.fit_network import fit_network, fit_side_by_side, plan_network, prepare_side_by_side
from wdist.estimation.task import Fitted, Task
from wdist.training.observer import CriticFinished, CriticStarted


def fit(recipe: Recipe, task: Task, *, share: float = 1.0) -> Fitted:
    """Finds a critic on the training split; where it is trained, the best by the validation split is kept.

    Arguments:
        recipe: the kind of critic; one of a closed form is not trained and takes no step.
        task: for which pair, and by which means.
        share: of the budget that is this critic's.

    Raises:
        TrainingDiverged: nothing finite came of it.
    """
    if isinstance(recipe, CriticRecipe):
        recipe = recipe.chosen(task.settings)
    if (ready := task.shelf.get((recipe.name, task.seed, share))) is not None:
        return ready
    find, budget = _way(recipe, task, share)
    _tell_start(recipe, task, budget)
    found = find()
    give_back_memory()
    _tell_end(found, task)
    return _concluded(found, budget)


def _way(recipe: Recipe, task: Task, share: float) -> tuple[Callable[[], Fitted], str]:
    """How a critic is found, and within which budget."""
    if isinstance(recipe, ClosedFormRecipe):
        return partial(fit_closed_form, recipe, task), "no training"
    if isinstance(recipe, ConeRecipe):
        settings, usual = plan_cones(recipe, task)
        budget = (task.budget or usual).part(share)
        return partial(fit_cones, recipe, task, settings, budget), str(budget)
    settings, usual = plan_network(recipe, task)
    budget = (task.budget or usual).part(share)
    return partial(fit_network, recipe, task, settings, budget), str(budget)


def fit_ahead(recipe: Recipe, tasks: Sequence[Task], *, share: float = 1.0) -> None:
    """Trains networks for several tasks side by side, where that is possible, and leaves each on the shelf of its own task.

    Of a length of time they have together what they would have one after the other, and each takes more steps in it. One that
    diverges is not left there, so that :func:`fit` finds out why.

    Arguments:
        recipe: the kind of critic.
        tasks: with one budget; they differ in their seeds or in their pairs.
        share: of the budget that is each critic's.
    """
    if len(tasks) < 2 or not isinstance(recipe, CriticRecipe):
        return
    recipe, first = recipe.chosen(tasks[0].settings), tasks[0]
    if (prepared := prepare_side_by_side(recipe, tasks)) is None:
        return
    budget = (first.budget or plan_network(recipe, first)[1]).part(share)
    _tell_start(recipe, first, f"{budget}, {len(tasks)} at once")
    found = fit_side_by_side(prepared, budget if budget.seconds is None else budget.part(len(tasks)))
    give_back_memory()
    if first_found := next(filter(None, found), None):
        _tell_end(first_found, first)
    for task, each in zip(tasks, found, strict=True):
        if each is not None:
            task.shelf[recipe.name, task.seed, share] = _concluded(each, str(budget))


def _tell_start(recipe: Recipe, task: Task, budget: str) -> None:
    task.observer.notify(CriticStarted(critic=recipe.name, position=task.position, critics=task.critics, budget=budget))


def _tell_end(found: Fitted, task: Task) -> None:
    trained = found.trained
    task.observer.notify(
        CriticFinished(
            critic=found.recipe.name,
            steps=trained.steps,
            seconds=trained.seconds,
            best=trained.best,
            interrupted=trained.interrupted,
        )
    )


def _concluded(found: Fitted, budget: str) -> Fitted:
    """With its budget among the settings that are shown."""
    return replace(found, settings={**found.settings, "budget": budget}, interrupted=found.trained.interrupted)
