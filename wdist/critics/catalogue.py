"""All critics by name. A new one is a file of its own and one line here."""

from collections.abc import Sequence
from importlib import import_module

from wdist.critics import groupsort_bjorck, linf_groupsort
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.recipe import CriticRecipe
from wdist.errors import UsageError
from wdist.ground_metric import L2, GroundMetric

Recipe = CriticRecipe | ClosedFormRecipe

MAIN = groupsort_bjorck.RECIPE
"""The critic whose bounds head the result in the Euclidean metric."""
_KINDS = (
    "groupsort_bjorck",
    "relu_spectral",
    "relu_bjorck",
    "maxout_spectral",
    "maxout_bjorck",
    "maxmin_spectral",
    "maxmin_bjorck",
    "groupsort_4_spectral",
    "groupsort_4_bjorck",
    "groupsort_9_spectral",
    "groupsort_9_bjorck",
    "groupsort_spectral",
    "fullsort_bjorck",
    "abs_bjorck",
    "householder_bjorck",
    "groupsort_bjorck_unrolled",
    "groupsort_cayley",
    "parseval",
    "linf_groupsort",
    "weight_clipping",
    "gradient_penalty",
    "gradient_penalty_one_sided",
    "lipschitz_penalty",
    "adversarial_lipschitz",
    "spectral_jacobian",
    "mean_difference",
    "max_sliced",
)
"""Modules beside this one, each with a ``RECIPE``, in the order in which tables list them."""


def _recipe(module: str) -> Recipe:
    return import_module(f"wdist.critics.{module}").RECIPE


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in map(_recipe, _KINDS)}
DEFAULT_BASELINES = ("relu-spectral", "relu-bjorck")


def main(metric: GroundMetric) -> CriticRecipe:
    """The critic whose bounds head the result where the user names none: in other metrics, one that is built for them."""
    return MAIN if metric == L2 else linf_groupsort.RECIPE


def critics(names: str | Sequence[str], metric: GroundMetric = L2) -> tuple[Recipe, ...]:
    """The critics to compare, in the order in which they are named.

    Arguments:
        names: ``default``, ``all``, or names, as a sequence or joined by commas.
        metric: decides on the default.

    Raises:
        UsageError: there is no critic of a name, or none is named.
    """
    if names == "all":
        return tuple(RECIPES.values())
    if names == "default":
        names = (main(metric).name, *DEFAULT_BASELINES)
    chosen = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    for name in chosen:
        if name not in RECIPES:
            raise UsageError(f"--critics {name!r} is no critic; write default, all, or names out of {', '.join(RECIPES)}")
    if not chosen:
        raise UsageError(f"--critics names none; write default, all, or names out of {', '.join(RECIPES)}")
    return tuple(RECIPES[name] for name in dict.fromkeys(chosen))


def baselines(names: str | Sequence[str], beside: str = MAIN.name) -> tuple[Recipe, ...]:
    """The critics to train beside the main one.

    Arguments:
        names: ``none``, ``default``, ``all``, or names, as a sequence or joined by commas.
        beside: the name of the main one, which is no baseline of its own.

    Raises:
        UsageError: there is no critic of a name.
    """
    if names == "none" or not names:
        return ()
    others = {name: recipe for name, recipe in RECIPES.items() if name != beside}
    if names == "all":
        return tuple(others.values())
    if names == "default":
        return tuple(others[name] for name in DEFAULT_BASELINES if name in others)
    chosen = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    for name in chosen:
        if name not in others:
            raise UsageError(f"--baselines {name!r} is no baseline; write none, default, all, or names out of {', '.join(others)}")
    return tuple(others[name] for name in dict.fromkeys(chosen))
