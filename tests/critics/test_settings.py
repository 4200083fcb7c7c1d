"""Settings and recipes: what is refused, what is filled in, what a kind of critic decides itself."""

import pytest

from wdist.critics.catalogue import DEFAULT_BASELINES, MAIN, RECIPES, baselines
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.training.defaults import default_budget, settle


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"depth": 1},
        {"depth": -3},
        {"group_size": 0},
        {"batch_size": 0},
        {"bjorck_order": 5},
        {"bjorck_order": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"lipschitz": -1.0},
        {"optimizer": "sgd"},
        {"schedule": "sawtooth"},
        {"width": 10, "group_size": 4},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_the_name_of_their_option(wrong):
    option = next(reversed(wrong)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--{option}"):
        CriticSettings(**wrong)


def test_filling_keeps_what_was_chosen():
    settings = CriticSettings(width=32).filled(width=64, depth=5)
    assert (settings.width, settings.depth, settings.group_size) == (32, 5, None)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("dim", [1, 2, 33, 784, 5000])
def test_everything_left_open_is_settled(name, dim):
    settings = settle(RECIPES[name], CriticSettings(), dim=dim, participation=dim / 2)
    assert None not in vars(settings).values()
    assert settings.width % settings.group_size == 0
    assert default_budget(settings, dim=dim).steps >= 1


def test_width_follows_the_directions_that_the_data_has():
    """A first layer narrower than the data caps the bound."""
    assert settle(MAIN, CriticSettings(), dim=512, participation=512).width >= 512
    assert settle(MAIN, CriticSettings(), dim=512, participation=20).width < 512


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("width", [1, 7, 10, 16])
def test_any_width_is_settled_or_refused_with_the_way_out(name, width, generator):
    settings = settle(RECIPES[name], CriticSettings(width=width), dim=3, participation=3)
    if name == "maxmin-bjorck" and width % 2:
        with pytest.raises(UsageError, match="choose a divisor"):
            RECIPES[name].build(3, settings, generator)
    else:
        assert len(RECIPES[name].build(3, settings, generator).layers) == settings.depth


def test_baselines_are_named_in_every_way():
    assert baselines("none") == baselines(()) == baselines("") == ()
    assert tuple(recipe.name for recipe in baselines("default")) == DEFAULT_BASELINES
    assert {recipe.name for recipe in baselines("all")} == set(RECIPES) - {MAIN.name}
    assert [recipe.name for recipe in baselines("relu-bjorck, relu-spectral,relu-bjorck")] == ["relu-bjorck", "relu-spectral"]
    assert [recipe.name for recipe in baselines(["maxmin-bjorck"])] == ["maxmin-bjorck"]
    for wrong in ("nothing", MAIN.name, ["relu-bjorck", "x"]):
        with pytest.raises(UsageError, match="relu-spectral"):
            baselines(wrong)
