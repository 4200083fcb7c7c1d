"""Datasets of torchvision by name."""

import os

import pytest
import torch
from PIL import Image

from tests.data.sources.conftest import refused, write_images
from wdist.data.sources.opening import open_source
from wdist.data.sources.torchvision_dataset import dataset_names


def everything(source):
    return source.read(slice(0, source.count))


def test_torchvision_says_itself_which_datasets_there_are():
    assert {"MNIST", "CIFAR10", "FashionMNIST", "SVHN", "ImageFolder", "FakeData"} <= set(dataset_names())
    refused("torchvision:mnist", "did you mean 'MNIST'")
    refused("torchvision:MINST", "did you mean 'MNIST'")
    refused("torchvision:Nothing", "choose one of")


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10", "CelebA", "Food101"])
def test_a_missing_dataset_offers_the_download_and_does_not_start_it(name, tmp_path):
    refused(f"torchvision:{name}?root={tmp_path}/none", "download=True")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("torchvision:MNIST?split=val", "choose one of test, train"),
        ("torchvision:SVHN?split=val", "refuses these options"),
        ("torchvision:MNIST?splt=train", "did you mean 'split'"),
        ("torchvision:CocoDetection", "needs annFile"),
        ("torchvision:FakeData?size=30&classes=77", "no sample has the class 77"),
        ("torchvision:FakeData?size=30&classes=cat", "no class 'cat'"),
        ("torchvision:FakeData?size=0", "empty dataset"),
        ("torchvision:FakeData?size=-3", "failed"),
        ("torchvision:FakeData?size=10**9", "torchvision's FakeData failed .*; correct its options"),
        ("torchvision:FakeData?size=30&image_size=3", "torchvision's FakeData failed .*; correct its options"),
        ("torchvision:MNIST?root=~nobody-of-this-name/data", "unknown user"),
        ("torchvision:ImageFolder?root=/no/such/folder", "name its folder with root="),
    ],
)
def test_bad_torchvision_addresses_are_refused(address, words):
    refused(address, words)


def test_classes_are_chosen_by_number_or_name(tmp_path):
    folder = write_images(tmp_path)
    sources = [open_source(f"torchvision:ImageFolder?root={folder}&classes={classes}") for classes in ("1", "class1")]
    assert [source.count for source in sources] == [12, 12]
    assert torch.equal(everything(sources[0]), everything(sources[1]))
    assert open_source(f"torchvision:ImageFolder?root={folder}&classes=0,1").count == 24


def test_arguments_of_the_class_ride_in_the_address():
    source = open_source("torchvision:FakeData?size=25&image_size=(3,4,6)&num_classes=3&limit=22")
    assert (source.count, source.info.event_shape, source.info.kind) == (22, (4, 6, 3), "torchvision")


def test_mnist_is_there_with_its_splits_and_classes(data):
    train, test = (open_source(f"torchvision:MNIST?root={data}&split={split}") for split in ("train", "test"))
    assert (train.count, test.count, train.info.event_shape) == (60_000, 10_000, (28, 28))
    threes_and_eights = open_source(f"torchvision:MNIST?root={data}&classes=3,8")
    assert threes_and_eights.count == 6131 + 5851
    resized = open_source(f"torchvision:MNIST?root={data}&size=14&limit=5")
    assert everything(resized).shape == (5, 196)


def test_torchvision_opens_no_other_formats_of_images_than_wdist(tmp_path):
    """EPS, for one, would start Ghostscript, which runs the program that an EPS file is."""
    for split in ("train", "test"):
        for label in ("positive", "negative"):
            folder = tmp_path / "rendered-sst2" / split / label
            folder.mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(folder / "0.png")
    address = f"torchvision:RenderedSST2?root={tmp_path}"
    assert open_source(address).count == 2
    Image.new("RGB", (4, 4)).save(folder.parents[1] / "train" / "negative" / "0.png", format="EPS")
    before = Image.open
    refused(address, "torchvision's RenderedSST2 failed .*cannot identify image file")
    assert Image.open is before


def test_a_pipe_in_an_option_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "labels.json")
    refused(f"torchvision:CocoDetection?root={tmp_path}&annFile={tmp_path}/labels.json", "not a regular file")
