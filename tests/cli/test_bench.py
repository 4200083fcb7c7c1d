"""``wdist bench``: the list, a suite in three forms, what is kept after Ctrl-C, and what is refused."""

import json
import signal
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from wdist.studies.catalogue import MODULES
from wdist.studies.panels import Panel, Series
from wdist.studies.study import Column, Conclusion, Study, StudyTable
from wdist.training.observer import Stage


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    value: float


@pytest.fixture
def suite(monkeypatch):
    """A suite that measures nothing, and the conditions that it was asked for under."""
    asked = []

    def measure(conditions):
        asked.append(conditions)
        conditions.observer.notify(Stage(what="measuring nothing"))
        for number in range(3):
            if conditions.wanted(f"row-{number}"):
                yield Row(name=f"row-{number}", value=number / 3)
            if number == 1 and "row-1" in conditions.only:
                signal.raise_signal(signal.SIGTERM if conditions.device == "cpu" else signal.SIGINT)

    made = Study(
        name="nothing",
        title="nothing at all",
        seeds=3,
        measure=measure,
        tables=(
            StudyTable(
                "rows",
                Row,
                *Column.named("name", "value"),
            ),
        ),
        conclude=lambda rows: Conclusion(
            panels=(Panel(title="t", x_label="x", y_label="y", series=(Series(name="s", x=(0.0,), y=(1.0,)),)),)
        ),
        budget="2m",
        quick_budget="5s",
    )
    monkeypatch.setitem(MODULES, "bench", {"nothing": "nothing"})
    monkeypatch.setitem(sys.modules, "wdist.studies.bench.nothing", SimpleNamespace(STUDY=made))
    return asked


def test_the_list_shows_every_suite(wdist):
    answer = wdist("bench", "list")
    assert answer.status == 0
    for name in MODULES["bench"]:
        assert name in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 80
    suites = json.loads(wdist("bench", "list", "--json").out)["suites"]
    assert [each["what"] for each in suites] == list(MODULES["bench"])


def test_a_suite_is_shown_saved_and_drawn(wdist, suite, tmp_path):
    answer = wdist("bench", "nothing", "-o", "result.json", "--plot", "figure.png")
    assert answer.status == 0, answer.err
    assert "row-1" in answer.out
    assert "0.3333" in answer.out
    assert "measuring nothing" in answer.err
    assert json.loads((tmp_path / "result.json").read_text())["what"] == "nothing"
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_with_json_the_document_stands_alone_on_stdout(wdist, suite):
    answer = wdist("bench", "nothing", "--json", "--quiet")
    document = json.loads(answer.out)
    assert document["tables"][0]["rows"][1] == {"name": "row-1", "value": 1 / 3}
    assert answer.err == ""


def test_both_forms_have_their_own_seeds_and_budget_unless_told_otherwise(wdist, suite, tmp_path):
    own = ("--seeds", 2, "--seed", 7, "--budget", "9s", "--only", "row-0, row-2", "--only", "row-1", "--device", "cpu")
    for words in ((), ("--quick",), own):
        wdist("bench", "nothing", *words)
    full, quick, told = suite
    assert (full.seeds, full.budget, full.quick) == ((0, 1, 2), "2m", False)
    assert (quick.seeds, quick.budget, quick.quick) == ((0,), "5s", True)
    assert (told.seeds, told.budget, told.only) == ((7, 8), "9s", ("row-0", "row-2", "row-1"))


@pytest.mark.parametrize("device", ["auto", "cpu"], ids=["Ctrl-C", "terminated"])
def test_an_end_from_outside_keeps_the_rows_that_are_done(wdist, suite, tmp_path, device):
    answer = wdist("bench", "nothing", "--only", "row-0,row-1", "-o", "result.json", "--device", device)
    assert answer.status == 130
    assert "interrupted" in answer.out
    assert "2 completed rows" in answer.err
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["interrupted"] is True
    assert len(document["tables"][0]["rows"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothin",), "did you mean nothing?"),
        (("nothing", "-o", "x.png"), "--plot FILE"),
        (("nothing", "--plot", "x.txt"), "must end in"),
        (("nothing", "-o", "no/such/x.json"), "there is no directory"),
        (("nothing", "--budget", "soon"), "45s, 2m or 1h"),
        (("nothing", "--data", "nowhere"), "is not a folder"),
        (("nothing", "--data", "."), "--data has no effect on nothing"),
        (("nothing", "--trials", 5), "--trials has no effect on nothing"),
        (("nothing", "--only", "zebras"), "matches no row of nothing"),
        (("nothing", "--qick"), "did you mean --quick?"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(wdist, suite, arguments, words):
    answer = wdist("bench", *arguments)
    assert answer.status == 2
    assert words in answer.error
    assert answer.out == ""
