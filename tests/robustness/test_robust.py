"""`wdist.robust`: three errors in order, the verdict between them, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch

import wdist
from wdist.errors import SourceError, UsageError
from wdist.gates.rules import Answer
from wdist.lipschitz.frozen_layer import Affine
from wdist.robustness.classifier import FrozenClassifier
from wdist.robustness.training import ClassifierNetwork, NetworkSettings


@pytest.fixture
def line():
    """The class is the sign of the first coordinate, and the distance from the boundary its size; four samples."""
    classifier = FrozenClassifier([Affine(weight=torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), bias=torch.zeros(2))], dim=2)
    return classifier, np.array([[2.0, 0.0], [0.2, 1.0], [-3.0, 0.0], [1.0, 0.0]]), np.array([0, 0, 1, 1])


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_errors_of_a_line_are_the_exact_ones(line, norm):
    """One sample is wrong, and one is within eps of the boundary, in both norms."""
    found = wdist.robust(*line, eps=0.5, norm=norm)
    assert (found.clean_error, found.attacked_error, found.certified_error) == (0.25, 0.5, 0.5)
    assert found.lipschitz_bound == pytest.approx(2.0)
    assert found.answer is None
    assert found.curve[0].certified_error == 0.25
    assert found.curve[-1].eps == 1.0


def test_the_curve_is_a_bound_between_its_points_as_well(line):
    """The second sample has a radius of 0.2: the errors at 0.2 and at the next size differ, and none in between is below."""
    found = wdist.robust(*line, eps=0.5)
    (curve,) = (drawn for drawn in found.plot().axes[0].lines if str(drawn.get_label()).startswith("certified"))
    assert curve.get_drawstyle() == "steps-pre"
    sizes, errors = curve.get_data()
    assert len(set(errors)) > 1
    for size in np.linspace(0, 1, 97):
        drawn = errors[np.searchsorted(sizes, size)]
        assert drawn >= 100 * wdist.robust(*line, eps=float(size), iterations=0).certified_error - 1e-9


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_three_errors_are_in_order(trained, clouds, norm):
    found = wdist.robust(trained[0], clouds.x, clouds.labels, eps=0.1, norm=norm, iterations=20, restarts=1)
    assert found.clean_error <= found.attacked_error <= found.certified_error
    assert (found.count, found.classes) == (300, 3)
    errors = [point.certified_error for point in found.curve]
    assert errors == sorted(errors)
    assert f"{found.count} samples" in str(found)


def test_verdicts_lie_on_either_side_of_what_is_known(line):
    """Half of the samples are certified and half survive the attack, so only a minimum above both or below both is decided."""
    answers = [wdist.robust(*line, eps=0.5, minimum=minimum).answer for minimum in (0.5, 0.51)]
    assert answers == [Answer.PASS, Answer.FAIL]
    unattacked = wdist.robust(*line, eps=0.5, minimum=0.6, iterations=0)
    assert unattacked.answer is Answer.INCONCLUSIVE
    assert unattacked.attacked_error == unattacked.clean_error
    assert "between 50.00 % and 75.00 %" in unattacked.reason


def test_shares_are_written_without_the_rounding_of_floats():
    """100 * (84 / 300) is above 28, and a third of the samples is one number, not two."""
    classifier = FrozenClassifier([Affine(weight=torch.tensor([[1.0], [-1.0]]), bias=torch.zeros(2))], dim=1)
    x = np.ones((300, 1))
    x[:42], x[42:84] = -1, 0.3
    found = wdist.robust(classifier, x, np.zeros(300), eps=0.4, iterations=0, minimum=0.9)
    assert "Between 14.00 % and 28.00 % of 300 samples" in found.summary()
    assert "at most 86.00 % without any perturbation" in found.summary()
    attacked = wdist.robust(classifier, x[:63], np.zeros(63), eps=0.1)
    assert attacked.summary().startswith("66.67 % of 63 samples are misclassified")


def test_an_accuracy_of_exactly_the_minimum_passes():
    """93 of 100, which 1 - 0.07 would miss by rounding."""
    classifier = FrozenClassifier([Affine(weight=torch.tensor([[1.0], [-1.0]]), bias=torch.zeros(2))], dim=1)
    x = np.ones((100, 1))
    x[:7] = -1
    assert wdist.robust(classifier, x, np.zeros(100), eps=0.1, minimum=0.93).answer is Answer.PASS


def test_a_network_in_training_is_frozen_first(clouds, generator):
    network = ClassifierNetwork(6, 3, NetworkSettings(hidden=(8,)), generator)
    found = wdist.robust(network, clouds.x, clouds.labels, eps=0.01, iterations=0)
    assert found.lipschitz_bound == pytest.approx(2**0.5)


def test_a_saved_classifier_gives_the_same_numbers(trained, clouds, tmp_path):
    path = tmp_path / "c.safetensors"
    trained[0].save(path)
    how = {"eps": 0.1, "iterations": 10, "restarts": 1}
    first, second = (wdist.robust(model, clouds.x, clouds.labels, **how) for model in (trained[0], str(path)))
    without = {"model": "", "seconds": 0.0}
    assert dataclasses.replace(first, **without) == dataclasses.replace(second, **without)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"eps": -1.0}, "eps must be finite"),
        ({"eps": 0.1, "norm": "l1"}, 'norm="l1" is unknown'),
        ({"eps": 0.1, "minimum": 90.0}, "such as 0.9, not 90"),
        ({"eps": 0.1, "restarts": 0}, "at least 1"),
        ({"eps": "0.1"}, "eps must be a number"),
    ],
)
def test_options_outside_their_range_are_refused(line, arguments, words):
    with pytest.raises(UsageError, match=words):
        wdist.robust(*line, **arguments)


def test_samples_that_do_not_fit_the_classifier_are_refused(line):
    classifier, x, labels = line
    with pytest.raises(SourceError, match="takes 2"):
        wdist.robust(classifier, np.ones((4, 3)), labels, eps=0.1)
    with pytest.raises(SourceError, match="has the label 2"):
        wdist.robust(classifier, x, labels + 1, eps=0.1)
    with pytest.raises(SourceError, match="4 samples, but 3 labels"):
        wdist.robust(classifier, x, labels[:3], eps=0.1)
    with pytest.raises(SourceError, match="has no labels"):
        wdist.robust(classifier, x, eps=0.1)
