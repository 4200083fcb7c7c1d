"""``--checkpoint`` and ``--resume``: a command that was terminated anywhere goes on to the same document."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.trials import two_moons, untimed
from wdist.bounds import dual
from wdist.checkpoints import folder as checkpoint
from wdist.data import measure, pairing
from wdist.data.sources import columnar
from wdist.estimation import evaluation
from wdist.interruption import Terminated
from wdist.training import loop

SMALL = ("--width", 16, "--batch-size", 32)
COMMANDS = {
    "estimate": ("estimate", "a.npy", "b.npy", "--steps", 90),
    "estimate, several seeds": ("estimate", "a.npy", "b.npy", "--steps", 30, "--repeats", 3, "--baselines", "none"),
    "estimate, folds": ("estimate", "a.npy", "b.npy", "--steps", 60, "--folds", 2, "--baselines", "none"),
    "synthetic": ("synthetic", "--cones", 2, "--draws", 400, "--steps", 60, "--baselines", "none"),
    "compare": ("compare", "a.npy", "b.npy", "c.npy", "--steps", 60),
    "gate": ("gate", "a.npy", "b.npy", "--max", "1.5", "--steps", 60),
    "sequential gate": ("gate", "a.npy", "b.npy", "--max", "1.0", "--until-decided", "--steps", 20, "--max-samples", 250),
    "drift": ("drift", "a.csv", "b.csv", "--steps", 60),
}


@pytest.fixture
def sets(tmp_path):
    """Three sets of samples, and two tables."""
    (a, b), (c, _) = two_moons(300, 280, 3), two_moons(290, 280, 3, seed=1)
    for name, rows in (("a", a), ("b", b), ("c", c + 0.5)):
        np.save(tmp_path / f"{name}.npy", rows)
        np.savetxt(tmp_path / f"{name}.csv", rows, delimiter=",", header="x,y,z", comments="")


@pytest.fixture
def terminated(monkeypatch):
    """Sends SIGTERM in a step of the training loop, counted over all trainings."""
    step, left = loop._Loop._next, [0]

    def at(number):
        left[0] = number

        def counted(self):
            left[0] -= 1
            if left[0] == 0:
                signal.raise_signal(signal.SIGTERM)
            return step(self)

        monkeypatch.setattr(loop._Loop, "_next", counted)

    return at


@pytest.mark.usefixtures("sets")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminated_command_goes_on_to_the_same_document(name, wdist, terminated, monkeypatch):
    words = (*COMMANDS[name], *SMALL, "--json", "--quiet")
    whole = wdist(*words)
    assert whole.status in (0, 1, 3), whole.err
    for number, step in enumerate((3, 17)):
        terminated(step)
        answer = wdist(*words, "--checkpoint", "run", *["--resume"] * (number > 0))
        assert (answer.status, answer.out) == (143, "")
        assert answer.error == "terminated; the same command with --resume continues this run"
    terminated(-1)
    resumed = wdist(*words, "--checkpoint", "run", "--resume")
    assert resumed.status == whole.status
    assert untimed(json.loads(resumed.out)) == untimed(json.loads(whole.out))
    terminated(1)  # no step is taken again
    assert untimed(json.loads(wdist(*words, "--checkpoint", "run", "--resume").out)) == untimed(json.loads(whole.out))


@pytest.fixture
def streaming(monkeypatch):
    """Nothing fits into memory, and a pool is 64 samples."""
    for module in (measure, columnar):
        monkeypatch.setattr(module, "fits", lambda nbytes: False)
    monkeypatch.setattr(measure, "_POOL_BYTES", 1)
    monkeypatch.setattr(pairing, "_FIT_DRAWN", 64)
    monkeypatch.setattr(evaluation, "_BATCH_NUMBERS", 1 << 12)


@pytest.mark.usefixtures("sets", "streaming")
@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_a_stream_is_taken_up_before_in_and_after_the_pass_that_evaluates_all_samples(suffix, wdist, monkeypatch):
    if suffix == "parquet":
        arrow, write = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet").write_table
        for name in "ab":
            write(arrow.table(dict(zip("xyz", np.load(f"{name}.npy").T, strict=True))), f"{name}.parquet")
    words = ("estimate", f"a.{suffix}", f"b.{suffix}", "--critic", "groupsort-bjorck", "--steps", 40, *SMALL, "--json", "--quiet")
    whole, begun = wdist(*words), []
    assert whole.status == 0, whole.err
    assert len(json.loads(whole.out)["baselines"]) > 0

    def terminated_at(place, name, call):
        usual, left = getattr(place, name), [call]

        def counted(*arguments, **options):
            left[0] -= 1
            if not left[0]:
                signal.raise_signal(signal.SIGTERM)
            return usual(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(place, name, counted)
            answer = wdist(*words, "--checkpoint", "run", *["--resume"] * len(begun))
        begun.append(answer)
        assert (answer.status, answer.out) == (143, "")

    terminated_at(loop._Loop, "_next", 17)
    terminated_at(dual._Summary, "add", 1)
    terminated_at(dual._Summary, "add", 25)
    terminated_at(evaluation, "judge", 1)
    steps = []
    with monkeypatch.context() as patched:
        usual = loop._Loop._next
        patched.setattr(loop._Loop, "_next", lambda self: steps.append(1) or usual(self))
        resumed = wdist(*words, "--checkpoint", "run", "--resume")
    assert resumed.status == 0, resumed.err
    assert not steps, "all trainings were finished"
    assert untimed(json.loads(resumed.out)) == untimed(json.loads(whole.out))


@pytest.mark.usefixtures("sets")
def test_ctrl_c_prints_what_is_proved_and_the_run_can_be_resumed(wdist, monkeypatch):
    words, step = (*COMMANDS["estimate"], *SMALL, "--json", "--quiet"), loop._Loop._next

    def pressed(self):
        if self.step == 5:
            signal.raise_signal(signal.SIGINT)
        return step(self)

    with monkeypatch.context() as patched:
        patched.setattr(loop._Loop, "_next", pressed)
        answer = wdist(*words, "--checkpoint", "run")
    assert answer.status == 130
    assert json.loads(answer.out)["samples"]["upper"] is not None
    resumed, whole = wdist(*words, "--checkpoint", "run", "--resume"), wdist(*words)
    assert untimed(json.loads(resumed.out)) == untimed(json.loads(whole.out))


@pytest.mark.usefixtures("sets")
def test_other_samples_and_options_are_refused(wdist):
    words = (*COMMANDS["estimate"], *SMALL, "--checkpoint", "run")
    assert wdist(*words).status == 0
    assert wdist(*words).error.endswith("already holds a run; continue it with --resume, or name another folder")
    assert "with seed 0, but this one has seed 1" in wdist(*words, "--resume", "--seed", 1).error
    np.save("b.npy", np.load("c.npy"))
    assert wdist(*words, "--resume").error.startswith("B holds other samples than those that the run in run began with")
    assert "--checkpoint none holds no run" in wdist(*words[:-1], "none", "--resume").error


@pytest.mark.usefixtures("sets")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work(wdist, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o555)
    assert "cannot be created or written to" in wdist(*COMMANDS["estimate"], "--checkpoint", "closed/run").error


ONE_OFTEN_SAVED = """
import sys
from wdist.bounds import dual
from wdist.checkpoints import folder as checkpoint
from wdist.data import measure, pairing
from wdist.data.sources import columnar
from wdist.estimation import evaluation
from wdist.cli.main import main
checkpoint.SECONDS = 0.1
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.usefixtures("sets")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_a_run_that_is_killed_goes_on_to_the_same_document(wdist, tmp_path):
    words = [*map(str, COMMANDS["estimate"]), "--width", "16", "--json", "--quiet"]
    whole, live = wdist(*words), tmp_path / "run" / "live.safetensors"
    words += ["--checkpoint", "run"]
    for number in range(2):
        running = subprocess.Popen(
            [sys.executable, "-c", ONE_OFTEN_SAVED, *words, *["--resume"] * (number > 0)], stdout=subprocess.DEVNULL
        )
        before = live.stat().st_mtime_ns if live.exists() else 0
        while running.poll() is None and not (live.exists() and live.stat().st_mtime_ns > before):
            time.sleep(0.01)
        running.kill()
        running.wait()
    resumed = wdist(*words, "--resume")
    assert untimed(json.loads(resumed.out)) == untimed(json.loads(whole.out))


def test_a_run_that_is_terminated_at_once_can_be_resumed(wdist, sets, monkeypatch):
    def end(*arguments, **others):
        raise Terminated

    monkeypatch.setattr(checkpoint.FolderCheckpoint, "confirm", end)
    assert wdist(*COMMANDS["estimate"], "--checkpoint", "run").status == 143
    monkeypatch.undo()
