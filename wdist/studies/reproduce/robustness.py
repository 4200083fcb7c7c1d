"""Table 7, figures 8 and 9: classifiers of MNIST under attacks in the maximum norm, with certified errors.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.3, table 7, figures 8 and 9, appendix H.5.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wdist.environment import choose_device
from wdist.ground_metric import LINF
from wdist.lipschitz.linear import ConstraintOptions
from wdist.robustness.attacks import ITERATIONS, Ball, fast_gradient, projected_gradient, refuted
from wdist.robustness.certification import Certified, certify_classifier, margin_constants
from wdist.robustness.classifier import FrozenClassifier
from wdist.robustness.training import Adversary, Labelled, LossSettings, NetworkSettings, train_classifier
from wdist.studies.machine import critic_operations
from wdist.studies.panels import Panel, curves
from wdist.studies.reproduce.mnist import CLASSES, PIXELS, digits, some
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

LIPSCHITZ = 1000.0
"""K of the margin networks, whose kappa is K a with a = 0.1 or 0.3."""
EPSILONS = (0.1, 0.3)
_PIXELS_RANGE = (0.0, 1.0)
_SLAB = 1000  # images per attacked batch


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A row of table 7."""

    name: str
    activation: str = "relu"
    margin: float | None = None
    """a in kappa = K a, for a network with weight rows of l1 norm 1; None for a network without a constraint."""
    adversary: float | None = None
    """Size of the attacks in training; None for training without attacks."""
    paper: tuple[float, float, float, float, float]
    """The paper's errors in %: clean, FGS 0.1 and 0.3, PGD 0.1 and 0.3."""


CONTESTANTS = (
    Contestant(name="Standard ReLU", paper=(1.6, 98.3, 100.0, 100.0, 100.0)),
    Contestant(name="Standard MaxMin", activation="maxmin", paper=(1.5, 98.2, 100.0, 100.0, 100.0)),
    Contestant(name="Margin-0.1 ReLU", margin=0.1, paper=(6.2, 88.3, 100.0, 89.7, 100.0)),
    Contestant(name="Margin-0.1 MaxMin", activation="maxmin", margin=0.1, paper=(1.9, 36.3, 99.2, 44.4, 99.8)),
    Contestant(name="Margin-0.3 ReLU", margin=0.3, paper=(16.9, 70.1, 100.0, 70.3, 100.0)),
    Contestant(name="Margin-0.3 MaxMin", activation="maxmin", margin=0.3, paper=(5.3, 20.5, 62.2, 24.4, 77.7)),
    Contestant(name="PGD 0.1", adversary=0.1, paper=(1.02, 8.6, 74.4, 17.9, 100.0)),
    Contestant(name="PGD 0.15", adversary=0.15, paper=(1.36, 8.1, 52.9, 15.1, 99.7)),
)
_MARGIN = tuple(each for each in CONTESTANTS if each.margin is not None)


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Sizes of all trainings and attacks."""

    width: int
    steps: int
    batch_size: int
    inner: int
    """Iterations of the attack on each minibatch, in training with attacks."""
    images: int
    """Number of test images."""
    restarts: int


HIDDEN = 3
_FULL = _Sizes(width=1024, steps=9000, batch_size=128, inner=20, images=10_000, restarts=2)
_QUICK = _Sizes(width=256, steps=700, batch_size=128, inner=5, images=200, restarts=1)
REDUCED = (
    f"width {_QUICK.width} instead of {_FULL.width}",
    f"{_QUICK.steps} steps instead of {_FULL.steps}",
    f"{_QUICK.inner} attack steps in training instead of {_FULL.inner}",
    f"the first {_QUICK.images} test images instead of {_FULL.images}",
    f"{_QUICK.restarts} start of an attack instead of {_FULL.restarts}",
)
_LEARNING_RATES = {"margin": 0.01, "standard": 0.001}
_GRID = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Sizes of the attacks of figure 8."""
_REACH, _SIZES, _AT_005 = 0.3, 60, 10
"""The largest size of figure 9, the number of steps up to it, and the step at 0.05."""
_PAPERS_RULE = ", margin above K eps"
_PER_CENT: Any = {"bottom": -3, "top": 103}
"""Limits of an ordinate from 0 to 100 %."""


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    """A trained contestant, with its certificates at the test images."""

    contestant: Contestant
    classifier: FrozenClassifier
    certified: Certified
    test: Labelled
    device: torch.device
    sizes: _Sizes
    seed: int

    def misled(self, eps: float, *, iterations: int | None) -> Tensor:
        """Mask of the images that an attack of size ``eps`` misleads: PGD, or FGS if ``iterations`` is None."""
        ball = Ball(eps=eps, metric=LINF, box=_PIXELS_RANGE)
        function, generator = self.classifier.function(self.device), torch.Generator().manual_seed(self.seed)
        found = []
        for x, labels in zip(self.test.x.split(_SLAB), self.test.labels.split(_SLAB), strict=True):
            on_device = (x.to(self.device), labels.to(self.device))
            if iterations is None:
                moved = fast_gradient(function, *on_device, ball)
            else:
                how: Any = {"generator": generator, "iterations": iterations, "restarts": self.sizes.restarts}
                moved = projected_gradient(function, *on_device, ball, **how)
            found.append(refuted(self.classifier, x, labels, moved, ball))
        return torch.cat(found)

    def certified_error(self, eps: float, *, factor: float = 2.0) -> float:
        """The certified error if margins above ``factor`` K eps count: 2 is proved, 1 is the rule of figure 9."""
        return self.certified.error(eps * factor / 2.0)


def _evaluated(conditions: Conditions, contestants: Sequence[Contestant]) -> Iterator[_Evaluated]:
    sizes = _QUICK if conditions.quick else _FULL
    data, test = digits(conditions, train=True), some(digits(conditions, train=False), sizes.images)
    for contestant in contestants:
        conditions.announce(f"training {contestant.name}, {sizes.steps} steps")
        device = choose_device(conditions.device)
        network, loss = _settings(contestant, sizes)
        classifier = train_classifier(data, network, loss, seed=conditions.seed, device=device)
        conditions.announce(f"attacking {contestant.name}")
        certified = certify_classifier(classifier, test.x, test.labels, margin_constants(classifier, LINF))
        yield _Evaluated(
            contestant=contestant,
            classifier=classifier,
            certified=certified,
            test=test,
            device=device,
            sizes=sizes,
            seed=conditions.seed,
        )


def _settings(contestant: Contestant, sizes: _Sizes) -> tuple[NetworkSettings, LossSettings]:
    constrained = contestant.margin is not None
    network = NetworkSettings(
        hidden=(sizes.width,) * HIDDEN,
        activation=contestant.activation,
        constraint="linf" if constrained else "none",
        lipschitz=LIPSCHITZ if constrained else 1.0,
        options=ConstraintOptions(p=math.inf),
    )
    ball = None if contestant.adversary is None else Ball(eps=contestant.adversary, metric=LINF, box=_PIXELS_RANGE)
    loss = LossSettings(
        kappa=None if contestant.margin is None else LIPSCHITZ * contestant.margin,
        adversary=None if ball is None else Adversary(ball=ball, iterations=sizes.inner),
        steps=sizes.steps,
        batch_size=sizes.batch_size,
        learning_rate=_LEARNING_RATES["margin" if constrained else "standard"],
    )
    return network, loss


Errors = dict[str, dict[str, float]]
"""Contestant -> column -> error in %."""


def _table7(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    errors, broken, naive = Errors(), 0, 0
    for evaluated in _evaluated(conditions, CONTESTANTS):
        contestant = evaluated.contestant
        found = errors[contestant.name] = {"clean": 100 * evaluated.certified.clean_error}
        for eps in EPSILONS:
            one, many = evaluated.misled(eps, iterations=None), evaluated.misled(eps, iterations=ITERATIONS)
            broken += int(((one | many) & (evaluated.certified.radii > eps)).sum())
            if contestant.margin is not None:  # a margin above K eps is a radius above eps / 2
                naive += int(((one | many) & (evaluated.certified.radii > eps / 2)).sum())
            found[f"FGS {eps}"], found[f"PGD {eps}"] = (100 * float(misled.double().mean()) for misled in (one, many))
            found[f"certified {eps}"] = 100 * evaluated.certified_error(eps)
        for column, paper in zip(_COLUMNS, (*contestant.paper, None, None), strict=True):
            yield ReproducedNumber(row=contestant.name, column=column, ours=found[column], paper=paper, unit="%")
    yield Conclusion(
        settings=_facts(conditions),
        checks=tuple(_checks7(errors, broken, naive)),
        panels=(_errors_panel(errors),),
        remarks=(*_REMARKS, _OUR_RULE),
    )


_COLUMNS = ("clean", "FGS 0.1", "FGS 0.3", "PGD 0.1", "PGD 0.3", "certified 0.1", "certified 0.3")
"""The paper's columns, and proved upper bounds for the errors under all perturbations of a size."""


def _checks7(errors: Errors, broken: int, naive: int) -> Iterator[ClaimCheck]:
    pairs = [(f"Margin-{a} ReLU", f"Margin-{a} MaxMin") for a in (0.1, 0.3)]
    for column, words in (("clean", "clean error"), ("PGD 0.1", "error under PGD of size 0.1")):
        yield ClaimCheck(
            claim=f"Lipschitz networks with MaxMin have a smaller {words} than their ReLU counterparts.",
            holds=all(errors[maxmin][column] < errors[relu][column] for relu, maxmin in pairs),
            detail=_listed({name: errors[name][column] for pair in pairs for name in pair}),
        )
    standard = {name: errors[name]["PGD 0.1"] for name in ("Standard ReLU", "Standard MaxMin")}
    margin = {each.name: errors[each.name]["PGD 0.1"] for each in _MARGIN}
    yield ClaimCheck(
        claim="Standard networks fail under attacks of size 0.1 that margin networks partly withstand.",
        holds=max(margin.values()) < min(standard.values()),
        detail=f"PGD 0.1: {_listed({**standard, **margin})}",
    )
    yield ClaimCheck(
        claim="No attack misleads a classifier at an image that is certified (ours).",
        holds=broken == 0,
        detail=f"{broken} of all attacked images",
    )
    yield ClaimCheck(
        claim="A margin above K eps, the rule of figure 9, withstands every attack of that size.",
        holds=naive == 0,
        detail=f"{naive} images of margin networks have such a margin and are misled",
    )


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f} %" for name, value in values.items())


def _errors_panel(errors: Errors) -> Panel:
    shown, papers = dict[str, list[float]](), {each.name: each.paper for each in CONTESTANTS}
    for column in ("clean", "PGD 0.1", "certified 0.1"):
        shown[column] = [row[column] for row in errors.values()]
        if column != "certified 0.1":
            shown[f"{column}, paper"] = [papers[name][_COLUMNS.index(column)] for name in errors]
    return Panel(
        title="error under perturbations of size 0.1 in the maximum norm",
        x_label="",
        ticks=tuple(errors),
        y_label="error in %",
        series=curves(range(len(errors)), shown, reference=("clean, paper", "PGD 0.1, paper")),
        **_PER_CENT,
    )


def _figure8(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    accuracies: dict[str, list[float]] = {}
    for evaluated in _evaluated(conditions, CONTESTANTS):
        name = evaluated.contestant.name
        misled = ~evaluated.certified.correct
        accuracies[name] = [1 - evaluated.certified.clean_error]
        for eps in _GRID[1:]:
            misled = misled | evaluated.misled(eps, iterations=ITERATIONS)  # smaller perturbations are within this size, too
            accuracies[name].append(1 - float(misled.double().mean()))
        for eps, accuracy in zip(_GRID, accuracies[name], strict=True):
            paper = {0.0: 0, 0.1: 3, 0.3: 4}.get(eps)
            known = None if paper is None else 100 - evaluated.contestant.paper[paper]
            yield ReproducedNumber(row=name, column=f"accuracy, PGD {eps:g}", ours=100 * accuracy, paper=known, unit="%")
    yield Conclusion(
        settings=_facts(conditions),
        checks=(
            ClaimCheck(
                claim="Lipschitz networks with MaxMin have larger margins than their ReLU counterparts: better accuracy at 0.1.",
                holds=all(accuracies[f"Margin-{a} MaxMin"][3] > accuracies[f"Margin-{a} ReLU"][3] for a in (0.1, 0.3)),
                detail=_listed({each.name: 100 * accuracies[each.name][3] for each in _MARGIN}),
            ),
            ClaimCheck(
                claim="At size 0.3 the margin network with MaxMin is ahead of those trained with attacks.",
                holds=accuracies["Margin-0.3 MaxMin"][-1] > max(accuracies["PGD 0.1"][-1], accuracies["PGD 0.15"][-1]),
                detail=_listed({name: 100 * accuracies[name][-1] for name in ("Margin-0.3 MaxMin", "PGD 0.1", "PGD 0.15")}),
            ),
        ),
        panels=(
            Panel(
                title="accuracy on PGD adversarial examples",
                x_label="size of the perturbation, maximum norm",
                y_label="accuracy in %",
                series=curves(
                    _GRID,
                    {name: [100 * accuracy for accuracy in found] for name, found in accuracies.items()},
                    reference=[name for name in accuracies if name.startswith("Standard")],
                ),
                **_PER_CENT,
            ),
        ),
        remarks=(*_REMARKS, "The paper's numbers at sizes 0, 0.1 and 0.3 come from its table 7."),
    )


def _figure9(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    sizes = [_REACH * step / _SIZES for step in range(_SIZES + 1)]
    shown: dict[str, list[float]] = {}
    for evaluated in _evaluated(conditions, _MARGIN):
        name = evaluated.contestant.name
        for rule, factor in (("", 2.0), (_PAPERS_RULE, 1.0)):
            shown[name + rule] = [100 * (1 - evaluated.certified_error(eps, factor=factor)) for eps in sizes]
        columns = {
            "certified accuracy at 0.05": evaluated.certified_error(0.05),
            "certified accuracy at 0.1": evaluated.certified_error(0.1),
            "with a margin above K eps, as in the paper": evaluated.certified_error(0.1, factor=1.0),
        }
        for column, error in columns.items():
            yield ReproducedNumber(row=name, column=column, ours=100 * (1 - error), unit="%")
    yield Conclusion(
        settings=_facts(conditions),
        checks=(
            ClaimCheck(
                claim="MaxMin networks have a larger proved accuracy than ReLU networks (ours: at 0.05, by the rule that holds).",
                holds=all(shown[f"Margin-{a} MaxMin"][_AT_005] > shown[f"Margin-{a} ReLU"][_AT_005] for a in (0.1, 0.3)),
                detail=_listed({each.name: shown[each.name][_AT_005] for each in _MARGIN}),
            ),
        ),
        panels=(
            Panel(
                title="proved accuracy; dashed: by the paper's rule, which proves nothing",
                x_label="size of the perturbation, maximum norm",
                y_label="accuracy in %",
                series=curves(sizes, shown, reference=[each.name + _PAPERS_RULE for each in _MARGIN]),
                **_PER_CENT,
            ),
        ),
        remarks=(_OUR_RULE, "The paper gives figure 9 as a picture, without numbers."),
    )


_REMARKS = (
    "Both attacks lower the margin (the loss f6 of Carlini and Wagner), PGD by 200 iterations that start within eps / 10, as the "
    "paper found necessary. The paper does not state restarts, learning rates, steps or batch size.",
    "The paper does not state initial weights and learning rates of the margin networks; ours were chosen among about eight on "
    "the first 500 test images, so their errors are optimistic. Certificates are not affected.",
    "An attack succeeds if it finds a perturbed image, inside the ball and inside [0, 1], that is misclassified in float64.",
)
_OUR_RULE = (
    "An image is certified if its margin exceeds 2 K eps, since each of two logits may move by K eps. The paper certifies above "
    "K eps / 2 (section 4.3) and K eps (figure 9), which does not suffice: y(x) = (x, -x) is a counterexample."
)


def _facts(conditions: Conditions) -> dict[str, str | int | float]:
    sizes = _QUICK if conditions.quick else _FULL
    return {
        "hidden layers": HIDDEN,
        **vars(sizes),
        "K": LIPSCHITZ,
        "optimizer": "adam",
        "learning rate": f"{_LEARNING_RATES['margin']} under the constraint, {_LEARNING_RATES['standard']} without",
        "attack iterations": ITERATIONS,
    }


def _operations(quick: bool, contestants: Sequence[Contestant], attacks: int) -> float:
    sizes = _QUICK if quick else _FULL
    how: Any = {"dim": PIXELS, "width": sizes.width, "depth": HIDDEN + 1, "batch": sizes.batch_size, "outputs": CLASSES}
    one = critic_operations(**how, steps=sizes.steps, muon=False)
    weights = PIXELS * sizes.width + (HIDDEN - 1) * sizes.width**2
    training = sum(1.0 + (0.7 * sizes.inner if each.adversary else 0.0) for each in contestants) * one
    return training + len(contestants) * attacks * sizes.images * sizes.restarts * ITERATIONS * 4.0 * weights * 0.5


TABLE7 = Study(
    name="table7",
    title="Errors under attacks in the maximum norm, and what is certified",
    source="table 7, section 7.3, appendix H.5",
    measure=_table7,
    operations=lambda quick: _operations(quick, CONTESTANTS, len(EPSILONS)),
    reduced=REDUCED,
)
FIGURE8 = Study(
    name="figure8",
    title="Accuracy under PGD by the size of perturbations",
    source="figure 8, section 7.3",
    measure=_figure8,
    operations=lambda quick: _operations(quick, CONTESTANTS, len(_GRID) - 1),
    reduced=REDUCED,
)
FIGURE9 = Study(
    name="figure9",
    title="Proved accuracy by the size of perturbations",
    source="figure 9, section 7.3",
    measure=_figure9,
    operations=lambda quick: _operations(quick, _MARGIN, 0),
    reduced=REDUCED,
)
