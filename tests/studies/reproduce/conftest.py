"""Reproductions made by hand, for everything that shows them."""

import numpy as np
import pytest

from tests.data.sources.conftest import data
from wdist.environment import Environment
from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Reproduction, Series, Surface

__all__ = ["data"]  # a fixture of the sources' tests that these share


@pytest.fixture
def conditions(repository):
    """The quick form, silently; MNIST where a checkout's neighbour has it."""
    return Conditions(quick=True, device="cpu", root=str(repository.parent / "shared" / "data"))


@pytest.fixture
def made_reproduction():
    """Makes a reproduction by hand."""

    def make(**changes):
        fields = {
            "what": "figure99",
            "title": "Everything at once",
            "source": "figure 99, appendix Z",
            "quick": True,
            "seed": 0,
            "reduced": ("10 steps instead of 1000",),
            "settings": {"width": 16, "optimizer": "adam"},
            "comparisons": (
                Comparison(row="MaxMin", column="dimension 2", ours=0.91, paper=0.95),
                Comparison(row="MaxMin", column="dimension 3", ours=0.99, paper=0.90),
                Comparison(row="ReLU", column="spread", ours=5.0, paper=(4.0, 8.0)),
                Comparison(row="ReLU", column="dimension 3", ours=0.5),
            ),
            "findings": (
                Finding(claim="One is above the other.", holds=True, detail="by 0.4"),
                Finding(claim="Both are right.", holds=False, detail="neither is"),
            ),
            "panels": (
                Curves(
                    title="curves",
                    x_label="x",
                    y_label="y",
                    series=(
                        Series(name="ours", x=(0.0, 1.0), y=(0.0, 1.0)),
                        Series(name="ours, paper", x=(0.0, 1.0), y=(0.0, 0.9), dashed=True),
                    ),
                ),
            ),
            "remarks": ("The paper states no width.",),
            "seconds": 1.0,
            "full_seconds": 100.0,
            "environment": Environment(
                wdist="0", python="3", torch="2", platform="here", device="cpu", threads=1, precision="float64"
            ),
        }
        return Reproduction(**{**fields, **changes})

    return make


@pytest.fixture
def surface():
    """A cone over the plane."""
    x, y = np.linspace(-1, 1, 9), np.linspace(-1, 1, 5)
    z = np.hypot(*np.meshgrid(x, y))
    return Surface(title="cone", x=x, y=y, z=z, peaks=((0.0, 0.0),), main=True)
