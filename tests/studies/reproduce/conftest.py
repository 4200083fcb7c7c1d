"""Conditions under which reproductions are tested."""

import pytest
import torch

from tests.data.sources.conftest import data
from wdist.robustness.training import Labelled
from wdist.studies.study import Conditions

__all__ = ["data"]  # a fixture of the sources' tests that these share


@pytest.fixture
def conditions(repository):
    """The quick form, silently; MNIST where a checkout's neighbour has it."""
    return Conditions(quick=True, device="cpu", data=repository.parent / "shared" / "data")


@pytest.fixture
def blobs(generator):
    """Ten clouds of points in 784 dimensions, one a class."""
    centres = torch.rand(10, 784, generator=generator)
    labels = torch.arange(300) % 10
    return Labelled(x=(centres[labels] + 0.02 * torch.randn(300, 784, generator=generator)).clamp(0, 1), labels=labels)
