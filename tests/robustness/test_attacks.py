"""Attacks: they stay in the ball and in the box, find the boundary where it is known, and count only what is proved."""

import pytest
import torch

from wdist.errors import UsageError
from wdist.ground_metric import L1, L2, LINF
from wdist.lipschitz.frozen_layer import Affine
from wdist.robustness.attacks import Ball, fast_gradient, projected_gradient, refuted
from wdist.robustness.certification import certify_classifier, margin_constants
from wdist.robustness.classifier import FrozenClassifier
from wdist.robustness.margin import margin

CPU = torch.device("cpu")


def of_planes(classes, generator):
    """A linear classifier, whose boundaries are known."""
    W = torch.randn(classes, 5, generator=generator, dtype=torch.float64)
    return FrozenClassifier([Affine(weight=W, bias=torch.zeros(classes, dtype=torch.float64))], dim=5)


@pytest.fixture
def linear(generator):
    return of_planes(3, generator)


def labelled(classifier, generator, n=60):
    x = torch.rand(n, 5, generator=generator, dtype=torch.float64)
    return x, classifier.evaluate(x).logits.argmax(1)


@pytest.mark.parametrize("box", [None, (0.0, 1.0)], ids=["free", "box"])
@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
def test_attacks_stay_in_the_ball_and_in_the_box(linear, metric, box, generator):
    x, labels = labelled(linear, generator)
    ball, function = Ball(eps=0.3, metric=metric, box=box), linear.function(CPU, torch.float64)
    for moved in (
        fast_gradient(function, x, labels, ball),
        projected_gradient(function, x, labels, ball, generator=generator, iterations=20, restarts=2),
    ):
        assert float(metric.norm(moved - x).max()) <= 0.3 * (1 + 1e-12)
        if box is not None:
            assert (float(moved.min()), float(moved.max())) >= (0.0, 0.0)
            assert float(moved.max()) <= 1.0
            assert float(moved.min()) >= 0.0


@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
def test_attacks_succeed_just_beyond_a_plane_and_not_before(metric, generator):
    """The radius is exact for two classes with a plane between them."""
    linear = of_planes(2, generator)
    x, labels = labelled(linear, generator)
    radii = certify_classifier(linear, x, labels, margin_constants(linear, metric)).radii
    function = linear.function(CPU, torch.float64)
    for n in range(0, len(x), 10):
        one, label = x[n : n + 1], labels[n : n + 1]
        for factor, succeeds in ((0.99, False), (1.02, True)):
            ball = Ball(eps=factor * float(radii[n]), metric=metric)
            moved = projected_gradient(function, one, label, ball, generator=generator, iterations=100)
            assert bool(refuted(linear, one, label, moved, ball)) is succeeds


def test_iterations_find_at_least_what_one_step_finds(trained, clouds):
    classifier, metric = trained
    ball, function = Ball(eps=0.15 if metric == LINF else 0.4, metric=metric, box=(0.0, 1.0)), classifier.function(CPU)
    one = fast_gradient(function, clouds.x, clouds.labels, ball)
    many = projected_gradient(function, clouds.x, clouds.labels, ball, generator=torch.Generator().manual_seed(0), iterations=50)
    found = [float(refuted(classifier, clouds.x, clouds.labels, moved, ball).double().mean()) for moved in (one, many)]
    assert found[1] >= found[0] - 0.01
    assert bool((margin(function(many), clouds.labels) <= margin(function(clouds.x), clouds.labels)).all())


def test_a_candidate_outside_the_ball_is_brought_back_before_it_counts(linear, generator):
    x, labels = labelled(linear, generator)
    anywhere = x + 100 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    assert not bool(refuted(linear, x, labels, anywhere, Ball(eps=1e-9, metric=L2)).any())


def test_a_sample_that_is_wrong_already_is_refuted_by_itself(linear, generator):
    x, labels = labelled(linear, generator)
    assert bool(refuted(linear, x, (labels + 1) % 3, x, Ball(eps=0.0, metric=LINF)).all())


def test_what_attacks_do_not_know_is_refused():
    with pytest.raises(UsageError, match="l2 and linf"):
        Ball(eps=0.1, metric=L1)
    with pytest.raises(UsageError, match="finite"):
        Ball(eps=float("inf"), metric=L2)
