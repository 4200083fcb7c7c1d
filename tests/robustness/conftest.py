"""Samples of three classes and classifiers trained on them, shared by the tests of this room."""

import math

import pytest
import torch

from wdist.ground_metric import L2, LINF
from wdist.lipschitz.linear import ConstraintOptions
from wdist.robustness.training import Labelled, LossSettings, NetworkSettings, train_classifier

DIM, CLASSES = 6, 3


@pytest.fixture(scope="session")
def clouds():
    """Three clouds that nearly touch, in the unit cube."""
    generator = torch.Generator().manual_seed(1)
    centres = 0.1 + 0.8 * torch.rand(CLASSES, DIM, generator=generator)
    labels = torch.arange(300) % CLASSES
    x = centres[labels] + 0.08 * torch.randn(300, DIM, generator=generator)
    return Labelled(x.clamp(0, 1), labels)


NETWORKS = {
    "maximum norms": NetworkSettings(hidden=(16, 16), constraint="linf", lipschitz=1000.0, options=ConstraintOptions(p=math.inf)),
    "orthonormal": NetworkSettings(hidden=(16, 16), constraint="bjorck", lipschitz=10.0),
    "spectral, ReLU": NetworkSettings(hidden=(16, 16), constraint="spectral", activation="relu", lipschitz=10.0),
    "Parseval, Maxout": NetworkSettings(hidden=(16, 16), constraint="parseval", activation="maxout:2"),
    "no constraint": NetworkSettings(hidden=(16, 16), constraint="none", activation="relu"),
}
_LOSSES = {
    "maximum norms": LossSettings(kappa=200.0, steps=150, batch_size=64, learning_rate=0.01),
    "no constraint": LossSettings(steps=150, batch_size=64, learning_rate=0.01),
}
NATURAL = {"maximum norms": LINF}
"""The metric that a network was built for, where it is not the Euclidean one."""


@pytest.fixture(scope="session", params=NETWORKS)
def trained(request, clouds):
    """A classifier after a short training, and the metric that it was built for."""
    loss = _LOSSES.get(request.param, LossSettings(steps=150, batch_size=64, learning_rate=0.003))
    return train_classifier(clouds, NETWORKS[request.param], loss), NATURAL.get(request.param, L2)
