"""The choice among several kinds: the best by the validation split, and nothing that was tried is lost."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trials import CPU, Listener, digest, pair_of, two_moons
from wdist import estimate
from wdist.bounds.certificate import certify
from wdist.bounds.dual import dual_value
from wdist.critics.settings import CriticSettings
from wdist.data.measure import fold_rows, split
from wdist.data.sources.pairs import cones, sphere
from wdist.errors import TrainingDiverged
from wdist.estimation import model_selection
from wdist.estimation.evaluation import evaluate_rows
from wdist.estimation.model_selection import improved, select_critics
from wdist.estimation.options import EstimateOptions
from wdist.estimation.requested import requested_critics
from wdist.estimation.run import Agenda
from wdist.ground_metric import L2, METRICS
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE, automatic
from wdist.training.closed_forms import ClosedFormKind
from wdist.training.kind import DataShape, RefittableKind, TrainingJob
from wdist.training.loop import TrainingOutcome
from wdist.training.observer import CriticStarted, HistoryPoint, Progress, Silent

SMALL = CriticSettings(width=16, depth=3, batch_size=32)
AT_ONCE = tuple(kind.name for kind in automatic() if not kind.trained and not kind.slow_to_start)
LATE = tuple(kind.name for kind in automatic() if kind.slow_to_start)
FORMULAS = (*AT_ONCE, *LATE)
TRAINED = tuple(kind.name for kind in automatic() if kind.trained)
FOLDS = 3


def chosen(
    a, b, *, steps=24, seconds=None, seed=0, settings=SMALL, observer=None, metric=L2, only=None, ceiling=math.inf, fold=None
):
    """The selection among several kinds; KeyboardInterrupt where nothing was found before Ctrl-C."""
    pair = pair_of(a, b, seed=seed)
    pair = pair if fold is None else pair.fold(FOLDS, fold, seed=seed)
    try:
        (requested,) = requested_critics(EstimateOptions(settings=settings, metric=str(metric), baselines="none"), pair)
        if only is not None:
            requested = replace(requested, specs=tuple(spec for spec in requested.specs if spec.kind.name in only))
        job = TrainingJob(pair=pair, seed=seed, device=CPU, observer=observer or Silent(), ceiling=ceiling)
        budget = Budget(steps=steps) if seconds is None else Budget(seconds=seconds)
        (found,) = select_critics(requested, [job], budget, Agenda(job.observer))
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise KeyboardInterrupt
        return found
    finally:
        pair.close()


def validation_value(frozen, pair, metric=L2):
    a, b = (evaluate_rows(frozen, side.validation) for side in (pair.a, pair.b))
    return dual_value(a, b) / certify(frozen, metric).lipschitz_bound


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_choice_is_the_best_of_all_that_was_tried(metric):
    """By the validation split, over the certificate; and each closed form alone comes to what the story says of it."""
    a, b = two_moons(150, 120, 3)
    found = chosen(a, b, metric=metric)
    kinds = tuple(kind.name for kind in automatic(metric))
    assert tuple(attempt.name for attempt in found.tried[: len(kinds)]) == kinds
    best = max(found.tried, key=lambda attempt: attempt.validation)
    (told,) = [attempt for attempt in found.tried if attempt.chosen]
    assert told.validation == pytest.approx(best.validation, rel=1e-9)
    assert told.name == found.critic.name
    pair = pair_of(a, b)
    noted = {attempt.name: attempt.validation for attempt in found.tried}
    assert all(validation_value(each.critic, pair, metric) == noted[each.name] for each in found.fitted)
    for kind in automatic(metric):
        if isinstance(kind, ClosedFormKind):
            spec = kind.resolve(CriticSettings(), DataShape.of(pair), metric)
            alone = spec.kind.fit(spec, TrainingJob(pair=pair, seed=0, device=CPU), spec.budget)
            (noted,) = [attempt.validation for attempt in found.tried if attempt.name == kind.name]
            assert validation_value(alone.critic, pair, metric) == noted <= best.validation


def test_a_number_of_steps_is_divided_among_the_kinds_that_train():
    listener = Listener()
    found = chosen(*two_moons(150, 120, 3), steps=40, observer=listener)
    told = {event.critic: event.budget for event in listener.of(CriticStarted)}
    assert told == {
        **dict.fromkeys(FORMULAS, "no training"),
        **dict(zip(TRAINED, ("11 steps", "11 steps", "17 steps"), strict=True)),
    }
    assert {attempt.name: attempt.steps for attempt in found.tried}["groupsort-bjorck"] == 17
    assert all(attempt.steps == 0 for attempt in found.tried if attempt.name in FORMULAS)


def test_nothing_more_is_tried_once_a_candidate_surely_reaches_the_upper_bound():
    """The sphere against its centre: one cone attains W1 on all samples, so no network is trained; noise stops nothing."""
    pair = sphere(8)
    found = chosen(pair.a, pair.b, ceiling=1.0005)
    assert found.critic.name == "single-cone"
    assert not {each.name for each in found.tried} & {*TRAINED, *LATE}
    assert {each.name for each in chosen(pair.a, pair.b, ceiling=1.01).tried} >= {*TRAINED, *LATE}
    random = np.random.default_rng(0)
    noisy = random.normal(size=(60, 3)), random.normal(size=(60, 3)) + 2
    assert {each.name for each in chosen(*noisy, ceiling=3.3).tried} >= {*TRAINED}


def test_training_begins_before_the_formulas_that_take_long():
    """Nobody waits for transport between samples before the first step."""
    listener = Listener()
    chosen(*two_moons(150, 120, 3), observer=listener)
    started = [event.critic for event in listener.of(CriticStarted)]
    assert started == [*AT_ONCE, *TRAINED, *LATE]
    assert "c-transform" in LATE


@pytest.mark.parametrize("close", [0.0, 0.05, 10.0])
def test_under_a_time_budget_each_kind_trains_and_the_best_divide_the_rest(close, monkeypatch):
    """By how much each still gained: alike where the first runs are too short to tell."""
    monkeypatch.setattr(model_selection, "_GRACE", math.inf)  # however slow the machine is
    monkeypatch.setattr(model_selection, "_CLOSE", close)
    monkeypatch.setattr(model_selection, "_LARGEST_RISE", 0.0)
    listener = Listener()
    found = chosen(*two_moons(150, 120, 3), seconds=0.4, observer=listener)
    started = [event for event in listener.of(CriticStarted) if event.budget != "no training"]
    first, again = ([event.critic for event in part] for part in (started[: len(TRAINED)], started[len(TRAINED) :]))
    assert first == list(TRAINED)
    values = {attempt.name: attempt.validation for attempt in reversed(found.tried) if attempt.name in TRAINED}  # of the first run
    least = max(values.values()) * (1 - close)
    assert again == [name for name in TRAINED if values[name] >= least]
    parts = [float(event.budget.removesuffix(" s")) for event in started]
    refit = 0.15 * any(isinstance(CATALOGUE[name], RefittableKind) for name in again)
    assert sum(parts) == pytest.approx(0.4 * (1 - refit), abs=1e-3), "what is left is for a refit"
    if len(again) == 1:
        assert parts[-1] > 2 * max(parts[:-1])


@pytest.mark.parametrize(
    ("rises", "parts"),
    [
        ((0.0,), (1.0,)),
        ((0.0, 0.0), (0.5, 0.5)),
        ((0.0,) * 5, (0.2,) * 5),
        ((0.009, 0.019), (1 / 3, 2 / 3)),
        ((0.0, 0.05), (0.0, 1.0)),
        ((math.inf, 0.002, 0.4), (0.5, 0.0, 0.5)),
    ],
)
def test_time_goes_to_kinds_that_still_gain(rises, parts):
    """None to a kind that has converged beside one that has not; a first run too short to tell counts as one that gains."""
    assert model_selection._parts(rises) == pytest.approx(list(parts))


def test_few_steps_do_not_tell_that_a_kind_has_converged():
    """A slow kind may take its first ten steps while another takes hundreds, and be the better one in the end."""
    flat = tuple(HistoryPoint(step=k, seconds=k, training=1.0, validation=1.0) for k in range(9))
    few, many = (TrainingOutcome(steps=steps, seconds=9.0, history=flat, interrupted=False) for steps in (9, 900))
    rises = [model_selection._relative_rise(outcome, 1.0) for outcome in (few, many)]
    assert model_selection._parts(rises) == [1.0, 0.0]


def test_nothing_more_is_tried_once_a_length_of_time_is_exceeded(monkeypatch):
    monkeypatch.setattr(model_selection, "_GRACE", -0.4)
    found = chosen(*two_moons(150, 120, 3), seconds=0.4)
    assert [attempt.name for attempt in found.tried] == [automatic()[0].name]


def test_a_formula_that_takes_long_is_not_begun_if_it_would_end_late(monkeypatch):
    """It cannot be stopped, unlike a training."""
    for grace, tried in ((2.0, False), (math.inf, True)):
        monkeypatch.setattr(model_selection, "_GRACE", grace)
        found = chosen(*two_moons(150, 120, 3), seconds=0.4)
        assert ("c-transform" in [attempt.name for attempt in found.tried]) == tried


def test_some_thousand_samples_judge_a_critic_however_many_there_are(monkeypatch):
    for name, value in (("_VALIDATED_ROWS", 12), ("_LEAST_VALIDATED", 5), ("_VALIDATED_NUMBERS", 21)):
        monkeypatch.setattr(model_selection, name, value)
    counts, evaluate = [], model_selection.evaluate_rows
    monkeypatch.setattr(model_selection, "evaluate_rows", lambda critic, rows: counts.append(rows.count) or evaluate(critic, rows))
    chosen(*two_moons(150, 120, 3), only=("mean-difference",))
    assert not counts, "a single kind needs no judge"
    chosen(*two_moons(150, 120, 3), only=("mean-difference", "max-sliced"))
    assert set(counts) == {7}


def test_two_put_together_come_last_and_are_a_choice_like_any_other():
    found = chosen(*two_moons(150, 120, 3))
    *single, both = found.tried
    best, second = sorted(single, key=lambda attempt: attempt.validation, reverse=True)[:2]
    assert both.name in {f"{how} of {best.name} and {second.name}" for how in ("maximum", "minimum")}
    assert both.steps == 0


def test_a_shift_in_many_dimensions_from_few_samples_is_left_to_the_means():
    """Whatever bends follows the noise of the training samples, and loses on others.

    The best projection on a line is the same function: rounding, and with it the processor, must not decide between the two.
    """
    for seed in range(4):
        random = np.random.default_rng(seed)
        a, b = random.normal(size=(120, 50)) + 1.5 / 50**0.5, random.normal(size=(120, 50))
        found = chosen(a, b)
        assert found.critic.name == "mean-difference"
        values = {attempt.name: attempt.validation for attempt in found.tried}
        assert values["max-sliced"] == pytest.approx(values["mean-difference"], rel=1e-9)
        assert "mean-difference and max-sliced" not in found.tried[-1].name, "two projections on lines complete nothing"
        assert " of mean-difference and " in found.tried[-1].name


@pytest.mark.parametrize(
    ("pair", "kinds"),
    [(cones(3), {"cones", "c-transform"}), (sphere(8), {"radial", "single-cone", "cones"})],
    ids=["cones", "sphere"],
)
def test_what_is_made_of_cones_is_left_to_cones(pair, kinds):
    generator = torch.Generator().manual_seed(0)
    a, b = (side.draw(1000, generator).numpy() for side in (pair.a, pair.b))
    if (b == b[0]).all():
        b = b + 1e-3 * np.random.default_rng(0).normal(size=b.shape)
    found = chosen(a, b, steps=60)
    assert found.critic.name in kinds
    assert validation_value(found.critic.critic, pair_of(a, b)) > 0.9 * pair.w1


def test_the_same_seed_gives_the_same_digits_and_the_same_story():
    a, b = two_moons(150, 120, 3)
    first, again = chosen(a, b, seed=3), chosen(a, b, seed=3)
    assert digest(first.critic.critic) == digest(again.critic.critic)

    def story(found):
        return [(attempt.name, attempt.validation, attempt.steps, attempt.chosen) for attempt in found.tried]

    assert story(first) == story(again)
    assert story(first) != story(chosen(a, b, seed=4))


@pytest.mark.parametrize("which", [*TRAINED, "the longer run"])
def test_ctrl_c_in_a_training_keeps_what_is_proved_and_tries_nothing_more(which):
    """Critics that were tried stay candidates, and so does the one that was cut short, as far as it had come."""
    a, b = two_moons(150, 120, 3)
    started = []

    def stop(event):
        if isinstance(event, CriticStarted) and event.budget != "no training":
            started.append(event.critic)
        if not isinstance(event, Progress):
            return False
        return len(started) == len(TRAINED) + 1 if which == "the longer run" else event.critic == which

    observer = Listener(stop)
    found = chosen(a, b, observer=observer, seconds=0.4)
    tried = [attempt.name for attempt in found.tried]
    assert tried[: len(AT_ONCE)] == list(AT_ONCE)
    assert not set(tried) & set(LATE)
    assert len(tried) == len(AT_ONCE) + (*TRAINED, "the longer run").index(which) + 1
    assert max(attempt.validation for attempt in found.tried) == next(t.validation for t in found.tried if t.chosen)


def test_ctrl_c_between_two_kinds_keeps_what_is_proved_too():
    stop = Listener(lambda event: isinstance(event, CriticStarted) and event.critic == TRAINED[0])
    found = chosen(*two_moons(150, 120, 3), observer=stop)
    assert [attempt.name for attempt in found.tried] == list(AT_ONCE)


@pytest.mark.parametrize("nth", [1, 2 * len(AT_ONCE) + 1])
def test_ctrl_c_in_a_validation_keeps_the_critic_that_is_validated(monkeypatch, nth):
    """Each validation evaluates two sides."""
    left = [nth]

    def evaluated(*arguments):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return evaluate_rows(*arguments)

    monkeypatch.setattr("wdist.estimation.model_selection.evaluate_rows", evaluated)
    found = chosen(*two_moons(150, 120, 3))
    assert [attempt.name for attempt in found.tried] == [*AT_ONCE, TRAINED[0]][: nth // 2 + 1]


def test_ctrl_c_while_two_critics_are_combined_keeps_both(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("wdist.estimation.model_selection.best_blend", interrupted)
    found = chosen(*two_moons(150, 120, 3))
    assert {attempt.name for attempt in found.tried} == {*FORMULAS, *TRAINED}


def test_ctrl_c_before_anything_is_proved_ends_the_call():
    with pytest.raises(KeyboardInterrupt):
        chosen(*two_moons(60, 60, 2), observer=Listener(lambda event: isinstance(event, CriticStarted)))


def single(names):
    """Those that are not put together from two."""
    return {name for name in names if " of " not in name}


@pytest.fixture
def diverging(monkeypatch):
    """Makes the kinds of some names diverge."""

    def diverge(names):
        for kind in {type(kind) for kind in automatic()}:
            real = kind.fit_together

            def find(self, spec, jobs, budget, real=real):
                if self.name in names:
                    return [TrainingDiverged(f"{self.name} gave no finite value at step 0; try a lower --learning-rate")]
                return real(self, spec, jobs, budget)

            monkeypatch.setattr(kind, "fit_together", find)

    return diverge


@pytest.mark.parametrize("names", [("groupsort-bjorck",), TRAINED, ("mean-difference", "cones"), FORMULAS], ids=str)
def test_a_kind_that_diverges_is_left_out(names, diverging):
    diverging(names)
    found = chosen(*two_moons(150, 120, 3))
    tried = {attempt.name for attempt in found.tried}
    assert single(tried) == {*FORMULAS, *TRAINED} - set(names)
    assert found.critic.name in tried


def test_where_all_diverge_the_reason_is_told(diverging):
    diverging((*FORMULAS, *TRAINED))
    with pytest.raises(TrainingDiverged, match="try a lower learning_rate"):
        chosen(*two_moons(60, 60, 2))


def test_settings_reach_the_kinds_that_they_concern():
    """Cones have their own batches and rates; networks have no centres."""
    asked = CriticSettings(width=16, depth=2, batch_size=24, learning_rate=0.03, centres=5, lipschitz=2.0)
    found = chosen(*two_moons(150, 120, 3), settings=asked)
    told = {each.name: each.settings for each in found.fitted}
    assert {each.critic.lipschitz for each in found.fitted} == {2.0}
    assert told["cones"]["centres"] == 5
    assert told["cones"]["learning_rate"] != 0.03
    assert told["groupsort-bjorck"]["width"] == 16
    assert told["groupsort-bjorck"]["learning_rate"] == 0.03
    assert "centres" not in told["groupsort-bjorck"]


def test_formulas_alone_are_a_choice():
    found = chosen(*two_moons(90, 90, 2), only=FORMULAS)
    assert found.critic.outcome.steps == 0
    assert single({attempt.name for attempt in found.tried}) == set(FORMULAS)


def test_no_choice_depends_on_held_out_samples():
    """Other held-out samples, the same story to the last digit."""

    a, b = two_moons(150, 120, 3)
    plain = chosen(a, b)
    changed = a.copy()
    changed[split(150, seed=0).held_out] *= 5
    again = chosen(changed, b)
    assert digest(again.critic.critic) == digest(plain.critic.critic)
    assert [t.validation for t in again.tried] == [t.validation for t in plain.tried]


@pytest.mark.parametrize("fold", [None, 1])
@pytest.mark.parametrize(
    "only", [("cones",), ("elliptic-cones",), ("cones", "single-cone"), ("mean-difference", "radial")], ids=str
)
def test_what_is_chosen_is_fitted_once_more_with_the_validation_samples_and_never_with_held_out_ones(only, fold):
    """The choice is the one without them: no critic is judged by samples that it has learnt."""
    a, b = two_moons(150, 120, 3)
    plain = chosen(a, b, only=only, fold=fold)
    assert digest(plain.critic.critic) not in {digest(each.critic) for each in plain.fitted}
    other = a.copy()
    other[split(150, seed=0).held_out if fold is None else fold_rows(150, FOLDS, fold, seed=0)] *= 5
    again = chosen(other, b, only=only, fold=fold)
    assert digest(again.critic.critic) == digest(plain.critic.critic)
    assert [digest(each.critic) for each in again.fitted] == [digest(each.critic) for each in plain.fitted]


def test_a_refit_that_is_worse_even_on_the_samples_that_it_has_learnt_is_left(monkeypatch):
    a, b = two_moons(150, 120, 3)
    cones = next(kind for kind in automatic() if kind.name == "cones")
    found = chosen(a, b, only=("cones",))
    assert found.critic is not found.fitted[0]

    def swapped(self, spec, job, trained):
        return self.fit(spec, replace(job, pair=replace(job.pair, a=job.pair.b, b=job.pair.a)), Budget(steps=5))

    monkeypatch.setattr(type(cones), "refit", swapped)
    found = chosen(a, b, only=("cones",))
    assert found.critic is found.fitted[0]


def test_a_formula_that_is_chosen_is_the_one_of_training_and_validation_samples():
    a, b = two_moons(150, 120, 3)
    found = chosen(a, b, only=("mean-difference", "single-cone"))
    kind = next(kind for kind in automatic() if kind.name == found.critic.name)
    pair = pair_of(a, b).without_validation
    spec = kind.resolve(CriticSettings(), DataShape.of(pair))
    assert digest(found.critic.critic) == digest(kind.fit(spec, TrainingJob(pair=pair, seed=0, device=CPU), None).critic)


def test_draws_have_no_end_so_nothing_is_fitted_twice():
    pair = sphere(4)
    found = chosen(pair.a, pair.b, only=("cones",))
    assert found.critic is found.fitted[0]


def test_a_network_or_what_would_take_too_long_is_not_fitted_twice(monkeypatch):
    a, b = two_moons(150, 120, 3)
    found = chosen(a, b, only=("groupsort-bjorck",))
    assert found.critic is found.fitted[0]
    cones = next(kind for kind in automatic() if kind.name == "cones")
    monkeypatch.setattr(type(cones), "refit_seconds", lambda self, trained: 0.1)
    found = chosen(a, b, only=("cones",), seconds=0.4)
    assert found.critic is found.fitted[0]


def test_a_baseline_that_validates_better_takes_the_place_of_the_choice():
    a, b = two_moons(150, 120, 3)
    pair = pair_of(a, b)
    weak, good = chosen(a, b, only=("mean-difference", "single-cone")), chosen(a, b)
    better = improved(weak, [good.critic], pair, L2)
    assert better.critic is good.critic
    assert [attempt.name for attempt in better.tried if attempt.chosen] == [good.critic.name]
    assert improved(good, [weak.critic], pair, L2) is good
    named = replace(weak, tried=())
    assert improved(named, [good.critic], pair, L2) is named, "a critic that the user named stays"


def heavy_tailed(n=400):
    random = np.random.default_rng(0)
    return random.standard_t(2.5, (n, 4)) + np.eye(1, 4), random.standard_t(2.5, (n, 4))


def test_candidates_with_heavy_tails_are_clipped_before_they_are_compared():
    """Their names say so; what was fitted stays at hand for the baselines, as it was."""
    found = chosen(*heavy_tailed(), only=AT_ONCE)
    values = {attempt.name: attempt.validation for attempt in found.tried}
    assert "clipped mean-difference" in values
    assert "mean-difference" in {each.name for each in found.fitted}
    (fitted,) = [each for each in found.fitted if each.name == found.critic.name]
    assert validation_value(fitted.critic, pair_of(*heavy_tailed())) == values[found.critic.name]
    assert not any("clipped" in attempt.name for attempt in chosen(*two_moons(150, 120, 3), only=AT_ONCE).tried)


def test_a_baseline_with_heavy_tails_is_clipped_before_it_takes_the_place():
    pair = pair_of(*heavy_tailed())
    weak, good = (chosen(*heavy_tailed(), only=names) for names in (("radial", "single-cone"), ("mean-difference", "radial")))
    plain = next(each for each in good.fitted if each.name == "mean-difference")
    better = improved(weak, [plain], pair, L2)
    assert (better.critic.name, better.fitted[0]) == ("clipped mean-difference", plain)
    found = estimate(*heavy_tailed(), critic="auto", baselines=["mean-difference", "max-sliced"], steps=6, settings=SMALL)
    assert len({each.name for each in (found.critic, *found.baselines)}) == 1 + len(found.baselines)


def test_the_main_critic_of_an_estimate_never_validates_worse_than_its_baselines():
    """One that validated better becomes the main critic, and is no baseline any more."""
    a, b = two_moons(300, 300, 2)
    found = estimate(
        a, b, critic="auto", baselines=["fullsort-bjorck", "maxmin-bjorck"], steps=60, settings=CriticSettings(width=16)
    )
    values = {each.name: validation_value(each.frozen, pair_of(a, b)) for each in (found.critic, *found.baselines)}
    assert values[found.critic.name] == max(values.values())
    assert found.critic.name not in {each.name for each in found.baselines}
