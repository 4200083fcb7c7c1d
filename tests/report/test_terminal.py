"""The result as a reader sees it."""

import re
from dataclasses import replace

import pytest

from tests.estimates import made_critic, made_estimate
from tests.report.consoles import shown
from wdist.data.sources.column import plain_columns
from wdist.estimation.result import Detected


@pytest.mark.parametrize("width", [45, 72, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(estimate, width):
    lines = shown(estimate, width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert "…" not in shown(estimate, width)


@pytest.mark.parametrize("width", [45, 72, 80, 120])
def test_long_names_and_tiny_numbers_fit_as_well(width):
    others = (made_critic("groupsort-spectral", 1.2345e-7), made_critic("weight-clipping", -3.0))
    text = shown(made_estimate(784, truth=None, baselines=others), width)
    assert "…" not in text
    assert "1.234e-7" in text
    assert max(len(line) for line in text.splitlines()) <= width


def test_nothing_but_text_is_written_where_there_is_no_terminal(estimate):
    assert "\x1b" not in shown(estimate)


def test_critics_are_sorted_best_first(estimate):
    text = shown(estimate)
    table = text[text.index("\ncritic ") :]
    assert table.index("groupsort-bjorck") < table.index("relu-bjorck") < table.index("relu-spectral")


def test_bars_are_as_long_as_their_bounds(estimate):
    lines = {line.split()[0]: line.count("█") for line in shown(estimate, 120).splitlines() if "█" in line}
    assert lines["relu-spectral"] / lines["groupsort-bjorck"] == pytest.approx(0.31234 / 0.98765, abs=0.06)


def test_the_lower_bound_is_rounded_down_and_the_upper_bound_up():
    text = shown(made_estimate(critic=made_critic(lower=0.999999, upper=1.000001)))
    assert "0.99999 <= W1 <= 1.0001" in text


def test_metric_units_confidence_and_counts_are_stated_once(estimate):
    words = " ".join(shown(estimate).split())
    for part in (
        "Euclidean",
        "in the units of the data",
        "5,000 draws of A and 4,000 draws of B",
        "1,000 held-out samples of A and 800 of B",
    ):
        assert words.count(part) == 1
    assert "95 % confidence" in words


def test_the_verdict_comes_first_in_plain_words():
    def first_line(**changes):
        return shown(made_estimate(baselines=(), **changes), 120).splitlines()[0].rstrip()

    assert first_line() == "A and B differ: W1 is at least 0.97765, with 95 % confidence."
    open_question = made_critic(lower=0.005)
    assert first_line(critic=open_question) == "No difference is proved at this sample size."
    bounded = replace(open_question, population=replace(open_question.population, upper=0.3))
    assert first_line(critic=bounded) == "No difference is proved at this sample size; W1 is at most 0.30000, with 95 % confidence."
    exact = made_critic(lower=0.005, upper=0.007, exact=True)
    assert first_line(critic=exact) == "No difference is proved at this sample size; the two sample sets are 0.0070000 apart."
    assert first_line(digest_a="d", digest_b="d") == "A and B are the same samples: W1 is 0."
    assert first_line(interrupted=True).endswith("(interrupted)")


def made_detected(**changes):
    facts = {
        "estimate": 0.02,
        "lower": -0.0123456,
        "upper": 0.0523456,
        "confidence": 0.95,
        "method": "welch",
        "n_a": 150,
        "n_b": 149,
    }
    facts |= {"p_value": 0.31, "p_value_method": "permutations", "detectable": 0.0487, "error_a": 0.01, "error_b": 0.013}
    return Detected(**{**facts, "freedom": 280.0, **changes})


def test_a_difference_that_another_critic_proves_is_the_verdict():
    """All bounds for the populations hold together."""
    nothing = replace(made_critic().population, lower=0.0, upper=0.7)
    estimate = made_estimate(critic=replace(made_critic(), population=nothing))
    first = " ".join(shown(estimate).split("\n\n")[0].split())
    assert first == "A and B differ: W1 is at least 0.63320, with 95 % confidence, by relu-bjorck."


def test_the_verdict_says_how_sure_a_test_is():
    def first_line(**changes):
        return shown(made_estimate(baselines=(), **changes), 160).splitlines()[0].rstrip()

    sure = made_detected(p_value=2e-9)
    assert first_line(detected=sure) == "A and B differ: W1 is at least 0.97765, with 95 % confidence (p < 0.0001)."
    open_question = made_critic(lower=0.005)
    assert first_line(critic=open_question, detected=made_detected()) == (
        "No difference between the distributions is detected (p = 0.31): this critic would have found one above 0.049 with 90 % "
        "power."
    )
    bounded = replace(open_question, population=replace(open_question.population, upper=0.3))
    assert first_line(critic=bounded, detected=made_detected(p_value=0.03)) == (
        "A and B differ (p = 0.03), though the interval for the populations includes 0; "
        "W1 is at most 0.30000, with 95 % confidence."
    )
    few = first_line(critic=bounded, detected=made_detected(detectable=0.31))
    assert few.startswith("No difference between the distributions is detected (p = 0.31), but the samples are too few: ")


def test_what_the_critic_finds_stands_beside_the_bounds_and_is_not_called_one_from_above():
    text = shown(made_estimate(detected=made_detected()))
    assert re.search(r"detected +-0.012346 to 0.052346  at 95 %; by the critic, on fresh samples", text)
    assert "(Welch's t, asymptotic; p by permutations)" in " ".join(text.split())
    assert "its upper end is not a bound of W1" in " ".join(text.split())
    folds = shown(made_estimate(detected=made_detected(method="cross-fitted", p_value_method="welch")))
    assert "(Welch's t over folds, asymptotic)" in " ".join(folds.split())


def test_a_training_that_was_still_rising_may_be_longer_by_steps_or_by_time():
    words = " ".join(shown(made_estimate(critic=replace(made_critic(), converged=False))).split())
    assert "still rising when training ended: more --steps or a longer --budget may tighten the bound." in words


def test_folds_that_chose_different_critics_are_told():
    def text(*names):
        critic = made_critic(name=names[0])
        critic = replace(critic, folds=tuple(replace(critic, name=name) for name in names))
        return " ".join(shown(made_estimate(critic=critic, folds=len(names)), 300).split())

    mixed = text("cones", "groupsort-bjorck", "groupsort-bjorck")
    assert "2 kinds of critics" in mixed
    assert "The folds chose different critics (2 groupsort-bjorck, 1 cones); the tables name that of the best fold." in mixed
    same = text("cones", "cones")
    assert "chose" not in same
    assert "kinds of critics" not in same


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (3, "Each of 3 folds was held out from one training;"),
        (2, "2 of 3 folds were done, each held out from one training;"),
        (1, "1 of 3 folds was done, each held out from one training;"),
    ],
)
def test_an_interrupted_run_says_how_many_folds_were_done(done, told):
    main = made_critic("cones", 1.0)
    result = replace(made_estimate(2), folds=3, critic=replace(main, folds=(main,) * done))
    assert told in " ".join(shown(result, 120).split())


def test_folds_are_advised_where_few_samples_were_held_out_and_the_option_is_allowed():
    critic = made_critic()
    few = replace(critic, population=replace(critic.population, method="welch", n_a=150, n_b=149))
    stored = replace(made_estimate().a, count=900)

    def advised(critic=few, **changes):
        facts = {"critic": critic, "a": stored, "detected": made_detected(), **changes}
        return "With --folds 5" in shown(made_estimate(**facts), 160)

    assert advised()
    assert not advised(replace(few, population=replace(few.population, n_a=600, n_b=600)))
    assert not advised(replace(few, population=replace(few.population, method="betting")))
    assert not advised(a=replace(stored, count=None)), "both sides are drawn without end"
    assert not advised(detected=None), "both sides are the same samples"
    assert not advised(folds=5)
    assert not advised(a=replace(stored, scaling="std")), "folds are refused if units are fitted to one part"


@pytest.mark.parametrize(("names", "told"), [(None, False), (["a"], False), (["a", "b"], True)])
def test_tables_are_told_how_to_find_the_columns_that_differ(names, told):
    columns = None if names is None else plain_columns(names)
    sides = {side: replace(getattr(made_estimate(), side), count=900, columns=columns) for side in "ab"}
    assert ("wdist drift shows which columns differ." in shown(made_estimate(digest_a="a", digest_b="b", **sides))) == told
    assert "wdist drift" not in shown(made_estimate(digest_a="a", digest_b="a", **sides)), "the same rows"


def test_bounds_for_the_populations_that_exclude_each_other_are_called_so():
    critic = made_critic()
    estimate = made_estimate(critic=replace(critic, population=replace(critic.population, lower=0.9, upper=0.7)))
    text = shown(estimate, 120)
    assert text.startswith("One bound for the populations is wrong: W1 would be at least 0.90000 and at most 0.70000, with 95 %")
    assert "contradictory" in text


def test_six_lines_come_before_the_critics(estimate):
    lines = shown(estimate, 100).splitlines()
    assert [line.split("  ")[0] for line in lines[2:7]] == ["samples", "populations", "lower bounds", "upper bounds", "truth"]
    assert lines[7].strip() == ""
    assert lines[9].startswith("critic ")


def test_distance_is_never_said_of_a_bound(estimate):
    assert not re.search("distance", shown(estimate), re.IGNORECASE)


def test_an_exact_value_is_called_exact():
    exact = made_estimate(critic=made_critic(exact=True))
    assert "0.98765 <= W1 = 1.0100" in shown(exact)


def test_truth_and_tightness_are_shown_where_they_are_known(estimate):
    assert re.search(r"truth +1.0000 = W1 of the populations +tightness 98.8 %", shown(estimate))
    assert "tightness" not in shown(made_estimate(truth=None)).lower()


def test_a_negative_lower_bound_is_shown_as_zero():
    assert re.search(r"populations +0 <= W1", shown(made_estimate(critic=made_critic(lower=0.005))))


def test_an_address_cannot_paint_the_result():

    estimate = made_estimate()
    text = shown(made_estimate(a=replace(estimate.a, address="[bold red]a.h5[/]")))
    assert "[bold red]a.h5[/]" in text


@pytest.mark.parametrize("width", [45, 72, 80, 100, 120])
def test_a_comparison_fits_and_cuts_no_number(comparison, width):
    text = shown(comparison, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for critic in comparison.critics:
        start = critic.name if width >= 80 else critic.name[:13]  # narrow columns fold long names
        assert text.count(f"\n{start}") >= 2


def test_a_name_longer_than_the_terminal_goes_on_in_the_next_line(comparison):

    long = made_critic("a-critic-with-a-name-that-nobody-should-ever-have-to-type-on-any-command-line")
    text = shown(replace(comparison, baselines=(*comparison.baselines, long)), 72)
    assert max(len(line) for line in text.splitlines()) <= 72
    assert "0.9876" in text
    assert "…" not in text


def test_a_comparison_is_sorted_and_shows_the_spread_over_seeds(comparison):
    text = shown(comparison)
    first = text[text.index("what it proves") : text.index("how it was trained")]
    names = ["groupsort-bjorck", "householder-bjorck", "groupsort-9-bjorck", "relu-bjorck", "relu-spectral", "mean-difference"]
    places = [first.index(f"\n{name} ") for name in names]
    assert places == sorted(places)
    assert re.search(r"relu-bjorck +0.6250 ±0.012 ", first)
    assert "± is the standard deviation over 3 seeds" in " ".join(text.split())


def test_values_without_a_constraint_are_called_no_bound_and_shown_with_their_slope_and_what_is_left(comparison):
    text = shown(comparison)
    last = text[text.index("no constraint") :]
    assert "not a bound" in last
    assert re.search(r"gradient-penalty-one-sided +2.312 +1.412 +213.5 +0.0001234", last)
    assert "over K" in text


def test_a_terminal_without_unicode_has_another_sign_for_plus_or_minus(comparison):
    table = shown(comparison, ascii_only=True).partition("what it proves")[2].partition("K is the certificate")[0]
    assert "+-0.012" in table
    assert "±" not in table


def test_a_baseline_cut_short_is_said_to_be_and_only_what_is_shown_is_counted():
    main = made_critic()
    main = replace(main, population=replace(main.population, jointly_with=3))
    cut = replace(made_critic("relu-spectral", 0.3), interrupted=True)
    text = " ".join(shown(made_estimate(critic=main, baselines=(cut,), interrupted=True)).split())
    assert "The 2 lower bounds for the populations hold together" in text
    assert "relu-spectral: interrupted before the budget was spent." in text


@pytest.mark.parametrize("width", [45, 72, 80, 120])
def test_a_chosen_critic_fits_and_cuts_nothing(auto, width):
    text = shown(auto, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_each_end_of_each_interval_says_what_proves_it(auto):
    text = shown(auto, 120)
    assert "1.0087 <= W1 = 1.0100" in text
    assert "0.97765 <= W1 <= 1.2346" in text
    assert re.search(r"lower bounds +c-transform of the optimal potentials; cones, Welch's t, asymptotic\s*\n", text)
    assert re.search(r"upper bounds +exact transport; mean of 8 blocks of 500, Student's t\s*\n", text)


def test_all_bounds_for_the_populations_are_counted_together(auto):
    assert "The 4 bounds for the populations hold together at 95 % confidence," in " ".join(shown(auto).split())


def test_the_gap_that_was_asked_for_is_said_to_be_reached_or_not(auto, estimate):
    assert re.search("gap +at most 2 % was requested: reached", shown(auto))
    wide = replace(auto, samples=replace(auto.samples, lower=0.9))
    assert "at most 2 % was requested: not reached" in shown(wide)
    assert "requested" not in shown(estimate)


def test_what_was_tried_is_listed_best_first_and_the_chosen_one_is_marked(auto, estimate):
    text = shown(auto)
    table = text[text.index("tried, and chosen") :]
    names = ["cones", "groupsort-bjorck", "mean-difference", "single-cone"]
    places = [table.index(f"\n{name} ") for name in names]
    assert places == sorted(places)
    assert re.search(r"\ncones +0.9861 +█+ +chosen +1033 +4.2s", table)
    assert table.count("chosen") == 3  # in the header, beside one critic, and in a remark
    assert "cones: chosen from 4 critics in 14 s; width 64" in " ".join(table.split())
    assert "tried" not in shown(estimate)


def test_a_bound_of_nothing_tried_is_no_obstacle(auto):
    nothing = replace(auto.critic, tried=tuple(replace(attempt, validation=-1.0) for attempt in auto.critic.tried))
    assert "chosen" in shown(replace(auto, critic=nothing))
