"""``wdist compare``: a table, files, refusals in a sentence, and what Ctrl-C leaves."""

import csv
import json

import numpy as np
import pytest

from tests.comparisons import made_comparison, made_entry
from tests.trials import untimed

QUICK = ("--critic", "mean-difference", "--quiet")


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(0)
    images = random.random((200, 4, 4)).astype(np.float32)
    np.save(tmp_path / "real.npy", images)
    np.save(tmp_path / "late.npy", (random.random((200, 4, 4)) * 0.9).astype(np.float32))
    np.save(tmp_path / "early.npy", (random.random((200, 4, 4)) * 0.1).astype(np.float32))
    np.save(tmp_path / "flat.npy", random.random((200, 16)).astype(np.float32))
    return "real.npy", "early.npy", "late.npy"


def test_a_ranking_is_shown_and_every_file_is_written(wdist, files, tmp_path):
    wanted = {"-o": "r.json", "--csv": "r.csv", "--markdown": "r.md", "--plot": "r.png", "--witness": "w.png"}
    answer = wdist("compare", *files, "--critic", "mean-difference", *[word for pair in wanted.items() for word in pair])
    assert answer.status == 0, answer.err
    assert "late.npy < early.npy" in answer.out
    assert answer.out.index("late.npy") < answer.out.rindex("early.npy")
    assert max(len(line) for line in answer.out.splitlines()) <= 80
    document = json.loads((tmp_path / "r.json").read_text())
    assert [entry["name"] for entry in document["ranking"]] == ["late.npy", "early.npy"]
    assert document["reference"]["address"] == "real.npy"
    assert len(list(csv.reader((tmp_path / "r.csv").read_text().splitlines()))) == 4
    assert "late.npy" in (tmp_path / "r.md").read_text()
    for picture in ("r.png", "w.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
        assert picture in answer.err


def test_with_json_the_document_stands_alone_on_stdout_and_follows_its_schema(wdist, files):
    answer = wdist("compare", *files, *QUICK, "--json", "--names", "first,second", "--seed", 3)
    assert answer.err == ""
    document = json.loads(answer.out)
    assert {entry["name"] for entry in document["ranking"]} == {"first", "second"}
    assert document["seed"] == 3
    schema = json.loads(wdist("schema", "compare").out)
    assert set(schema["required"]) == set(document)


def test_the_same_command_gives_the_same_digits(wdist, files):
    first, second = (json.loads(wdist("compare", *files, *QUICK, "--json").out) for _ in range(2))
    assert untimed(first) == untimed(second)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("real.npy",), "missing argument 'SOURCE'"),
        (("real.npy", "late.npy", "flat.npy", "--witness", "w.png"), "--witness shows images"),
        (("flat.npy", "flat.npy", "--witness", "w.png"), "--witness shows images"),
        (("real.npy", "late.npy", "--names", "a,b"), "2 names for 1 sources"),
        (("real.npy", "late.npy", "nowhere.npy"), "nowhere.npy does not exist"),
        (("real.npy", "late.npy", "-o", "r.png"), "--plot FILE"),
        (("real.npy", "late.npy", "--plot", "r.txt"), "must end in"),
        (("real.npy", "late.npy", "--witness", "no/w.png"), "there is no directory"),
        (("real.npy", "late.npy", "--csv", "late.npy"), "would be overwritten"),
        (("real.npy", "late.npy", "--csv", "r.x", "--markdown", "r.x"), "--markdown and --csv name the same file"),
        (("real.npy", "late.npy", "--baselines", "all"), "there is no option --baselines"),
        (("real.npy", "late.npy", "--repeats", "3"), "there is no option --repeats"),
        (("real.npy", "late.npy", "--critic", "grupsort"), "--critic 'grupsort' is no"),
        (("real.npy", "late.npy", "--steps", "5", "--budget", "1s"), "give one of them"),
        (("real.npy", "late.npy", "--confidence", "0.2"), "--confidence"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(wdist, files, arguments, words):
    answer = wdist("compare", *arguments, "--quiet")
    assert answer.status == 2
    assert words in answer.error
    assert answer.out == ""


@pytest.fixture
def comparison(monkeypatch):
    """Puts a comparison made by hand in the place of a computed one; returns a function that says which."""

    def becomes(**changes):
        made = made_comparison(made_entry("a", (0.1, 0.2, 0.5)), made_entry("b", (1.1, 1.2, 1.5)), **changes)
        monkeypatch.setattr("wdist.comparison.compare.run_comparison", lambda *_, **__: made)

    return becomes


def test_after_ctrl_c_what_is_done_is_shown_and_saved(wdist, files, comparison, tmp_path):
    comparison(interrupted=True, left_out=("c",))
    answer = wdist("compare", *files, "-o", "r.json")
    assert answer.status == 130
    assert "No result for c." in answer.out
    assert "interrupted; everything shown is still proved" in answer.err
    assert json.loads((tmp_path / "r.json").read_text())["interrupted"] is True


def test_a_source_that_failed_is_warned_of_and_changes_the_exit_status(wdist, files, comparison):
    comparison(left_out=("c",), warnings=("c is left out: it diverged",))
    answer = wdist("compare", *files, "--quiet")
    assert answer.status == 4
    assert "warning: c is left out" in answer.err


def test_ctrl_c_before_anything_is_there_says_so(wdist, files, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("wdist.comparison.compare.run_comparison", interrupted)
    answer = wdist("compare", *files)
    assert answer.status == 130
    assert answer.out == ""
    assert "interrupted before there was a result" in answer.error


def test_a_disk_that_is_full_for_one_file_does_not_lose_the_others(wdist, files, comparison, monkeypatch, tmp_path):
    comparison()
    answer = wdist("compare", *files, "-o", "/dev/full", "--plot", "r.png")
    assert answer.status == 2
    assert "disk is full" in answer.error
    assert "a < b" in answer.out
    assert (tmp_path / "r.png").exists()
