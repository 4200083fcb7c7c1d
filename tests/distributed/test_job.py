"""A job of several processes: one result, one sentence about a failure, and an end within seconds."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.distributed import jobs

QUICK = ("--steps", "2", "--critic", "groupsort-bjorck", "--baselines", "none")


@pytest.fixture
def sets(tmp_path):
    random = np.random.default_rng(0)
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path in paths:
        np.save(path, random.normal(size=(200, 3)))
    return paths


def test_a_job_prints_and_writes_one_result(sets, tmp_path):
    done = jobs.run("-m", "wdist", "estimate", *sets, *QUICK, "--json", "-o", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["environment"]["world_size"] == 2
    assert printed == json.loads((tmp_path / "result.json").read_text())
    assert done.stderr.count("result saved as") == 1
    assert done.stderr.count("reading and checking") == 1


def test_what_all_processes_meet_is_said_once(tmp_path):
    done = jobs.run("-m", "wdist", "compare", tmp_path / "missing.npy", tmp_path / "other.npy")
    assert done.returncode != 0
    (said,) = jobs.errors(done.stderr)
    assert said.startswith(f"{tmp_path}/missing.npy does not exist")
    assert done.stdout == ""


def test_a_command_that_processes_do_not_share_runs_once():
    done = jobs.run("-m", "wdist", "--version")
    assert done.returncode == 0
    assert done.stdout.count("wdist") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("bug", "process 1 of this job: internal error (ZeroDivisionError: a bug on one process)"),
        ("killed", "ended"),
        ("data", "process 1 of this job has different samples from process 0"),
        ("versions", "process 0 and process 1 of this job run different versions (wdist 0.1.0, torch"),
    ],
)
def test_a_fault_of_one_process_ends_all_with_one_sentence(fault, sentence, sets, tmp_path):
    began = time.monotonic()
    done = jobs.run(jobs.HERE / "faulty.py", fault, "estimate", *sets, *QUICK, "-o", tmp_path / "result.json")
    assert done.returncode != 0
    (said,) = jobs.errors(done.stderr)
    assert sentence in said
    assert done.stdout == ""
    assert not (tmp_path / "result.json").exists()
    assert time.monotonic() - began < 60  # an exchange that waits for the others would take forever


def test_ctrl_c_ends_all_processes_with_one_sentence(sets, tmp_path):
    """One process waits in an exchange, another elsewhere: neither would notice the signal by itself."""
    result, reached = tmp_path / "result.json", tmp_path / "reached"
    words = (jobs.HERE / "faulty.py", "hangs", "estimate", *sets, *QUICK, "-o", result)
    own = {**jobs.environment(), "REACHED": str(reached)}
    with subprocess.Popen(jobs.command(*words, processes=2), env=own, stderr=subprocess.PIPE, text=True) as job:
        while not reached.exists():
            assert job.poll() is None
            time.sleep(0.05)
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=30)
    assert job.returncode != 0
    assert jobs.errors(said) == ["interrupted before there was a result"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "b.npy", "reached"}


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("--steps", "1000000", "--width", "32"), id="one process trains"),
        pytest.param(("--steps", "1000000", "--batch-size", "4096"), id="both train", marks=pytest.mark.slow),
        pytest.param(("--steps", "1000000", "--width", "32", "--folds", "2"), id="folds", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_keeps_what_is_proved(how, tmp_path):
    a, b, result = tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "result.json"
    size = (10_000, 2) if "4096" in how else (300, 16)
    for number, path in enumerate((a, b)):
        np.save(path, np.random.default_rng(number).normal(size=size) + number)
    words = ("-m", "wdist", "estimate", a, b, "--critic", "groupsort-bjorck", "--baselines", "none", *how, "-o", result)
    words += ("--save-proof", tmp_path / "proof.safetensors")
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(jobs.command(*words, processes=2), env=jobs.environment(), **streams) as job:
        began = next(line for line in job.stderr if "groupsort-bjorck" in line)
        time.sleep(2)
        job.send_signal(signal.SIGINT)
        said = began + job.stderr.read()
    assert jobs.errors(said) == []
    assert "interrupted; the bounds shown are still proved" in said
    found = json.loads(result.read_text())
    assert 0 < found["critic"]["steps"] < 1_000_000
    assert found["samples"]["lower"] > 0
    verify = (os.sys.executable, "-m", "wdist", "verify", tmp_path / "proof.safetensors", a, b)
    assert subprocess.run(verify, env=jobs.environment(), capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "status"), [(0.0, 0), (9.0, 1), (None, 70)], ids=["pass", "fail", "no document"])
def test_the_script_of_the_guide_exits_as_the_gate(shift, status, tmp_path):
    """torchrun itself exits with 1 whatever the verdict is."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", random.normal(size=(400, 1)))
    if shift is not None:
        np.save(tmp_path / "b.npy", random.normal(size=(400, 1)) + shift)
    (tmp_path / "gate.json").write_text('{"verdict": "fail"}')  # of an earlier run
    page = (jobs.ROOT / "wdist" / "guide" / "distributed.md").read_text()
    script = page.partition("```sh\n")[2].partition("```")[0].replace("--max 1.5", "--max 1.5 --critic mean-difference")
    path = f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env={**jobs.environment(), "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr


@pytest.mark.slow
def test_a_restarted_job_goes_on_from_its_checkpoint(sets, tmp_path):
    """torchrun starts all processes again once one fails; what was finished before is read."""
    whole, result, folder = tmp_path / "whole.json", tmp_path / "result.json", tmp_path / "run"
    words = ("estimate", *sets, *QUICK, "--checkpoint", folder)
    assert jobs.run("-m", "wdist", *words[:-2], "-o", whole).returncode == 0
    done = jobs.run(jobs.HERE / "faulty.py", "killed once", *words, "-o", result, restarts=1)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("reading and checking") == 2
    found, expected = (json.loads(path.read_text()) for path in (result, whole))
    assert [found[key] for key in ("samples", "population", "detected")] == [
        expected[key] for key in ("samples", "population", "detected")
    ]


def test_without_torchrun_nothing_is_exchanged(monkeypatch):
    from wdist.distributed.job import is_first, launched

    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "1")
    assert not launched()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launched()
    assert not is_first()
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert not launched()


def test_one_process_does_not_import_torch_distributed():
    code = (
        "import sys; from wdist.distributed.processes import processes as p; from wdist.cli import main; "
        "assert p().gathered('x', 1) == [1]; assert p().spread('x', [lambda: 2]) == [2]; assert 'torch' not in sys.modules"
    )
    subprocess.run([os.sys.executable, "-c", code], env=jobs.environment(), check=True)
