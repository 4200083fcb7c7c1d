"""Where a result goes, and what happens when something is in the way."""

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.estimates import made_estimate
from wdist.cli.outputs import FORMATS, Format, OutputOptions
from wdist.errors import ContradictionError, ExitStatus, SourceError, TrainingDiverged
from wdist.report.sentences import verdict


def estimate_words(*more):
    return ("estimate", "a.h5", "b.h5", *more)


def test_stdout_carries_the_result_and_stderr_the_rest(wdist, calls):
    calls.result = made_estimate(warnings=("A and B are the same file, so the bound is 0",))
    answer = wdist(*estimate_words())
    assert answer.status == 0
    assert "0.98765 <= W1" in answer.out
    assert "warning: A and B are the same file, so the bound is 0" in answer.err.splitlines()
    assert "A and B are the same file" not in answer.out


def test_without_a_terminal_the_result_is_plain_text_of_80_columns(wdist, calls):
    answer = wdist(*estimate_words())
    assert "\x1b" not in answer.out + answer.err
    assert 70 < max(len(line) for line in answer.out.splitlines()) <= 80


def test_without_a_terminal_no_line_ends_in_spaces(wdist, calls):
    for line in wdist("estimate", "a", "b").out.split("\n"):
        assert line == line.rstrip(" ")


def test_columns_widens_the_result(wdist, calls, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert 110 < max(len(line) for line in wdist(*estimate_words()).out.splitlines()) <= 120


def test_a_narrow_terminal_is_not_overrun(wdist, calls, monkeypatch):
    monkeypatch.setenv("COLUMNS", "45")
    shown = wdist(*estimate_words()).out
    assert max(len(line) for line in shown.splitlines()) <= 45
    assert "…" not in shown


def test_json_is_the_only_thing_on_stdout(wdist, calls):
    calls.result = made_estimate(warnings=("careful",))
    answer = wdist(*estimate_words("--json"))
    document = json.loads(answer.out)
    assert document["schema_version"] == "1"
    assert document["warnings"] == ["careful"]


def test_the_document_is_the_same_on_stdout_and_in_a_file(wdist, calls, tmp_path):
    answer = wdist(*estimate_words("--json", "-o", "result.json"))
    assert (tmp_path / "result.json").read_text() == answer.out
    assert "note: result saved as result.json" in answer.err


def test_a_figure_is_drawn(wdist, calls, tmp_path):
    answer = wdist(*estimate_words("--plot", "result.png"))
    assert answer.status == 0
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")


def test_quiet_leaves_warnings_and_drops_notes(wdist, calls):
    calls.result = made_estimate(warnings=("careful",))
    answer = wdist(*estimate_words("--quiet", "-o", "result.json"))
    assert answer.err == "warning: careful\n"
    assert "0.98765" in answer.out


@pytest.mark.parametrize(
    ("option", "name", "way_out"),
    [
        ("-o", "missing/result.json", "mkdir -p"),
        ("-o", ".", "is a directory"),
        ("-o", "result.png", "--plot FILE"),
        ("--plot", "result.gif", ".png, .svg or .pdf"),
        ("--plot", "result", ".png, .svg or .pdf"),
        ("--save-proof", "proof.pt", ".safetensors"),
        ("--save-proof", "missing/proof.safetensors", "mkdir -p"),
    ],
)
def test_an_unwritable_path_is_refused_before_the_training(wdist, calls, option, name, way_out):
    answer = wdist(*estimate_words(option, name))
    assert answer.status == 2
    assert way_out in answer.error
    assert not calls.asked


@pytest.mark.parametrize("address", ["a.json", "a.json?limit=100", "a.json:key"])
def test_an_input_is_never_overwritten(wdist, calls, tmp_path, address):
    (tmp_path / "a.json").write_text("precious")
    answer = wdist("estimate", address, "b.h5", "-o", "./a.json")
    assert answer.status == 2
    assert "would be overwritten" in answer.error
    assert (tmp_path / "a.json").read_text() == "precious"


def test_no_option_overwrites_an_image_of_a_folder_or_adds_one(wdist, calls, tmp_path):
    (tmp_path / "imgs").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "imgs" / "00.png")
    before = (tmp_path / "imgs" / "00.png").read_bytes()
    assert "imgs/00.png is one of the inputs" in wdist("estimate", "imgs", "b.h5", "--plot", "imgs/00.png").error
    answer = wdist("compare", "a.h5", "imgs?limit=5", "--witness", "imgs/new.png")
    assert answer.error == "imgs/new.png would become one of the images of imgs?limit=5; name a file outside of that folder"
    assert answer.status == 2
    assert not calls.asked
    assert os.listdir(tmp_path / "imgs") == ["00.png"]
    assert (tmp_path / "imgs" / "00.png").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("estimate", "a.h5", "b.h5", "--features", "emb.py:embed", "-o", "emb.py"),
        ("compare", "a.h5", "b.h5", "--features", "emb.py:embed", "--csv", "emb.py"),
        ("gate", "a.h5", "b.h5", "--max", "1", "--features", "emb.py:embed", "--markdown", "emb.py"),
        ("gate", "a.h5", "g.pt?factory=emb.py:Net", "--max", "1", "--junit", "emb.py"),
        ("inspect", "g.pt?factory=emb.py:Net", "-o", "emb.py"),
        ("estimate", "a.h5", "b.h5", "--features", "resnet18?weights=emb.py", "-o", "emb.py"),
        ("reproduce", "table2", "--data", "mnist=emb.py", "-o", "emb.py"),
        ("reproduce", "table2", "--generator", "mnist=g.pt?factory=emb.py:Net", "-o", "emb.py"),
    ],
    ids=" ".join,
)
def test_code_and_weights_are_inputs_too(wdist, calls, tmp_path, words):
    (tmp_path / "emb.py").write_text("precious")
    answer = wdist(*words)
    assert answer.status == 2
    assert "emb.py is one of the inputs" in answer.error
    assert (tmp_path / "emb.py").read_text() == "precious"


def test_a_file_that_code_of_others_read_is_not_overwritten(wdist, calls, tmp_path, monkeypatch):
    """The result is printed all the same, and the other files are written."""
    (tmp_path / "own.json").write_text("precious")
    (tmp_path / "old.json").write_text("of an earlier run")

    def read_and_estimate(*sides, **more):
        Path("own.json").read_text()
        return calls.result

    monkeypatch.setattr("wdist.estimation.estimate.run_estimate", read_and_estimate)
    answer = wdist(*estimate_words("-o", "own.json", "--plot", "x.png"))
    assert answer.status == 2
    assert answer.error == "own.json was not written, because this run has read it; name another file"
    assert "0.98765 <= W1" in answer.out
    assert (tmp_path / "own.json").read_text() == "precious"
    assert (tmp_path / "x.png").exists()
    assert wdist(*estimate_words("-o", "old.json")).status == 0


def test_a_device_that_code_of_others_read_is_written(wdist, calls, monkeypatch):
    """Python's own pools of processes read /dev/null."""

    def read_and_estimate(*sides, **more):
        with open(os.devnull):
            return calls.result

    monkeypatch.setattr("wdist.estimation.estimate.run_estimate", read_and_estimate)
    assert wdist(*estimate_words("-o", os.devnull)).status == 0


def test_an_interrupted_result_is_printed_and_saved_with_status_130(wdist, calls, tmp_path):
    calls.result = made_estimate(interrupted=True)
    answer = wdist(*estimate_words("-o", "result.json"))
    assert answer.status == ExitStatus.INTERRUPTED == 130
    assert "0.98765 <= W1" in answer.out
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    assert "note: interrupted" in answer.err


def test_an_interrupt_before_any_bound_says_so_with_status_130(wdist, calls):
    calls.result = KeyboardInterrupt()
    answer = wdist(*estimate_words())
    assert (answer.status, answer.out) == (130, "")
    assert answer.error == "interrupted before there was a result"


def test_ctrl_c_while_the_result_is_written_comes_too_late_and_a_second_one_does_not(wdist, calls, tmp_path, monkeypatch):
    flush, presses = os.fsync, iter([1, 0, 2])

    def press(descriptor):
        flush(descriptor)
        for number in range(next(presses)):
            time.sleep(0.15 * number)  # one that comes sooner is the same
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "fsync", press)
    assert wdist(*estimate_words("-o", "result.json", "--plot", "x.png")).status == 0
    assert wdist(*estimate_words("-o", "other.json")).status == 130
    assert sorted(os.listdir(tmp_path)) == ["result.json", "x.png"]


def test_a_gap_that_was_asked_for_and_not_reached_has_status_4(wdist, calls):
    calls.result = made_estimate(tolerance=0.001)
    answer = wdist(*estimate_words())
    assert answer.status == 4
    assert "not reached" in answer.out
    calls.result = made_estimate(tolerance=0.5)
    assert wdist(*estimate_words()).status == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [(SourceError("a.h5 is empty; name another"), 2), (TrainingDiverged("nan; try a lower --learning-rate"), 4)],
)
def test_errors_of_the_library_become_sentences_and_statuses(wdist, calls, error, status):
    calls.result = error
    answer = wdist(*estimate_words())
    assert (answer.status, answer.error, answer.out) == (status, error.args[0], "")


def test_an_internal_error_has_status_70_and_a_traceback_only_when_asked_for(wdist, calls):
    calls.result = ContradictionError("W1 of the samples would be at least 2.0 and at most 1.0")
    answer = wdist(*estimate_words())
    assert answer.status == 70
    assert "at least 2.0 and at most 1.0); please report it" in answer.error
    assert answer.out == ""
    assert "--debug" in answer.error
    debugged = wdist(*estimate_words("--debug"))
    assert debugged.status == 70
    assert "Traceback (most recent call last)" in debugged.err


def test_control_characters_in_a_name_do_not_reach_the_terminal(wdist, calls):
    calls.result = SourceError("a\x1b[31m.h5 is missing; name another")
    assert r"a\x1b[31m.h5" in wdist(*estimate_words()).error


def test_a_disk_that_fills_up_while_saving_loses_nothing_that_is_printed(wdist, calls, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    (tmp_path / "result.json").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    answer = wdist(*estimate_words("-o", "result.json"))
    assert answer.status == 2
    assert "disk is full" in answer.error
    assert "0.98765 <= W1" in answer.out
    assert (tmp_path / "result.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: f"{form.name} {form.commands}")
def test_every_renderer_of_the_table_is_there_and_every_option_has_help(form):
    module, _, name = form.function.partition(":")
    assert callable(getattr(import_module(module if module.startswith("wdist.") else f"wdist.report.{module}"), name))
    assert bool(form.option) <= bool(form.help)


def test_a_new_format_is_one_line_and_every_command_with_a_renderer_offers_it(monkeypatch, tmp_path):
    monkeypatch.setattr("wdist.report.sentences.shout", lambda estimate: verdict(estimate).upper(), raising=False)
    loud = Format("loud", "estimate", "sentences:shout", option="--loud", help="Shout.", what="verdict")
    monkeypatch.setattr("wdist.cli.outputs.FORMATS", (*FORMATS, loud))
    options = OutputOptions("estimate")
    assert "loud" in [each.name for each in options.parameters()]
    assert "loud" not in [each.name for each in OutputOptions("gate").parameters()]
    outputs = options.made(json=False, debug=False, quiet=True, loud=tmp_path / "a.txt")
    outputs.check()
    outputs.deliver(made_estimate())
    assert (tmp_path / "a.txt").read_text().startswith("A AND B DIFFER")


def test_no_two_files_are_the_same(wdist, calls):
    assert wdist(*estimate_words("--plot", "x.png", "-o", "x.JSON")).status == 0
    answer = wdist("gate", "a", "b", "--max", 1, "--junit", "x.xml", "--markdown", "./x.xml")
    assert answer.status == 2
    assert "--markdown and --junit name the same file" in answer.error
    assert not calls.asked[1:]


def _program(tmp_path, *words):
    """A script that runs the command line in a process of its own with a result made by hand."""
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from types import SimpleNamespace
            from tests.estimates import made_estimate
            fake = SimpleNamespace(run_estimate=lambda *sides, **more: made_estimate(16))
            sys.modules["wdist.estimation.estimate"] = fake
            from wdist.cli import outputs
            outputs.check_named = lambda address: None
            from wdist.cli.main import main
            sys.exit(main({list(words)!r}))
            """
        )
    )
    return [sys.executable, str(script)]


def _environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_sentence_and_the_file_is_still_written(tmp_path):
    words = estimate_words("--quiet", "-o", str(tmp_path / "result.json"))
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            _program(tmp_path, *words), stdout=full, stderr=subprocess.PIPE, text=True, env=_environment(), timeout=60, check=False
        )
    assert process.returncode == 2
    assert process.stderr.startswith("error: ")
    assert len(process.stderr.splitlines()) == 1
    assert json.loads((tmp_path / "result.json").read_text())["schema_version"] == "1"


def test_a_reader_that_goes_away_is_no_error_and_the_file_is_still_written(tmp_path):
    words = estimate_words("--quiet", "-o", str(tmp_path / "result.json"))
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        _program(tmp_path, *words), stdout=writer, stderr=subprocess.PIPE, text=True, env=_environment(), timeout=60, check=False
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (0, "")
    assert (tmp_path / "result.json").exists()


def test_progress_whose_reader_goes_away_ends_neither_the_run_nor_its_file(tmp_path):
    """As with ``2>&1 | head -3``."""
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.random.default_rng(ord(name[0])).normal(size=(60, 2)))
    reader, writer = os.pipe()
    os.close(reader)
    words = ("estimate", "a.npy", "b.npy", "--critic", "mean-difference", "-o", "result.json")
    process = subprocess.run(
        [sys.executable, "-m", "wdist", *words],
        stdout=writer,
        stderr=writer,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert process.returncode == 0
    assert (tmp_path / "result.json").exists()


def test_a_terminal_that_knows_no_unicode_still_shows_the_result(tmp_path):
    process = subprocess.run(
        _program(tmp_path, *estimate_words("--quiet")),
        capture_output=True,
        env={**_environment(), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        timeout=60,
        check=False,
    )
    assert process.returncode == 0
    assert b"0.98765 <= W1" in process.stdout
    assert b"####" in process.stdout


def test_control_characters_in_an_address_do_not_steer_the_terminal(wdist, calls):
    estimate = made_estimate()
    calls.result = replace(estimate, a=replace(estimate.a, address="a\x1b[2J\x07\x9b.h5"))
    shown = wdist("estimate", "a", "b").out
    assert "a\N{REPLACEMENT CHARACTER}[2J" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b"}


def test_a_name_that_is_no_utf_8_is_escaped_in_the_document(wdist, calls, tmp_path):
    address = os.fsdecode(b"n\xff.h5")
    calls.result = replace(made_estimate(), a=replace(made_estimate().a, address=address))
    answer = wdist("estimate", "a", "b", "--json", "-o", "result.json")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["a"]["address"] == address
    assert json.loads((tmp_path / "result.json").read_bytes())["a"]["address"] == address


@pytest.mark.parametrize(
    ("words", "status"), [("schema verify >&-", 0), ("schema verify 2>&-", 0), ("schema nope 2>&-", 2)], ids=str
)
def test_streams_that_the_caller_closed_are_no_error(tmp_path, words, status):
    command = f"{shlex.quote(sys.executable)} -m wdist {words}"
    answer = subprocess.run(
        command, shell=True, cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == status
    assert ("$defs" in answer.stdout) == (words == "schema verify 2>&-")


def test_the_document_of_a_verification_survives_a_reader_that_goes_away(wdist, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(60, 2))
    np.save("a.npy", rows)
    np.save("b.npy", rows[::-1] + 1)
    assert wdist("estimate", "a.npy", "b.npy", "--critic", "mean-difference", "--save-proof", "proof.safetensors").status == 0

    def gone(text):
        raise BrokenPipeError

    monkeypatch.setattr(sys.stdout, "write", gone)
    wdist("verify", "proof.safetensors", "--json", "-o", "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["ok"] is True


def test_an_interrupt_during_the_imports_is_told_like_any_other(monkeypatch, capsys):
    from wdist.__main__ import main

    class Interrupted:
        def find_spec(self, name, path, target=None):
            if name == "wdist.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "wdist.cli.main")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert main() == ExitStatus.INTERRUPTED
    assert capsys.readouterr().err == "error: interrupted before there was a result\n"
