"""``wdist reproduce``: the list, the forecast before the work, the result in three forms, and what is refused."""

import json

import pytest

from wdist.studies.catalogue import MODULES


def test_the_list_shows_everything_with_its_times(wdist):
    answer = wdist("reproduce", "list")
    assert answer.status == 0
    for name in MODULES["reproduce"]:
        assert name in answer.out
    assert "--quick" in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 80


def test_the_list_as_json(wdist):
    experiments = json.loads(wdist("reproduce", "list", "--json").out)["experiments"]
    assert {"what", "title", "source", "quick_seconds", "full_seconds"} == set(experiments[0])
    assert len(experiments) == len(MODULES["reproduce"])


def test_a_figure_is_shown_saved_and_drawn(wdist, tmp_path):
    answer = wdist("reproduce", "figure13", "--quick", "-o", "result.json", "--plot", "figure.png")
    assert answer.status == 0
    assert "figure13" in answer.out
    assert "singular value" in answer.out
    assert "this takes about" in answer.err
    assert json.loads((tmp_path / "result.json").read_text())["what"] == "figure13"
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_with_json_the_document_stands_alone_on_stdout(wdist):
    answer = wdist("reproduce", "figure13", "--json", "--quiet")
    assert json.loads(answer.out)["command"] == "reproduce"
    assert answer.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("figure3",), "there is no table or figure 'figure3'"),
        (("table1", "-o", "x.png"), "--plot FILE"),
        (("figure13", "--plot", "x.txt"), "must end in"),
        (("figure13", "-o", "no/such/x.json"), "there is no directory"),
        (("figure6", "--quick", "--root", "nowhere"), "--root DIR"),
        (("figure13", "--qick"), "did you mean --quick?"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(wdist, arguments, words):
    answer = wdist("reproduce", *arguments)
    assert answer.status == 2
    assert words in answer.error
    assert answer.out == ""
