"""Isometry: gradient norms by their definition, and what GroupSort keeps that ReLU loses."""

import pytest
import torch

from wdist.robustness.training import ClassifierNetwork, Labelled, NetworkSettings
from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import classifier, isometry
from wdist.studies.reproduce.isometry import gradient_norms

CPU = torch.device("cpu")


def test_gradient_norms_are_those_of_the_true_logit(generator):
    frozen = ClassifierNetwork(5, 4, NetworkSettings(hidden=(8, 6), activation="relu", lipschitz=3.0), generator).frozen()
    data = Labelled(torch.randn(7, 5, generator=generator), torch.arange(7) % 4)
    found = gradient_norms(frozen, data, CPU)
    x = data.x.clone().requires_grad_()
    frozen.function(CPU)(x).gather(1, data.labels[:, None]).sum().backward()
    assert float(found[0]) == pytest.approx(float(x.grad.norm(dim=1).mean()), rel=1e-5)
    rows = frozen.layers[-1].weight.norm(dim=1)[data.labels]
    assert float(found[-1]) == pytest.approx(float(rows.mean()), rel=1e-5)
    assert len(found) == 3


def test_group_sort_keeps_what_relu_loses_at_all_times(monkeypatch, blobs, conditions):
    monkeypatch.setattr(classifier, "QUICK_WIDTH", 24)
    monkeypatch.setattr(classifier, "QUICK_STEPS", 50)
    monkeypatch.setattr(isometry, "QUICK_IMAGES", 40)
    monkeypatch.setattr(isometry, "digits", lambda conditions, train: blobs)
    result = find_study("reproduce", "isometry").run(conditions)
    ours = {(row.row, row.column): row.ours for row in result.rows}
    medians = {
        name: [value for (row, column), value in ours.items() if row == name and column.startswith("median")]
        for name in ("ReLU", "GroupSort")
    }
    assert len(medians["GroupSort"]) == len(isometry.MOMENTS)
    assert medians["GroupSort"] == pytest.approx([10.0] * len(isometry.MOMENTS), rel=1e-3)
    assert max(medians["ReLU"]) < 9
    assert ours["GroupSort", "gradient norm by the input"] == pytest.approx(10.0, rel=1e-3)
    assert ours["ReLU", "gradient norm by the input"] < ours["ReLU", "gradient norm by hidden layer 2"] < 10
