"""Failures of the system: signals, full disks, closed folders, little memory, inputs that change, two writers at once.

Many random trials of each kind, so that this takes minutes: ``make faults``. Files must be whole or absent, nothing may be left
behind, every failure must be one sentence, and nothing may hang.
"""

import json
import os
import random
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.damage import damaged
from tests.data.sources.conftest import ARRAYS
from tests.faults.trials import TRIALS, Run, run
from tests.trials import untimed

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
    pytest.mark.filterwarnings("ignore"),
]

INPUTS = {"a.npy", "b.npy"}
OUTPUTS = {"result.json", "plot.png", "proof.safetensors"}
ESTIMATE = ("estimate", "a.npy", "b.npy", "--steps", 60, "--baselines", "none", "--width", 16,
            "-o", "result.json", "--plot", "plot.png", "--save-proof", "proof.safetensors")  # fmt: skip
OLD = b"of an earlier run"
GAN = ("--latent", 4, "--width", 8, "--critic-width", 16, "--batch-size", 8)
GAN_STEPS = 20


@pytest.fixture(scope="module")
def place():
    """A folder that other users may enter, with two sample sets."""
    folder = Path(tempfile.mkdtemp(prefix="wdist-faults-"))
    folder.chmod(0o755)
    random_numbers = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", 1.0)):
        np.save(folder / f"{name}.npy", random_numbers.normal(size=(300, 3)) + shift)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folders(place, request):
    """Makes a folder for each trial, with the inputs and, in every other one, outputs of an earlier run."""
    made = []

    def make(number):
        folder = place / f"{request.node.name}-{number}".replace("/", "-")
        folder.mkdir()
        made.append(folder)
        for name in INPUTS:
            shutil.copy(place / name, folder)
        for name in OUTPUTS if number % 2 else ():
            (folder / name).write_bytes(OLD)
        return folder

    yield make
    for folder in made:
        shutil.rmtree(folder)


def check_whole(path):
    """A file is absent, that of an earlier run, or whole."""
    if not path.exists() or path.read_bytes() == OLD:
        return
    if path.suffix == ".json":
        assert json.loads(path.read_text())["schema_version"]
    elif path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
    else:
        assert load_file(path)


def check_folder(folder, *, killed=False):
    for name in OUTPUTS:
        check_whole(folder / name)
    left = set(os.listdir(folder)) - INPUTS - OUTPUTS
    if killed:
        left = {name for name in left if not name.startswith(".wdist-")}
    assert left == set()


@pytest.fixture(scope="module")
def usual(place):
    """Seconds of an undisturbed estimate."""
    folder = place / "usual"
    folder.mkdir()
    for name in INPUTS:
        shutil.copy(place / name, folder)
    times = []
    for _ in range(2):
        outcome = run(ESTIMATE, folder)
        assert outcome.status == 0, outcome.said
        times.append(outcome.seconds)
    return times[-1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_signals_at_random_times(number, folders, usual):
    chance = random.Random(int(number))
    for trial in range(TRIALS):
        folder = folders(trial)
        running = Run(ESTIMATE, folder)
        threading.Event().wait(chance.uniform(0, 1.1 * usual))
        running.send(number)
        outcome = running.outcome()
        assert outcome.status in (0, 130, -number), outcome
        assert outcome.clean, outcome
        check_folder(folder, killed=number == signal.SIGKILL)
        if outcome.status == 0:
            assert all((folder / name).read_bytes() != OLD for name in OUTPUTS)
        if number == signal.SIGKILL and trial % 10 == 0:
            assert run(ESTIMATE, folder).status == 0
            check_folder(folder)


def test_two_signals_at_random_times(folders, usual):
    chance = random.Random(0)
    for trial in range(TRIALS):
        folder = folders(trial)
        running = Run(ESTIMATE, folder)
        threading.Event().wait(chance.uniform(0, 1.1 * usual))
        running.send(signal.SIGINT)
        threading.Event().wait(chance.uniform(0, 0.2))
        running.send(signal.SIGINT)
        outcome = running.outcome()
        assert outcome.status in (0, 130), outcome
        assert outcome.clean, outcome
        check_folder(folder)


@pytest.fixture(scope="module")
def trained(place, samples):
    """An undisturbed training, and its seconds."""
    outcome = run(train(samples), place)
    assert outcome.status == 0, outcome.said
    return place / "run", outcome.seconds


def train(samples, *more):
    return ("gan", "train", "--data", f"{samples}/digits.h5?limit=60", "-o", "run", "--steps", GAN_STEPS, *GAN, *more)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_training_ends_at_a_random_time_and_is_resumed_to_the_same_bits(number, folders, trained, samples):
    whole, seconds = trained
    chance = random.Random(int(number))
    for trial in range(max(1, TRIALS // 2)):
        folder = folders(2 * trial)
        running = Run(train(samples), folder)
        threading.Event().wait(chance.uniform(0, 1.1 * seconds))
        running.send(number)
        outcome = running.outcome()
        assert outcome.status in (0, 130, -number), outcome
        assert outcome.clean, outcome
        if (folder / "run" / "state.safetensors").exists():
            again = run(("gan", "train", "-o", "run", "--resume", "--steps", GAN_STEPS), folder)
            assert again.status == 0 or "already holds" in again.said, again
        else:
            assert number == signal.SIGKILL or not (folder / "run").exists()
            assert run(train(samples), folder).status == 0
        assert {each for each in os.listdir(folder / "run") if each.startswith(".")} == set()
        assert {"generator.pt2", "samples.png"} <= set(os.listdir(folder / "run"))
        one, other = (load_file(each / "run" / "state.safetensors") for each in (whole.parent, folder))
        assert all(torch.equal(one[name], other[name]) for name in one)


RESUMED = ("estimate", "a.npy", "b.npy", "--steps", 300, "--width", 16, "--checkpoint", "run", "-o", "result.json", "--quiet")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_an_estimate_ends_at_random_times_and_is_resumed_to_the_same_digits(number, folders, usual):
    whole, chance = folders(2 * TRIALS), random.Random(int(number))
    assert run(RESUMED, whole).status == 0
    for trial in range(max(1, TRIALS // 5)):
        folder, ends = folders(2 * trial), 0
        while ends < 3:
            words = (*RESUMED, *["--resume"] * (folder / "run" / "checkpoint.json").exists())
            running = Run(words, folder, saved_every=0.05)
            threading.Event().wait(chance.uniform(0, usual))
            running.send(number)
            outcome = running.outcome()
            assert outcome.status in (0, 130, 143, -number), outcome  # 130: before the run, or after it
            assert outcome.clean, outcome
            assert outcome.status != 143 or (folder / "run" / "checkpoint.json").exists()
            ends += 1
        again = (*RESUMED, *["--resume"] * (folder / "run" / "checkpoint.json").exists())
        assert run(again, folder).status == 0
        one, other = (untimed(json.loads((each / "result.json").read_text())) for each in (whole, folder))
        assert one == other
        assert {each for each in os.listdir(folder / "run") if each.startswith(".")} == set()


def test_a_checkpoint_on_a_full_disk(folders):
    """The run goes on with one warning, and the last good state is not lost."""
    chance = random.Random(1)
    for trial in range(max(1, TRIALS // 5)):
        folder = folders(2 * trial)
        words = tuple(word for word in RESUMED if word not in ("-o", "result.json"))
        outcome = run(words, folder, limits={"FSIZE": chance.randrange(2_000, 60_000)}, saved_every=0.05)
        assert outcome.status in (0, 2), outcome
        assert outcome.said.count("its state was not saved") <= 1, outcome
        assert outcome.clean, outcome
        if (folder / "run" / "checkpoint.json").exists():
            assert run((*words, "--resume"), folder).status == 0


def test_a_full_disk(folders):
    chance = random.Random(0)
    for trial in range(TRIALS):
        folder = folders(trial)
        limit = chance.randrange(12_000, 120_000)  # what is printed, into a file as well, takes less
        outcome = run((*ESTIMATE, "--quiet"), folder, limits={"FSIZE": limit})
        assert outcome.status in (0, 2), outcome
        assert outcome.status == 0 or "disk is full" in outcome.said
        assert outcome.status == 0 or outcome.one_sentence, outcome
        check_folder(folder)


@pytest.mark.skipif(os.geteuid() != 0 and not hasattr(os, "getuid"), reason="there are no users")
def test_a_folder_that_cannot_be_written_to(folders, samples):
    folder = folders(0)
    folder.chmod(0o555)
    for words in (ESTIMATE, train(samples)):
        outcome = run(words, folder, user=65534 if os.geteuid() == 0 else None)
        assert outcome.status == 2
        assert outcome.one_sentence, outcome
        assert "cannot be" in outcome.said
    assert set(os.listdir(folder)) == INPUTS
    folder.chmod(0o755)


def test_little_memory(folders):
    chance = random.Random(0)
    for trial in range(TRIALS):
        folder = folders(trial)
        outcome = run(ESTIMATE, folder, limits={"AS": int(2 ** chance.uniform(20, 29))})
        assert outcome.status in (0, 2), outcome
        assert outcome.status == 0 or outcome.one_sentence, outcome
        check_folder(folder)


CHANGES = {
    "other values": lambda path, values: np.save(path, values + 1),
    "NaN": lambda path, values: np.save(path, np.where(values > 2, np.nan, values)),
    "cut": lambda path, values: os.truncate(path, path.stat().st_size // 2),
    "replaced": lambda path, values: (np.save(f"{path}.new.npy", values + 1), os.replace(f"{path}.new.npy", path)),
    "removed": lambda path, values: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_input_that_changes_meanwhile(change, folders, place, usual):
    values = np.load(place / "a.npy")
    digests, chance = set(), random.Random(change)
    for trial in range(max(1, TRIALS // 5)):
        folder = folders(2 * trial)
        running = Run(ESTIMATE, folder)
        threading.Event().wait(chance.uniform(0, 0.5 * usual))
        CHANGES[change](folder / "a.npy", values)
        outcome = running.outcome()
        assert outcome.status in (0, 2), outcome
        assert outcome.status == 0 or outcome.one_sentence, outcome
        if outcome.status == 0:
            digests.add(json.loads((folder / "result.json").read_text())["a"]["digest"])
    assert len(digests) <= 2


def test_two_writers_of_the_same_files(folders):
    for trial in range(max(1, TRIALS // 5)):
        folder = folders(trial)
        for outcome in [each.outcome() for each in [Run(ESTIMATE, folder) for _ in range(3)]]:
            assert outcome.status == 0, outcome
        check_folder(folder)


def test_two_trainings_in_one_folder(folders, samples):
    for trial in range(max(1, TRIALS // 10)):
        folder = folders(2 * trial)
        outcomes = [each.outcome() for each in [Run(train(samples), folder) for _ in range(3)]]
        assert sorted(outcome.status for outcome in outcomes) == [0, 2, 2], outcomes
        assert all(outcome.status == 0 or outcome.one_sentence for outcome in outcomes), outcomes


@pytest.mark.parametrize("name", ARRAYS)
def test_damaged_inputs_under_a_limit_on_memory(name, folders):
    folder = folders(0)
    (folder / "x").mkdir()
    address = ARRAYS[name](folder / "x")
    (path,) = (folder / "x").iterdir()
    content = path.read_bytes()
    for trial in range(TRIALS):
        path.write_bytes(damaged(content, f"faults {name} {trial}"))
        outcome = run(("inspect", address), folder, limits={"AS": 1 << 30})
        assert outcome.status in (0, 2), outcome
        assert outcome.status == 0 or outcome.one_sentence, outcome
