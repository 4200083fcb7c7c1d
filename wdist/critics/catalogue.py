"""All critics by name. A new one is a file of its own and one line here."""

from collections.abc import Sequence

from wdist.critics import groupsort_bjorck, groupsort_spectral, maxmin_bjorck, relu_bjorck, relu_spectral
from wdist.critics.recipe import CriticRecipe
from wdist.errors import UsageError

MAIN = groupsort_bjorck.RECIPE
"""The critic whose bounds head the result."""
RECIPES = {
    recipe.name: recipe
    for recipe in (
        MAIN,
        relu_spectral.RECIPE,
        relu_bjorck.RECIPE,
        maxmin_bjorck.RECIPE,
        groupsort_spectral.RECIPE,
    )
}
DEFAULT_BASELINES = ("relu-spectral", "relu-bjorck")


def baselines(names: str | Sequence[str]) -> tuple[CriticRecipe, ...]:
    """The critics to train beside the main one.

    Arguments:
        names: ``none``, ``default``, ``all``, or names, as a sequence or joined by commas.

    Raises:
        UsageError: there is no critic of a name.
    """
    if names == "none" or not names:
        return ()
    if names == "all":
        return tuple(recipe for recipe in RECIPES.values() if recipe is not MAIN)
    if names == "default":
        names = DEFAULT_BASELINES
    chosen = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    for name in chosen:
        if name not in RECIPES or name == MAIN.name:
            others = ", ".join(known for known in RECIPES if known != MAIN.name)
            raise UsageError(f"--baselines {name!r} is no baseline; write none, default, all, or names out of {others}")
    return tuple(RECIPES[name] for name in dict.fromkeys(chosen))
