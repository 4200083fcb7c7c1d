"""``compare``: one reference, the digits of single estimates, one shared error, and partial results after Ctrl-C."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trials import SMALL, Listener
from wdist import compare, estimate
from wdist.comparison import compare as module
from wdist.comparison.ranking import NOISE_FLOOR, Comparison
from wdist.data.access import Access
from wdist.errors import SourceError, TrainingDiverged, UsageError
from wdist.training.observer import Stage

QUICK = {"critic": "mean-difference"}


@pytest.fixture(scope="module")
def sets():
    """A reference in the plane and three sources, ever farther away; in float32, as files often are."""
    random = np.random.default_rng(0)
    reference = random.standard_normal((240, 2)).astype(np.float32)
    return reference, [random.standard_normal((n, 2)).astype(np.float32) + shift for n, shift in ((200, 0.1), (240, 2), (220, 5))]


@pytest.fixture(scope="module")
def found(sets):
    reference, sources = sets
    return compare(reference, sources[::-1], names=["far", "middle", "near"], **QUICK)


def test_the_nearest_comes_first_and_order_is_claimed(found):
    assert isinstance(found, Comparison)
    assert [entry.name for entry in found.ranking] == ["near", "middle", "far"]
    assert found.groups == (("near",), ("middle",), ("far",))
    assert found.orders.samples.groups == found.groups
    assert found.left_out == ()
    assert not found.interrupted


def test_each_source_has_the_digits_of_its_own_estimate(sets, found):
    """The reference's split follows from its count and the seed alone, whoever stands against it."""
    reference, sources = sets
    for entry, source in zip(found.ranking, sources, strict=True):
        alone = estimate(reference, source, baselines="none", confidence=1 - 0.05 / 4, **QUICK)
        assert (alone.samples, alone.population) == (entry.samples, entry.population)
        assert alone.digest_a == found.digest
        assert alone.digest_b == entry.estimate.digest_b


def test_units_are_those_of_the_reference(sets):
    """No side of a comparison is called A."""
    reference, sources = sets
    told = " ".join(str(compare(reference, sources[:1], scale="std", progress=False, **QUICK)).split())
    assert "in the units of the columns' standard deviations in the reference" in told
    assert "standard deviations in A" not in told


def test_each_source_has_an_equal_part_of_the_budget(sets):
    reference, (near, far, _) = sets
    words = {"critic": "groupsort-bjorck", "settings": SMALL}
    found = compare(reference, [near, far], names=["near", "far"], **words, steps=40)
    for entry, source in zip(found.ranking, (near, far), strict=True):
        alone = estimate(reference, source, baselines="none", confidence=1 - 0.05 / 3, **words, steps=20)
        assert entry.estimate.critic.steps == 20
        assert (alone.samples, alone.population) == (entry.samples, entry.population)


def test_dropped_rows_leave_the_digits_and_digests_of_a_single_estimate(sets):
    reference, (near, *_) = sets
    holed = reference.copy()
    holed[7] = np.nan
    access = Access(drop_nonfinite=True)
    found = compare(holed, [near], access=access, **QUICK)
    alone = estimate(holed, near, baselines="none", access=access, confidence=1 - 0.05 / 2, **QUICK)
    (entry,) = found.ranking
    assert (alone.samples, alone.population) == (entry.samples, entry.population)
    assert (alone.digest_a, alone.a.dropped) == (found.digest, found.reference.dropped)
    assert found.noise_floor.samples.n_a == 119


def test_the_time_left_includes_the_sources_still_to_come(sets, monkeypatch, found):
    """Each event of an estimate knows what comes after it there; the comparison adds its other sources."""

    def estimated(*_, observer, **__):
        observer.notify(Stage(what="training", expected=2.0, after=1.0))
        return replace(found.ranking[0].estimate, seconds=3.0)

    monkeypatch.setattr(module, "run_estimate", estimated)
    reference, sources = sets
    for limits, after in (({}, [None, 4.0, 1.0, 1.0]), ({"budget": "40s"}, [21.0, 11.0, 1.0, 1.0])):
        listener = Listener()
        compare(reference, sources, **limits, **QUICK, observer=listener)
        assert [event.after for event in listener.events if event.what == "training"] == after


def test_all_bounds_share_one_error(found):
    assert found.confidence == 0.95
    assert found.results == len(found.entries) == 4
    errors = [1 - entry.population.confidence for entry in found.entries]
    assert sum(errors) == pytest.approx(0.05)
    assert found.bounds == sum(entry.population.jointly_with for entry in found.entries) == 8


def test_the_noise_floor_is_the_reference_against_itself(sets, found):
    floor = found.noise_floor
    assert floor.name == NOISE_FLOOR
    assert (floor.samples.n_a, floor.samples.n_b) == (120, 120)
    assert floor.population.lower == 0
    assert 0 < floor.samples.lower <= floor.samples.upper < floor.population.upper
    assert 0 < found.slope <= 0.5


def test_the_reference_itself_and_one_source_twice_are_not_separable(sets):
    reference, (near, *_) = sets
    found = compare(reference, [near, reference, near], **QUICK)
    assert [entry.name for entry in found.ranking] == ["array 2", "array 1", "array 3"]
    itself, first, second = found.ranking
    assert (itself.samples.lower, itself.samples.upper, itself.samples.exact) == (0, 0, True)
    assert (first.samples, first.population) == (second.samples, second.population)
    assert found.orders.population.claims == ()
    assert all(separation.times is None for separation in found.separations)


def test_a_single_source_has_the_first_place(sets):
    reference, (near, *_) = sets
    found = compare(reference, [near], **QUICK)
    (only,) = found.ranking
    assert found.places(only) == (1, 1)
    assert found.groups == ((only.name,),)
    assert found.separations == ()


def test_endless_sources_are_compared_with_one_set_of_draws(no_transport):
    near, far = ("synthetic:gaussian?dim=2&shift=1", "synthetic:gaussian?dim=2&shift=3")
    found = compare("synthetic:gaussian?dim=2", [far, near], **QUICK)
    assert [entry.name for entry in found.ranking] == [near, far]
    assert [entry.population.lower for entry in found.entries] == pytest.approx([1, 3, 0], abs=0.1)
    assert found.digest is None


def test_a_small_reference_has_no_noise_floor_and_says_so(sets):
    _, sources = sets
    found = compare(np.random.default_rng(1).standard_normal((30, 2)), sources[:1], **QUICK)
    assert found.noise_floor is None
    assert found.results == 1
    assert any("too few samples for a noise floor" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sources": []}, "name at least one source"),
        ({"sources": [np.random.default_rng(0).random((50, 3))]}, "same shape"),
        ({"sources": [np.full((50, 2), np.nan)]}, "NaN"),
        ({"sources": ["nowhere.h5"]}, "does not exist"),
        ({"names": ["one", "two"]}, "2 names for 3 sources"),
        ({"names": ["one", "two", "one"]}, "must differ"),
        ({"names": ["one", "two", NOISE_FLOOR]}, NOISE_FLOOR),
        ({"witnesses": 3}, "witnesses shows images"),
        ({"confidence": 1.5}, "confidence"),
        ({"critics": "all", "critic": "auto"}, "takes no critics"),
        ({"baselines": "all"}, "takes no baselines"),
        ({"repeats": 2}, "takes no repeats"),
        ({"no_such": 2}, "no option no_such"),
    ],
)
def test_bad_input_is_refused_before_anything_is_estimated(sets, monkeypatch, change, words):
    def never(*_, **__):
        raise AssertionError("estimated already")

    monkeypatch.setattr(module, "run_estimate", never)
    reference, sources = sets
    arguments = {"sources": sources, **QUICK, **change}
    if isinstance(arguments["sources"], list) and len(arguments["sources"]) == 1:
        arguments["sources"] = [*sources, *arguments["sources"]]  # the bad one is the last
    with pytest.raises((SourceError, UsageError), match=words):
        compare(reference, **arguments)


def test_an_unknown_critic_is_refused(sets):
    reference, sources = sets
    with pytest.raises(UsageError, match="no-such"):
        compare(reference, sources, critic="no-such")


@pytest.fixture
def estimations(monkeypatch, found):
    """Puts ready results in the place of estimations; ``after`` so many something else happens."""

    class Estimations:
        after, event, asked = 99, None, 0

        def __call__(self, *_, **__):
            self.asked += 1
            if self.asked == self.after:
                raise self.event
            return found.ranking[0].estimate

    made = Estimations()
    monkeypatch.setattr(module, "run_estimate", made)
    return made


def test_ctrl_c_keeps_what_is_done_and_ends_the_rest(sets, estimations):
    reference, sources = sets
    estimations.after, estimations.event = 2, KeyboardInterrupt()
    found = compare(reference, sources, names=["a", "b", "c"], **QUICK)
    assert found.interrupted
    assert [entry.name for entry in found.ranking] == ["a"]
    assert found.left_out == ("b", "c")
    assert found.noise_floor is None
    assert estimations.asked == 2


def test_a_result_that_ctrl_c_cut_short_is_kept_and_ends_the_rest(sets, monkeypatch, found):
    monkeypatch.setattr(module, "run_estimate", lambda *_, **__: replace(found.ranking[0].estimate, interrupted=True))
    reference, sources = sets
    cut = compare(reference, sources, names=["a", "b", "c"], **QUICK)
    assert cut.interrupted
    assert [entry.name for entry in cut.ranking] == ["a"]


def test_before_the_first_result_ctrl_c_leaves_nothing(sets, estimations):
    reference, sources = sets
    estimations.after, estimations.event = 1, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        compare(reference, sources, **QUICK)


def test_a_source_whose_training_diverges_is_left_out_with_the_reason(sets, estimations):
    reference, sources = sets
    estimations.after, estimations.event = 1, TrainingDiverged("the dual became nan; try a lower --learning-rate")
    found = compare(reference, sources, names=["a", "b", "c"], **QUICK)
    assert [entry.name for entry in found.ranking] == ["b", "c"]
    assert found.left_out == ("a",)
    assert any(warning.startswith("a is left out: the dual became nan") for warning in found.warnings)
    assert found.noise_floor is not None
    estimations.asked = 0
    with pytest.raises(TrainingDiverged):
        compare(reference, sources[:1], **QUICK)


def test_in_a_feature_space_distances_are_those_of_the_features(sets):
    """Twice the samples are twice as far apart."""
    reference, sources = sets
    plain = compare(reference, sources[:2], names=["a", "b"], **QUICK)
    doubled = compare(reference, sources[:2], names=["a", "b"], features=lambda x: 2 * x, **QUICK)
    assert doubled.features is not None
    for one, two in zip(plain.entries, doubled.entries, strict=True):
        assert two.samples.upper == pytest.approx(2 * one.samples.upper, rel=1e-5)
        assert two.population.upper == pytest.approx(2 * one.population.upper, rel=1e-5)


def test_witnesses_of_a_feature_space_are_images(generator):
    images = torch.rand(120, 4, 4, generator=generator)
    found = compare(images, [images * 0.5], witnesses=2, features=lambda x: x.flatten(1)[:, :3], **QUICK)
    kept = found.ranking[0].witnesses
    assert kept.reference.shape == kept.source.shape == (2, 4, 4)
    assert float(kept.source.max()) <= 0.5
    brightest = images[:, 0, :3].sum(1).argmax()  # a direction close to that of the means' difference
    assert float(kept.reference[0, 0, :3].sum()) > 0.8 * float(images[brightest, 0, :3].sum())
