"""Figures 15 and 17, at sizes that take a second or two: images of generators, and how near they come to the data."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from wdist.errors import SourceError, UsageError
from wdist.gan import game, training
from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import generated, image_sets
from wdist.studies.study import Conditions


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Trainings of two steps, on networks of a few units, without exports."""
    sizes = generated._Sizes(width=8, critic_width=16, batch_size=8, steps=2)
    monkeypatch.setattr(generated, "_QUICK", sizes)
    monkeypatch.setattr(generated, "COMPARED", 20)
    monkeypatch.setattr(game, "_CALIBRATION_BATCHES", 2)
    monkeypatch.setattr(training.files, "export_generator", lambda path, generator, latent: path.write_bytes(b"program"))


@pytest.fixture
def folder(tmp_path):
    """Grey and coloured images."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "grey.npy", random.integers(0, 256, (60, 8, 8), dtype=np.uint8))
    np.save(tmp_path / "coloured.npy", random.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8))
    return tmp_path


def conditions(**changes):
    return Conditions(quick=True, device="cpu", **changes)


def rows(result):
    return {(row.row, row.column): row.ours for row in result.rows}


def test_figure_15_shows_two_generators_side_by_side(folder):
    result = find_study("reproduce", "figure15").run(conditions(sources={"mnist": f"{folder}/grey.npy"}))
    found = rows(result)
    assert {row for row, _ in found} == {"leaky ReLU critic", "MaxMin critic", "other images of the data"}
    assert found["leaky ReLU critic", "MNIST, W1 to the data"] != found["MaxMin critic", "MNIST, W1 to the data"]
    assert [panel.title for panel in result.conclusion.panels] == ["MNIST: leaky ReLU critic", "MNIST: MaxMin critic"]
    assert all(panel.pixels.dtype == np.uint8 and panel.pixels.shape[2] == 3 for panel in result.conclusion.panels)
    assert any("not MNIST, which stands in for it" in remark for remark in result.conclusion.remarks)
    faces = find_study("reproduce", "figure15").run(conditions(sources={"celeba": f"{folder}/coloured.npy"}))
    assert not any("stands in" in remark for remark in faces.conclusion.remarks)


def test_figure_17_measures_generators_before_and_after_and_what_the_critic_proves(folder):
    sources = {"mnist": f"{folder}/grey.npy", "cifar10": f"{folder}/coloured.npy"}
    result = find_study("reproduce", "figure17").run(conditions(sources=sources))
    found = rows(result)
    for data in ("MNIST", "CIFAR10"):
        assert found["generator", f"{data}, W1 to the data"] != found["generator before its training", f"{data}, W1 to the data"]
        assert found["other images of the data", f"{data}, W1 to the data"] > 0
        assert found["generator", f"{data}, proved by its critic"] > 0
    assert len(result.conclusion.panels) == len(result.conclusion.checks) == 2


def test_data_that_are_missing_are_left_out_and_said(folder, monkeypatch):
    monkeypatch.setattr(image_sets, "_ADDRESSES", {"mnist": "{root}/grey.npy", "cifar10": "{root}/missing.npy"})
    result = find_study("reproduce", "figure17").run(conditions(data=folder))
    assert {column.partition(",")[0] for _, column in rows(result)} == {"MNIST"}
    assert any(remark.startswith("CIFAR10 was left out") for remark in result.conclusion.remarks)


@pytest.mark.parametrize(
    ("name", "changes", "error", "words"),
    [
        ("figure15", {"data": Path("nowhere")}, SourceError, "root=DIR"),
        ("figure15", {"sources": {"svhn": "a.npy"}}, UsageError, "no data 'svhn'"),
        ("figure17", {"sources": {"celeba": "a.npy"}}, UsageError, "no data 'celeba'"),
        ("figure17", {"generators": {"mnist": "g"}}, UsageError, "leave out generator"),
        ("figure17", {"sources": {"mnist": "missing.npy"}}, SourceError, "does not exist"),
    ],
)
def test_what_cannot_be_shown_is_refused(name, changes, error, words):
    with pytest.raises(error, match=words):
        find_study("reproduce", name).run(conditions(**changes))


def test_the_distance_is_that_of_the_best_assignment(generator):
    x, y = torch.randn(2, 30, 5, generator=generator, dtype=torch.float64)
    cost = cdist(x, y)
    assert generated.distance(x, y) == pytest.approx(cost[linear_sum_assignment(cost)].mean(), rel=1e-8)
