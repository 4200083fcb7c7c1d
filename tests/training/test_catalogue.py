"""The catalogue: every kind resolves its settings, keeps what the user chose, and refuses what cannot be combined."""

import pytest

from tests.trials import TRAINED, network, shape_of
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.ground_metric import LINF
from wdist.training.catalogue import CATALOGUE, automatic, default_critics, main_network, named
from wdist.training.networks import NetworkKind
from wdist.training.optimizers import LEARNING_RATES

MAIN = main_network()


def resolved(name, settings=CriticSettings(), dim=5, **facts):
    return CATALOGUE[name].resolve(settings, shape_of(dim, directions=dim, **facts))


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("dim", [1, 2, 33, 784, 5000])
def test_everything_left_open_is_settled(name, dim):
    spec = resolved(name, dim=dim)
    assert None not in vars(spec.settings).values()
    assert spec.settings.width % spec.settings.group_size == 0
    few = resolved(name, dim=dim, samples=100)
    assert spec.budget.steps * spec.settings.batch_size >= few.budget.steps * few.settings.batch_size >= 1


def test_batches_follow_the_number_of_samples():
    counts = (100, 1000, 3000, 10**6, None)
    sizes = [MAIN.resolve(CriticSettings(), shape_of(16, samples=count)).settings.batch_size for count in counts]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] < sizes[3] == sizes[4], "steadily, up to a largest batch"


def test_width_follows_the_directions_that_carry_the_variance():
    """A first layer narrower than the data caps the bound."""
    assert MAIN.resolve(CriticSettings(), shape_of(512, directions=512)).settings.width >= 512
    assert MAIN.resolve(CriticSettings(), shape_of(512, directions=20)).settings.width < 512


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("width", [1, 7, 10, 16])
def test_any_width_is_settled(name, width, generator):
    """Rounded up if the kind has groups of its own size; the settings of the result say so."""
    settings = resolved(name, CriticSettings(width=width), dim=3).settings
    assert width <= settings.width < width + (CATALOGUE[name].group_size or 1)
    assert len(network(name, 3, CriticSettings(width=width), generator).layers) == settings.depth


@pytest.mark.parametrize(("activation", "way_out"), [("group-sort:4", "multiple of 4"), ("maxout:3", "multiple of 3")])
def test_a_width_that_groups_do_not_divide_is_refused_with_the_way_out(activation, way_out):
    with pytest.raises(UsageError, match=way_out):
        resolved("groupsort-bjorck", CriticSettings(width=10, activation=activation))


def test_beta_and_a_higher_order_exclude_each_other():
    with pytest.raises(UsageError, match="leave out either beta or bjorck_order"):
        resolved("groupsort-bjorck", CriticSettings(constraint="bjorck-unrolled", bjorck_order=2, beta=0.3))


@pytest.mark.parametrize("name", TRAINED)
def test_a_kind_trains_as_suits_its_constraint_unless_told_otherwise(name):
    """Tangent gradients go with Muon; a rate is in the units of its optimiser, so another optimiser brings its own."""
    assert (resolved(name).settings.optimizer == "muon") == (CATALOGUE[name].constraint == "bjorck")
    told = resolved(name, CriticSettings(optimizer="aggmo")).settings
    assert (told.optimizer, told.learning_rate) == ("aggmo", LEARNING_RATES["aggmo"])
    assert resolved(name, CriticSettings(learning_rate=0.07)).settings.learning_rate == 0.07


def test_the_user_s_activation_and_constraint_make_another_kind():
    kind = CATALOGUE["relu-spectral"].assembled(CriticSettings(activation="maxout:4", constraint="parseval"))
    assert (kind.name, kind.activation, kind.constraint) == ("maxout-4-parseval", "maxout:4", "parseval")
    assert CATALOGUE["relu-spectral"].assembled(CriticSettings(activation="relu")) is CATALOGUE["relu-spectral"]
    kept = CATALOGUE["gradient-penalty"].assembled(CriticSettings(activation="abs"))
    assert (kept.name, kept.penalty) == ("abs-none-gradient-penalty", "gradient-penalty")
    assert not kept.bound_by_construction


def test_every_kind_says_what_it_is_and_where_it_comes_from():
    for name, kind in CATALOGUE.items():
        assert kind.name == name
        assert kind.title
        assert any(character.isdigit() for character in kind.source), "a citation has a year"
        assert "lipschitz" in kind.accepts
    assert len({kind.title for kind in CATALOGUE.values()}) == len(CATALOGUE)


def test_kinds_are_found_by_name():
    assert default_critics() == ("groupsort-bjorck", "relu-spectral", "relu-bjorck")
    assert default_critics(LINF)[0] == "linf-groupsort"
    assert [kind.name for kind in named(["max-sliced", "parseval", "max-sliced"], "--critics")] == ["max-sliced", "parseval"]
    with pytest.raises(UsageError, match="critics 'x' is not a critic; choose among groupsort-bjorck"):
        named(["parseval", "x"], "--critics")
    assert [kind.name for kind in automatic() if isinstance(kind, NetworkKind)] == ["groupsort-bjorck"]
