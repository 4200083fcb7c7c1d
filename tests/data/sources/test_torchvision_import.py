"""Importing torchvision where its operators do not match torch."""

import shutil
import sys

import pytest

from wdist.data.sources import torchvision_dataset
from wdist.errors import SourceError


def fake_torchvision(folder, body):
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(body)
    (package / "datasets.py").write_text("__all__ = ()\n")


@pytest.fixture
def without_torchvision(monkeypatch, tmp_path):
    """A place for another torchvision; the true one is back afterwards."""
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchvision"}
    for name in kept:
        del sys.modules[name]
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.modules.update(kept)


def test_another_failure_of_torchvision_is_reported_and_not_papered_over(without_torchvision):
    fake_torchvision(without_torchvision, "raise RuntimeError('operator torchvision::roi_align does not exist')")
    declared = len(torchvision_dataset._declared)
    with pytest.raises(SourceError, match=r"roi_align.*; install the version that matches torch"):
        torchvision_dataset.import_torchvision()
    shutil.rmtree(without_torchvision / "torchvision")
    sys.modules["torchvision"] = None
    with pytest.raises(SourceError, match="pip install torchvision"):
        torchvision_dataset.import_torchvision()
    assert len(torchvision_dataset._declared) == declared
