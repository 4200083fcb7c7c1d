"""What is asked of a pair of sources, in words that are checked before anything is read."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from wdist.critics.catalogue import AutoRecipe, Recipe
from wdist.critics.catalogue import baselines as named_baselines
from wdist.critics.catalogue import critic as named_critic
from wdist.critics.catalogue import critics as named_critics
from wdist.critics.catalogue import main as main_network
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import PARTICULAR, CriticSettings
from wdist.data.access import Access
from wdist.data.features.opening import open_features
from wdist.data.features.space import FeatureSpace
from wdist.data.pairing import Pair, open_pair
from wdist.environment import choose_device
from wdist.errors import UsageError
from wdist.estimation.task import Shelf, Task
from wdist.estimation.transport_bounds import POPULATION_SECONDS, TRANSPORT_SECONDS
from wdist.ground_metric import GroundMetric, ground_metric
from wdist.training.budget import Budget
from wdist.training.defaults import settle
from wdist.training.observer import Observer, Silent, Stage

# MERGED entrants: Which critics take part in an estimation, and whether what the user asked of them makes sense.

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One critic that takes part, with the settings that concern it."""

    recipe: Recipe | AutoRecipe
    settings: CriticSettings

    @property
    def trained(self) -> bool:
        """Whether seeds make a difference."""
        return not isinstance(self.recipe, ClosedFormRecipe)

    @property
    def kinds(self) -> tuple[Recipe, ...]:
        """Its kind, or those that it chooses from."""
        if isinstance(self.recipe, AutoRecipe):
            return self.recipe.kinds
        return (self.recipe,)

    @property
    def networks(self) -> tuple[CriticRecipe, ...]:
        """Those of its kinds that are networks."""
        return tuple(kind for kind in self.kinds if isinstance(kind, CriticRecipe))


def enter(
    settings: CriticSettings,
    *,
    critic: str,
    critics: str | Sequence[str] | None,
    baselines: str | Sequence[str],
    metric: GroundMetric,
) -> tuple[Entrant, ...]:
    """The main critic first; a critic that the user put together stands beside baselines that are what their names say.

    Arguments:
        settings: of the user.
        critic: that is to make the headline: ``auto``, or a name.
        critics: to be compared instead, with no main one; None where they are not.
        baselines: beside the main one.
        metric: of the samples.

    Raises:
        UsageError: the words exclude each other, or name nothing.
    """
    parts = [f"--{name.replace('_', '-')}" for name in _OF_A_NETWORK if getattr(settings, name) is not None]
    plain = replace(settings, activation=None, constraint=None)
    if critics is None:
        # Who puts a network together wants that one.
        main = main_network(metric) if critic == AUTO and parts else named_critic(critic, metric)
        if isinstance(main, CriticRecipe):
            main = main.chosen(settings)
        others = named_baselines(baselines, beside=main.name, metric=metric)
        return Entrant(recipe=main, settings=settings), *(Entrant(recipe=recipe, settings=plain) for recipe in others)
    if critic != AUTO:
        raise UsageError("--critic names the one that makes the headline and --critics several to compare; give one of them")
    if baselines != "default":
        raise UsageError("--critics names all critics and --baselines those beside the main one; give one of them")
    if settings.activation is not None or settings.constraint is not None:
        named = " and ".join(part for part in parts if part in ("--activation", "--constraint"))
        raise UsageError(
            f"{named} put one critic together, and --critics names others that are complete; leave either out, "
            f"or name the others with --baselines"
        )
    return tuple(Entrant(recipe=recipe, settings=plain) for recipe in named_critics(critics, metric))


_PARTS = ("activation", "constraint")
_OF_A_NETWORK = (*_PARTS, "group_size", "bjorck_order", "bjorck_iterations", "beta")
_OF_TRAINING = ("width", "depth", "optimizer", "batch_size", "learning_rate", "schedule")


def check_buildable(entrants: Sequence[Entrant], *, dim: int, participation: float, metric: GroundMetric) -> None:
    """Builds each network once before any is trained: what cannot be combined should not be found out after an hour.

    Arguments:
        entrants: all critics of one result.
        dim: coordinates of a sample.
        participation: about how many directions carry the variance of the training samples.
        metric: of the samples.

    Raises:
        UsageError: the settings do not fit each other, or no critic has a use for one of them.
    """
    for entrant in entrants:
        # What is chosen from the shape of the data fits.
        if entrant.settings == CriticSettings():
            continue
        for network in entrant.networks:
            settings = settle(network, entrant.settings, dim=dim, participation=participation)
            network.build(dim, settings, torch.Generator().manual_seed(0), metric=metric)
    takes: set[str] = set().union(*(_takes(kind) for entrant in entrants for kind in entrant.kinds))
    if entrants[0].networks:  # the others are what their names say
        takes.update(_PARTS)
    for name in (*_PARTS, *PARTICULAR, *_OF_TRAINING):
        if getattr(entrants[0].settings, name) is not None and name not in takes:
            named = ", ".join(entrant.recipe.name for entrant in entrants)
            raise UsageError(f"--{name.replace('_', '-')} makes no difference to {named}; leave it out, or choose another critic")


def _takes(kind: Recipe) -> Iterator[str]:
    if isinstance(kind, ClosedFormRecipe):
        return
    yield from kind.takes
    yield from _OF_TRAINING if isinstance(kind, CriticRecipe) else ("batch_size", "learning_rate", "schedule")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a pair, checked: by which critics, by which means, and how sure the answer is to be."""

    entrants: tuple[Entrant, ...]
    comparison: bool
    """The entrants are critics to be compared, of which none is the main one."""
    budget: Budget | None
    metric: GroundMetric
    repeats: int
    confidence: float
    ci: str
    tolerance: float | None
    couplings: bool
    seed: int
    device: torch.device
    access: Access
    space: FeatureSpace | None
    observer: Observer
    command: str
    began: float
    """Time at which it was asked, on the clock of :func:`time.perf_counter`."""

    @classmethod
    def of(
        cls,
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
        command: str = "estimate",
    ) -> "Question":
        """From the words of :func:`estimate`.

        Raises:
            UsageError: they make no sense, or not together.
        """
        began = time.perf_counter()
        _check_numbers(confidence=confidence, tolerance=tolerance, seed=seed, repeats=repeats)
        ground, chosen_budget, chosen_device = ground_metric(metric), _budget(budget, steps), choose_device(device)
        entrants = enter(settings or CriticSettings(), critic=critic, critics=critics, baselines=baselines, metric=ground)
        access = access or Access()
        return cls(
            entrants=entrants,
            comparison=critics is not None,
            budget=chosen_budget,
            metric=ground,
            repeats=repeats,
            confidence=confidence,
            ci=ci,
            tolerance=tolerance,
            couplings=couplings,
            seed=seed,
            device=chosen_device,
            access=access,
            space=open_features(features, access, chosen_device),
            observer=observer or Silent(),
            command=command,
            began=began,
        )

    def open(self, a: Any, b: Any) -> Pair:
        """The two sources, made ready; the pair wants to be closed.

        Raises:
            SourceError: one side cannot be read, or the two cannot be compared.
        """
        features = "" if self.space is None else ", and computing features"
        self.observer.notify(Stage(what=f"reading and checking the samples{features}"))
        return open_pair(a, b, access=self.access, seed=self.seed, device=self.device, features=self.space)

    def task(self, pair: Pair, shelf: Shelf | None = None) -> Task:
        """What every critic of a pair is found for; settings are those of each entrant.

        Arguments:
            pair: open.
            shelf: critics of this pair that are trained already.
        """
        repeated = (self.repeats - 1) * sum(entrant.trained for entrant in self.entrants)
        return Task(
            pair=pair,
            settings=CriticSettings(),
            budget=self.budget,
            seed=self.seed,
            device=self.device,
            observer=self.observer,
            metric=self.metric,
            critics=len(self.entrants) + repeated,
            shelf={} if shelf is None else shelf,
        )

    def about(self, pair: Pair) -> "Question":
        """The same, as it is asked of one pair: of equal sets everything is known beforehand.

        Raises:
            UsageError: the settings do not fit the samples, or both sides are drawn and a gap is to be closed.
        """
        if self.tolerance is not None:
            _check_finite(pair)
        asked = replace(self, entrants=self.entrants[:1], budget=Budget(steps=1), repeats=1) if pair.identical else self
        check_buildable(asked.entrants, dim=pair.a.info.dim, participation=pair.participation, metric=self.metric)
        return asked

    @property
    def population_seconds(self) -> float:
        """For the upper end of the populations: little where the user has little time for each critic."""
        if self.budget is None or self.budget.seconds is None:
            return POPULATION_SECONDS
        return min(POPULATION_SECONDS, max(1.0, self.budget.seconds / 6))

    @property
    def transport_seconds(self) -> float:
        """For transport between the samples: where a gap is to be closed, no less than a critic has."""
        allowed = self.budget.seconds if self.budget is not None and self.tolerance is not None else None
        return max(TRANSPORT_SECONDS, allowed or 0.0)


def _check_numbers(*, confidence: float, tolerance: float | None, seed: int, repeats: int) -> None:
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be at least 0.5 and below 1, not {confidence}")
    if tolerance is not None and not 0 < tolerance < 1:
        raise UsageError(f"--tol is a share of the distance, such as 0.02, and must lie between 0 and 1, not be {tolerance}")
    if seed < 0:
        raise UsageError(f"--seed must not be negative, and {seed} is")
    if repeats < 1:
        raise UsageError(f"--repeats must be at least 1, not {repeats}")


def _check_finite(pair: Pair) -> None:
    if pair.a.digest is None and pair.b.digest is None:
        raise UsageError(
            "--tol closes the interval between two sample sets, and both sides are drawn without end; "
            "leave it out, or save draws to files"
        )


def _budget(budget: Budget | str | None, steps: int | None) -> Budget | None:
    if budget is not None and steps is not None:
        raise UsageError("--steps and --budget exclude each other; give one of them")
    if steps is not None:
        return Budget(steps=steps)
    return Budget.parse(budget) if isinstance(budget, str) else budget
