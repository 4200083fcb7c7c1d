"""Which critics take part in an estimation, and whether what the user asked of them makes sense."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from wdist.critics.catalogue import AutoRecipe, Recipe
from wdist.critics.catalogue import baselines as named_baselines
from wdist.critics.catalogue import critic as named_critic
from wdist.critics.catalogue import critics as named_critics
from wdist.critics.catalogue import main as main_network
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import PARTICULAR, CriticSettings
from wdist.errors import UsageError
from wdist.ground_metric import GroundMetric
from wdist.training.defaults import settle

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
