"""One critic found for one pair, from the training split and the validation split alone, whatever its kind."""

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wdist.critics.blend import BlendRecipe
from wdist.critics.catalogue import Recipe
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.cones import ConeRecipe
from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import PARTICULAR, CriticSettings
from wdist.dual import dual_value, evaluate
from wdist.ground_metric import L2, GroundMetric
from wdist.measures.measure import Measure
from wdist.measures.pairing import Pair
from wdist.measures.pool import Pool
from wdist.measures.rows import ResidentRows, Rows, evenly
from wdist.result import Attempt, HistoryPoint
from wdist.sources.memory import give_back_memory
from wdist.training.budget import Budget
from wdist.training.captured_step import training_step
from wdist.training.cone_ascent import ConeAscent
from wdist.training.defaults import default_budget, default_cone_budget, settle
from wdist.training.loop import Trained, train
from wdist.training.observer import CriticFinished, CriticStarted, Observer
from wdist.training.optimizers import make_optimizers
from wdist.training.penalties.catalogue import penalty
from wdist.training.penalties.penalty import Penalty

_VALIDATION_ROWS = 2048
"""Of each side, looked at in every validation of a network."""
_CONE_VALIDATION_ROWS, _VALIDATION_NUMBERS = 16_384, 1 << 23
"""The same for cones, which are cheap to evaluate and whose last few per cent are worth telling apart; and what they may hold."""
_FIT_ROWS, _FIT_NUMBERS = 20_000, 1 << 23
"""Training samples of each side that a closed form follows from, and the coordinates that they may have together, 64 MB."""
_BATCH_NUMBERS = 1 << 18
"""Coordinates evaluated at a time: 2 MB in float64, which stays in the cache of one core."""
_SIGN_SHARE = 0.06
"""Of the budget of cones, for each of the two orientations, before one is chosen."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A critic as it came out of training, or of a formula."""

    recipe: Recipe | BlendRecipe
    """Its kind, with what was found out about it."""
    critic: FrozenCritic
    trained: Trained
    settings: dict[str, str | int | float | None]
    """As shown to the user."""
    tried: tuple[Attempt, ...] = ()
    """What it was chosen from, where several kinds were tried."""
    members: tuple["Fitted", ...] = ()
    """The same critics themselves."""
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a critic is to be found for, and by which means."""

    pair: Pair
    settings: CriticSettings
    """Of the user; what is open is chosen from the shape of the data."""
    budget: Budget | None
    """Of the training; None for about half a minute."""
    seed: int
    """Of the weights."""
    device: torch.device
    """Of the training."""
    observer: Observer
    """Is told of start, progress and end."""
    metric: GroundMetric = L2
    """Between samples."""
    position: int = 1
    critics: int = 1
    """Of this critic among those of one result, for the observer."""


def fit(recipe: Recipe, task: Task, *, share: float = 1.0) -> Fitted:
    """Finds a critic on the training split; where it is trained, the best by the validation split is kept.

    Arguments:
        recipe: the kind of critic; one of a closed form is not trained and takes no step.
        task: for which pair, and by which means.
        share: of the budget that is this critic's.

    Raises:
        TrainingDiverged: nothing finite came of it.
    """
    observer, search = task.observer, _Search(task)
    if isinstance(recipe, CriticRecipe):
        recipe = recipe.chosen(task.settings)
    budget = search.budget(recipe, share)
    told = "no training" if budget is None else str(budget)
    observer.notify(CriticStarted(critic=recipe.name, position=task.position, critics=task.critics, budget=told))
    if isinstance(recipe, ClosedFormRecipe):
        found = search.closed_form(recipe)
    else:
        assert budget is not None, "only closed forms have none"
        found = search.cones(recipe, budget) if isinstance(recipe, ConeRecipe) else search.network(recipe, budget)
    trained = found.trained
    give_back_memory()
    observer.notify(
        CriticFinished(
            critic=recipe.name, steps=trained.steps, seconds=trained.seconds, best=trained.best, interrupted=trained.interrupted
        )
    )
    return replace(found, settings={**found.settings, "budget": told}, interrupted=trained.interrupted)


class _Search:
    """The ways in which critics are found."""

    def __init__(self, task: Task) -> None:
        self._task, self._pair, self._settings, self._device = task, task.pair, task.settings, task.device

    @property
    def _dim(self) -> int:
        return self._pair.a.info.dim

    def budget(self, recipe: Recipe, share: float) -> Budget | None:
        """What this critic may take; None where there is nothing to train."""
        if isinstance(recipe, ClosedFormRecipe):
            return None
        budget = self._task.budget
        if budget is None:
            samples = training_samples(self._pair)
            settings = self._settle(recipe)
            of_kind = default_cone_budget if isinstance(recipe, ConeRecipe) else default_budget
            budget = of_kind(settings, dim=self._dim, samples=samples)
        return budget.part(share)

    def _settle(self, recipe: CriticRecipe | ConeRecipe) -> CriticSettings:
        if isinstance(recipe, ConeRecipe):
            return recipe.settle(self._settings, dim=self._dim, samples=training_samples(self._pair))
        return settle(recipe, self._settings, dim=self._dim, participation=self._pair.participation)

    def closed_form(self, recipe: ClosedFormRecipe) -> Fitted:
        """By a formula."""
        lipschitz, began = self._settings.lipschitz or 1.0, time.perf_counter()
        wanted = _FIT_ROWS if recipe.most_samples is None else recipe.most_samples(self._dim)
        limit = min(wanted, _FIT_NUMBERS // self._dim)
        a, b = (side.training_sample(max(1, limit), drawn=_FIT_ROWS) for side in (self._pair.a, self._pair.b))
        critic = recipe.fit(a, b, self._pair.standardisation.to(torch.device("cpu")), self._task.metric, lipschitz=lipschitz)
        value = dual_value(*(evaluate_rows(critic, side) for side in (a, b))) / lipschitz
        seconds = time.perf_counter() - began
        # One point of a history that is over at once; the training samples are all that it has seen.
        history = (HistoryPoint(step=0, seconds=seconds, training=value, validation=value),)
        trained = Trained(steps=0, seconds=seconds, history=history, interrupted=False, final=True)
        return Fitted(recipe=recipe, critic=critic, trained=trained, settings={"lipschitz": lipschitz})

    def network(self, recipe: CriticRecipe, budget: Budget) -> Fitted:
        """By gradients."""
        settings, pair = self._settle(recipe), self._pair
        generator, event_shape = torch.Generator().manual_seed(self._task.seed), self._pair.a.info.event_shape
        critic = recipe.build(self._dim, settings, generator, metric=self._task.metric, event_shape=event_shape).to(self._device)
        batch_size = settings.batch_size or 0

        def minibatch(measure: Measure) -> Tensor:
            rows = measure.training_rows
            return self._standardised(measure.train.next(batch_size if rows is None else min(batch_size, rows.count)))

        def make_penalty() -> Penalty | None:
            if recipe.penalty is None:
                return None
            return penalty(recipe.penalty, torch.Generator(self._device).manual_seed(self._task.seed))

        validation = self._validation(_VALIDATION_ROWS)

        @torch.no_grad()
        def validate(critic: Critic) -> float:
            dual = _dual(critic, *validation)
            price = make_penalty()  # anew, so that all validations look at the same points
            if price is None:
                return dual
            with torch.enable_grad():
                return dual - float(price(critic, *validation).detach())

        optimizers = make_optimizers(critic, name=settings.optimizer or "", learning_rate=settings.learning_rate or 0.0)
        trained = self._train(
            critic,
            name=recipe.name,
            ascend=training_step(critic, optimizers, penalty=make_penalty()),
            minibatch=lambda: (minibatch(pair.a), minibatch(pair.b)),
            validate=validate,
            budget=budget,
            decay=settings.schedule or "",
        )
        told = {name: value for name, value in vars(settings).items() if name in recipe.takes or name not in PARTICULAR}
        return self._frozen(recipe, critic, trained, told)

    def cones(self, recipe: ConeRecipe, budget: Budget) -> Fitted:
        """By assignment steps, first with both orientations where none is decided."""
        settings = self._settle(recipe)
        a, b = (Pool(side, settings.batch_size or 0, self._standardised) for side in (self._pair.a, self._pair.b))
        validation = self._validation(max(_VALIDATION_ROWS, min(_CONE_VALIDATION_ROWS, _VALIDATION_NUMBERS // self._dim)))
        told = {name: getattr(settings, name) for name in ("centres", "batch_size", "learning_rate", "schedule", "lipschitz")}

        def ascent(recipe: ConeRecipe, budget: Budget) -> tuple[Critic, Trained]:
            generator = torch.Generator().manual_seed(self._task.seed)
            critic = recipe.build(
                a.sample, b.sample, settings, generator, participation=self._pair.participation, metric=self._task.metric
            )
            trained = self._train(
                critic,
                name=recipe.name,
                ascend=ConeAscent(critic, rate=settings.learning_rate or 0.0),
                minibatch=lambda: (a.next(), b.next()),
                validate=torch.no_grad()(lambda critic: _dual(critic, *validation)),
                budget=budget,
                decay=settings.schedule or "",
            )
            return critic, trained

        if recipe.sign is not None:
            critic, trained = ascent(recipe, budget)
            return self._frozen(recipe, critic, trained, told)
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
        return self._frozen(recipe, critic, trained, told)

    def _train(self, critic: Critic, *, name: str, **how: object) -> Trained:
        return train(critic, unit=self._pair.standardisation.spread, observer=self._task.observer, name=name, **how)  # type: ignore[arg-type]

    def _frozen(self, recipe: Recipe, critic: Critic, trained: Trained, settings: dict[str, str | int | float | None]) -> Fitted:
        frozen = critic.freeze(self._pair.standardisation, lipschitz=self._settings.lipschitz or 1.0)
        return Fitted(recipe=recipe, critic=frozen, trained=trained, settings=settings)

    def _validation(self, limit: int) -> tuple[Tensor, Tensor]:
        def chosen(rows: ResidentRows) -> Tensor:
            positions = evenly(rows.count, limit).to(rows.values.device)
            some = replace(rows, index=positions if rows.index is None else rows.index[positions])
            return self._pair.standardisation.to(self._device).of(some, torch.float32)

        return chosen(self._pair.a.validation), chosen(self._pair.b.validation)

    def _standardised(self, x: Tensor) -> Tensor:
        standardisation = self._pair.standardisation.to(self._device)
        return standardisation.apply(x.to(self._device, non_blocking=True)).float()


def _dual(critic: Critic, a: Tensor, b: Tensor) -> float:
    return float(critic(a).mean() - critic(b).mean())


def training_sample(measure: Measure, limit: int) -> ResidentRows:
    """At most ``limit`` training samples, and no more than 20,000."""
    return measure.training_sample(max(1, min(limit, _FIT_ROWS)))


def training_samples(pair: Pair) -> int | None:
    """On the smaller side; None where both are streamed or drawn."""
    return min((side.training_rows.count for side in (pair.a, pair.b) if side.training_rows is not None), default=None)


def evaluate_rows(critic: FrozenCritic, rows: Rows) -> Potentials:
    """Potentials of all of ``rows``, in batches that suit the critic."""
    return evaluate(critic, rows.batches(max(1, _BATCH_NUMBERS // max(critic.dim, 256))))
