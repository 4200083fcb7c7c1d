"""Figures of a result."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.estimates import chosen_critic, compared_critics, made_critic, made_estimate
from wdist.report.plots.estimate import draw
from wdist.report.plots.figure import drawable_apart
from wdist.report.presentation import figure_bytes

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_suffix_says_what_is_written(suffix):
    assert figure_bytes(made_estimate(16), suffix=suffix).startswith(MAGIC[suffix])


@pytest.mark.parametrize("dim", [1, 2, 16])
def test_a_figure_shows_something_and_stands_on_white(dim):
    image = np.asarray(Image.open(io.BytesIO(figure_bytes(made_estimate(dim), suffix=".png"))).convert("L"))
    assert image[0, 0] == 255
    assert 0.005 < (image < 250).mean() < 0.9


@pytest.mark.parametrize("dim", [1, 2])
def test_every_critic_has_its_panel_with_its_value(dim):
    titles = " ".join(axes.get_title() for axes in draw(made_estimate(dim)).axes)
    for words in ("groupsort-bjorck", "held-out 0.9887", "relu-spectral", "held-out 0.3133", "relu-bjorck"):
        assert words in titles


def test_learning_curves_are_named_at_their_ends_and_stay_below_the_truth():
    figure = draw(made_estimate(16))
    labels = " ".join(text.get_text() for text in figure.axes[0].texts)
    for words in ("groupsort-bjorck", "relu-spectral", "relu-bjorck", "true"):
        assert words in labels


def test_a_critic_without_history_or_upper_bound_is_no_obstacle():
    from dataclasses import replace

    bare = replace(made_critic(upper=None), history=())
    assert figure_bytes(made_estimate(16, critic=bare, baselines=(), truth=None), suffix=".png")


def test_a_figure_of_critics_that_took_no_training_shows_their_bounds():
    """Empty axes would say less than the headline."""
    figure = draw(made_estimate(16, critic=made_critic("mean-difference", steps=0), baselines=(), truth=None))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["mean-difference"]
    assert "lower bound for the samples" in axes.get_xlabel()


def test_the_same_result_gives_the_same_file():
    assert figure_bytes(made_estimate(16), suffix=".pdf") == figure_bytes(made_estimate(16), suffix=".pdf")


def texts(figure):
    """All words of a figure and its parts."""
    from matplotlib.text import Text

    return " ".join(found.get_text() for found in figure.findobj(Text))


@pytest.mark.parametrize("dim", [1, 2, 16])
def test_a_comparison_shows_bars_curves_and_each_critic(dim):
    comparison = compared_critics(dim)
    words = texts(draw(comparison))
    for critic in comparison.critics:
        assert words.count(critic.name) >= (2 if dim == 16 else 3)
    assert "raw 2.312, not a bound" in words
    assert "whisker" in words
    assert figure_bytes(comparison, suffix=".png").startswith(MAGIC[".png"])


def test_bars_are_in_the_order_of_the_table_and_as_long_as_their_bounds(comparison):
    bars = draw(comparison).subfigs[0].axes[0].patches
    lengths = [bar.get_width() for bar in bars]
    assert lengths == sorted(lengths)
    assert lengths[-1] == comparison.samples.lower


def test_what_is_no_bound_does_not_set_the_scale(comparison):
    from dataclasses import replace

    wild = [replace(critic, raw_value=critic.raw_value and critic.raw_value * 1e6) for critic in comparison.baselines]
    bars, curves = (area.axes[0] for area in draw(replace(comparison, baselines=tuple(wild))).subfigs[:2])
    assert bars.get_xlim()[1] < 2
    assert curves.get_ylim()[1] < 2


@pytest.mark.parametrize("dim", [1, 2, 16])
def test_what_was_tried_stands_below_the_picture(dim):
    auto = chosen_critic(dim)
    words = texts(draw(auto))
    for attempt in auto.critic.tried:
        assert attempt.name in words
    assert "0.9861, 4.2 s" in words
    assert figure_bytes(auto, suffix=".png").startswith(MAGIC[".png"])


def test_a_picture_says_which_critics_the_folds_chose():
    from dataclasses import replace

    auto = chosen_critic(2)
    folds = tuple(replace(auto.critic, name=name) for name in ("cones", "groupsort-bjorck", "groupsort-bjorck"))
    words = texts(draw(replace(auto, critic=replace(auto.critic, folds=folds))))
    assert "in the best fold\nthe folds chose 2 groupsort-bjorck, 1 cones" in words
    assert "best of 3 folds" in words
    assert "fold" not in texts(draw(replace(auto, critic=replace(auto.critic, folds=folds[1:]))))


def test_the_headline_of_a_known_pair_has_both_ends(auto):
    from dataclasses import replace

    assert r"0.9776 $\leq W_1 \leq$ 1.235 with 95 % confidence" in texts(draw(replace(auto, truth=1.0)))


def test_what_was_chosen_from_several_stands_against_time():
    assert draw(chosen_critic(16)).subfigs[0].axes[0].get_xlabel() == "seconds of training"
    assert draw(made_estimate(16)).axes[0].get_xlabel() == "step"


def test_a_chosen_formula_is_a_level_line_beside_the_curves():
    from dataclasses import replace

    auto = chosen_critic(16)
    formula = replace(
        auto.critic, name="mean-difference", steps=0, history=(replace(auto.critic.history[-1], step=0, seconds=0.0),)
    )
    axes = draw(replace(auto, critic=formula)).subfigs[0].axes[0]
    assert "mean-difference" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[1] > formula.history[-1].validation
    assert draw(replace(auto, critic=formula, baselines=()))


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["age", "income"], ["age", "income"]),
        (["temperature of sensor 1 (kg)", "age"], ["tempera…r 1 (kg)", "age"]),
        ([f"temperature of sensor {k} in the hall" for k in "12"], ["… sensor 1 in…", "… sensor 2 in…"]),
        (["a" * 30 + middle + "b" * 30 + end for middle in "12" for end in "xy"], None),
    ],
)
def test_names_that_are_cut_stay_different(names, shown):
    found = drawable_apart(names, 16)
    assert found == (names if shown is None else shown)
