"""Results in Python: what `print`, a notebook and `to_dict` show is what the command line shows, in the words of Python."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

import wdist
from tests.estimates import made_estimate
from wdist.comparison.entry import Entry
from wdist.comparison.ranking import Comparison
from wdist.estimation.statement import Ends
from wdist.estimation.verification import Check, Claims, Verification
from wdist.gates.gate import judged
from wdist.gates.rules import Maximum
from wdist.keywords import command_line, in_python
from wdist.lipschitz.frozen_layer import Affine
from wdist.report.documents.forms import model
from wdist.report.presentation import VIEWS, page
from wdist.robustness.classifier import FrozenClassifier
from wdist.studies.panels import Panel, Series
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, ReproducedNumber, Study, StudyTable


def comparison_of(estimate):
    return Comparison(
        reference=estimate.a, digest=None, ranking=(Entry(name="late", estimate=estimate), Entry(name="early", estimate=estimate)),
        noise_floor=None, confidence=0.95, results=2, slope=0.2, metric="l2", features=None, seed=0, seconds=1.0,
        environment=estimate.environment, warnings=("early is small; give a longer --budget",),
    )  # fmt: skip


def random_tables():
    random = np.random.default_rng(0)
    return random.normal(size=(60, 2)), random.normal(size=(60, 2))


def a_line():
    """A classifier by the sign of one coordinate."""
    return FrozenClassifier([Affine(weight=torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), bias=torch.zeros(2))], dim=2)


def points_of_the_line():
    return np.array([[2.0, 0.0], [0.2, 1.0], [-3.0, 0.0]]), np.array([0, 0, 1])


def a_study():
    curve = Panel(title="curve", x_label="x", y_label="W1", series=(Series(name="ours", x=(0.0, 1.0), y=(0.0, 1.0)),))
    conclusion = Conclusion(checks=(ClaimCheck(claim="W1 is met.", holds=True, detail="0.91 of 0.95"),), panels=(curve,))
    return Study(
        name="suite",
        title="W1 and 1.0",
        measure=lambda conditions: iter([ReproducedNumber(row="MaxMin", ours=0.91)]),
        conclude=lambda rows: conclusion,
        tables=(StudyTable("all", ReproducedNumber, *Column.named("row", "ours")),),
    )


@pytest.fixture
def results():
    """One result of each kind."""
    estimate = made_estimate(warnings=("few samples; give a longer --budget",))
    return {
        "Estimate": estimate,
        "Comparison": comparison_of(estimate),
        "GateResult": judged(estimate, (Maximum(value=2.0),), on="population"),
        "Verification": Verification(
            proof="proof.safetensors",
            estimate=replace(estimate, command="verify"),
            claims=Claims(samples=Ends(lower=0.2, upper=None), population=Ends(lower=0.1, upper=0.9)),
            findings=(Check(what="samples A", ok=True, detail="as claimed"),),
        ),
        "Dependence": wdist.dependence(
            random_tables()[0], columns="column 1", critic="mean-difference", device="cpu", progress=False
        ),
        "Drift": wdist.drift(*random_tables(), critic="mean-difference", seed=0, device="cpu", progress=False),
        "Robustness": wdist.robust(a_line(), *points_of_the_line(), eps=0.5, minimum=0.9, restarts=1, device="cpu", progress=False),
        "LipschitzConstant": wdist.lipschitz_constant(torch.nn.Linear(3, 2), progress=False),
        "StudyResult": a_study().run(Conditions()),
        "Transport": wdist.transport(np.zeros((3, 2)), np.ones((4, 2))),
    }


WITHOUT_FIGURE = ("LipschitzConstant", "Transport")
EACH = pytest.mark.parametrize("kind", VIEWS)


@EACH
def test_printing_shows_the_report(results, kind):
    text = str(results[kind])
    assert len(text.splitlines()) >= 3
    assert "\x1b" not in text
    assert re.search(r"W1|proof", text)


@EACH
def test_repr_is_one_line_with_numbers(results, kind):
    shown = repr(results[kind])
    assert shown.startswith(f"<{kind}: ")
    assert "\n" not in shown
    assert re.search(r"\d\.\d", shown) or kind in ("Comparison", "Drift")


@EACH
def test_summary_says_the_conclusion_in_sentences(results, kind):
    assert results[kind].summary().endswith(".")


@EACH
def test_the_document_is_the_published_one(results, kind):
    document = results[kind].to_dict()
    assert json.loads(results[kind].to_json()) == document
    command = VIEWS[kind].command
    if command:
        model(command(results[kind]) if callable(command) else command).model_validate(document)
    else:
        assert np.isclose(sum(document["plan"]["mass"]), 1)


@EACH
def test_a_notebook_gets_the_report_and_the_figure_without_scripts(results, kind):
    html = results[kind]._repr_html_()
    assert "<script" not in html
    assert html.count("<pre") == html.count("</pre>") == 1
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert len(pictures) == (kind not in WITHOUT_FIGURE)
    for picture in pictures:
        assert min(Image.open(io.BytesIO(base64.b64decode(picture))).size) > 100


class Elements(HTMLParser):
    """The elements of a page, each closed in order."""

    def __init__(self, page):
        super().__init__()
        self.found, self._open = [], []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


def test_a_page_is_whole_needs_nothing_else_and_speaks_the_words_of_its_command(results):
    drift = replace(results["Drift"], warnings=("'<b>' has no spread; state lengths with --scale FILE",))
    with command_line():
        written = page(drift)
    elements = Elements(written).found
    tags = [tag for tag, _ in elements]
    assert [tags.count(each) for each in ("html", "head", "title", "body", "h1", "pre", "img")] == [1] * 7
    assert ("html", {"lang": "en"}) in elements
    assert all(not {"href", "srcset"} & set(attributes) for _, attributes in elements)
    (image,) = (attributes for tag, attributes in elements if tag == "img")
    assert image["src"].startswith("data:image/png;base64,")
    assert image["alt"].startswith("Figure: ")
    assert "--scale FILE" in written
    assert "<b>" not in written
    assert "scale=FILE" in page(drift), "from Python"


@pytest.mark.parametrize("kind", [kind for kind in VIEWS if kind not in WITHOUT_FIGURE])
def test_plot_draws_axes_that_can_be_changed_and_saved(results, kind, tmp_path):
    figure = results[kind].plot()
    assert figure.axes
    figure.axes[0].set_title("mine")
    figure.savefig(tmp_path / "figure.png", dpi=40)
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.parametrize("kind", ["Estimate", "Comparison", "GateResult", "Verification"])
def test_warnings_are_part_of_the_text_in_the_words_of_python(results, kind):
    for text in (str(results[kind]), results[kind]._repr_html_()):
        assert "warning: " in text
        assert "give a longer budget" in text
        assert "--" not in re.sub(r"base64,[^\"]+", "", text).replace("-->", "")


def test_names_from_files_cannot_steer_the_terminal_or_the_page():
    evil = "<script>x</script>\x1b[31m.h5"
    estimate = made_estimate()
    estimate = replace(estimate, a=replace(estimate.a, address=evil), warnings=(evil,))
    assert "<script" not in estimate._repr_html_()
    assert "\x1b" not in str(estimate)
    assert "\x1b" not in estimate._repr_html_()


def test_a_comparison_becomes_a_data_frame(results, monkeypatch):
    pandas = pytest.importorskip("pandas")
    frame = results["Comparison"].to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["name"]) == ["late", "early"]
    assert frame["samples_lower"][0] == results["Comparison"].ranking[0].samples.lower
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(wdist.WdistError, match="needs pandas"):
        results["Comparison"].to_frame()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("--confidence must be at least 0.5", "confidence must be at least 0.5"),
        ("if you trust it, add --trust", "if you trust it, add trust=True"),
        ("use --drop-nonfinite to leave them out", "use drop_nonfinite=True to leave them out"),
        ("or --on samples", 'or on="samples"'),
        ("a smaller --learning-rate", "a smaller learning_rate"),
        ("--folds 5 needs at least 50", "folds=5 needs at least 50"),
        ("--max and --tol", "maximum and tolerance"),
        ("--shard 3/2 is no part", 'shard="3/2" is no part'),
        ("use --ci welch, or --labels FILE", 'use ci="welch", or labels=FILE'),
        ("weigh the columns with --scale std", 'weigh the columns with scale="std"'),
        ("write --max 1.5, --max reference+10% or --max 3sd", 'write maximum=1.5, maximum="reference+10%" or maximum="3sd"'),
        ("a file a--b.h5 stays", "a file a--b.h5 stays"),
        ("a.csv: leave it out with ?without=id", "a.csv: leave it out with ?without=id"),
        ("<frame A>: leave it out with ?without=my id", "<frame A>: leave it out"),
        (
            "<array>: leave it out with ?without=, or state lengths with --scale FILE",
            "<array>: leave it out, or state lengths with scale=FILE",
        ),
        (
            "<frame B> has no 'z'; leave it out with ?without=z, or by position with ?names=no",
            "<frame B> has no 'z'; leave it out, or by position as arrays",
        ),
    ],
)
def test_options_become_keyword_arguments(said, meant):
    assert in_python(said) == meant


def test_estimates_from_arrays_print_without_a_terminal():
    """The whole way, from two arrays to text."""
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    text = str(wdist.estimate(x, x + 1, steps=1, critic="mean-difference"))
    assert text.startswith("A and B differ: W1 is at least ")
