"""The pictures of a comparison: intervals on one scale, and samples side by side."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.comparisons import made_comparison, made_entry
from wdist.report.plots.comparison import contact_sheet_bytes, draw_comparison, draw_contact_sheet, mosaic
from wdist.report.presentation import figure_bytes

NEAR = made_entry("near", (0.1, 0.2, 1.0), (0.5, 0.6))
OPEN = made_entry("a name of more than thirty-four letters, $dollars$ included", (1.1, 1.2, None), (1.5, None))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_picture_is_of_the_kind_that_its_name_says_and_always_the_same(suffix):
    content = figure_bytes(made_comparison(NEAR, OPEN), suffix=suffix)
    assert content.lstrip().startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    assert content == figure_bytes(made_comparison(NEAR, OPEN), suffix=suffix)


def test_every_source_has_a_row_with_the_nearest_on_top_and_its_interval():
    figure = draw_comparison(made_comparison(NEAR, OPEN))
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "noise floor"
    assert labels[-1] == "1  near"
    assert len(labels) == 3
    drawn = [(tuple(line.get_xdata()), line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata()) == 2]
    assert ((0.1, 1.0), 2) in drawn
    assert axes.get_xlim()[1] >= 1.5


@pytest.mark.parametrize("detected", [-0.3, -0.003])
def test_a_negative_detected_value_is_drawn_where_it_is_and_not_cut_at_the_edge(detected):
    figure = draw_comparison(made_comparison(NEAR, floor=(0.0, detected, 0.75)))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    marks = {line.get_ydata()[0]: line for line in axes.lines if line.get_marker() == "o"}
    assert {row: mark.get_xdata()[0] for row, mark in marks.items()} == {0: detected, 1: 0.2}
    assert marks[0].get_window_extent().x0 >= axes.bbox.x0


def test_no_words_leave_the_figure():
    made = made_comparison(NEAR, OPEN)
    address = "torchvision:MNIST?split=test&root=/data/of/the/whole/group/MNIST&limit=2000&classes=3,8"
    figure = draw_comparison(replace(made, reference=replace(made.reference, address=address)))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for words in (axes.xaxis.label, *axes.get_yticklabels(), *axes.texts, *figure.legends):
        box = words.get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


def test_no_interval_at_all_makes_a_picture_too():
    zero = made_entry("same", (0.0, 0.0, None), (0.0, 0.0))
    assert figure_bytes(made_comparison(zero, floor=None), suffix=".png").startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (3, 8, 8), (8, 8, 1), (8, 8, 3)])
def test_images_stand_in_a_row_with_gutters_between(shape):
    images = torch.rand(3, *shape)
    sheet = mosaic(images, 4)
    assert sheet.shape == (8, 4 * 8 + 3, 3)
    assert np.isnan(sheet[:, 8]).all()
    assert np.isnan(sheet[:, 27:]).all()
    last = images[2]
    pixels = last if last.ndim == 2 else (last.permute(1, 2, 0) if shape[0] <= 3 else last)
    expected = pixels.numpy().reshape(8, 8, -1)
    assert np.array_equal(sheet[:, 18:26], np.broadcast_to(expected, (8, 8, 3)))


def test_a_contact_sheet_has_two_strips_for_each_source():
    entries = [replace(entry, witnesses=None) for entry in (NEAR,)]
    entries += [made_entry(name, (0.1, place, 2.0), images=torch.rand(5, 8, 8)) for place, name in enumerate(("x", "y"), start=1)]
    figure = draw_contact_sheet(made_comparison(*entries))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["reference images least like those of x", "images of x least like the reference"]
    assert [title.split()[0] for title in titles] == ["reference", "images", "reference", "images"]
    content = contact_sheet_bytes(made_comparison(*entries), suffix=".png")
    assert Image.open(io.BytesIO(content)).width > 1000


@pytest.mark.parametrize("name", ["a$\\nosuch{$", "n\udcff.h5", "red\x1b[31m\n"], ids=["formula", "no UTF-8", "control characters"])
def test_no_name_keeps_a_picture_from_being_drawn(name):
    entry = made_entry(name, (0.1, 0.2, 1.0), images=torch.rand(5, 8, 8))
    assert figure_bytes(made_comparison(entry), suffix=".svg")
    assert contact_sheet_bytes(made_comparison(entry), suffix=".svg")
