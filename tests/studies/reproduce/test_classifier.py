"""Classifiers with a known Lipschitz constant, and what is measured of them."""

import dataclasses

import pytest
import torch

from wdist.errors import SourceError
from wdist.lipschitz.activations import Activated, activation
from wdist.lipschitz.frozen_layer import Affine
from wdist.robustness.classifier import FrozenClassifier
from wdist.robustness.training import ClassifierNetwork, NetworkSettings
from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import classifier
from wdist.studies.reproduce.classifier import active_shares, jacobian_singular_values, trained_on
from wdist.studies.reproduce.mnist import digits, error_of

CPU = torch.device("cpu")


@pytest.fixture
def tiny(monkeypatch):
    """Small and short."""
    monkeypatch.setattr(classifier, "QUICK_WIDTH", 24)
    monkeypatch.setattr(classifier, "QUICK_STEPS", 30)


def frozen(name, generator, sizes=(6, 8, 8, 4)):
    settings = NetworkSettings(hidden=sizes[1:-1], activation=name, lipschitz=10.0)
    return ClassifierNetwork(sizes[0], sizes[-1], settings, generator).frozen()


@pytest.mark.parametrize("name", ["relu", "maxmin"])
def test_singular_values_are_those_of_the_jacobian_and_at_most_the_lipschitz_constant(name, generator):
    function = frozen(name, generator).function(CPU)
    x = torch.randn(7, 6, generator=generator)
    found = jacobian_singular_values(function, x, CPU)
    for each, values in zip(x, found, strict=True):
        J = torch.autograd.functional.jacobian(lambda z: function(z[None])[0], each)
        assert values == pytest.approx(torch.linalg.svdvals(J.double()), abs=1e-3)
    assert float(found.max()) <= 10 * (1 + 1e-5)


def test_group_sort_keeps_all_singular_values_where_layers_do_not_shrink(generator):
    function = frozen("maxmin", generator, sizes=(8, 8, 8, 8)).function(CPU)
    found = jacobian_singular_values(function, torch.randn(9, 8, generator=generator), CPU)
    assert found == pytest.approx(torch.full((9, 8), 10.0), abs=1e-3)


def test_active_shares_count_positive_activations():
    W = torch.tensor([[1.0], [-1.0], [0.0]])
    hidden = Affine(weight=W, bias=torch.tensor([0.0, 0.0, 1.0]))
    last = Affine(weight=torch.ones(2, 3), bias=torch.zeros(2))
    found = FrozenClassifier([hidden, Activated(activation=activation("relu")), last], dim=1)
    assert active_shares(found, torch.tensor([[1.0], [2.0], [-1.0], [3.0]]), CPU).tolist() == [0.75, 0.25, 1.0]


@pytest.mark.parametrize("lipschitz", [None, 10.0])
def test_a_classifier_learns_and_keeps_its_constraint(tiny, blobs, conditions, lipschitz):
    found = trained_on(blobs, blobs, activation="maxmin", lipschitz=lipschitz, conditions=conditions, label="test")
    assert found.accuracy > 0.5
    assert found.accuracy == pytest.approx(1 - error_of(found.classifier.function(CPU), blobs, CPU))
    if lipschitz is not None:
        values = jacobian_singular_values(found.classifier.function(CPU), blobs.x[:20], CPU)
        assert float(values.max()) <= lipschitz * (1 + 1e-4)


@pytest.mark.parametrize("name", ["figure6", "figure16"])
def test_the_figures_say_what_the_paper_says_and_what_was_found(tiny, blobs, conditions, name, monkeypatch):
    monkeypatch.setattr(classifier, "digits", lambda conditions, train: blobs)
    result = find_study("reproduce", name).run(conditions)
    assert any(comparison.paper is not None for comparison in result.rows)
    assert any("10-Lipschitz" in panel.title for panel in result.conclusion.panels)
    for panel in result.conclusion.panels:
        for series in panel.series:
            if panel.bins:
                assert sum(series.y) == pytest.approx(1, abs=1e-5)
            else:
                assert list(series.y) == sorted(series.y, reverse=True)


def test_mnist_that_is_missing_is_asked_for_with_its_option(conditions, tmp_path):
    with pytest.raises(SourceError, match="root=DIR"):
        digits(dataclasses.replace(conditions, data=tmp_path), train=True)


def test_mnist_is_read_with_its_labels(conditions, data):
    found = digits(dataclasses.replace(conditions, data=data), train=False)
    assert (found.x.shape, found.labels.shape) == ((10_000, 784), (10_000,))
    assert (float(found.x.min()), float(found.x.max())) == (0.0, 1.0)
