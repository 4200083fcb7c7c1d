"""Certified radii: no attack succeeds within them, naive ones are refuted, and known ones are exact."""

import math

import pytest
import torch

from wdist.ground_metric import L1, L2, LINF
from wdist.lipschitz.activations import Activated, activation
from wdist.lipschitz.frozen_layer import Affine
from wdist.robustness.attacks import Ball, projected_gradient, refuted
from wdist.robustness.certification import certify_classifier, margin_constants
from wdist.robustness.classifier import FrozenClassifier

CPU = torch.device("cpu")


def affine(rows, bias=None):
    W = torch.tensor(rows, dtype=torch.float64)
    return Affine(weight=W, bias=torch.tensor(bias or [0.0] * len(W), dtype=torch.float64))


def certified(classifier, x, labels, metric):
    return certify_classifier(classifier, x, labels, margin_constants(classifier, metric))


@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
def test_no_attack_succeeds_within_a_certified_radius(trained, clouds, metric):
    """In float64, with restarts, at three sizes."""
    classifier, _ = trained
    found = certified(classifier, clouds.x, clouds.labels, metric)
    assert bool((found.radii[found.correct] > 0).all())
    assert bool((found.radii[~found.correct] == 0).all())
    function = classifier.function(CPU, torch.float64)
    for radius in found.radii.quantile(torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64)).tolist():
        proved = found.radii > radius
        x, labels = clouds.x[proved].double(), clouds.labels[proved]
        ball = Ball(eps=radius, metric=metric)
        moved = projected_gradient(function, x, labels, ball, generator=torch.Generator().manual_seed(2), iterations=30, restarts=3)
        assert not bool(refuted(classifier, x, labels, moved, ball).any())


def test_far_outside_certified_radii_attacks_succeed(trained, clouds):
    """So the test above tests something."""
    classifier, metric = trained
    ball = Ball(eps=1.0 if metric == LINF else 2.0, metric=metric)
    function = classifier.function(CPU)
    moved = projected_gradient(function, clouds.x, clouds.labels, ball, generator=torch.Generator().manual_seed(2), iterations=40)
    assert float(refuted(classifier, clouds.x, clouds.labels, moved, ball).double().mean()) > 0.9


@pytest.mark.parametrize("metric", [LINF, L2, L1], ids=str)
def test_two_logits_that_move_against_each_other_need_twice_the_constant(metric):
    """y(x) = (x, -x): every logit is 1-Lipschitz, and the margin 2x moves by 2 eps; K eps / 2 and K eps certify what is refuted."""
    classifier, x = FrozenClassifier([affine([[1.0], [-1.0]])], dim=1), torch.tensor([[0.5]], dtype=torch.float64)
    label, eps = torch.tensor([0]), 0.6
    assert 1.0 > 1.0 * eps > 1.0 * eps / 2, "margin 1 exceeds K eps and K eps / 2 for the constant K = 1 of each logit"
    ball = Ball(eps=eps, metric=LINF)
    moved = projected_gradient(classifier.function(CPU, torch.float64), x, label, ball, generator=torch.Generator(), iterations=20)
    assert bool(refuted(classifier, x, label, moved, ball))
    assert margin_constants(classifier, metric).largest == pytest.approx(2.0, rel=1e-12)
    assert float(certified(classifier, x, label, metric).radii) == pytest.approx(0.5, rel=1e-12)


def test_an_orthonormal_network_needs_root_two(generator):
    """The identity of the plane is 1-Lipschitz; the boundary lies at margin / sqrt 2, and margin / 1 is beyond it."""
    classifier, x = FrozenClassifier([affine([[1.0, 0.0], [0.0, 1.0]])], dim=2), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    label = torch.tensor([0])
    found = certified(classifier, x, label, L2)
    assert float(found.radii) == pytest.approx(math.sqrt(0.5), rel=1e-12)
    ball = Ball(eps=0.72, metric=L2)
    assert ball.eps < 1.0, "the naive radius, margin over the constant of the network, is 1"
    moved = projected_gradient(classifier.function(CPU, torch.float64), x, label, ball, generator=generator, iterations=20)
    assert bool(refuted(classifier, x, label, moved, ball))


@pytest.mark.parametrize("metric", [L1, L2, LINF], ids=str)
def test_the_radius_of_a_linear_classifier_is_its_distance_from_the_boundary(metric, generator):
    W, b = torch.randn(4, 5, generator=generator, dtype=torch.float64), torch.randn(4, generator=generator, dtype=torch.float64)
    classifier = FrozenClassifier([Affine(weight=W, bias=b)], dim=5)
    x = torch.randn(50, 5, generator=generator, dtype=torch.float64)
    logits = x @ W.mT + b
    labels = logits.argmax(1)
    distances = [
        min(
            float((logits[n, t] - logits[n, i]) / torch.linalg.vector_norm(W[t] - W[i], ord=metric.dual))
            for i in range(4)
            if i != t
        )
        for n, t in enumerate(labels.tolist())
    ]
    found = certified(classifier, x, labels, metric)
    assert found.radii.numpy() == pytest.approx(distances, rel=1e-9)
    assert (found.radii.numpy() <= distances).all()
    assert found.error(float(found.radii.median())) == pytest.approx(0.5)


def test_constants_of_pairs_are_no_larger_than_those_of_the_whole_network(trained):
    """sqrt 2 times the Euclidean constant of the network; and smaller than that where rows of the last layer are alike."""
    classifier, _ = trained
    whole = math.prod(bound.bound for bound in classifier.bounds)
    assert margin_constants(classifier, L2).largest <= math.sqrt(2) * whole * (1 + 1e-9)


def test_a_network_of_maximum_norms_has_twice_its_constant_at_most(clouds):
    classifier = FrozenClassifier(
        [affine([[0.5, -0.5], [1.0, 0.0]]), Activated(activation=activation("maxmin")), affine([[3.0, 0.0], [0.0, -3.0]])], dim=2
    )
    assert margin_constants(classifier, LINF).largest == pytest.approx(2 * 3.0)


def test_a_network_that_ends_in_an_activation_is_certified_by_its_whole_norm(generator):
    layers = [affine([[1.0, 0.0], [0.0, 1.0]]), Activated(activation=activation("maxmin"))]
    classifier = FrozenClassifier(layers, dim=2)
    assert margin_constants(classifier, L2).largest == pytest.approx(math.sqrt(2))
    assert margin_constants(classifier, LINF).largest == pytest.approx(2.0)


def test_rows_too_small_to_be_squared_are_not_taken_for_equal():
    """Squares of 1e-170 underflow; a scale of 1e200 before makes up for it."""
    classifier = FrozenClassifier([affine([[1e150]]), affine([[1e-160], [-1e-160]])], dim=1)
    assert margin_constants(classifier, L2).largest >= 2e-10


def test_classes_that_the_network_cannot_tell_apart_do_not_limit_the_others():
    classifier = FrozenClassifier([affine([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], bias=[1.0, 0.0, 0.0])], dim=2)
    found = certified(classifier, torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([0]), L2)
    assert float(found.radii) == pytest.approx(2 / math.sqrt(2))
