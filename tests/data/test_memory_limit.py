"""A file larger than half of the free memory is streamed, under a limit that the system enforces."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from wdist import estimate
from wdist.critics.settings import CriticSettings

ROWS, DIM, BLOCK = 100_000, 1024, 4000
SETTINGS = {"width": 16, "depth": 2, "group_size": 2, "batch_size": 64}
STEPS = 40

SCRIPT = """
import json, resource, sys
import psutil, torch, ot, h5py, scipy.stats, safetensors.torch
from wdist.estimation import run
from wdist import estimate
from wdist.critics.settings import CriticSettings
from wdist.data import measure
from wdist.data.memory import free_memory

torch.set_num_threads(1)
limit = psutil.Process().memory_info().vms + 760 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
streamed, make = [], measure._streamed
measure._streamed = lambda *arguments, **options: streamed.append(1) or make(*arguments, **options)
settings = CriticSettings(**json.loads(sys.argv[3]))
# Transport must respect the limit too, and a little of it suffices to show that.
run.TRANSPORT_SECONDS = run.POPULATION_SECONDS = 2.0
found = estimate(
    sys.argv[1], sys.argv[2], settings=settings, steps=int(sys.argv[4]), critic=sys.argv[5], baselines="none"
)
print(json.dumps([len(streamed), found.samples.lower, found.samples.n_a, found.population.estimate, found.population.n_a]))
"""


def write(path):
    """400 MB, block by block; the mean of a sample is 0.1 in each coordinate."""
    block = np.random.default_rng(0).standard_normal((BLOCK, DIM), dtype=np.float32) + np.float32(0.1)
    if path.suffix == ".npy":
        values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(ROWS, DIM))
        for start in range(0, ROWS, BLOCK):
            values[start : start + BLOCK] = np.roll(block, start // BLOCK, axis=1)
        values.flush()
    else:
        with h5py.File(path, "w") as file:
            values = file.create_dataset("x", (ROWS, DIM), "f4")
            for start in range(0, ROWS, BLOCK):
                values[start : start + BLOCK] = np.roll(block, start // BLOCK, axis=1)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the address space is enforced on Linux")
@pytest.mark.parametrize(("suffix", "critic"), [(".npy", "auto"), (".h5", "groupsort-bjorck")])
def test_an_estimate_under_a_memory_limit_agrees_with_one_without(suffix, critic, tmp_path, monkeypatch):
    path = tmp_path / f"a{suffix}"
    write(path)
    other = tmp_path / "b.npy"
    np.save(other, np.random.default_rng(1).standard_normal((3000, DIM), dtype=np.float32))
    limited = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(path), str(other), json.dumps(SETTINGS), str(STEPS), critic],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        # The limit counts addresses: neither arenas reserved for threads nor holes in the heap are what is tested here.
        env={**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(2**19)},
    )
    assert limited.returncode == 0, limited.stderr[-3000:]
    streamed, lower, count, held_out, held_count = json.loads(limited.stdout)
    assert streamed == 1
    assert count == ROWS
    if suffix == ".h5":
        return  # the same rows
    monkeypatch.setattr("wdist.estimation.run.TRANSPORT_SECONDS", 1e-9)
    monkeypatch.setattr("wdist.estimation.run.POPULATION_SECONDS", 1e-9)
    monkeypatch.setattr("wdist.data.measure.fits", lambda nbytes: True)
    resident = estimate(path, other, settings=CriticSettings(**SETTINGS), steps=STEPS, baselines="none")
    # The weights begin alike and the minibatches differ, by a few percent after these steps; the standard deviation of a potential
    # is about 1, so that the noise of a mean over the 500 held-out samples of the other side is 1 / sqrt 500.
    assert lower == pytest.approx(resident.samples.lower, rel=0.1)
    assert held_out == pytest.approx(resident.population.estimate, rel=0.1, abs=4 / 500**0.5)
    assert held_count <= resident.population.n_a
    path.unlink()
