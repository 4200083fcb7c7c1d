"""Datasets of torch: the sample, with or without a label behind it, read once."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import wdist
from wdist.data.sources.opening import open_source
from wdist.errors import SourceError

X = torch.randn(30, 2, 3, generator=torch.Generator().manual_seed(0))


class Items(Dataset):
    """A dataset of given items, which counts how often each was read."""

    def __init__(self, items):
        self.items, self.reads = items, 0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        self.reads += 1
        return self.items[number]


@pytest.mark.parametrize(
    "dataset",
    [TensorDataset(X), TensorDataset(X, torch.arange(30)), Items(list(X)), Items([[x.numpy(), "label"] for x in X])],
    ids=["alone", "with a label", "not in tuples", "arrays in lists"],
)
def test_the_first_element_is_the_sample(dataset):
    source = open_source(dataset)
    assert source.info.event_shape == (2, 3)
    assert torch.equal(source.read(slice(0, 30)), X.reshape(30, 6))


@pytest.mark.parametrize(
    ("item", "shape", "dtype"),
    [
        (torch.tensor([1.5], dtype=torch.bfloat16), (1,), "float32"),
        (2.5, (), "float64"),
        (Image.fromarray(np.zeros((4, 5), dtype=np.uint8)), (4, 5), "uint8"),
    ],
)
def test_numbers_and_images_are_samples(item, shape, dtype):
    info = open_source(Items([(item, 0)] * 3)).info
    assert (info.count, info.event_shape, info.dtype) == (3, shape, dtype)


def test_each_sample_is_read_once():
    """A random transform would return another one later, which the critic's bound would not be about."""
    dataset = Items(list(X))
    source = open_source(dataset)
    assert torch.equal(source.read(slice(0, 30)), source.read(slice(0, 30)))
    assert dataset.reads == 30


class Endless(IterableDataset):
    def __iter__(self):
        yield from X


class Broken(Items):
    def __getitem__(self, number):
        raise OSError("the disk is gone.")


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Items([]), "<dataset> is empty"),
        (Items([X[0], X[0, :1]]), r"<dataset> sample 1 has the shape \(1, 3\), but the first sample \(2, 3\)"),
        (Items([{"image": X[0]}] * 3), "its samples are of type dict; return tensors"),
        (Endless(), "has no numbered samples"),
        (Broken([1, 2]), r"failed to return a sample \(OSError: the disk is gone\)"),
    ],
)
def test_what_holds_no_samples_is_refused_in_a_sentence(dataset, words):
    with pytest.raises(SourceError, match=words):
        open_source(dataset)


def test_messages_name_the_side():
    with pytest.raises(wdist.WdistError, match="<dataset B> is empty"):
        wdist.estimate(X, Items([]))
