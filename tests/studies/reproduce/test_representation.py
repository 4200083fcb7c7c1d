"""Representations: the views, the objectives and the probe by their definitions, and a small run of the study."""

import pytest
import torch

from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import representation
from wdist.studies.reproduce.representation import (
    OBJECTIVES,
    WASSERSTEIN,
    DigitViews,
    Views,
    dependence_lower,
    probe_accuracy,
    trained,
    wasserstein,
)


def test_both_views_show_the_classes_in_order_and_y_their_successors(blobs, generator):
    x, y, labels = DigitViews(blobs, 3, generator).draw(50)
    means = torch.stack([blobs.x[blobs.labels == label].mean(0) for label in range(10)]).reshape(10, 7, 4, 7, 4).mean((2, 4))

    def nearest(view):
        return torch.cdist(view.reshape(-1, 49), means.flatten(1)).argmin(1).reshape(50, 3)

    assert torch.equal(nearest(x), labels)
    assert torch.equal(nearest(y), (labels + 1) % 10)
    assert not torch.equal(x[:, :49][labels[:, 0] == 0], y[:, :49][labels[:, 0] == 9])


def test_the_objective_is_the_dual_value_over_all_pairs(generator):
    u, v = torch.randn(2, 6, 3, generator=generator)
    apart = [[float((a - b).norm()) for b in v] for a in u]
    joint = sum(apart[i][i] for i in range(6)) / 6
    product = sum(apart[i][j] for i in range(6) for j in range(6) if i != j) / 30
    assert float(wasserstein(u, v)) == pytest.approx(joint - product, rel=1e-4)


def test_a_probe_reads_what_is_there_and_nothing_else(generator):
    labels = torch.randint(10, (900, 2), generator=generator)
    views = Views(x=torch.nn.functional.one_hot(labels, 10).float().flatten(1), y=torch.zeros(900, 1), labels=labels)
    training, test = (Views(*(part[rows] for part in views)) for rows in (slice(600), slice(600, None)))
    assert probe_accuracy(lambda x: x, training, test) == 1.0
    assert probe_accuracy(lambda x: x[:, :10], training, test) == pytest.approx(0.55, abs=0.06), "one of two digits, and guesses"


def test_the_bound_of_dependence_sees_pairs_and_not_their_margins(blobs, generator, monkeypatch):
    monkeypatch.setattr(representation, "WIDTH", 32)
    views = DigitViews(blobs, 2, generator)
    encoders = trained(views, 2, OBJECTIVES[WASSERSTEIN], steps=60, seed=0)
    test = views.draw(900)
    lower = dependence_lower(encoders, test)
    shuffled = test._replace(y=test.y[torch.randperm(900, generator=generator)])
    assert lower > 0.2
    assert dependence_lower(encoders, shuffled) < 0.02
    cost = (test.y[:, None, :49] - test.y[None, :300, :49]).norm(dim=2).mean()  # of moving y to that of another pair
    assert lower <= 2 * float(cost)


def test_the_study_compares_the_objectives(blobs, conditions, monkeypatch):
    for name, value in {"WIDTH": 16, "QUICK_STEPS": 30, "QUICK_COUNTS": (1, 2), "PROBED": 300, "TESTED": 600}.items():
        monkeypatch.setattr(representation, name, value)
    monkeypatch.setattr(representation, "digits", lambda conditions, train: blobs)
    result = find_study("reproduce", "representation").run(conditions)
    assert {row.row for row in result.rows} == {"pixels", "untrained", "InfoNCE", "InfoNCE, Lipschitz", "Wasserstein"}
    accuracy = {row.row: row.ours for row in result.rows if row.column == "accuracy, 2 digits"}
    assert accuracy["pixels"] > 99
    assert 10 < accuracy["untrained"] <= 100
    (panel,) = result.conclusion.panels
    assert [series.name for series in panel.series if series.reference] == ["pixels", "untrained"]
    assert len(result.conclusion.checks) == 4
