"""The commands end to end, as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from wdist.report.documents.forms import model

TINY = ("--steps", "20", "--device", "cpu")


def test_two_files_give_an_interval_with_baselines_beside_it(wdist, tmp_path):
    generator = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", generator.normal(size=(300, 3)) + 2)
    np.save(tmp_path / "b.npy", generator.normal(size=(300, 3)))
    answer = wdist("estimate", "a.npy", "b.npy", *TINY, "--json", "--plot", "curves.svg", "--save-proof", "proof.safetensors")
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    model("estimate").model_validate(document)
    assert 0 < document["samples"]["lower"] <= document["samples"]["upper"]
    assert document["samples"]["exact"] is True
    assert document["critic"]["lipschitz_bound"] < 1.001
    assert [baseline["name"] for baseline in document["baselines"]] == ["groupsort-bjorck", "relu-spectral", "relu-bjorck"]
    assert document["population"]["jointly_with"] == 5
    assert document["population"]["lower"] <= document["population"]["upper"]
    tried = [attempt for attempt in document["critic"]["tried"] if attempt["chosen"]]
    assert [attempt["name"] for attempt in tried] == [document["critic"]["name"]]
    assert sorted(os.listdir(tmp_path)) == ["a.npy", "b.npy", "curves.svg", "proof.safetensors"]


def test_the_same_command_gives_the_same_digits(wdist):
    words = ("synthetic", "--absolute-value", *TINY, "--baselines", "none", "--json", "--seed", "5")
    first, second = (json.loads(wdist(*words).out) for _ in range(2))
    assert first["samples"]["lower"] == second["samples"]["lower"]
    assert first["population"] == second["population"]


@pytest.mark.parametrize("pair", [("--absolute-value",), ("--cones", "2")], ids=str)
def test_a_known_pair_shows_truth_and_tightness_and_is_drawn(wdist, tmp_path, pair):
    answer = wdist("synthetic", *pair, *TINY, "--baselines", "none", "--plot", "surface.png", "-o", "result.json")
    assert answer.status == 0, answer.err
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["truth"] == 1
    assert document["tightness"] == document["population"]["estimate"]
    assert document["population"]["lower"] <= 1
    assert "tightness" in answer.out
    assert (tmp_path / "surface.png").stat().st_size > 10_000


def test_the_parts_of_the_table_fit_80_columns_without_a_cut(wdist):
    answer = wdist("synthetic", "--absolute-value", *TINY, "--quiet")
    assert max(len(line) for line in answer.out.splitlines()) <= 80
    assert "…" not in answer.out
    assert answer.err == ""


def started(folder, *words):
    """``wdist synthetic`` under way in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "wdist", "synthetic", *words, "--device", "cpu"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_ctrl_c_and_a_time_limit_end_the_training_print_and_save_what_is_proved(tmp_path, number):
    process = started(tmp_path, "--cones", "3", "--budget", "16s", "--baselines", "none", "-o", "result.json")
    for line in process.stderr:
        if "%, step " in line:
            break
    for _ in range(2):  # at once, as GNU timeout does: to the process, and to its group
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "<= W1" in out
    assert "Traceback" not in err
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["interrupted"] is True
    assert document["samples"]["lower"] > 0, document["critic"]["history"]


def test_a_second_ctrl_c_leaves_without_a_traceback(tmp_path):
    process = started(tmp_path, "--absolute-value", "--budget", "60s")
    assert process.stderr.readline()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
