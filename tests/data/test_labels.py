"""Labels of samples: beside them in one file, from a dataset of torchvision, or named by the user; always of the chosen rows."""

import h5py
import numpy as np
import pytest
import torch

from tests.data.sources.conftest import data
from wdist.data.access import Access
from wdist.data.labels import read_labelled
from wdist.errors import SourceError

__all__ = ["data"]


@pytest.fixture
def x():
    """The first coordinate of each sample is its class."""
    values = np.random.default_rng(0).random((30, 2, 2))
    values[:, 0, 0] = np.arange(30) % 5
    return values


@pytest.fixture(params=["x.h5", "x.npz"])
def file(request, x, tmp_path):
    path = tmp_path / request.param
    if path.suffix == ".npz":
        np.savez(path, images=x, labels=x[:, 0, 0].astype(int))
    else:
        with h5py.File(path, "w") as file:
            file["images"], file["labels"] = x, x[:, 0, 0].astype(np.uint8)
    return path


@pytest.mark.parametrize("options", ["", "?rows=7:20", "?limit=9", ":images", ":images?limit=9"])
def test_labels_beside_the_samples_follow_the_chosen_rows(file, options):
    found = read_labelled(f"{file}{options}", seed=3)
    assert torch.equal(found.x[:, 0].long(), found.labels)
    assert found.info.event_shape == (2, 2)


def test_labels_in_the_same_group_are_found(x, tmp_path):
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["a/images"], file["a/labels"], file["b/images"] = x, x[:, 0, 0].astype(int), x
    found = read_labelled(f"{tmp_path / 'g.h5'}:a/images")
    assert torch.equal(found.x[:, 0].long(), found.labels)
    with pytest.raises(SourceError, match="labels=FILE"):
        read_labelled(f"{tmp_path / 'g.h5'}:b/images")


def test_named_labels_are_those_of_all_rows_or_of_the_chosen_ones(x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", x[:, 0, 0].astype(int))
    np.save(tmp_path / "some.npy", x[5:9, 0, 0].astype(int))
    for labels in ("y.npy", "some.npy"):
        found = read_labelled(f"{tmp_path / 'x.npy'}?rows=5:9", str(tmp_path / labels))
        assert torch.equal(found.x[:, 0].long(), found.labels)


@pytest.mark.parametrize("labels", [[0.5] * 30, [-1] * 30, [float("nan")] * 30, np.zeros((30, 2))])
def test_what_are_no_class_numbers_is_refused(x, labels):
    with pytest.raises(SourceError, match="class number"):
        read_labelled(x, np.array(labels))


def test_samples_that_are_not_finite_are_dropped_with_their_labels_or_refused(x):
    classes = x[:, 0, 0].astype(int)
    x[3, 1, 1], x[7, 1, 0] = np.nan, np.inf
    with pytest.raises(SourceError, match="2 samples; drop_nonfinite=True"):
        read_labelled(x, classes)
    found = read_labelled(x, classes, Access(drop_nonfinite=True))
    assert (len(found.x), found.info.count, found.info.dropped) == (28, 28, 2)
    assert torch.equal(found.x[:, 0].long(), found.labels)


def test_samples_without_end_have_no_labels():
    with pytest.raises(SourceError, match="without end"):
        read_labelled("synthetic:gaussian?dim=2")


def test_datasets_bring_their_labels(data):
    """Images and labels are those of the chosen classes, in the order of the file."""
    found = read_labelled(f"torchvision:MNIST?split=test&root={data}&classes=3,8&rows=0:40")
    whole = read_labelled(f"torchvision:MNIST?split=test&root={data}")
    chosen = (whole.labels == 3) | (whole.labels == 8)
    assert torch.equal(found.labels, whole.labels[chosen][:40])
    assert torch.equal(found.x, whole.x[chosen][:40])
