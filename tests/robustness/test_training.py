"""Training of classifiers: each loss and each regulariser does what it is for."""

import dataclasses
import random

import pytest
import torch

from tests.robustness.conftest import CLASSES, DIM, NETWORKS
from wdist.checkpoints import folder
from wdist.checkpoints.folder import kept
from wdist.errors import TrainingDiverged, UsageError
from wdist.ground_metric import L2, LINF
from wdist.robustness.attacks import Ball, projected_gradient, refuted
from wdist.robustness.certification import certify_classifier, margin_constants
from wdist.robustness.training import Adversary, ClassifierNetwork, LossSettings, NetworkSettings, train_classifier
from wdist.training import minimisation

PLAIN = NetworkSettings(hidden=(16, 16), constraint="none", activation="relu")
SHORT = LossSettings(steps=150, batch_size=64, learning_rate=0.01)


def largest_slopes(classifier, x):
    """The largest singular value of the Jacobian at each sample."""
    function = classifier.function(torch.device("cpu"), torch.float64)
    jacobians = torch.stack([torch.autograd.functional.jacobian(lambda z: function(z[None])[0], each) for each in x.double()])
    return torch.linalg.svdvals(jacobians)[:, 0]


def test_every_classifier_learns_and_keeps_its_constant(trained, clouds):
    classifier, metric = trained
    found = certify_classifier(classifier, clouds.x, clouds.labels, margin_constants(classifier, metric))
    assert found.clean_error < 0.1
    assert float(largest_slopes(classifier, clouds.x[:20]).max()) <= margin_constants(classifier, L2).largest


@pytest.mark.parametrize("name", NETWORKS)
def test_freezing_keeps_the_function(name, clouds, generator):
    """To float32, once the constraint is met; Parseval weights, which miss theirs, stay as they are."""
    network = ClassifierNetwork(DIM, CLASSES, NETWORKS[name], generator)
    for layer in network.linear:
        torch.nn.init.normal_(layer.bias, std=0.1, generator=generator)
    for _ in range(5):
        network.constrain_(tightly=True)
    network.eval()
    with torch.no_grad():
        expected = network(clouds.x[:40]).double()
    found = network.frozen().evaluate(clouds.x[:40]).logits
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_a_larger_hinge_gives_larger_radii(clouds):
    """The margin loss widens margins."""
    medians = []
    for kappa in (5.0, 400.0):
        classifier = train_classifier(clouds, NETWORKS["maximum norms"], dataclasses.replace(SHORT, kappa=kappa))
        radii = certify_classifier(classifier, clouds.x, clouds.labels, margin_constants(classifier, LINF)).radii
        medians.append(float(radii.median()))
    assert medians[1] > 1.2 * medians[0]


def test_regularisers_lower_what_they_price(clouds):
    def slope_and_weights(**prices):
        classifier = train_classifier(clouds, PLAIN, dataclasses.replace(SHORT, **prices))
        weights = sum(float(layer.weight.square().sum()) for layer in classifier.layers[::2])
        return float(largest_slopes(classifier, clouds.x[:60]).mean()), weights

    free, jacobian, decayed = slope_and_weights(), slope_and_weights(jacobian=0.1), slope_and_weights(weight_decay=0.01)
    assert jacobian[0] < 0.7 * free[0]
    assert decayed[1] < 0.7 * free[1]


def test_training_on_attacked_samples_makes_attacks_fail_more_often(clouds):
    ball = Ball(eps=0.1, metric=LINF, box=(0.0, 1.0))
    errors = []
    for adversary in (None, Adversary(ball=ball, iterations=5)):
        classifier = train_classifier(clouds, PLAIN, dataclasses.replace(SHORT, adversary=adversary, steps=300))
        generator = torch.Generator().manual_seed(0)
        moved = projected_gradient(
            classifier.function(torch.device("cpu")), clouds.x, clouds.labels, ball, generator=generator, iterations=40
        )
        errors.append(float(refuted(classifier, clouds.x, clouds.labels, moved, ball).double().mean()))
    assert errors[1] < errors[0]


def test_dropout_is_for_training_only(generator):
    network = ClassifierNetwork(DIM, CLASSES, dataclasses.replace(PLAIN, dropout=0.5), generator)
    x = torch.randn(4, DIM, generator=generator)
    network.eval()
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_the_same_seed_gives_the_same_classifier_whatever_the_global_generator(clouds):
    settings = dataclasses.replace(PLAIN, dropout=0.3)
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        found.append(train_classifier(clouds, settings, dataclasses.replace(SHORT, steps=20)).evaluate(clouds.x).logits)
    assert torch.equal(*found)


def test_steps_are_told_with_the_network(clouds):
    told = []
    train_classifier(
        clouds, PLAIN, dataclasses.replace(SHORT, steps=3), after_step=lambda step, network: told.append((step, network))
    )
    assert [step for step, _ in told] == [1, 2, 3]
    assert isinstance(told[0][1], ClassifierNetwork)


def test_what_cannot_be_trained_is_said_in_a_sentence(clouds):
    with pytest.raises(UsageError, match="groups of 3 units"):
        train_classifier(clouds, dataclasses.replace(PLAIN, activation="group-sort:3"), SHORT)
    with pytest.raises(TrainingDiverged, match="lower learning rate"):
        train_classifier(clouds, PLAIN, dataclasses.replace(SHORT, learning_rate=1e30, bias_learning_rate=1e30))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_resumed_run_has_the_classifiers_that_were_finished(name, clouds, tmp_path, monkeypatch):
    def logits():
        return train_classifier(clouds, NETWORKS[name], LossSettings(steps=5)).evaluate(clouds.x).logits

    with kept(tmp_path / "run", command="test", settings={}):
        first = logits()
    monkeypatch.setattr(minimisation._Steps, "_next", None)
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert torch.equal(first, logits())


HARD = {
    "dropout": (dataclasses.replace(PLAIN, dropout=0.3), LossSettings(steps=40, batch_size=64, kappa=1.0)),
    "attacked": (PLAIN, LossSettings(steps=40, batch_size=64, adversary=Adversary(ball=Ball(eps=0.2, metric=L2), iterations=2))),
    "Jacobian": (NETWORKS["Parseval, Maxout"], LossSettings(steps=40, batch_size=50, jacobian=0.1)),
}
"""Trainings that draw from several generators."""


@pytest.mark.parametrize("name", HARD)
def test_a_training_that_is_killed_goes_on_to_the_same_bits(name, clouds, tmp_path, monkeypatch):
    def logits():
        return train_classifier(clouds, *HARD[name]).evaluate(clouds.x).logits

    whole, step, chance = logits(), minimisation._Steps._next, random.Random(name)
    monkeypatch.setattr(folder, "SECONDS", 0.0)
    for trial in range(3):
        ends, taken = chance.randrange(1, 12), [0]

        def killed(self, ends=ends, taken=taken):
            taken[0] += 1
            if taken[0] > ends:
                raise SystemError("killed")
            step(self)

        monkeypatch.setattr(minimisation._Steps, "_next", killed)
        with pytest.raises(SystemError), kept(tmp_path / "run", resume=trial > 0, command="test", settings={}):
            logits()
        assert taken[0] == ends + 1
    left = []
    monkeypatch.setattr(minimisation._Steps, "_next", lambda self: (left.append(1), step(self)))
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert torch.equal(logits(), whole)
    assert len(left) < 40
