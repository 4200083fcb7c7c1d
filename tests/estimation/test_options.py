"""Who takes part: words that exclude each other, and settings that nobody has a use for, are refused with the way out."""

import pytest

from wdist.critics.catalogue import RECIPES, AutoRecipe, auto
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.cones import ConeRecipe
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.estimation.question import check_buildable, enter
from wdist.ground_metric import L1, L2, LINF, METRICS

NOTHING = CriticSettings()


def entered(settings=NOTHING, *, critic="auto", critics=None, baselines="none", metric=L2):
    return enter(settings, critic=critic, critics=critics, baselines=baselines, metric=metric)


def names(entrants):
    return [entrant.recipe.name for entrant in entrants]


def check(entrants, dim=3, metric=L2):
    check_buildable(entrants, dim=dim, participation=dim, metric=metric)


def test_who_says_nothing_gets_several_kinds_and_the_networks_of_the_paper_beside_them():
    entrants = entered(baselines="default")
    assert names(entrants) == ["auto", "groupsort-bjorck", "relu-spectral", "relu-bjorck"]
    assert isinstance(entrants[0].recipe, AutoRecipe)
    assert entrants[0].trained
    assert {kind.name for kind in entrants[0].kinds} == {
        "mean-difference",
        "max-sliced",
        "single-cone",
        "radial",
        "c-transform",
        "cones",
        "groupsort-bjorck",
    }
    assert [network.name for network in entrants[0].networks] == ["groupsort-bjorck"]
    check(entrants)


@pytest.mark.parametrize("metric", [L1, LINF], ids=str)
def test_in_another_metric_the_network_is_one_that_is_built_for_it(metric):
    (entrant,) = entered(metric=metric)
    assert [network.name for network in entrant.networks] == ["linf-groupsort"]
    assert names(entered(metric=metric, baselines="default"))[1:] == ["linf-groupsort", "relu-spectral", "relu-bjorck"]
    check((entrant,), metric=metric)


@pytest.mark.parametrize("name", RECIPES)
def test_every_critic_may_make_the_headline_and_is_no_baseline_of_its_own(name):
    main, *others = entered(critic=name, baselines="all")
    assert main.recipe is RECIPES[name]
    assert set(names(others)) == set(RECIPES) - {name}
    assert main.trained != isinstance(RECIPES[name], ClosedFormRecipe)
    assert main.kinds == (RECIPES[name],)
    check((main,))


@pytest.mark.parametrize("part", [{"activation": "maxmin"}, {"constraint": "spectral"}, {"group_size": 2}, {"beta": 0.4}], ids=str)
def test_who_puts_a_network_together_wants_that_one(part):
    """Not a choice among kinds that have no such part."""
    main, *others = entered(CriticSettings(**part), baselines="default")
    assert not isinstance(main.recipe, AutoRecipe)
    assert main.networks == main.kinds
    assert all(other.settings.activation is None and other.settings.constraint is None for other in others)


def test_settings_that_any_kind_trains_with_leave_the_choice_open():
    for settings in ({"width": 32}, {"batch_size": 64}, {"learning_rate": 0.1}, {"lipschitz": 2.0}, {"centres": 9}):
        entrants = entered(CriticSettings(**settings))
        assert names(entrants) == ["auto"]
        check(entrants)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"critic": "cones", "critics": "all", "baselines": "default"}, "--critic names the one .* give one of them"),
        ({"critics": "cones,radial", "baselines": "none"}, "--critics names all critics .* give one of them"),
        ({"critic": "best"}, "--critic 'best' is no critic; write auto, or one of groupsort-bjorck"),
        ({"critics": "cones,best", "baselines": "default"}, "--critics 'best' is no critic"),
        ({"critics": (), "baselines": "default"}, "--critics names none"),
        ({"baselines": "best"}, "--baselines 'best' is no baseline"),
        ({"critic": "cones", "baselines": "cones"}, "--baselines 'cones' is no baseline"),
    ],
    ids=str,
)
def test_words_that_exclude_each_other_or_name_nothing_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        entered(**words)


@pytest.mark.parametrize("part", ["activation", "constraint"])
def test_a_critic_put_together_is_not_compared_with_complete_ones_by_critics(part):
    settings = CriticSettings(**{part: {"activation": "relu", "constraint": "spectral"}[part]})
    with pytest.raises(UsageError, match=f"--{part} put one critic together.*--baselines"):
        entered(settings, critics="cones,radial", baselines="default")


@pytest.mark.parametrize(
    ("critic", "setting", "option"),
    [
        ("cones", {"width": 32}, "--width"),
        ("cones", {"depth": 3}, "--depth"),
        ("cones", {"optimizer": "adam"}, "--optimizer"),
        ("cones", {"group_size": 2}, "--group-size"),
        ("groupsort-bjorck", {"centres": 10}, "--centres"),
        ("relu-spectral", {"beta": 0.3}, "--beta"),
        ("relu-spectral", {"group_size": 2}, "--group-size"),
        ("radial", {"learning_rate": 0.1}, "--learning-rate"),
        ("mean-difference", {"batch_size": 8}, "--batch-size"),
        ("c-transform", {"schedule": "cosine"}, "--schedule"),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_difference_to_anyone_is_refused(critic, setting, option):
    entrants = entered(CriticSettings(**setting), critic=critic)
    with pytest.raises(UsageError, match=f"{option} makes no difference to {critic}; leave it out, or choose another critic"):
        check(entrants)


@pytest.mark.parametrize("part", [{"activation": "relu"}, {"constraint": "spectral"}], ids=str)
@pytest.mark.parametrize("critic", ["cones", "radial"])
def test_a_part_of_a_network_is_refused_by_a_critic_that_is_none(critic, part):
    """Silently left out, it would make results that are not what was asked for."""
    entrants = entered(CriticSettings(**part), critic=critic)
    with pytest.raises(UsageError, match=f"--{next(iter(part))} makes no difference to {critic}"):
        check(entrants)


def test_a_setting_that_one_of_several_has_a_use_for_is_taken():
    for settings in (CriticSettings(centres=10), CriticSettings(width=16)):
        check(entered(settings, critics="cones,groupsort-bjorck", baselines="default"))
        check(entered(settings, critic="cones", baselines="groupsort-bjorck"))


def test_what_cannot_be_combined_is_found_out_before_anything_is_trained():
    with pytest.raises(UsageError, match="--group-size 3 does not divide --width 128"):
        check(entered(CriticSettings(group_size=3, width=128)))
    with pytest.raises(UsageError, match="activation"):
        check(entered(CriticSettings(activation="swish")))


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_all_kinds_that_are_chosen_from_are_in_the_catalogue(metric):
    chooser = auto(metric)
    for kind in chooser.kinds:
        assert RECIPES[kind.name] is kind
    assert any(isinstance(kind, ConeRecipe) for kind in chooser.trained)
