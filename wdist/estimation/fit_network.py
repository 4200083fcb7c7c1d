"""Networks, found by gradients: one alone, or several of one shape side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import PARTICULAR, CriticSettings
from wdist.critics.side_by_side import fits_side_by_side, side_by_side
from wdist.data.measure import Measure
from wdist.estimation.task import Fitted, Task
from wdist.training.budget import Budget
from wdist.training.captured_step import training_step
from wdist.training.defaults import default_budget, settle
from wdist.training.loop import Course, Trained, dual_on, train, train_together
from wdist.training.observer import Observer, Silent
from wdist.training.optimizers import Optimizer, make_optimizers
from wdist.training.penalties.catalogue import penalty
from wdist.training.penalties.penalty import Penalty

_VALIDATION_ROWS = 2048
"""Of each side, looked at in every validation."""


def plan_network(recipe: CriticRecipe, task: Task) -> tuple[CriticSettings, Budget]:
    """Settings with nothing left open, and what is spent where the user named nothing."""
    settings = settle(recipe, task.settings, dim=task.dim, participation=task.pair.participation)
    return settings, default_budget(settings, dim=task.dim, samples=task.training_samples)


@dataclass(frozen=True, kw_only=True)
class PreparedNetwork:
    """A network before its training, with all that this takes."""

    recipe: CriticRecipe
    task: Task
    settings: CriticSettings
    """With nothing left open."""
    critic: Critic

    @classmethod
    def of(cls, recipe: CriticRecipe, task: Task, settings: CriticSettings) -> "PreparedNetwork":
        """With fresh weights."""
        generator, event_shape = torch.Generator().manual_seed(task.seed), task.pair.a.info.event_shape
        critic = recipe.build(task.dim, settings, generator, metric=task.metric, event_shape=event_shape).to(task.device)
        return cls(recipe=recipe, task=task, settings=settings, critic=critic)

    @property
    def batch_sizes(self) -> tuple[int, int]:
        """Samples of each side in a minibatch: no more than there are."""

        def of(measure: Measure) -> int:
            wanted, rows = self.settings.batch_size or 0, measure.training_rows
            return wanted if rows is None else min(wanted, rows.count)

        return of(self.task.pair.a), of(self.task.pair.b)

    def minibatch(self) -> tuple[Tensor, Tensor]:
        """Standardised training samples of each side."""
        sides = zip((self.task.pair.a, self.task.pair.b), self.batch_sizes, strict=True)
        a, b = (self.task.standardised(measure.train.next(n)) for measure, n in sides)
        return a, b

    def penalty(self) -> Penalty | None:
        """A new one, which draws the same points as any other of this network."""
        if self.recipe.penalty is None:
            return None
        return penalty(self.recipe.penalty, torch.Generator(self.task.device).manual_seed(self.task.seed))

    def optimizers(self, critic: Critic, *, side_by_side: bool = False) -> list[Optimizer]:
        """Of ``critic``, as the settings say."""
        name, rate = self.settings.optimizer or "", self.settings.learning_rate or 0.0
        return make_optimizers(critic, name=name, learning_rate=rate, side_by_side=side_by_side)

    def course(self, observer: Observer) -> Course:
        """Its way through the training."""
        return Course(
            self.critic,
            validate=self._validation(),
            unit=self.task.pair.standardisation.spread,
            observer=observer,
            name=self.recipe.name,
        )

    def _validation(self) -> Callable[[Critic], Tensor]:
        samples = self.task.validation(_VALIDATION_ROWS)
        dual = dual_on(*samples)

        def validate(critic: Critic) -> Tensor:
            price = self.penalty()  # anew, so that all validations look at the same points
            return dual(critic) if price is None else dual(critic) - price(critic, *samples).detach()

        return validate

    def fitted(self, trained: Trained) -> Fitted:
        """The critic after its training."""
        recipe = self.recipe
        told = {name: value for name, value in vars(self.settings).items() if name in recipe.takes or name not in PARTICULAR}
        frozen = self.critic.freeze(self.task.pair.standardisation, lipschitz=self.task.lipschitz)
        return Fitted(recipe=recipe, critic=frozen, trained=trained, settings=told)


def fit_network(recipe: CriticRecipe, task: Task, settings: CriticSettings, budget: Budget) -> Fitted:
    """A critic trained alone.

    Arguments:
        recipe: the kind.
        task: for which pair.
        settings: with nothing left open.
        budget: of the training.

    Raises:
        TrainingDiverged: its first value was not finite.
    """
    prepared = PreparedNetwork.of(recipe, task, settings)
    trained = train(
        prepared.course(task.observer),
        ascend=training_step(prepared.critic, prepared.optimizers(prepared.critic), penalty=prepared.penalty()),
        minibatch=prepared.minibatch,
        budget=budget,
        decay=settings.schedule or "",
    )
    return prepared.fitted(trained)


def prepare_side_by_side(recipe: CriticRecipe, tasks: Sequence[Task]) -> list[PreparedNetwork] | None:
    """Networks of one kind that can be trained as one, since they are of one shape and so are their minibatches; else None.

    Arguments:
        recipe: the kind.
        tasks: they differ in their seeds or in their pairs.
    """
    if recipe.penalty is not None:
        return None
    prepared = [PreparedNetwork.of(recipe, task, plan_network(recipe, task)[0]) for task in tasks]
    shapes = {(each.settings, each.task.dim, each.batch_sizes) for each in prepared}
    return prepared if len(shapes) == 1 and all(fits_side_by_side(each.critic) for each in prepared) else None


def fit_side_by_side(prepared: Sequence[PreparedNetwork], budget: Budget) -> list[Fitted | None]:
    """Trains networks as one; None in the place of one that diverged.

    Their steps are those that each would take alone, but for rounding and for when the weights return to their constraint, which
    follows the one that strays furthest.

    Arguments:
        prepared: see :func:`prepare_side_by_side`.
        budget: of the training of all of them.
    """
    first, together = prepared[0], side_by_side([each.critic for each in prepared])

    def minibatch() -> tuple[Tensor, Tensor]:
        a, b = (torch.stack(side) for side in zip(*(each.minibatch() for each in prepared), strict=True))
        return a, b

    trained = train_together(
        # The progress of one of them is that of all.
        [each.course(each.task.observer if each is first else Silent()) for each in prepared],
        ascend=training_step(together, first.optimizers(together, side_by_side=True)),
        minibatch=minibatch,
        budget=budget,
        decay=first.settings.schedule or "",
    )
    return [each.fitted(its) if its.history else None for each, its in zip(prepared, trained, strict=True)]
