"""Table 6: networks of the published sizes, and a run on one small source that is split in two."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch

from wdist.errors import SourceError, UsageError
from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import wide_resnet
from wdist.studies.reproduce.wide_resnet import WideResNet


@pytest.mark.parametrize(("depth", "widening", "millions"), [(28, 10, 36.5), (40, 4, 8.9), (16, 8, 11.0)])
def test_networks_have_as_many_parameters_as_published(depth, widening, millions):
    """Zagoruyko & Komodakis (2016), table 4."""
    with torch.device("meta"):
        network = WideResNet(depth, widening, "relu")
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_a_parseval_step_pulls_kernels_towards_orthonormal_ones():
    torch.manual_seed(0)
    network = WideResNet(10, 1, "maxmin", beta=0.1)
    kernel = network.body[0].weight
    with torch.no_grad():
        kernel.div_(torch.linalg.matrix_norm(kernel.flatten(1), 2))
    before = torch.linalg.svdvals(kernel.detach().flatten(1))
    network.constrain_()
    after = torch.linalg.svdvals(kernel.detach().flatten(1))
    assert after == pytest.approx(before + 0.1 * before * (1 - before**2), abs=1e-5)


@pytest.fixture
def file(tmp_path):
    """Sixty images whose class is their brightness, pixel by pixel as stored."""
    labels = np.arange(60) % 10
    images = (20 * labels)[:, None, None, None] + np.random.default_rng(0).integers(0, 20, (60, 32, 32, 3))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["images"], file["labels"] = images.astype(np.uint8), labels
    return tmp_path / "c.h5"


def test_one_source_is_split_in_two_and_said_to_be(monkeypatch, conditions, file):
    monkeypatch.setattr(wide_resnet, "_QUICK", dataclasses.replace(wide_resnet._QUICK, steps=2, batch_size=8, images=20))
    result = find_study("reproduce", "table6").run(dataclasses.replace(conditions, sources={"cifar10": str(file)}))
    assert {(row.row, row.column): row.paper for row in result.rows}["Parseval", "MaxMin"] == 94.83
    assert len(result.rows) == 6
    assert any("split in two" in remark for remark in result.conclusion.remarks)
    with pytest.raises(UsageError, match="cifar10=ADDRESS only"):
        find_study("reproduce", "table6").run(dataclasses.replace(conditions, sources={"mnist": str(file)}))


def test_images_of_another_size_are_refused(conditions, tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["images"], file["labels"] = np.zeros((30, 28, 28)), np.zeros(30)
    with pytest.raises(SourceError, match="32 x 32"):
        find_study("reproduce", "table6").run(dataclasses.replace(conditions, sources={"cifar10": str(tmp_path / "m.h5")}))
