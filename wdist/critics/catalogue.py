"""All critics by name. A new one is a file of its own and one line here."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from wdist.critics import c_transform, cones, groupsort_bjorck, linf_groupsort, max_sliced, mean_difference, radial, single_cone
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.cones import ConeRecipe
from wdist.critics.recipe import CriticRecipe
from wdist.errors import UsageError
from wdist.ground_metric import L2, GroundMetric

Recipe = CriticRecipe | ConeRecipe | ClosedFormRecipe

MAIN = groupsort_bjorck.RECIPE
"""The network of the paper, for the Euclidean metric."""
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
    "groupsort_conv",
    "parseval",
    "linf_groupsort",
    "weight_clipping",
    "gradient_penalty",
    "gradient_penalty_one_sided",
    "lipschitz_penalty",
    "adversarial_lipschitz",
    "spectral_jacobian",
    "cones",
    "mean_difference",
    "max_sliced",
    "single_cone",
    "radial",
    "c_transform",
    "c_transform_entropic",
)
"""Modules beside this one, each with a ``RECIPE``, in the order in which tables list them."""


def _recipe(module: str) -> Recipe:
    return import_module(f"wdist.critics.{module}").RECIPE


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in map(_recipe, _KINDS)}
DEFAULT_BASELINES = ("relu-spectral", "relu-bjorck")


@dataclass(frozen=True, kw_only=True)
class AutoRecipe:
    """Several kinds, of which the best by the validation split is taken."""

    name: str = "auto"
    closed_forms: tuple[ClosedFormRecipe, ...]
    """Those that are there at once."""
    trained: tuple[CriticRecipe | ConeRecipe, ...]
    late_closed_forms: tuple[ClosedFormRecipe, ...] = ()
    """Those that nobody should have to wait for before the first step of a training."""

    @property
    def kinds(self) -> tuple[Recipe, ...]:
        """All of them, in the order in which they are tried."""
        return (*self.closed_forms, *self.trained, *self.late_closed_forms)


def auto(metric: GroundMetric) -> AutoRecipe:
    """What is tried where the user names no critic."""
    return AutoRecipe(
        closed_forms=(mean_difference.RECIPE, max_sliced.RECIPE, single_cone.RECIPE, radial.RECIPE),
        trained=(cones.RECIPE, main(metric)),
        # The import of POT and transport between 2000 samples take one to three seconds.
        late_closed_forms=(c_transform.RECIPE,),
    )


def critic(name: str, metric: GroundMetric) -> Recipe | AutoRecipe:
    """The critic whose bounds are to head the result.

    Raises:
        UsageError: there is none of that name.
    """
    if name == "auto":
        return auto(metric)
    if name not in RECIPES:
        raise UsageError(f"--critic {name!r} is no critic; write auto, or one of {', '.join(RECIPES)}")
    return RECIPES[name]


def main(metric: GroundMetric) -> CriticRecipe:
    """The network of the paper that is trained where nothing else is said: in other metrics, one that is built for them."""
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


def baselines(names: str | Sequence[str], beside: str = MAIN.name, metric: GroundMetric = L2) -> tuple[Recipe, ...]:
    """The critics to train beside the main one.

    Arguments:
        names: ``none``, ``default``, ``all``, or names, as a sequence or joined by commas.
        beside: the name of the main one, which is no baseline of its own.
        metric: decides on the default: the network of the paper is shown beside any other.

    Raises:
        UsageError: there is no critic of a name.
    """
    if names == "none" or not names:
        return ()
    others = {name: recipe for name, recipe in RECIPES.items() if name != beside}
    if names == "all":
        return tuple(others.values())
    if names == "default":
        return tuple(others[name] for name in (main(metric).name, *DEFAULT_BASELINES) if name in others)
    chosen = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    for name in chosen:
        if name not in others:
            raise UsageError(f"--baselines {name!r} is no baseline; write none, default, all, or names out of {', '.join(others)}")
    return tuple(others[name] for name in dict.fromkeys(chosen))
