"""What a reproduction knows of itself, and how it is shown: by how much it differs from the paper, what was reduced, what held."""

import io
import json

import pytest
from rich.console import Console

from wdist.report.documents.document import text
from wdist.report.documents.reproduction import ReproductionDocument
from wdist.report.plots.reproduction import reproduction_bytes
from wdist.report.terminal.reproduction import rendered_reproduction
from wdist.studies.reproduce.reproduction import PAPER, Comparison, Curves, Series


def shown(reproduction, width=80):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(rendered_reproduction(reproduction, paper=PAPER))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("ours", "paper", "difference"),
    [(0.91, 0.95, -0.04), (5.0, (4.0, 8.0), 0.0), (9.0, (4.0, 8.0), 1.0), (3.5, (4.0, 8.0), -0.5), (1.0, None, None)],
)
def test_the_difference_is_ours_less_the_papers_and_0_inside_a_range(ours, paper, difference):
    found = Comparison(row="", ours=ours, paper=paper).difference
    assert found == (None if difference is None else pytest.approx(difference))


def test_the_largest_difference_is_found_whatever_its_sign(made_reproduction):
    assert made_reproduction().largest_difference.column == "dimension 3"
    assert made_reproduction(comparisons=(Comparison(row="a", ours=1.0),)).largest_difference is None


def test_the_text_says_by_how_much_we_differ_what_was_reduced_and_what_did_not_hold(made_reproduction):
    words = " ".join(shown(made_reproduction()).split())
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
    ):
        assert expected in words


@pytest.mark.parametrize("width", [72, 80, 120])
def test_no_line_is_wider_than_the_terminal(made_reproduction, width):
    assert max(len(line) for line in shown(made_reproduction(), width).splitlines()) <= width


def test_the_full_form_says_nothing_of_reductions(made_reproduction):
    words = " ".join(shown(made_reproduction(quick=False, reduced=())).split())
    assert "full form" in words
    assert "--quick" not in words


def test_the_document_holds_both_numbers_and_their_difference(made_reproduction, surface):
    reproduction = made_reproduction(panels=(*made_reproduction().panels, surface))
    document = json.loads(text(ReproductionDocument.of(reproduction, paper=PAPER)))
    assert document["schema_version"] == "1"
    assert (document["command"], document["what"], document["quick"]) == ("reproduce", "figure99", True)
    assert document["comparisons"][0]["difference"] == pytest.approx(-0.04)
    assert document["comparisons"][2]["paper"] == [4.0, 8.0]
    assert document["comparisons"][3]["difference"] is None
    assert document["panels"][0]["series"][0]["y"] == [0.0, 1.0]
    assert len(document["panels"][1]["z"]) == 5


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_every_kind_of_panel_is_drawn_to_every_kind_of_file(made_reproduction, surface, suffix, start):
    histogram = Curves(
        title="histogram",
        x_label="x",
        y_label="share",
        series=(Series(name="a", x=(0.0, 1.0, 2.0), y=(0.4, 0.6, 0.0)),),
        steps=True,
    )
    curves = made_reproduction(panels=(*made_reproduction().panels, histogram))
    for reproduction in (curves, made_reproduction(panels=(surface, surface))):
        assert reproduction_bytes(reproduction, suffix=suffix).startswith(start)


def test_a_series_has_as_many_ordinates_as_abscissae():
    with pytest.raises(ValueError, match="2 abscissae and 1 ordinates"):
        Series(name="a", x=(0.0, 1.0), y=(0.0,))
