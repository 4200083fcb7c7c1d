"""Conditions under which reproductions are tested."""

import pytest

from tests.data.sources.conftest import data
from wdist.studies.study import Conditions

__all__ = ["data"]  # a fixture of the sources' tests that these share


@pytest.fixture
def conditions(repository):
    """The quick form, silently; MNIST where a checkout's neighbour has it."""
    return Conditions(quick=True, device="cpu", data=repository.parent / "shared" / "data")
