"""``estimate``: the whole story as one call."""

import itertools
from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from scipy import stats

import wdist
from tests.trials import SMALL, CountedRows, Listener, digest, exact_w1, two_moons
from wdist import estimate
from wdist.critics.settings import CriticSettings
from wdist.data import measure, pairing, rows
from wdist.data.measure import ENOUGH_HELD_OUT, fold_rows, held_out_rows, split
from wdist.errors import DeviceError, SourceError, TrainingDiverged, UsageError
from wdist.estimation import critics, evaluation, run, transport_bounds
from wdist.training import closed_forms, networks
from wdist.training.catalogue import CATALOGUE
from wdist.training.kind import DataShape
from wdist.training.observer import CriticStarted, Progress, Stage, StageProgress

FAST = {"settings": SMALL, "steps": 12}


@pytest.fixture(scope="module")
def sets():
    return two_moons(90, 70, 2)


def test_the_interval_holds_exact_transport_and_baselines_stand_beside_it(sets):
    found = estimate(*sets, **FAST, baselines="all")
    truth = exact_w1(*sets)
    assert found.samples.exact
    assert found.samples.upper == pytest.approx(truth, rel=1e-8)
    assert {found.critic.name, *(other.name for other in found.baselines)} == set(CATALOGUE)
    for critic in (found.critic, *found.baselines):
        assert 0 <= critic.samples.lower <= truth <= critic.samples.upper
        assert critic.samples.lower_method == critic.name
        assert critic.population.jointly_with == len(CATALOGUE) + 1, "the upper end has its share of the error too"
        assert critic.population.upper > critic.population.lower
        assert critic.population.confidence == 0.95
        assert critic.certified
        assert (critic.steps > 0) == CATALOGUE[critic.name].trained
    assert sum(critic.steps for critic in found.critics) <= 12 + len(CATALOGUE), "each takes at least one step"
    assert found.samples.lower > 0
    assert found.population == found.critic.population
    assert found.samples.lower >= max(critic.samples.lower for critic in found.critics)
    assert found.samples.lower == pytest.approx(truth, rel=1e-6), "the dual variables of exact transport close the gap"


@pytest.mark.parametrize("form", ["array", "tensor", "list", "path", "text", "float32"])
def test_samples_come_in_every_form(form, sets, tmp_path):
    forms = {
        "array": lambda x, name: x,
        "tensor": lambda x, name: torch.from_numpy(x).requires_grad_(),
        "list": lambda x, name: x.tolist(),
        "float32": lambda x, name: x.astype(np.float32),
    }
    if form in forms:
        a, b = (forms[form](side, name) for side, name in zip(sets, "ab", strict=True))
    else:
        for side, name in zip(sets, "ab", strict=True):
            np.save(tmp_path / f"{name}.npy", side)
        a, b = (tmp_path / "a.npy", tmp_path / "b.npy") if form == "path" else (str(tmp_path / "a.npy"), str(tmp_path / "b.npy"))
    found = wdist.estimate(a, b, **FAST, baselines="none")
    reference = estimate(*sets, **FAST, baselines="none")
    assert found.samples.lower == pytest.approx(reference.samples.lower, rel=1e-3 if form == "float32" else 1e-12)


def test_the_same_seed_gives_the_same_result_and_another_seed_another(sets):
    first, again, other = (estimate(*sets, **FAST, baselines="none", seed=seed) for seed in (3, 3, 4))
    assert (first.samples, first.population) == (again.samples, again.population)
    assert first.samples.lower != other.samples.lower
    assert first.samples.upper == pytest.approx(other.samples.upper, rel=1e-9)
    assert (first.digest_a, first.digest_b) == (other.digest_a, other.digest_b)


@pytest.mark.usefixtures("no_transport")
def test_a_side_may_be_drawn_without_end():
    found = estimate(
        np.random.default_rng(0).normal(size=(100, 2)), "synthetic:gaussian?dim=2&shift=3", **FAST, baselines="none", truth=3.0
    )
    assert found.digest_a is not None
    assert found.digest_b is None
    assert found.tightness == found.population.estimate / 3.0


def test_it_keeps_a_preview_of_held_out_samples_where_it_can_be_drawn(sets):
    found = estimate(*sets, **FAST, baselines="none")
    assert [tuple(side.shape) for side in found.preview] == [(30, 2), (23, 2)]
    assert estimate(*two_moons(30, 30, 3), **FAST, baselines="none").preview is None


def test_ctrl_c_in_the_main_training_keeps_what_is_proved(sets):
    """Transport between the samples comes first, so both of their bounds stand."""
    listener = Listener(stop=lambda event: isinstance(event, Progress) and event.step == 4)
    found = estimate(*sets, **FAST, critic="groupsort-bjorck", observer=listener)
    assert found.interrupted
    assert found.baselines == ()
    assert found.critic.interrupted
    assert found.critic.steps == 4
    assert 0 < found.critic.samples.lower <= exact_w1(*sets)
    assert found.samples.upper == pytest.approx(exact_w1(*sets), rel=1e-8)
    assert found.population.upper is None


def test_ctrl_c_at_the_very_first_step_still_gives_a_true_bound(sets):
    found = estimate(*sets, **FAST, observer=Listener(stop=lambda event: isinstance(event, Progress)))
    assert found.interrupted
    assert 0 <= found.critic.samples.lower <= exact_w1(*sets)


def test_ctrl_c_in_a_baseline_keeps_the_main_result(sets):
    listener = Listener(stop=lambda event: isinstance(event, Progress) and event.critic == "relu-bjorck")
    found = estimate(*sets, **FAST, critic="groupsort-bjorck", observer=listener)
    assert found.interrupted
    assert not found.critic.interrupted
    assert [other.name for other in found.baselines] == ["relu-spectral", "relu-bjorck"]


def test_ctrl_c_between_two_critics_or_in_the_last_transport_keeps_what_is_done(sets):
    between = Listener(stop=lambda event: isinstance(event, CriticStarted) and event.position == 2)
    found = estimate(*sets, **FAST, critic="groupsort-bjorck", observer=between)
    assert found.interrupted
    assert found.baselines == ()
    blocks = Listener(stop=lambda event: isinstance(event, Stage) and "blocks" in event.what)
    found = estimate(*sets, **FAST, critic="groupsort-bjorck", observer=blocks)
    assert found.interrupted
    assert len(found.baselines) == 2
    assert found.population.upper is None


def test_ctrl_c_before_anything_is_proved_ends_the_call(sets):
    with pytest.raises(KeyboardInterrupt):
        estimate(*sets, **FAST, observer=Listener(stop=lambda event: isinstance(event, Stage)))
    with pytest.raises(KeyboardInterrupt):
        estimate(*sets, **FAST, couplings=False, observer=Listener(stop=lambda event: isinstance(event, CriticStarted)))


def test_ctrl_c_before_any_critic_is_found_keeps_what_transport_proved(sets):
    found = estimate(*sets, **FAST, observer=Listener(stop=lambda event: isinstance(event, CriticStarted)))
    assert found.interrupted
    assert [critic.name for critic in found.critics] == ["mean-difference"]
    assert found.samples.lower == pytest.approx(exact_w1(*sets), rel=1e-8)
    assert found.samples.upper == pytest.approx(exact_w1(*sets), rel=1e-8)
    assert found.population.upper is None


@pytest.mark.parametrize("baselines", ["default", "none"])
def test_steps_bound_the_whole_command(sets, baselines):
    """Two thirds of them train the main critic, the rest its baselines; what was tried on the way is a baseline for nothing."""
    named = estimate(*sets, settings=SMALL, steps=60, critic="groupsort-bjorck", baselines=baselines)
    steps = {critic.name: critic.steps for critic in named.critics}
    expected = {"groupsort-bjorck": 60} if baselines == "none" else {"groupsort-bjorck": 40, "relu-spectral": 10, "relu-bjorck": 10}
    assert steps == expected
    chosen = estimate(*sets, settings=SMALL, steps=60, baselines=baselines)
    tried = {attempt.name: attempt.steps for attempt in chosen.critic.tried}
    others = [critic.steps for critic in chosen.baselines if critic.name not in tried]
    assert sum(tried.values()) + sum(others) <= 60
    assert "groupsort-bjorck" in {critic.name for critic in chosen.critics} | set(tried)


def test_a_length_of_time_bounds_the_whole_command(sets):
    listener = Listener()
    found = estimate(*sets, settings=SMALL, budget="3s", observer=listener)
    expected = [event.expected or 0.0 for event in listener.of(Stage | CriticStarted)]
    assert 1 < sum(expected) <= 3
    assert len(found.critics) >= 3


def test_the_time_left_is_told_once_it_is_known(sets):
    listener = Listener()
    estimate(*sets, **FAST, observer=listener)
    reading, *told = listener.of(Stage | CriticStarted)
    assert reading.after is None, "what follows depends on the samples"
    assert all(event.after is not None for event in told)
    started = [event for event in told if isinstance(event, CriticStarted)]
    assert [event.position for event in started] == list(range(1, len(started) + 1))
    assert {event.critics for event in started} == {len(started)}
    after = [event.after for event in started]
    assert after == sorted(after, reverse=True)
    assert told[-1].after == pytest.approx(0)


def test_where_transport_is_not_affordable_blocks_stand_in(sets, monkeypatch):
    monkeypatch.setattr(transport_bounds, "planned_memory", lambda: 0)
    listener = Listener()
    found = estimate(*sets, **FAST, baselines="none", observer=listener)
    assert _progress(listener.events, "reading")[-1] == 1
    assert len(_progress(listener.events, "transport between 90")) > 2
    assert len(_progress(listener.events, "transport between independent")) > 2
    assert not found.samples.exact
    assert "blocks" in found.samples.upper_method
    assert found.samples.lower_method == "groupsort-bjorck", "there are no dual variables of all samples"
    assert found.samples.lower <= exact_w1(*sets) <= found.samples.upper * (1 + 1e-12)
    monkeypatch.setattr(run, "TRANSPORT_SECONDS", 1e-9)
    found = estimate(*sets, **FAST, baselines="none")
    assert (found.samples.upper, found.samples.upper_method, found.samples.gap) == (None, None, None)


def _progress(events, stage):
    """Increasing shares of the stage with this beginning that were told."""
    (start,) = (i for i, event in enumerate(events) if isinstance(event, Stage) and event.what.startswith(stage))
    shares = [event.fraction for event in itertools.takewhile(lambda event: isinstance(event, StageProgress), events[start + 1 :])]
    assert shares == sorted(shares)
    return shares


UNGROUPED = replace(SMALL, group_size=None)
NAMED = ("groupsort-bjorck", "relu-spectral", "mean-difference")


@pytest.fixture(scope="module")
def comparison(sets):
    return estimate(*sets, settings=SMALL, steps=72, critics=NAMED, repeats=3)


def test_compared_critics_are_those_that_were_named_and_the_best_heads_the_result(comparison):
    assert comparison.comparison
    assert {critic.name for critic in comparison.critics} == set(NAMED)
    assert comparison.critic.samples.lower == max(critic.samples.lower for critic in comparison.critics)
    assert all(critic.population.jointly_with == len(NAMED) + 1 for critic in comparison.critics)


def test_repeats_give_the_spread_and_nothing_else(sets, comparison):
    """The bounds are those of the first seed, as they would be without repeats; formulas have no seeds."""
    once = {critic.name: critic for critic in estimate(*sets, settings=SMALL, steps=24, critics=NAMED).critics}
    for critic in comparison.critics:
        assert (critic.samples, critic.population) == (once[critic.name].samples, once[critic.name].population)
        if critic.steps == 0:
            assert critic.repeats is None
            continue
        assert critic.repeats.seeds == (0, 1, 2)
        assert critic.repeats.lowers[0] == critic.samples.lower
        assert critic.repeats.estimates[0] == critic.population.estimate
        assert critic.repeats.lower_deviation == pytest.approx(np.std(critic.repeats.lowers, ddof=1))
        assert critic.repeats.estimate_mean == pytest.approx(np.mean(critic.repeats.estimates))


def test_repeats_are_counted_for_whoever_waits(sets):
    listener = Listener()
    estimate(*sets, **FAST, critics=NAMED, repeats=2, observer=listener)
    started = listener.of(CriticStarted)
    assert [event.position for event in started] == [1, 2, 3, 4, 5]
    assert {event.critics for event in started} == {5}


def test_ctrl_c_in_a_repeat_keeps_what_is_proved_and_the_repeats_that_are_done(sets):
    """Each critic has its further seeds together: those of the second are cut short in their training, and are left out."""

    def in_the_fourth(event):
        return (
            isinstance(event, Progress) and event.step > 0 and sum(isinstance(each, CriticStarted) for each in listener.events) == 4
        )

    listener = Listener(stop=in_the_fourth)
    found = estimate(*sets, **FAST, critics=NAMED[:2], repeats=3, observer=listener)
    assert found.interrupted
    repeats = {critic.name: critic.repeats for critic in found.critics}
    assert repeats["groupsort-bjorck"].seeds == (0, 1, 2)
    assert repeats["relu-spectral"] is None
    assert not any(critic.interrupted for critic in found.critics)


def test_a_critic_that_diverges_is_left_out_of_a_comparison_with_a_word(sets, monkeypatch):
    real = networks.NetworkKind.fit

    def fit(self, spec, job, budget):
        if self.name == "relu-spectral":
            raise TrainingDiverged("relu-spectral gave no finite value at step 0; try a lower --learning-rate")
        return real(self, spec, job, budget)

    monkeypatch.setattr(networks.NetworkKind, "fit", fit)
    found = estimate(*sets, **FAST, critics=NAMED)
    assert {critic.name for critic in found.critics} == set(NAMED) - {"relu-spectral"}
    assert found.population.jointly_with == len(NAMED) + 1
    assert any("relu-spectral" in warning for warning in found.warnings)
    with pytest.raises(TrainingDiverged):
        estimate(*sets, **{**FAST, "settings": UNGROUPED}, critics=["relu-spectral"])
    with pytest.raises(TrainingDiverged):
        estimate(*sets, **{**FAST, "settings": replace(UNGROUPED, activation="relu", constraint="spectral")}, baselines="none")


@pytest.mark.parametrize("metric", ["l1", "linf"])
def test_in_another_metric_the_interval_holds_exact_transport_in_that_metric(sets, metric):
    a, b = sets
    distances = np.linalg.norm(a[:, None] - b[None], ord={"l1": 1, "linf": np.inf}[metric], axis=2)
    truth = float(ot.emd2(np.full(len(a), 1 / len(a)), np.full(len(b), 1 / len(b)), distances))
    found = estimate(a, b, **{**FAST, "steps": 60}, metric=metric, critics=NAMED)
    assert found.metric == metric
    assert found.samples.upper == pytest.approx(truth, rel=1e-8)
    for critic in found.critics:
        assert 0 < critic.samples.lower <= truth


def test_a_critic_put_together_is_the_main_one_and_baselines_stay_what_they_are(sets):
    settings = replace(UNGROUPED, activation="maxout:2", constraint="spectral")
    found = estimate(*sets, **{**FAST, "settings": settings}, baselines="relu-bjorck")
    assert [critic.name for critic in found.critics] == ["maxout-2-spectral", "relu-bjorck"]
    assert not found.comparison
    same = estimate(*sets, **{**FAST, "settings": replace(UNGROUPED, activation="relu", constraint="spectral")})
    assert [critic.name for critic in same.critics] == ["relu-spectral", "groupsort-bjorck", "relu-bjorck"]
    usual = estimate(*sets, **{**FAST, "settings": settings}, baselines="groupsort-bjorck")
    assert [critic.name for critic in usual.critics] == ["maxout-2-spectral", "groupsort-bjorck"]


@pytest.mark.parametrize("metric", ["l1", "linf"])
def test_in_another_metric_the_main_critic_is_one_that_is_built_for_it(sets, metric):
    found = estimate(*sets, **FAST, metric=metric, baselines="groupsort-bjorck")
    assert [critic.name for critic in found.critics] == ["linf-groupsort", "groupsort-bjorck"]
    assert "linf-groupsort" in {critic.name for critic in estimate(*sets, **FAST, metric=metric, critics="default").critics}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "confidence"),
        ({"confidence": 0.4}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"budget": "2m"}, "both limit the run"),
        ({"baselines": "best"}, "is not a critic"),
        ({"ci": "bootstrap"}, "ci"),
        ({"ci": "empirical-bernstein"}, 'ci="welch"'),
        ({"steps": 0}, "steps"),
        ({"critics": "all", "baselines": "none"}, "give one of them"),
        ({"critics": ()}, "critics"),
        ({"critics": "best"}, "is not a critic"),
        ({"critics": "all", "settings": replace(SMALL, constraint="spectral")}, "constraint"),
        ({"repeats": 0}, "repeats"),
        ({"metric": "l3"}, "metric"),
        ({"settings": replace(SMALL, activation="swish")}, "activation"),
        ({"settings": replace(SMALL, activation="relu"), "baselines": "none"}, "group_size makes no difference"),
        ({"settings": replace(UNGROUPED, activation="relu"), "critic": "cones"}, "activation makes no difference"),
        ({"critic": "best"}, "is not a critic"),
        ({"critic": "cones", "critics": "all"}, "give one of them"),
        ({"settings": replace(SMALL, beta=0.3)}, "beta makes no difference"),
        ({"settings": replace(SMALL, activation="group-sort:3")}, "multiple of 3"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(options, message, sets):
    listener = Listener()
    with pytest.raises(UsageError, match=message):
        estimate(*sets, **{**FAST, "observer": listener, **options})
    assert not listener.of(CriticStarted)


@pytest.mark.parametrize("device", ["tpu9", "mps", "meta"])
def test_a_device_that_cannot_be_used_is_refused(device, sets):
    with pytest.raises(DeviceError, match="cpu"):
        estimate(*sets, **FAST, device=device)


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.full((30, 2), np.nan), "NaN"),
        (np.zeros((5, 2)), "at least 20"),
        (np.arange(90.0).reshape(30, 3), "same shape"),
        (np.zeros((30, 2)), "all 30 samples"),
        (np.zeros((30, 2), dtype=complex), "complex"),
        (np.array(["a"] * 30), "strings"),
    ],
    ids=["nan", "too few", "another shape", "constant", "complex", "strings"],
)
def test_samples_that_cannot_be_compared_are_refused(a, message, sets):
    with pytest.raises(SourceError, match=message):
        estimate(a, sets[1], **FAST)


def test_one_diverging_value_does_not_make_a_false_bound():
    """A held-out sample so far away that its potential rounds by more than everything else."""
    a, b = two_moons(60, 60, 2)
    a[5] = 1e250
    found = estimate(a, b, **FAST, baselines="none")
    assert 0 <= found.samples.lower < float("inf")
    assert found.samples.lower <= found.samples.upper


def test_few_held_out_samples_are_a_warning():
    """With fewer than thirty the normal approximation says nothing certain, and the result says so."""
    rng = np.random.default_rng(0)
    found = estimate(rng.normal(size=(40, 2)), rng.normal(size=(400, 2)) + 1, **FAST, baselines="none")
    assert [warning for warning in found.warnings if "held out" in warning and "of A" in warning]
    assert not [warning for warning in found.warnings if "of B" in warning]


def test_a_negative_seed_is_refused(sets):
    with pytest.raises(UsageError, match="seed"):
        estimate(*sets, **{**FAST, "seed": -1})


def test_values_without_room_for_distances_are_refused():
    huge = np.random.default_rng(0).normal(size=(50, 2)) * 1e305
    with pytest.raises(SourceError, match="too wide"):
        estimate(huge, huge + 1e305, **FAST)


def test_every_sample_is_held_out_from_the_training_of_one_fold():
    a, b = two_moons(60, 45, 2)
    rows = estimate(a, b, folds=3, steps=15, baselines="none", settings=SMALL)
    assert [each.population.n_a for each in rows.critic.folds] == [20, 20, 20]
    assert (rows.population.n_a, rows.population.n_b) == (60, 45)
    assert rows.critic.samples.lower == max(each.samples.lower for each in rows.critic.folds)
    assert rows.population.jointly_with == 2, "one lower bound rests on all folds"


def test_folds_share_the_default_budget_of_two_trainings():
    found = estimate(*two_moons(60, 45, 2), critic="cones", folds=3, baselines="none", couplings=False)
    whole = CATALOGUE["cones"].resolve(CriticSettings(), DataShape(event_shape=(2,), dim=2, participation=2.0, samples=30))
    assert [each.settings["budget"] for each in found.critic.folds] == [f"{2 * whole.budget.steps // 3} steps"] * 3


def test_critics_of_all_folds_are_announced_before_the_first():
    listener = Listener()
    estimate(*two_moons(60, 45, 2), critic="mean-difference", baselines="radial", folds=3, couplings=False, observer=listener)
    started = [(each.position, each.critics) for each in listener.events if isinstance(each, CriticStarted)]
    assert started == [(position, 6) for position in range(1, 7)]


def test_the_bound_over_folds_is_that_of_their_mean_with_twice_its_variance():
    a, b = two_moons(60, 45, 2)
    found = estimate(a, b + 3, folds=3, critic="mean-difference", baselines="none", couplings=False)
    sides = [(each.held_out.a, each.held_out.b) for each in found.critic.folds]
    mean = np.mean([a.mean() - b.mean() for a, b in sides])
    parts = np.array([[a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)] for a, b in sides])
    freedom = parts.sum() ** 2 / (parts**2 / [[len(a) - 1, len(b) - 1] for a, b in sides]).sum()
    assert found.population.method == "cross-fitted"
    assert found.population.estimate == pytest.approx(mean)
    assert found.population.lower == pytest.approx(mean - stats.t.ppf(0.95, freedom) * np.sqrt(2 * parts.sum()) / 3, rel=1e-3)


def test_folds_of_values_in_a_known_range_share_the_error():
    """Betting needs values that are independent of each other, and those of different folds are not."""
    random = np.random.default_rng(0)
    images = (random.integers(low, 250, size=(60, 4)).astype(np.uint8) for low in (0, 150))
    found = estimate(*images, folds=3, critic="mean-difference", baselines="none", couplings=False)
    assert (found.population.method, found.population.jointly_with) == ("betting", 3)
    assert found.population.lower == max(each.population.lower for each in found.critic.folds) > 0


def test_no_critic_depends_on_the_fold_that_it_is_judged_on():
    from wdist.data.measure import fold_rows

    a, b = two_moons(60, 45, 2)
    changed = a.copy()
    changed[fold_rows(60, 3, 1, seed=0)] += 5
    first, second = (
        [digest(fold.frozen) for fold in estimate(x, b, folds=3, steps=15, baselines="none", settings=SMALL).critic.folds]
        for x in (a, changed)
    )
    assert [one == other for one, other in zip(first, second, strict=True)] == [False, True, False]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"folds": 0}, "between 1 and"),
        ({"folds": 7}, "needs at least 70 samples"),
        ({"folds": 3, "repeats": 2}, "give one of them"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        estimate(*two_moons(60, 45, 2), steps=5, **arguments)


@pytest.mark.parametrize(
    ("changes", "folds"),
    [
        ({}, 5),
        ({"folds": 1}, None),
        ({"folds": 2}, 2),
        ({"critic": "cones", "steps": 5}, None),
        ({"critic": "auto", "critics": "mean-difference", "baselines": "default"}, None),
        ({"as_type": np.uint8}, None),  # whose folds would share the error
        ({"count": 49}, None),
        ({"count": 2_001}, None),
        ({"b": "synthetic:gaussian?dim=2", "draws": 300}, 5),
        ({"a": "synthetic:gaussian?dim=2", "b": "synthetic:gaussian?dim=2&shift=1", "draws": 300}, None),
    ],
)
def test_few_samples_are_divided_into_folds_unless_a_split_or_a_budget_is_asked_for(changes, folds):
    arguments = {"count": 60, "as_type": float, "critic": "mean-difference", "baselines": "none", "couplings": False, **changes}
    count, as_type = arguments.pop("count"), arguments.pop("as_type")
    a, b = (np.random.default_rng(seed).uniform(50, 200, (count, 2)).astype(as_type) for seed in range(2))
    found = estimate(arguments.pop("a", a), arguments.pop("b", b), **arguments)
    assert found.folds == folds
    assert len(found.critic.folds) == (folds or 0)


def test_draws_alone_need_no_folds():
    with pytest.raises(UsageError, match=r"hold out more with draws=N"):
        estimate("synthetic:gaussian?dim=2", "synthetic:gaussian?dim=2&shift=1", steps=5, folds=2)


def test_the_folds_of_stored_samples_meet_disjoint_draws():
    stored = two_moons(60, 45, 2)[0]
    found = estimate(stored, "synthetic:gaussian?dim=2", critic="mean-difference", baselines="none", folds=3, draws=700)
    folds = found.critic.folds
    assert [(len(each.held_out.a), len(each.held_out.b)) for each in folds] == [(20, 234), (20, 233), (20, 233)]
    assert (found.detected.n_a, found.detected.n_b) == (60, 700)


def test_a_formula_that_has_no_rivals_learns_from_all_samples_that_are_not_held_out(sets):
    a, b = (np.asarray(side, dtype=np.float64) for side in sets)
    for folds in (1, 3):
        found = estimate(a, b, critic="mean-difference", baselines="none", folds=folds, couplings=False, seed=1)
        for number, critic in enumerate(found.critic.folds or (found.critic,)):
            held = [held_out(len(side), number, folds) for side in (a, b)]
            w = np.delete(a, held[0], axis=0).mean(0) - np.delete(b, held[1], axis=0).mean(0)
            values = a[held[0]] @ w / np.linalg.norm(w)
            assert critic.held_out.a - critic.held_out.a[0] == pytest.approx(values - values[0], rel=1e-6, abs=1e-9)


def held_out(count, number, folds):
    if folds == 1:
        return held_out_rows(count, min(ENOUGH_HELD_OUT, count // 3), seed=1)
    return fold_rows(count, folds, number, seed=1)


@pytest.fixture
def counted(monkeypatch):
    """Streams that count how often each of their rows is read; critics learn from few of them, which are in the first pool."""
    monkeypatch.setattr(measure, "fits", lambda nbytes: False)
    monkeypatch.setattr(pairing, "_FIT_DRAWN", 300)
    monkeypatch.setattr(closed_forms, "FIT_ROWS", 300)
    monkeypatch.setattr(evaluation, "_TIMED_ROWS", 1)
    monkeypatch.setattr(rows.StreamedRows, "at_once", 1)
    x, y = (np.random.default_rng(seed).normal(seed, 1, size=(3000, 2)) for seed in range(2))
    return CountedRows(x, "x"), CountedRows(y, "y")


@pytest.mark.parametrize("names", ["relu-spectral", "mean-difference,radial,max-sliced,relu-spectral"])
def test_rows_of_a_stream_are_read_for_their_digest_for_two_pools_and_once_for_all_critics(names, counted):
    """The second pool is read ahead. Rows that are held out are read once more, and so are witnesses."""
    found = estimate(*counted, critics=names, couplings=False, blocks=0, settings=CriticSettings(lipschitz=1.0), steps=2)
    assert [len(found.critics), found.samples.lower > 0] == [names.count(",") + 1, True]
    for source in counted:
        held = split(source.count, seed=0).excluded
        for times, expected in ((source.times[held], 5), (np.delete(source.times, held), 4)):
            assert times.min() == np.quantile(times, 0.8) == expected


def test_candidates_that_lose_are_not_evaluated_on_all_rows_of_a_stream(counted, monkeypatch):
    passes = []
    evaluate_all = critics.evaluate_all
    monkeypatch.setattr(
        critics, "evaluate_all", lambda found, *rest, **how: passes.append(found) or evaluate_all(found, *rest, **how)
    )
    found = estimate(*counted, couplings=False, blocks=0, steps=12, baselines=("relu-spectral",))
    assert len(found.critic.tried) > 3
    assert passes == [[found.critic.frozen, found.baselines[0].frozen]]


def test_a_stream_that_there_is_no_time_for_is_not_evaluated_and_its_lower_end_is_zero(counted, monkeypatch, tmp_path):
    """The populations are bounded by the held-out samples all the same, and the proof of it asks for no pass either."""
    monkeypatch.setattr(critics, "seconds_of_pass", lambda found, pair: (3000.0, [500.0] * len(found)))
    found = estimate(*counted, critic="mean-difference", baselines="none", blocks=0, budget="2s")
    assert (found.samples.lower, found.samples.n_a, found.samples.n_b) == (0.0, 3000, 3000)
    assert 0.5 < found.population.lower <= 2**0.5
    assert any("a pass over all 6,000 samples" in each and "(3,500 s with mean-difference)" in each for each in found.warnings)
    for source, side in zip(counted, (found.critic.potential.witnesses(5).a, found.critic.potential.witnesses(5).b), strict=True):
        assert torch.equal(side.samples, source.source.read(np.sort(side.rows))[np.argsort(np.argsort(side.rows))])
        assert set(side.rows) <= set(held_out_rows(3000, found.population.n_a, seed=0))


@pytest.mark.parametrize(
    ("allowed", "chosen", "expected"), [(2, [], 1), (3.5, [2], 3), (5, [0], 4), (7, [0, 2], 6), (9, [0, 1], 8), (10, [0, 1, 2], 10)]
)
def test_a_pass_takes_the_first_critics_that_it_has_time_for(allowed, chosen, expected):
    assert critics.affordable(1, [3, 4, 2], allowed) == (chosen, expected)
