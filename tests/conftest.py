"""Fixtures that every test may ask for, and the settings that all share."""

import os
import signal
from pathlib import Path

import pytest

# Tests run side by side, one process per core; more threads in each would only wait for each other, unless the environment asks
# for them. Set before torch is imported, so that subprocesses inherit it.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell starts background jobs with Ctrl-C ignored, and their subprocesses inherit that; tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

import torch
from hypothesis import settings

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
# The same examples in every run, and no deadline: the first call of a function may compile, load or wait for the other worker.
settings.register_profile("wdist", derandomize=True, deadline=None, database=None)
settings.load_profile("wdist")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository():
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def samples(repository):
    """The folder of sample sets."""
    return repository / "samples"


@pytest.fixture
def no_transport(monkeypatch):
    """No upper end: between many samples it takes longer than all the rest."""
    monkeypatch.setattr("wdist.estimation.run.TRANSPORT_SECONDS", 1e-9)
    monkeypatch.setattr("wdist.estimation.run.POPULATION_SECONDS", 1e-9)


@pytest.fixture
def generator():
    """A seeded source of randomness on the CPU."""
    return torch.Generator().manual_seed(0)


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))
