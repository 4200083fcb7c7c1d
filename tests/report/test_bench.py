"""A suite as a reader sees it: text, document, picture."""

import io
import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from wdist.environment import Environment
from wdist.report.documents.bench import BenchDocument
from wdist.report.documents.document import text
from wdist.report.plots.bench import bench_bytes, draw_bench
from wdist.report.terminal.bench import rendered_bench
from wdist.studies.bench.bench import BenchResult, BenchTable, Column, Conclusion, Panel, Series, Skipped
from wdist.studies.bench.machine import Machine
from wdist.studies.claim_check import Finding


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    samples: int | None
    share: float
    spread: float | None
    lower: float
    upper: float | None
    right: bool


TABLE = BenchTable(
    title="everything at once",
    of=Row,
    columns=(
        Column(header="pair", cell=lambda row: row.name, kind="text"),
        Column(header="samples", cell=lambda row: row.samples or "endless", kind="count"),
        Column(header="tight-\nness", cell=lambda row: row.share, spread=lambda row: row.spread, kind="share"),
        Column(header=">=", cell=lambda row: row.lower, kind="at least"),
        Column(header="<=", cell=lambda row: row.upper, kind="at most"),
        Column(header="time", cell=lambda row: row.lower, kind="seconds"),
        Column(header="right", cell=lambda row: row.right, kind="yes or no"),
    ),
)


@pytest.fixture
def result():
    return BenchResult(
        what="suite",
        title="a suite",
        quick=True,
        seeds=(0, 1),
        budget="5s",
        reduced=("fewer rows",),
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
        tables=(TABLE,),
        conclusion=Conclusion(
            findings=(
                Finding(claim="One thing.", holds=True, detail="0 of 3"),
                Finding(claim="Another thing.", holds=False, detail="2 of 3"),
            ),
            panels=(
                Panel(
                    title="points",
                    x_label="",
                    y_label="share",
                    series=(
                        Series(name="ours", x=(0.0, 1.0), y=(0.9, 0.5), errors=(0.05, 0.0), labels=("best", "")),
                        Series(name="theirs", x=(0.0, 1.0), y=(0.7, 3.0), reference=True),
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
                        Series(name="a, full", x=(0.1, 1.0), y=(0.2, 0.9), line=True),
                        Series(name="a, full", x=(0.1, 1.0), y=(0.3, 0.8), line=True),
                        Series(name="a, part", x=(0.1,), y=(0.2,), line=True, reference=True),
                    ),
                    log_x=True,
                ),
            ),
            remarks=("How to read it.",),
        ),
        seconds=61.0,
        interrupted=False,
        machine=Machine(processor="A Processor", cores=2, memory=8 << 30),
        environment=Environment(
            wdist="0.1.0", python="3.12", torch="2.13.0", platform="Linux", device="cpu", threads=1, precision="float64"
        ),
        commit="0123456789ab+",
    )


def shown(result, width=80):
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False, markup=False).print(rendered_bench(result))
    return stream.getvalue()


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
    document = text(BenchDocument.of(result))
    assert json.loads(document)["tables"][0]["rows"][2]["share"] is None
    assert "NaN" not in document


def test_findings_what_was_skipped_and_the_machine_are_told(result):
    words = " ".join(shown(result).split())
    assert re.search(r"One thing\. yes 0 of 3 Another thing\. NO 2 of 3", words)
    assert "digits: skipped: are not here" in words
    assert "--quick: fewer rows." in words
    assert "A Processor, 2 cores of which 1 used, 8 GiB; cpu; torch 2.13.0; wdist 0.1.0 at 0123456789ab+." in words
    assert "Seeds 0, 1, 5s a pair; 1 min 01 s in all." in words


def test_an_interrupted_run_says_so(result):
    assert "interrupted" not in shown(result)
    assert "interrupted: only the rows that were done" in shown(replace(result, interrupted=True))


def test_the_document_holds_every_row_with_its_kind(result):
    document = json.loads(text(BenchDocument.of(result)))
    BenchDocument.model_validate(document)
    assert (document["command"], document["what"], document["commit"]) == ("bench", "suite", "0123456789ab+")
    (table,) = document["tables"]
    assert (table["kind"], table["title"]) == ("Row", "everything at once")
    assert table["rows"][0]["share"] == 0.99999
    assert document["machine"] == {"processor": "A Processor", "cores": 2, "memory": 8 << 30}


def test_two_tables_of_one_kind_give_their_rows_once(result):
    document = json.loads(text(BenchDocument.of(replace(result, tables=(TABLE, replace(TABLE, title="again"))))))
    assert [table["title"] for table in document["tables"]] == ["everything at once"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_figure_is_drawn_and_the_same_result_gives_the_same_file(result, suffix):
    assert bench_bytes(result, suffix=suffix) == bench_bytes(result, suffix=suffix)


def test_panels_stand_above_each_other_and_series_of_one_name_share_colour_and_legend(result):
    points, lines = draw_bench(result).axes
    assert [label.get_text() for label in points.get_xticklabels()] == ["one", "two"]
    assert points.get_ylim()[1] == 1.5
    assert [entry.get_text() for entry in lines.get_legend().get_texts()] == ["a, full", "a, part"]
    assert len({line.get_color() for line in lines.get_lines()}) == 1
    assert lines.get_xscale() == "log"


def test_a_result_without_panels_gives_an_empty_figure(result):
    content = bench_bytes(replace(result, conclusion=Conclusion()), suffix=".png")
    assert np.asarray(Image.open(io.BytesIO(content)).convert("L"))[0, 0] == 255
