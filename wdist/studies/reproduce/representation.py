r"""Representation learning by the Wasserstein dependency measure, against InfoNCE.

Two views show related sequences of k digits: x shows the digits, y shows their successors, by different images. An encoder for each
view is trained without labels to tell pairs (x, y) of the joint distribution from pairs of the product of its marginals. A linear
probe then reads every digit from the representation of x. The views share k log 10 nats, but InfoNCE's objective cannot exceed the
logarithm of the minibatch size: once the pairs of a minibatch are told apart, nothing rewards more. Under a Lipschitz constraint,
more digits move pairs farther apart, so the objective keeps growing:

.. math:: \mathbb{E}_{p(x, y)} f - \mathbb{E}_{p(x) p(y)} f, \qquad f(x, y) = -\|g(x) - h(y)\|

With g and h of Lipschitz constant 1, f has the constant :math:`\sqrt 2` on pairs, so its held-out value bounds W1 from below.

References:
    Ozair, Lynch, Bengio, van den Oord, Levine & Sermanet (2019), Wasserstein dependency measure for representation learning,
        arXiv:1903.11780 (sections 4 and 5, with a gradient penalty where we have a constraint, and Omniglot where we have MNIST).
    van den Oord, Li & Vinyals (2018), Representation learning with contrastive predictive coding, arXiv:1807.03748 (InfoNCE).
    McAllester & Stratos (2020), Formal limitations on the measurement of mutual information, arXiv:1811.04251.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wdist.bounds.confidence import welch
from wdist.lipschitz.linalg.rounding import product_above
from wdist.robustness.training import ClassifierNetwork, Labelled, NetworkSettings
from wdist.studies.machine import critic_operations
from wdist.studies.panels import Panel, curves
from wdist.studies.reproduce.mnist import CLASSES, digits
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study, percent
from wdist.training.minimisation import minimise_
from wdist.training.optimizers import make_optimizers

SIDE, POOLED = 28, 4
"""Side of an image, and of the squares of pixels that are averaged into one."""
PIXELS = (SIDE // POOLED) ** 2
COUNTS, QUICK_COUNTS = (1, 2, 4, 8), (1, 4, 8)
"""Numbers of digits in a view."""
WIDTH, HIDDEN, OUTPUTS, BATCH = 128, 2, 32, 64
STEPS, QUICK_STEPS = 2000, 300
LEARNING_RATE = 0.003
INVERSE_TEMPERATURE = 5.0
PROBED, TESTED = 4000, 2000
"""Numbers of views on which the linear probe is fitted and evaluated."""
CONFIDENCE = 0.95
PIXELS_THEMSELVES, UNTRAINED, INFONCE, LIPSCHITZ, WASSERSTEIN = (
    "pixels",
    "untrained",
    "InfoNCE",
    "InfoNCE, Lipschitz",
    "Wasserstein",
)
_PROBE_STEPS, _DECAY = 60, 1e-4
_NEAR, _AHEAD = 0.03, 0.05


class Views(NamedTuple):
    """Pairs of views, shape (n, k PIXELS) float32, and the classes of the digits of x, shape (n, k)."""

    x: Tensor
    y: Tensor
    labels: Tensor


class DigitViews:
    """Draws pairs of views, each of ``count`` digits, from labelled images of 28 x 28 pixels."""

    resumable = ("_generator",)

    def __init__(self, data: Labelled, count: int, generator: torch.Generator) -> None:
        pooled = nn.functional.avg_pool2d(data.x.reshape(-1, 1, SIDE, SIDE), POOLED).flatten(1)
        self._of_class = [pooled[data.labels == label] for label in range(CLASSES)]
        self._count, self._generator = count, generator

    def draw(self, n: int) -> Views:
        """Draws n independent pairs."""
        labels = torch.randint(CLASSES, (n, self._count), generator=self._generator)
        return Views(x=self._shown(labels), y=self._shown((labels + 1) % CLASSES), labels=labels)

    def _shown(self, labels: Tensor) -> Tensor:
        views = torch.empty(*labels.shape, PIXELS)
        for label, images in enumerate(self._of_class):
            places = labels == label
            views[places] = images[torch.randint(len(images), (int(places.sum()),), generator=self._generator)]
        return views.flatten(1)


class Encoders(nn.Module):
    """Encoders g and h, one for each view of ``count`` digits, under a constraint, ``bjorck`` or ``none``."""

    def __init__(self, count: int, constraint: str, seed: int) -> None:
        super().__init__()
        settings = NetworkSettings(hidden=(WIDTH,) * HIDDEN, constraint=constraint)
        generator = torch.Generator().manual_seed(seed)
        self.g, self.h = (ClassifierNetwork(count * PIXELS, OUTPUTS, settings, generator) for _ in range(2))
        self.constrain_every = self.g.constrain_every

    def constrain_(self, *, tightly: bool = False) -> None:
        """Returns the weights of both encoders to their constraint."""
        for encoder in (self.g, self.h):
            encoder.constrain_(tightly=tightly)


def infonce(u: Tensor, v: Tensor) -> Tensor:
    """The loss of van den Oord et al., with inner products of representations u and v, both of shape (n, OUTPUTS)."""
    return nn.functional.cross_entropy(u @ v.mT, torch.arange(len(u)))


def lipschitz_infonce(u: Tensor, v: Tensor) -> Tensor:
    """The loss of Ozair et al.: InfoNCE with negative distances, whose slope the encoders limit, instead of inner products."""
    return nn.functional.cross_entropy(-INVERSE_TEMPERATURE * torch.cdist(u, v), torch.arange(len(u)))


def wasserstein(u: Tensor, v: Tensor) -> Tensor:
    """The negative dual value of the critic -||g - h|| between pairs of the joint distribution and pairs of the product."""
    apart = torch.cdist(u, v)
    n = len(u)
    return apart.diagonal().mean() - (apart.sum() - apart.diagonal().sum()) / (n * (n - 1))


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A training objective, with the constraint on the encoders."""

    loss: Callable[[Tensor, Tensor], Tensor]
    constraint: str


OBJECTIVES = {
    INFONCE: Objective(loss=infonce, constraint="none"),
    LIPSCHITZ: Objective(loss=lipschitz_infonce, constraint="bjorck"),
    WASSERSTEIN: Objective(loss=wasserstein, constraint="bjorck"),
}


def trained(views: DigitViews, count: int, objective: Objective, *, steps: int, seed: int) -> Encoders:
    """Trains encoders that minimise the loss of an objective on fresh minibatches."""
    encoders = Encoders(count, objective.constraint, seed)

    def loss() -> Tensor:
        x, y, _ = views.draw(BATCH)
        return objective.loss(encoders.g(x), encoders.h(y))

    optimizers = make_optimizers(encoders, name="adam", learning_rate=LEARNING_RATE, bias_learning_rate=LEARNING_RATE)
    name = f"training of encoders on {count} digits, {objective.loss.__name__}"
    minimise_(encoders, loss, optimizers=optimizers, steps=steps, name=name, drawn=[views])
    return encoders


def probe_accuracy(encode: Callable[[Tensor], Tensor], training: Views, test: Views) -> float:
    """Share of all digits of ``test`` that multinomial regression on standardised representations of x predicts correctly."""
    with torch.no_grad():
        z, z_test = encode(training.x), encode(test.x)
    mean, deviation = z.mean(0), z.std(0) + 1e-8
    z, z_test, count = (z - mean) / deviation, (z_test - mean) / deviation, training.labels.shape[1]
    W, b = torch.zeros(z.shape[1], count * CLASSES, requires_grad=True), torch.zeros(count * CLASSES, requires_grad=True)
    optimizer = torch.optim.LBFGS([W, b], max_iter=_PROBE_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = (z @ W + b).view(-1, CLASSES)
        loss = nn.functional.cross_entropy(logits, training.labels.flatten()) + _DECAY * W.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    predicted = (z_test @ W + b).detach().view(-1, count, CLASSES).argmax(2)
    return float((predicted == test.labels).double().mean())


def dependence_lower(encoders: Encoders, test: Views) -> float:
    """A lower confidence bound for W1 between the joint distribution and the product, from independent pairs.

    A third of the pairs are used as they are; the others make samples of the product, x from one pair and y from another.
    """
    g, h = encoders.g.frozen(), encoders.h.frozen()
    n = len(test.x) // 3
    u, v = g.evaluate(test.x[: 2 * n]), h.evaluate(torch.cat([test.y[:n], test.y[2 * n : 3 * n]]))
    f = -(u.logits - v.logits).norm(dim=1).numpy()
    constants = [product_above(*(layer.bound for layer in each.bounds)) for each in (g, h)]
    K = math.nextafter(math.hypot(*constants) * (1 + 1e-12), math.inf)
    rounding = 4 * (u.rounding + v.rounding + 1e-12 * float(np.abs(f).max()))
    return max(0.0, (welch(f[:n], f[n:], 1 - CONFIDENCE) - rounding) / K)


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    counts, steps = (QUICK_COUNTS, QUICK_STEPS) if conditions.quick else (COUNTS, STEPS)
    train, test = (digits(conditions, train=part) for part in (True, False))
    accuracies, lowers = dict[str, list[float]](), list[float]()
    for count in counts:
        views, tests = (DigitViews(data, count, torch.Generator().manual_seed(conditions.seed)) for data in (train, test))
        probed, tested = views.draw(PROBED), tests.draw(TESTED)
        encoders: dict[str, Callable[[Tensor], Tensor]] = {PIXELS_THEMSELVES: nn.Identity()}
        encoders[UNTRAINED] = Encoders(count, "bjorck", conditions.seed).g
        for name, objective in OBJECTIVES.items():
            conditions.announce(f"training by {name}, {_digits(count)}, {steps} steps")
            found = trained(views, count, objective, steps=steps, seed=conditions.seed)
            encoders[name] = found.g
            if name == WASSERSTEIN:
                lowers.append(dependence_lower(found, tests.draw(TESTED)))
        for name, encode in encoders.items():
            accuracy = probe_accuracy(encode, probed, tested)
            accuracies.setdefault(name, []).append(accuracy)
            yield ReproducedNumber(row=name, column=f"accuracy, {_digits(count)}", ours=100 * accuracy, unit="%")
        yield ReproducedNumber(row=WASSERSTEIN, column=f"W1 at least, {_digits(count)}", ours=lowers[-1])
    yield Conclusion(
        settings={
            "hidden layers": HIDDEN,
            "width": WIDTH,
            "outputs": OUTPUTS,
            "activation": "MaxMin",
            "constraint": f"bjorck; none for {INFONCE}",
            "steps": steps,
            "batch size": BATCH,
            "optimizer": "adam",
            "learning rate": LEARNING_RATE,
            "inverse temperature": INVERSE_TEMPERATURE,
        },
        checks=_checks(counts, accuracies, lowers),
        panels=(_panel(counts, accuracies),),
        remarks=(
            f"The views share k log 10 nats for k digits, {math.log(CLASSES):.1f} for each; InfoNCE's objective cannot exceed "
            f"log {BATCH} = {math.log(BATCH):.1f} nats.",
            "The source uses Omniglot, convolutional encoders and a gradient penalty; only its comparison is repeated here.",
            f"W1 is between the joint distribution of the views and the product of their marginals, in units of pixels; each bound "
            f"holds at {percent(CONFIDENCE)}, asymptotically.",
        ),
    )


def _digits(count: int) -> str:
    return "1 digit" if count == 1 else f"{count} digits"


def _checks(counts: tuple[int, ...], accuracies: dict[str, list[float]], lowers: list[float]) -> tuple[ClaimCheck, ...]:
    first, last = ({name: values[place] for name, values in accuracies.items()} for place in (0, -1))
    most = _digits(counts[-1])
    gaps = [ours - theirs for ours, theirs in zip(accuracies[WASSERSTEIN], accuracies[INFONCE], strict=True)]

    def listed(values: dict[str, float]) -> str:
        return ", ".join(f"{name} {percent(value)}" for name, value in values.items())

    return (
        ClaimCheck(
            claim=f"With {_digits(counts[0])} every objective keeps what a linear probe finds in the pixels.",
            holds=all(first[name] >= first[PIXELS_THEMSELVES] - _NEAR for name in OBJECTIVES),
            detail=listed(first),
        ),
        ClaimCheck(
            claim=f"With {most} the Lipschitz encoders hold more of them than InfoNCE without a constraint.",
            holds=all(last[name] >= last[INFONCE] + _AHEAD for name in (LIPSCHITZ, WASSERSTEIN)),
            detail=listed(last),
        ),
        ClaimCheck(
            claim="The Wasserstein encoder's lead over InfoNCE grows with the number of digits.",
            holds=all(later > earlier for earlier, later in pairwise(gaps)),
            detail=", ".join(f"{_digits(count)}: {100 * gap:+.1f} points" for count, gap in zip(counts, gaps, strict=True)),
        ),
        ClaimCheck(
            claim="The Wasserstein critic proves that the views depend on each other.",
            holds=min(lowers) > 0,
            detail=", ".join(f"{_digits(count)}: W1 >= {lower:.3f}" for count, lower in zip(counts, lowers, strict=True)),
        ),
    )


def _panel(counts: tuple[int, ...], accuracies: dict[str, list[float]]) -> Panel:
    percentages = {name: [100 * value for value in values] for name, values in accuracies.items()}
    series = curves(counts, percentages, reference=(PIXELS_THEMSELVES, UNTRAINED))
    return Panel(title="linear probe", x_label="digits in a view", y_label="accuracy (%)", series=series)


def _operations(quick: bool) -> float:
    counts, steps = (QUICK_COUNTS, QUICK_STEPS) if quick else (COUNTS, STEPS)
    sizes: Any = {"width": WIDTH, "depth": HIDDEN + 1, "batch": BATCH, "steps": steps, "muon": False, "outputs": OUTPUTS}
    return 2 * len(OBJECTIVES) * sum(critic_operations(dim=count * PIXELS, **sizes) for count in counts)


STUDY = Study(
    name="representation",
    title="Learning by the Wasserstein dependency measure",
    source="Wasserstein dependency measure for representation learning (Ozair et al. 2019), on MNIST digits side by side",
    measure=_measure,
    operations=_operations,
    reduced=(f"{QUICK_STEPS} steps instead of {STEPS}", "1, 4 and 8 digits only"),
)
