"""Two moons: with a Lipschitz constraint, the cross-entropy fails to separate the classes, and the hinge loss separates them.

References:
    "How to train your Lipschitz network", a blog on networks of the paper (two moons, Adam, a Lipschitz constant of 1).
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.3 (the hinge loss).
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from wdist.ground_metric import L2
from wdist.robustness.certification import certify_classifier, margin_constants
from wdist.robustness.classifier import FrozenClassifier
from wdist.robustness.training import Labelled, LossSettings, NetworkSettings, train_classifier
from wdist.studies.machine import critic_operations
from wdist.studies.panels import Panel, Series
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study, percent

SAMPLES, NOISE = 1000, 0.05
WIDTH, HIDDEN, STEPS, BATCH, LEARNING_RATE = 64, 3, 1500, 200, 0.003
KAPPA = 0.1
"""Margin of the hinge loss: a radius of 0.07 for a difference of logits with the constant sqrt 2; the moons are some 0.3 apart."""
LOSSES = {"cross-entropy": None, "hinge": KAPPA}
_GRID, _SHOWN = 161, 300
_SEPARATED, _FAILED = 0.995, 0.97


def two_moons(count: int, generator: torch.Generator) -> Labelled:
    """Two interleaved half circles of radius 1, with normal noise, as in the blog's data set."""
    labels = torch.arange(count) % 2
    angle = math.pi * torch.rand(count, generator=generator)
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    x = torch.where(labels[:, None] == 0, upper, lower) + NOISE * torch.randn(count, 2, generator=generator)
    return Labelled(x, labels)


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    generator = torch.Generator().manual_seed(conditions.seed)
    data, test = two_moons(SAMPLES, generator), two_moons(SAMPLES, generator)
    accuracies, panels = dict[str, float](), []
    for name, kappa in LOSSES.items():
        conditions.announce(f"training by {name}, {STEPS} steps")
        loss = LossSettings(kappa=kappa, steps=STEPS, batch_size=BATCH, learning_rate=LEARNING_RATE)
        classifier = train_classifier(data, NetworkSettings(hidden=(WIDTH,) * HIDDEN), loss, seed=conditions.seed)
        constants = margin_constants(classifier, L2)
        certified = certify_classifier(classifier, test.x, test.labels, constants)
        accuracies[name] = 1 - certified.clean_error
        yield ReproducedNumber(row=name, column="test accuracy", ours=100 * accuracies[name], unit="%")
        yield ReproducedNumber(row=name, column="median certified radius", ours=float(certified.radii.median()))
        panels.append(_panel(name, accuracies[name], classifier, test))
    yield Conclusion(
        settings={
            "samples": SAMPLES,
            "noise": NOISE,
            "hidden layers": HIDDEN,
            "width": WIDTH,
            "steps": STEPS,
            "optimizer": "adam",
            "constraint": "bjorck",
            "activation": "MaxMin",
            "K": 1,
            "kappa": KAPPA,
        },
        checks=(
            ClaimCheck(
                claim="With the cross-entropy a network with Lipschitz constant 1 does not separate the moons.",
                holds=accuracies["cross-entropy"] < _FAILED,
                detail=f"{percent(accuracies['cross-entropy'])} of the test samples are classified correctly",
            ),
            ClaimCheck(
                claim="With the hinge loss the same network separates them.",
                holds=accuracies["hinge"] >= _SEPARATED,
                detail=f"{percent(accuracies['hinge'])} of the test samples are classified correctly",
            ),
        ),
        panels=tuple(panels),
        remarks=(
            "The source is a blog on the paper's networks that shows pictures only; it states no sizes, noise or margin.",
            "Our network has two logits instead of one: their difference has the constant sqrt 2.",
        ),
    )


def _panel(name: str, accuracy: float, classifier: FrozenClassifier, test: Labelled) -> Panel:
    """Shows test samples of both classes, and the grid points where the prediction changes."""
    points = {f"class {label}": test.x[test.labels == label][:_SHOWN] for label in (0, 1)} | {"boundary": _boundary(classifier)}
    series = (Series(name=each, x=tuple(xy[:, 0].tolist()), y=tuple(xy[:, 1].tolist()), marks=True) for each, xy in points.items())
    return Panel(title=f"{name}: {percent(accuracy)} correct", x_label="x1", y_label="x2", series=tuple(series))


def _boundary(classifier: FrozenClassifier) -> Tensor:
    """Grid points at which the prediction differs from that of the previous point, shape (n, 2)."""
    first, second = torch.linspace(-1.4, 2.4, _GRID), torch.linspace(-0.9, 1.4, _GRID)
    points = torch.cartesian_prod(first, second)
    predicted = classifier.evaluate(points).logits.argmax(1).reshape(_GRID, _GRID)
    changes = torch.zeros_like(predicted, dtype=torch.bool)
    changes[1:] |= predicted[1:] != predicted[:-1]
    changes[:, 1:] |= predicted[:, 1:] != predicted[:, :-1]
    return points[changes.flatten()]


STUDY = Study(
    name="moons",
    title="Two moons by cross-entropy and by the hinge loss",
    source="the moons of a blog on the paper's networks; section 4.3",
    measure=_measure,
    operations=lambda quick: (
        2 * critic_operations(dim=2, width=WIDTH, depth=HIDDEN + 1, batch=BATCH, steps=STEPS, muon=False, outputs=2)
    ),
)
