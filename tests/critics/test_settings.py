"""Settings and recipes: what is refused, what is filled in, what a kind of critic decides itself."""

import pytest

from tests.trials import TRAINED
from wdist.critics.catalogue import DEFAULT_BASELINES, MAIN, RECIPES, baselines
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.ground_metric import LINF
from wdist.training.defaults import default_budget, settle
from wdist.training.optimizers import LEARNING_RATES


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


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("dim", [1, 2, 33, 784, 5000])
def test_everything_left_open_is_settled(name, dim):
    settings = settle(RECIPES[name], CriticSettings(), dim=dim, participation=dim / 2)
    assert [option for option, value in vars(settings).items() if value is None] == ["centres"], "networks have none"
    assert settings.width % settings.group_size == 0
    drawn, few = (default_budget(settings, dim=dim, samples=samples).steps for samples in (None, 100))
    assert drawn >= few >= 1


def test_width_follows_the_directions_that_the_data_has():
    """A first layer narrower than the data caps the bound."""
    assert settle(MAIN, CriticSettings(), dim=512, participation=512).width >= 512
    assert settle(MAIN, CriticSettings(), dim=512, participation=20).width < 512


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("width", [1, 7, 10, 16])
def test_any_width_is_settled(name, width, generator):
    """Rounded up where the kind has groups of its own size; the result's settings say so."""
    settings = settle(RECIPES[name], CriticSettings(width=width), dim=3, participation=3)
    assert width <= settings.width < width + (RECIPES[name].group_size or 1)
    assert len(RECIPES[name].build(3, settings, generator).layers) == settings.depth


@pytest.mark.parametrize(("activation", "way_out"), [("group-sort:4", "multiple of 4"), ("maxout:3", "multiple of 3")])
def test_a_width_that_groups_do_not_divide_is_refused_with_the_way_out(activation, way_out, generator):
    settings = settle(MAIN, CriticSettings(width=10, activation=activation), dim=3, participation=3)
    with pytest.raises(UsageError, match=way_out):
        MAIN.build(3, settings, generator)


def test_baselines_are_named_in_every_way():
    assert baselines("none") == baselines(()) == baselines("") == ()
    assert tuple(recipe.name for recipe in baselines("default")) == DEFAULT_BASELINES
    assert [recipe.name for recipe in baselines("default", beside="auto")] == [MAIN.name, *DEFAULT_BASELINES]
    assert [recipe.name for recipe in baselines("default", beside="auto", metric=LINF)] == ["linf-groupsort", *DEFAULT_BASELINES]
    assert [recipe.name for recipe in baselines("default", beside="relu-bjorck")] == [MAIN.name, "relu-spectral"]
    assert {recipe.name for recipe in baselines("all")} == set(RECIPES) - {MAIN.name}
    assert [recipe.name for recipe in baselines("relu-bjorck, relu-spectral,relu-bjorck")] == ["relu-bjorck", "relu-spectral"]
    assert [recipe.name for recipe in baselines(["maxmin-bjorck"])] == ["maxmin-bjorck"]
    for wrong in ("nothing", MAIN.name, ["relu-bjorck", "x"]):
        with pytest.raises(UsageError, match="relu-spectral"):
            baselines(wrong)


@pytest.mark.parametrize("name", TRAINED)
def test_a_kind_trains_as_suits_its_constraint_unless_told_otherwise(name):
    """Tangent gradients go with Muon; a rate is in the units of its optimiser, so another optimiser brings its own."""
    own = settle(RECIPES[name], CriticSettings(), dim=5, participation=5)
    assert (own.optimizer == "muon") == (RECIPES[name].constraint == "bjorck")
    told = settle(RECIPES[name], CriticSettings(optimizer="aggmo"), dim=5, participation=5)
    assert (told.optimizer, told.learning_rate) == ("aggmo", LEARNING_RATES["aggmo"])
    assert settle(RECIPES[name], CriticSettings(learning_rate=0.07), dim=5, participation=5).learning_rate == 0.07


def test_beta_and_a_higher_order_exclude_each_other(generator):
    chosen = CriticSettings(constraint="bjorck-unrolled", bjorck_order=2, beta=0.3)
    with pytest.raises(UsageError, match="leave out either --beta or --bjorck-order"):
        MAIN.build(3, settle(MAIN, chosen, dim=3, participation=3), generator)
