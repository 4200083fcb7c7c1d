"""The critics of a result: resolved for a pair, and settings without any use refused with the way out."""

import pytest

from tests.trials import pair_of, two_moons
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.estimation.options import EstimateOptions
from wdist.estimation.requested import budgets, requested_critics
from wdist.ground_metric import METRICS
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE
from wdist.training.networks import NetworkKind

NOTHING = CriticSettings()


@pytest.fixture(scope="module")
def pair():
    pair = pair_of(*two_moons(60, 50, 3))
    yield pair
    pair.close()


@pytest.fixture
def requested(pair):
    def request(settings=NOTHING, *, baselines="none", **words):
        words = words if "critics" in words else {**words, "baselines": baselines}
        return requested_critics(EstimateOptions.validated(settings=settings, **words), pair)

    return request


def names(requested):
    return [each.name for each in requested]


def kinds(each):
    return [spec.kind.name for spec in each.specs]


def networks(each):
    return [spec.kind.name for spec in each.specs if isinstance(spec.kind, NetworkKind)]


def test_by_default_several_kinds_compete_and_the_networks_of_the_paper_stand_beside_them(requested):
    found = requested(baselines="default")
    assert names(found) == ["auto", "groupsort-bjorck", "relu-spectral", "relu-bjorck"]
    assert found[0].trained
    assert set(kinds(found[0])) == {
        "mean-difference", "sparse-mean-difference", "max-sliced", "single-cone", "radial", "c-transform", "cones",
        "elliptic-cones", "groupsort-bjorck",
    }  # fmt: skip
    assert [found[0].covers(each) for each in found[1:]] == [True, False, False]


@pytest.mark.parametrize("metric", ["l1", "linf"])
def test_in_another_metric_the_network_is_one_that_is_built_for_it(requested, metric):
    found = requested(metric=metric, baselines="default")
    assert networks(found[0]) == ["linf-groupsort"]
    assert names(found)[1:] == ["linf-groupsort", "relu-spectral", "relu-bjorck"]


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_critic_may_be_the_main_one_and_is_no_baseline_of_its_own(requested, name):
    if name == "groupsort-conv":
        pytest.skip("takes images")
    main, *others = requested(critic=name)
    assert (main.name, kinds(main), others) == (name, [name], [])
    assert main.trained == CATALOGUE[name].trained
    with pytest.raises(UsageError, match=f"baselines '{name}' is the main critic already"):
        requested(critic=name, baselines=name)


@pytest.mark.parametrize("part", [{"activation": "maxmin"}, {"constraint": "spectral"}, {"group_size": 2}, {"beta": 0.4}], ids=str)
def test_whoever_describes_a_network_gets_that_one(requested, part):
    if "beta" in part:
        part = {**part, "constraint": "bjorck-unrolled"}
    main, *others = requested(CriticSettings(**part), baselines="default")
    assert networks(main) == kinds(main) == [main.name]
    assert {each.specs[0].settings.constraint for each in others if each.name.startswith("relu")} <= {"bjorck", "spectral"}
    assert all(each.specs[0].settings.activation in ("relu", "group-sort") for each in others)


def test_settings_that_any_kind_trains_with_leave_the_choice_open(requested):
    for settings in ({"width": 32}, {"batch_size": 64}, {"learning_rate": 0.1}, {"lipschitz": 2.0}, {"centres": 9}):
        assert names(requested(CriticSettings(**settings))) == ["auto"]


def test_settings_reach_the_kinds_that_they_concern(requested):
    """Cones have batches and rates of their own."""
    (auto,) = requested(CriticSettings(width=16, batch_size=24, learning_rate=0.03, centres=5, lipschitz=2.0))
    told = {spec.kind.name: spec.settings for spec in auto.specs}
    assert {settings.lipschitz for settings in told.values()} == {2.0}
    assert told["cones"].centres == 5
    assert told["cones"].learning_rate != 0.03 == told["groupsort-bjorck"].learning_rate


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"critic": "best"}, "critic 'best' is not a critic; write auto, or one of groupsort-bjorck"),
        ({"critics": "cones,best"}, "critics 'best' is not a critic"),
        ({"baselines": "best"}, "baselines 'best' is not a critic"),
    ],
    ids=str,
)
def test_names_that_mean_nothing_are_refused(requested, words, message):
    with pytest.raises(UsageError, match=message):
        requested(**words)


@pytest.mark.parametrize(
    ("critic", "setting", "option"),
    [
        ("cones", {"width": 32}, "width"),
        ("cones", {"depth": 3}, "depth"),
        ("cones", {"optimizer": "adam"}, "optimizer"),
        ("cones", {"group_size": 2}, "group_size"),
        ("cones", {"activation": "relu"}, "activation"),
        ("radial", {"constraint": "spectral"}, "constraint"),
        ("groupsort-bjorck", {"centres": 10}, "centres"),
        ("relu-spectral", {"beta": 0.3}, "beta"),
        ("relu-spectral", {"group_size": 2}, "group_size"),
        ("radial", {"learning_rate": 0.1}, "learning_rate"),
        ("mean-difference", {"batch_size": 8}, "batch_size"),
        ("c-transform", {"schedule": "cosine"}, "schedule"),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_difference_to_any_critic_is_refused(requested, critic, setting, option):
    """Silently left out, it would make results that are not what was asked for."""
    with pytest.raises(UsageError, match=f"{option} makes no difference to {critic}; leave it out, or choose another critic"):
        requested(CriticSettings(**setting), critic=critic)


def test_a_setting_that_one_of_several_can_use_is_taken(requested):
    for settings in (CriticSettings(centres=10), CriticSettings(width=16)):
        assert len(requested(settings, critics="cones,groupsort-bjorck")) == 2
        assert len(requested(settings, critic="cones", baselines="groupsort-bjorck")) == 2


def test_what_cannot_be_combined_is_found_out_before_anything_is_trained(requested):
    with pytest.raises(UsageError, match="group_size=3 does not divide width=128"):
        requested(CriticSettings(group_size=3, width=128))
    with pytest.raises(UsageError, match="activation"):
        requested(CriticSettings(activation="swish"))


@pytest.mark.parametrize("metric", METRICS)
def test_specifications_carry_the_metric_and_a_default_budget(requested, metric):
    for each in requested(metric=metric, baselines="all" if metric == "l2" else "default")[:-1]:
        for spec in each.specs:
            assert str(spec.metric) == metric
            assert (spec.budget is not None) == spec.kind.trained


def shares(requested, pair, words, *, seconds=None):
    options = EstimateOptions.validated(**words)
    return budgets(requested(**{"baselines": "default", **words}), options, seconds=seconds)


def test_a_budget_is_divided_among_the_critics(requested, pair):
    def steps(*numbers):
        return [Budget(steps=number) for number in numbers]

    assert shares(requested, pair, {"steps": 90, "critic": "groupsort-bjorck"}) == steps(60, 15, 15)
    assert shares(requested, pair, {"steps": 90, "critic": "groupsort-bjorck", "repeats": 3}) == steps(20, 5, 5)
    assert shares(requested, pair, {"steps": 90}) == steps(60, 15, 15, 15), "the first of these is found on the way"
    assert shares(requested, pair, {"steps": 90, "critics": "relu-bjorck,cones,radial"}) == steps(45, 45, 45)
    assert shares(requested, pair, {"steps": 90, "critic": "radial"})[1:] == steps(30, 30, 30)
    timed = shares(requested, pair, {"budget": "90s", "critic": "groupsort-bjorck"}, seconds=60)
    assert [share.seconds for share in timed] == pytest.approx([40, 10, 10])


def test_by_default_baselines_take_half_the_steps_of_the_main_critic(requested, pair):
    main, *others = shares(requested, pair, {"critic": "groupsort-bjorck"})
    specs = requested(critic="groupsort-bjorck", baselines="default")
    assert main is None
    assert [share.steps for share in others] == [round(each.specs[0].budget.steps / 2) for each in specs[1:]]


@pytest.mark.parametrize("name", [name for name, kind in CATALOGUE.items() if not kind.trained])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": 100}, "steps makes"),
        ({"repeats": 3}, "repeats makes"),
        ({"steps": 100, "repeats": 3}, "steps and repeats make"),
        ({"budget": "5s", "couplings": False}, "budget makes"),
    ],
    ids=str,
)
def test_options_of_training_are_refused_where_nothing_is_trained(requested, name, options, named):
    with pytest.raises(UsageError, match=f"^{named} no difference to {name}"):
        requested(critic=name, **options)
    assert requested(critic=name, baselines="relu-bjorck", **options)[1].trained


def test_a_length_of_time_limits_transport_where_nothing_is_trained(requested):
    assert not requested(critic="radial", budget="5s")[0].trained
