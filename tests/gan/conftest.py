"""Trainings of a second or so, on the digits."""

import pytest

from wdist.gan import game, training
from wdist.gan.settings import GanSettings
from wdist.gan.training import train_gan


@pytest.fixture
def small(samples):
    """Settings of the smallest sensible training."""

    def make(**changes):
        return GanSettings(**{
            "data": f"{samples}/digits.h5?limit=60", "latent": 4, "width": 8, "critic_width": 16, "batch_size": 8, **changes
        })  # fmt: skip

    return make


@pytest.fixture
def train(monkeypatch):
    """Trains without exporting, which takes longer than the rest."""
    monkeypatch.setattr(game, "_CALIBRATION_BATCHES", 2)
    monkeypatch.setattr(training.files, "export_generator", lambda path, generator, latent: path.write_bytes(b"program"))
    return train_gan
