"""A study as a reader sees it: text, document, picture."""

import io
import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from tests.report.consoles import shown
from wdist.environment import Environment
from wdist.report.documents.forms import model
from wdist.report.plots.figure import DPI
from wdist.report.plots.study import draw_study
from wdist.report.presentation import figure_bytes
from wdist.studies.machine import Machine
from wdist.studies.panels import Mosaic, Panel, Series, Surface
from wdist.studies.study import (
    ClaimCheck,
    Column,
    Conclusion,
    Conditions,
    ReproducedNumber,
    Skipped,
    Study,
    StudyResult,
    StudyTable,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    samples: int | None
    share: float
    spread: float | None
    lower: float
    upper: float | None
    right: bool


TABLE = StudyTable(
    "everything at once",
    Row,
    Column(header="pair", cell=lambda row: row.name),
    Column(header="samples", cell=lambda row: row.samples or "endless", kind="number"),
    Column(header="tight-\nness", cell=lambda row: row.share, spread=lambda row: row.spread, kind="share"),
    Column(header=">=", cell=lambda row: row.lower, kind="at least"),
    Column(header="<=", cell=lambda row: row.upper, kind="at most"),
    Column(header="time", cell=lambda row: row.lower, kind="seconds"),
    Column(header="right", cell=lambda row: row.right),
)


HERE = {
    "machine": Machine(processor="A Processor", cores=2, memory=8 << 30),
    "environment": Environment(
        wdist="0.1.0", python="3.12", torch="2.13.0", platform="Linux", device="cpu", threads=1, precision="float64"
    ),
    "commit": "0123456789ab+",
}
SUITE = Study(name="suite", title="a suite", measure=lambda conditions: iter(()), tables=(TABLE,), reduced=("fewer rows",))
FIGURE = Study(
    name="figure99",
    title="Everything at once",
    source="figure 99, appendix Z",
    measure=lambda conditions: iter(()),
    reduced=("10 steps instead of 1000",),
)


@pytest.fixture
def result():
    return StudyResult(
        study=SUITE,
        conditions=Conditions(quick=True, seeds=(0, 1), budget="5s"),
        rows=(
            Row(name="cones", samples=None, share=0.99999, spread=0.0123, lower=0.99999, upper=1.00001, right=True),
            Row(name="cones", samples=20_000, share=0.5, spread=None, lower=123.45, upper=None, right=False),
            Row(
                name="a-pair-with-a-long-name-dim-128",
                samples=5,
                share=float("nan"),
                spread=None,
                lower=0.1,
                upper=None,
                right=True,
            ),
        ),
        skipped=(Skipped(name="digits", reason="are not here"),),
        conclusion=Conclusion(
            checks=(
                ClaimCheck(claim="One thing.", holds=True, detail="0 of 3"),
                ClaimCheck(claim="Another thing.", holds=False, detail="2 of 3"),
            ),
            panels=(
                Panel(
                    title="points",
                    x_label="",
                    y_label="share",
                    series=(
                        Series(name="ours", x=(0.0, 1.0), y=(0.9, 0.5), errors=(0.05, 0.0), marks=True),
                        Series(name="theirs", x=(0.0, 1.0), y=(0.7, 3.0), marks=True, reference=True),
                    ),
                    ticks=("one", "two"),
                    level=1.0,
                    top=1.5,
                ),
                Panel(
                    title="lines",
                    x_label="seconds",
                    y_label="share",
                    series=(
                        Series(name="a, full", x=(0.1, 1.0), y=(0.2, 0.9)),
                        Series(name="a, full", x=(0.1, 1.0), y=(0.3, 0.8)),
                        Series(name="a, part", x=(0.1,), y=(0.2,), reference=True),
                    ),
                    log_x=True,
                ),
            ),
            remarks=("How to read it.",),
        ),
        seconds=61.0,
        **HERE,
    )


@pytest.fixture
def reproduction():
    return StudyResult(
        study=FIGURE,
        conditions=Conditions(quick=True),
        rows=(
            ReproducedNumber(row="MaxMin", column="dimension 2", ours=0.91, paper=0.95),
            ReproducedNumber(row="MaxMin", column="dimension 3", ours=0.99, paper=0.90),
            ReproducedNumber(row="ReLU", column="spread", ours=5.0, paper=(4.0, 8.0)),
            ReproducedNumber(row="ReLU", column="dimension 3", ours=0.5),
        ),
        conclusion=Conclusion(
            settings={"width": 16, "optimizer": "adam"},
            checks=(
                ClaimCheck(claim="One is above the other.", holds=True, detail="by 0.4"),
                ClaimCheck(claim="Both are right.", holds=False, detail="neither is"),
            ),
            panels=(
                Panel(
                    title="curves",
                    x_label="x",
                    y_label="y",
                    series=(
                        Series(name="ours", x=(0.0, 1.0), y=(0.0, 1.0)),
                        Series(name="ours, paper", x=(0.0, 1.0), y=(0.0, 0.9), reference=True),
                    ),
                ),
            ),
            remarks=("The paper states no width.",),
        ),
        seconds=1.0,
        full_seconds=100.0,
        **HERE,
    )


@pytest.fixture
def surface():
    """A cone over the plane."""
    x, y = np.linspace(-1, 1, 9), np.linspace(-1, 1, 5)
    return Surface(title="cone", x=x, y=y, z=np.hypot(*np.meshgrid(x, y)), peaks=((0.0, 0.0),), main=True)


def with_panels(result, *panels):
    return replace(result, conclusion=replace(result.conclusion, panels=panels))


@pytest.mark.parametrize("width", [72, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(result, width):
    result = replace(result, rows=tuple(replace(row, share=0.5) for row in result.rows))
    text = shown(result, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_cells_are_written_as_their_kind_asks(result):
    lines = shown(replace(result, rows=result.rows[:2]), 100).splitlines()
    first = next(line for line in lines if line.startswith("cones"))
    assert first.split() == ["cones", "endless", "99.9", "%", "±1.2", "0.9999", "1.001", "1.0s", "yes"]
    second = lines[lines.index(first) + 1]
    assert second.split() == ["20,000", "50.0", "%", "123.4", "123s", "no"]


def test_what_is_no_number_is_none_and_null(result):
    assert "none" in shown(result)
    document = result.to_json()
    assert json.loads(document)["tables"][0]["rows"][2]["share"] is None
    assert "NaN" not in document


def test_checks_what_was_skipped_and_the_machine_are_told(result):
    words = " ".join(shown(result).split())
    assert re.search(r"One thing\. yes 0 of 3 Another thing\. NO 2 of 3", words)
    assert "digits: skipped: are not here" in words
    assert "--quick: fewer rows." in words
    assert "A Processor, 2 cores (1 used), 8 GiB; cpu; torch 2.13.0; wdist 0.1.0 at 0123456789ab+." in words
    assert "Seeds 0, 1, 5s per pair; 1 min 01 s in all." in words


def test_an_interrupted_run_says_so(result):
    assert "interrupted" not in shown(result)
    assert "interrupted: only the completed rows" in shown(replace(result, interrupted=True))


def test_the_document_holds_every_row_with_its_kind(result):
    document = json.loads(result.to_json())
    model("bench").model_validate(document)
    assert (document["command"], document["what"], document["commit"]) == ("bench", "suite", "0123456789ab+")
    (table,) = document["tables"]
    assert (table["kind"], table["title"]) == ("Row", "everything at once")
    assert table["rows"][0]["share"] == 0.99999
    assert document["machine"] == {"processor": "A Processor", "cores": 2, "memory": 8 << 30}


def test_two_tables_of_one_kind_give_their_rows_once(result):
    twice = replace(SUITE, tables=(TABLE, StudyTable("again", Row, *TABLE.columns)))
    document = json.loads(replace(result, study=twice).to_json())
    assert [table["title"] for table in document["tables"]] == ["everything at once"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_figure_is_drawn_and_the_same_result_gives_the_same_file(result, suffix):
    assert figure_bytes(result, suffix=suffix) == figure_bytes(result, suffix=suffix)


def test_panels_stand_above_each_other_and_series_of_one_name_share_colour_and_legend(result):
    points, lines = draw_study(result).axes
    assert [label.get_text() for label in points.get_xticklabels()] == ["one", "two"]
    assert points.get_ylim()[1] == 1.5
    assert [entry.get_text() for entry in lines.get_legend().get_texts()] == ["a, full", "a, part"]
    assert len({line.get_color() for line in lines.get_lines()}) == 1
    assert lines.get_xscale() == "log"


def test_a_result_without_panels_gives_an_empty_figure(result):
    content = figure_bytes(replace(result, conclusion=Conclusion()), suffix=".png")
    assert np.asarray(Image.open(io.BytesIO(content)).convert("L"))[0, 0] == 255


def test_more_than_two_panels_stand_in_a_grid(result):
    figure = draw_study(with_panels(result, *result.conclusion.panels, *result.conclusion.panels))
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2


def test_the_text_says_by_how_much_we_differ_what_was_reduced_and_what_did_not_hold(reproduction):
    words = " ".join(shown(reproduction).split())
    for expected in (
        "figure99: Everything at once",
        "quick form",
        "arXiv:1811.05381",
        "+0.09",
        "-0.04",
        "4.000 to 8.000",
        "not stated",
        "The largest difference from the paper is +0.09",
        "NO",
        "--quick: 10 steps instead of 1000.",
        "the full form takes about 1 min 40 s",
        "The paper states no width.",
        "Width 16, optimizer adam.",
    ):
        assert expected in words


def test_columns_without_cells_are_left_out(reproduction):
    alone = replace(reproduction, rows=(ReproducedNumber(row="slope", ours=1.0),))
    assert "ours - paper" in shown(reproduction)
    assert "ours - paper" not in shown(alone)
    assert "The paper states no number" in shown(alone)


@pytest.mark.parametrize("width", [72, 80, 120])
def test_no_line_of_a_reproduction_is_wider_than_the_terminal(reproduction, width):
    assert max(len(line) for line in shown(reproduction, width).splitlines()) <= width


def test_the_full_form_says_nothing_of_reductions(reproduction):
    words = " ".join(shown(replace(reproduction, conditions=Conditions())).split())
    assert "full form" in words
    assert "--quick" not in words


def test_the_document_of_a_reproduction_holds_both_numbers_and_their_difference(reproduction, surface):
    document = json.loads(with_panels(reproduction, *reproduction.conclusion.panels, surface).to_json())
    model("reproduce").model_validate(document)
    assert document["schema_version"] == "1"
    assert (document["command"], document["what"], document["quick"]) == ("reproduce", "figure99", True)
    assert document["comparisons"][0]["difference"] == pytest.approx(-0.04)
    assert document["comparisons"][2]["paper"] == [4.0, 8.0]
    assert document["comparisons"][3]["difference"] is None
    assert document["findings"][1] == {"claim": "Both are right.", "holds": False, "detail": "neither is"}
    assert document["panels"][0]["series"][0]["y"] == [0.0, 1.0]
    assert len(document["panels"][1]["z"]) == 5


def test_documents_keep_the_keys_that_scripts_rely_on(result, reproduction):
    suite, figure = json.loads(result.to_json()), json.loads(reproduction.to_json())
    both = {"schema_version", "command", "what", "title", "quick", "reduced", "remarks", "findings", "seconds", "environment"}
    assert both | {"seeds", "budget", "tables", "skipped", "interrupted", "machine", "commit"} <= suite.keys()
    assert both | {"source", "paper", "seed", "settings", "comparisons", "panels", "full_seconds"} <= figure.keys()
    assert suite["findings"][0] == {"what": "One thing.", "ok": True, "detail": "0 of 3"}


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_every_kind_of_panel_is_drawn_to_every_kind_of_file(reproduction, surface, suffix, start):
    bins = (Series(name="a", x=(0.0, 1.0, 2.0), y=(0.4, 0.6, 0.0)),)
    histogram = Panel(title="histogram", x_label="x", y_label="share", series=bins, bins=True)
    for panels in ((*reproduction.conclusion.panels, histogram), (surface, surface)):
        assert figure_bytes(with_panels(reproduction, *panels), suffix=suffix).startswith(start)


def test_mosaics_stand_side_by_side_with_zero_in_white(result):
    pixels = np.linspace(-1, 1, 12).reshape(4, 3)
    figure = draw_study(with_panels(result, Mosaic(title="first", pixels=pixels), Mosaic(title="second", pixels=-pixels)))
    assert [axes.get_title() for axes in figure.axes] == ["first", "second"]
    for axes in figure.axes:
        (image,) = axes.images
        assert image.get_clim() == (-1, 1)
        assert image.cmap(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.01)


def test_pages_of_images_keep_their_colours_in_squares_of_whole_pixels(result):
    pages = [np.arange(3 * rows * columns, dtype=np.uint8).reshape(rows, columns, 3) for rows, columns in ((4, 5), (6, 9))]
    figure = draw_study(with_panels(result, *(Mosaic(title="page", pixels=page) for page in pages)))
    for axes, page in zip(figure.axes, pages, strict=True):
        assert np.array_equal(axes.images[0].get_array(), page)
        size = np.array([axes.get_position().height, axes.get_position().width]) * figure.get_size_inches()[::-1] * DPI
        assert size == pytest.approx(3 * np.array(page.shape[:2]))
