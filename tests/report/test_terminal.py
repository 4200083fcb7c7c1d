"""The result as a reader sees it."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from wdist.report.terminal import rendered, sentence


def shown(estimate, width=80):
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False, markup=False).print(rendered(estimate))
    return stream.getvalue()


@pytest.mark.parametrize("width", [72, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(estimate, width):
    lines = shown(estimate, width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert "…" not in shown(estimate, width)


@pytest.mark.parametrize("width", [72, 80, 120])
def test_long_names_and_tiny_numbers_fit_as_well(estimate_of, critic_of, width):
    others = (critic_of("groupsort-spectral", 1.2345e-7), critic_of("weight-clipping", -3.0, certified=False))
    text = shown(estimate_of(784, truth=None, baselines=others), width)
    assert "…" not in text
    assert "1.234e-7" in text
    assert max(len(line) for line in text.splitlines()) <= width


def test_nothing_but_text_is_written_where_there_is_no_terminal(estimate):
    assert "\x1b" not in shown(estimate)


def test_critics_are_sorted_best_first(estimate):
    text = shown(estimate)
    table = text[text.index("(one budget)") :]
    assert table.index("groupsort-bjorck") < table.index("relu-bjorck") < table.index("relu-spectral")


def test_bars_are_as_long_as_their_bounds(estimate):
    lines = {line.split()[0]: line.count("█") for line in shown(estimate, 120).splitlines() if "█" in line}
    assert lines["relu-spectral"] / lines["groupsort-bjorck"] == pytest.approx(0.31234 / 0.98765, abs=0.06)


def test_the_lower_bound_is_rounded_down_and_the_upper_bound_up(estimate_of, critic_of):
    text = shown(estimate_of(critic=critic_of(lower=0.999999, upper=1.000001)))
    assert "0.99999 <= W1 <= 1.0001" in text


def test_the_sentence_names_what_is_bounded_metric_units_confidence_and_counts(estimate):
    words = sentence(estimate)
    for part in ("W1", "Euclidean metric", "units of the data", "95 %", "5,000", "4,000", "1,000", "800", "at least", "at most"):
        assert part in words


def test_distance_is_never_said_of_a_bound(estimate):
    assert not re.search("distance", shown(estimate), re.IGNORECASE)


def test_an_exact_value_is_called_exact(estimate_of, critic_of):
    exact = estimate_of(critic=critic_of(exact=True))
    assert "0.98765 <= W1 = 1.0100" in shown(exact)
    assert "its exact value is 1.0100" in sentence(exact)


def test_truth_and_tightness_are_shown_where_they_are_known(estimate, estimate_of):
    assert re.search(r"truth +1.0000 = W1 of the populations +tightness 98.8 %", shown(estimate))
    assert "tightness" not in shown(estimate_of(truth=None)).lower()


def test_an_uncertified_value_is_labelled_not_a_bound(estimate_of, critic_of):
    text = shown(estimate_of(baselines=(critic_of("weight-clipping", 7.0, certified=False),)))
    assert re.search(r"weight-clipping +not a bound", text)
    uncertified = estimate_of(critic=critic_of(certified=False))
    assert "not a bound" in shown(uncertified)
    assert "<= W1" not in shown(uncertified)


def test_a_negative_lower_bound_is_shown_as_zero(estimate_of, critic_of):
    assert re.search(r"populations +0 <= W1", shown(estimate_of(critic=critic_of(lower=0.005))))


def test_an_address_cannot_paint_the_result(estimate_of):

    estimate = estimate_of()
    text = shown(estimate_of(a=replace(estimate.a, address="[bold red]a.h5[/]")))
    assert "[bold red]a.h5[/]" in text


@pytest.mark.parametrize("width", [72, 80, 100, 120])
def test_a_comparison_fits_and_cuts_no_number(comparison, width):
    text = shown(comparison, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for critic in comparison.critics:
        assert text.count(f"\n{critic.name} ") >= 2


def test_a_name_longer_than_the_terminal_goes_on_in_the_next_line(comparison, critic_of):

    long = critic_of("a-critic-with-a-name-that-nobody-should-ever-have-to-type-on-any-command-line")
    text = shown(replace(comparison, baselines=(*comparison.baselines, long)), 72)
    assert max(len(line) for line in text.splitlines()) <= 72
    assert "0.9876" in text
    assert "…" not in text


def test_a_comparison_is_sorted_and_shows_the_spread_over_seeds(comparison):
    text = shown(comparison)
    first = text[text.index("what it proves") : text.index("how it came about")]
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
    class Latin(io.StringIO):
        encoding = "ascii"

    stream = Latin()
    Console(file=stream, width=80, highlight=False, markup=False).print(rendered(comparison))
    table = stream.getvalue().partition("what it proves")[2].partition("K is the certificate")[0]
    assert "+-0.012" in table
    assert "±" not in table


def test_a_baseline_cut_short_is_said_to_be_and_only_what_is_shown_is_counted(estimate_of, critic_of):
    main = critic_of()
    main = replace(main, population=replace(main.population, jointly_with=3))
    cut = replace(critic_of("relu-spectral", 0.3), interrupted=True)
    text = " ".join(shown(estimate_of(critic=main, baselines=(cut,), interrupted=True)).split())
    assert "The 2 lower bounds for the populations hold together" in text
    assert "relu-spectral: interrupted, before the budget was spent." in text
