"""Classifiers with a known Lipschitz constant, and what is measured of them."""

import dataclasses

import pytest
import torch

from wdist.errors import SourceError
from wdist.studies.reproduce import classifier
from wdist.studies.reproduce.classifier import Digits, active_shares, digits, jacobian_singular_values, train_classifier
from wdist.studies.reproduce.small_network import FrozenNetwork, SmallNetwork
from wdist.studies.study import find_study


@pytest.fixture
def blobs(generator):
    """Ten clouds of points in 784 dimensions, one a class."""
    centres = torch.rand(10, 784, generator=generator)
    labels = torch.arange(300) % 10
    return Digits(images=centres[labels] + 0.02 * torch.randn(300, 784, generator=generator), labels=labels)


@pytest.fixture
def tiny(monkeypatch):
    """Small and short."""
    monkeypatch.setattr(classifier, "QUICK_WIDTH", 24)
    monkeypatch.setattr(classifier, "QUICK_STEPS", 30)


def network(activation, scale, generator, sizes=(6, 8, 8, 4)):
    return SmallNetwork(sizes, activation=activation, constraint="bjorck", generator=generator, scale=scale)


@pytest.mark.parametrize("activation", ["relu", "maxmin"])
def test_a_frozen_network_gives_the_same_outputs(activation, generator):
    trained = network(activation, 10.0, generator)
    x = torch.randn(5, 6, generator=generator)
    frozen = trained.plain().to(torch.device("cpu"), torch.float32)
    assert frozen(x) == pytest.approx(trained(x).detach(), abs=1e-4)


@pytest.mark.parametrize("activation", ["relu", "maxmin"])
def test_singular_values_are_those_of_the_jacobian_and_at_most_the_lipschitz_constant(activation, generator):
    frozen = network(activation, 10.0, generator).plain().to(torch.device("cpu"), torch.float32)
    x = torch.randn(7, 6, generator=generator)
    found = jacobian_singular_values(frozen, x)
    for each, values in zip(x, found, strict=True):
        J = torch.autograd.functional.jacobian(lambda z: frozen(z[None])[0], each)
        assert values == pytest.approx(torch.linalg.svdvals(J.double()), abs=1e-3)
    assert float(found.max()) <= 10 * (1 + 1e-5)


def test_group_sort_keeps_all_singular_values_where_layers_do_not_shrink(generator):
    frozen = network("maxmin", 10.0, generator, sizes=(8, 8, 8, 8)).plain().to(torch.device("cpu"), torch.float32)
    assert jacobian_singular_values(frozen, torch.randn(9, 8, generator=generator)) == pytest.approx(
        torch.full((9, 8), 10.0), abs=1e-3
    )


def test_active_shares_count_positive_activations(generator):
    relu = network("relu", 1.0, generator).plain().activation
    W = torch.tensor([[1.0], [-1.0], [0.0]])
    frozen = FrozenNetwork(weights=((W, torch.tensor([0.0, 0.0, 1.0])), (torch.ones(1, 3), torch.zeros(1))), activation=relu)
    assert active_shares(frozen, torch.tensor([[1.0], [2.0], [-1.0], [3.0]])).tolist() == [0.75, 0.25, 1.0]


@pytest.mark.parametrize("lipschitz", [None, 10.0])
def test_a_classifier_learns_and_keeps_its_constraint(tiny, blobs, conditions, lipschitz):
    found = train_classifier(blobs, blobs, activation="maxmin", lipschitz=lipschitz, conditions=conditions, label="test")
    assert found.accuracy > 0.5
    if lipschitz is not None:
        assert float(jacobian_singular_values(found.network, blobs.images[:20]).max()) <= lipschitz * (1 + 1e-4)


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
    with pytest.raises(SourceError, match="--root DIR"):
        digits(dataclasses.replace(conditions, data=tmp_path), train=True)


def test_mnist_is_read_with_its_labels(conditions, data):
    found = digits(dataclasses.replace(conditions, data=data), train=False)
    assert (found.images.shape, found.labels.shape) == ((10_000, 784), (10_000,))
    assert (float(found.images.min()), float(found.images.max())) == (0.0, 1.0)
