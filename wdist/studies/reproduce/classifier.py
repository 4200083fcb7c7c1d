"""Classifiers of MNIST with a given Lipschitz constant: their Jacobians and active units, figures 6 and 16.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 6, section 7.1.2, appendix H.4; figure 16,
        appendices G.1 and G.3.
    Pennington, Schoenholz & Ganguli (2017), Resurrecting the sigmoid in deep learning through dynamical isometry.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate, pairwise
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from wdist.environment import choose_device
from wdist.robustness.classifier import FrozenClassifier, Logits
from wdist.robustness.training import Labelled, LossSettings, NetworkSettings, train_classifier
from wdist.studies.machine import critic_operations
from wdist.studies.panels import Panel, Series, curves
from wdist.studies.reproduce.mnist import CLASSES, PIXELS, digits, error_of
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study, percent

HIDDEN_LAYERS, WIDTH = 3, 1024
"""Sizes from the paper (H.5; G.1 says "a 3-layer fully connected network with 1024 hidden units in each layer")."""
LIPSCHITZ = 10.0
"""Lipschitz constant of the classifiers whose Jacobians figures 6 and 16 show."""
STEPS, BATCH = 3000, 256
QUICK_WIDTH, QUICK_STEPS, QUICK_IMAGES = 256, 500, 4000
REDUCED = (
    f"width {QUICK_WIDTH} instead of {WIDTH}",
    f"{QUICK_STEPS} steps instead of {STEPS}",
    f"Jacobians at the first {QUICK_IMAGES} training images instead of all",
)
LEARNING_RATES = {"bjorck": 0.003, "none": 0.01}
"""Learning rates of Adam; the paper states none. Without a constraint 0.001 leaves most units active, 0.01 few, as in the paper."""
_SLAB = 500  # images per batch of Jacobians
_BINS = 40


class Trained(NamedTuple):
    """A trained classifier and its accuracy on the test images."""

    classifier: FrozenClassifier
    accuracy: float


def trained_on(
    data: Labelled, test: Labelled, *, activation: str, lipschitz: float | None, conditions: Conditions, label: str
) -> Trained:
    """Trains a fully connected classifier by cross-entropy, with orthonormal weights and a factor on the output."""
    width, steps = (QUICK_WIDTH, QUICK_STEPS) if conditions.quick else (WIDTH, STEPS)
    conditions.announce(f"training {label}, {steps} steps")
    device = choose_device(conditions.device)
    constraint = "none" if lipschitz is None else "bjorck"
    classifier = train_classifier(
        data,
        NetworkSettings(hidden=(width,) * HIDDEN_LAYERS, activation=activation, constraint=constraint, lipschitz=lipschitz or 1.0),
        LossSettings(steps=steps, batch_size=BATCH, learning_rate=LEARNING_RATES[constraint]),
        seed=conditions.seed,
        device=device,
    )
    return Trained(classifier=classifier, accuracy=1 - error_of(classifier.function(device), test, device))


def jacobian_singular_values(function: Logits, images: Tensor, device: torch.device) -> Tensor:
    """All singular values of the Jacobian for each image, in descending order, shape (n, outputs), float64, on the CPU."""
    found = []
    for part in images.split(_SLAB):
        x = part.to(device).requires_grad_()
        rows = [torch.autograd.grad(output.sum(), x, retain_graph=True)[0] for output in function(x).unbind(1)]
        J = torch.stack(rows, dim=1).double().cpu()
        found.append(torch.linalg.eigvalsh(J @ J.mT).clamp(min=0).sqrt().flip(1))  # from the small Gram matrices
    return torch.cat(found)


@torch.no_grad()
def active_shares(classifier: FrozenClassifier, images: Tensor, device: torch.device) -> Tensor:
    """The share of images at which each hidden unit is positive, float64, on the CPU."""
    layers = classifier.layers_on(device)
    counts = []
    for part in images.split(_SLAB):
        outputs = list(accumulate(layers, lambda h, layer: layer.forward(h), initial=part.to(device)))
        counts.append(torch.cat([(h > 0).sum(0) for h in outputs[2:-1:2]]).double().cpu())  # the output of each activation
    return torch.stack(counts).sum(0) / len(images)


def histogram(name: str, singular_values: Tensor) -> Series:
    """The share of singular values in each of 40 bins, for a panel of ``bins``; a share of 0 follows the last edge."""
    values, high = singular_values.flatten(), 1.05 * LIPSCHITZ
    counts = torch.histc(values, bins=_BINS, min=0.0, max=high) / values.numel()
    return Series(name=name, x=tuple(torch.linspace(0.0, high, _BINS + 1).tolist()), y=(*counts.tolist(), 0.0))


def settings_of(conditions: Conditions, accuracies: dict[str, float]) -> dict[str, str | int | float]:
    """Settings of a figure, and the test accuracy of each classifier by name."""
    return {
        "hidden layers": HIDDEN_LAYERS,
        "width": QUICK_WIDTH if conditions.quick else WIDTH,
        "steps": QUICK_STEPS if conditions.quick else STEPS,
        "batch size": BATCH,
        "optimizer": "adam",
        "GroupSort": "group size 2",
        "constraint": "bjorck",
        "test accuracy": "; ".join(f"{name} {percent(accuracy)}" for name, accuracy in accuracies.items()),
    }


def operations(quick: bool, classifiers: int, jacobians: int) -> float:
    """Operations of training ``classifiers`` networks, and of the Jacobians of ``jacobians`` of them."""
    width, steps = (QUICK_WIDTH, QUICK_STEPS) if quick else (WIDTH, STEPS)
    images = QUICK_IMAGES if quick else 60_000
    depth = HIDDEN_LAYERS + 1
    training = critic_operations(dim=PIXELS, width=width, depth=depth, batch=BATCH, steps=steps, muon=False, outputs=CLASSES)
    weights = PIXELS * width + (HIDDEN_LAYERS - 1) * width**2
    return classifiers * training + jacobians * images * CLASSES * 2.0 * weights * 1.5


def _trained(
    conditions: Conditions, names: Iterable[tuple[str, float | None]]
) -> Iterator[tuple[str, float | None, Trained, Tensor]]:
    """Activation, Lipschitz constant, the trained classifier, and the images at which its units and Jacobians are computed."""
    data, test = (digits(conditions, train=train) for train in (True, False))
    train = partial(trained_on, data, test, conditions=conditions)
    for name, lipschitz in names:
        found = train(activation=_ACTIVATIONS[name], lipschitz=lipschitz, label=f"{name}, {_constant(lipschitz)}")
        yield name, lipschitz, found, data.x[:QUICK_IMAGES] if conditions.quick else data.x


def _constant(lipschitz: float | None) -> str:
    return "no constraint" if lipschitz is None else f"{lipschitz:g}-Lipschitz"


_ACTIVATIONS = {"ReLU": "relu", "GroupSort": "maxmin"}

RELU_LARGEST = 8.0
""""The observed Lipschitz constant was actually closer to 8 than 10.\""""
UNDEAD_SHARE = 0.10
""""In the worst case, about 10% of units were undead, or active all of the time.\""""
SPARSE_THRESHOLD, SPARSE_SHARE = 0.4, 0.0
"""Without a constraint there were "almost no units active when tau > 0.4"."""
_ALMOST_NO = 0.05  # shares of the units up to here count as almost none
CONSTANTS: tuple[float | None, ...] = (None, 100.0, LIPSCHITZ, 1.0, 0.1)
"""Compared Lipschitz constants: those of the paper (H.4), and None for no constraint."""


Shares: TypeAlias = dict[float | None, float]
"""Lipschitz constant of a ReLU classifier -> share of its units."""


def _figure6(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    names = [*(("ReLU", lipschitz) for lipschitz in CONSTANTS), ("GroupSort", LIPSCHITZ)]
    device = choose_device(conditions.device)
    accuracies, norms, shares = dict[str, float](), dict[str, Tensor](), dict[float | None, Tensor]()
    for name, lipschitz, trained, images in _trained(conditions, names):
        accuracies[f"{name} {_constant(lipschitz)}"] = trained.accuracy
        if lipschitz == LIPSCHITZ:
            norms[name] = jacobian_singular_values(trained.classifier.function(device), images, device)[:, 0]
        if name == "ReLU":
            shares[lipschitz] = active_shares(trained.classifier, images, device)
    largest, median = ({name: float(pick(values)) for name, values in norms.items()} for pick in (torch.amax, torch.median))
    undead = {lipschitz: float((share >= 1).double().mean()) for lipschitz, share in shares.items()}
    active = {lipschitz: float((share > SPARSE_THRESHOLD).double().mean()) for lipschitz, share in shares.items()}
    for name, paper in (("ReLU", RELU_LARGEST), ("GroupSort", None)):
        row = f"{name}, 10-Lipschitz"
        yield ReproducedNumber(row=row, column="largest Jacobian norm", ours=largest[name], paper=paper)
        yield ReproducedNumber(row=row, column="median Jacobian norm", ours=median[name])
    column = f"share of units active at more than {SPARSE_THRESHOLD:.0%} of images"
    yield ReproducedNumber(row="ReLU, no constraint", column=column, ours=active[None], paper=SPARSE_SHARE)
    worst = max(undead.values())
    yield ReproducedNumber(row="ReLU, worst case", column="share of units always active", ours=worst, paper=UNDEAD_SHARE)
    yield Conclusion(
        settings={
            **settings_of(conditions, accuracies),
            "learning rates": f"{LEARNING_RATES['bjorck']} under the constraint, {LEARNING_RATES['none']} without",
        },
        checks=_checks6(largest, median, active, undead),
        panels=_panels6(norms, shares),
        remarks=(
            "The paper states its numbers in words (closer to 8 than 10; about 10 %; almost no units). It does not state learning "
            "rate, steps, batch size, group size, or how images were scaled; ours are in [0, 1].",
        ),
    )


def _checks6(largest: dict[str, float], median: dict[str, float], active: Shares, undead: Shares) -> tuple[ClaimCheck, ...]:
    return (
        ClaimCheck(
            claim="Both satisfy the constraint; the GroupSort network does so much more tightly than the ReLU network.",
            holds=max(largest.values()) <= LIPSCHITZ * (1 + 1e-4) and median["GroupSort"] > median["ReLU"],
            detail=f"largest norms {largest['GroupSort']:.3f} and {largest['ReLU']:.3f}, medians {median['GroupSort']:.3f} and "
            f"{median['ReLU']:.3f}; {LIPSCHITZ:g} is allowed",
        ),
        ClaimCheck(
            claim=f"Without a constraint almost no units are active when tau > {SPARSE_THRESHOLD}.",
            holds=active[None] <= _ALMOST_NO,
            detail=f"{percent(active[None])} of the units are",
        ),
        ClaimCheck(
            claim="Smaller Lipschitz constants force the network to use more positive activations.",
            holds=all(wider < tighter for wider, tighter in pairwise(active.values())),
            detail=f"active at more than {SPARSE_THRESHOLD:.0%} of images: {_shares(active)}",
        ),
        ClaimCheck(
            claim="In the worst case about 10 % of the units are active all of the time.",
            holds=0.5 * UNDEAD_SHARE <= max(undead.values()) <= 2 * UNDEAD_SHARE,
            detail=_shares(undead),
        ),
    )


def _shares(shares: Shares) -> str:
    return ", ".join(f"{_constant(lipschitz)} {percent(share)}" for lipschitz, share in shares.items())


def _panels6(norms: dict[str, Tensor], shares: dict[float | None, Tensor]) -> tuple[Panel, ...]:
    thresholds = torch.linspace(0, 1, 101, dtype=torch.float64)
    return (
        Panel(
            title="Jacobian spectral norms, 10-Lipschitz",
            x_label="largest singular value",
            y_label="share of images",
            series=tuple(histogram(name, values) for name, values in norms.items()),
            bins=True,
        ),
        Panel(
            title="activation statistics, ReLU",
            x_label="threshold tau",
            y_label="share of units active at least that often",
            series=curves(
                thresholds,
                {_constant(K): (share[:, None] >= thresholds).double().mean(0) for K, share in shares.items()},
            ),
        ),
    )


RANGES = {"ReLU": (4.0, 8.0), "GroupSort": (9.0, 10.0)}
""""While the ReLU singular values are spread between 4-8 the GroupSort network concentrates the singular values in range 9-10.\""""
_MOST = 0.9
_QUANTILES = (0.05, 0.5, 0.95)
_MOST_VALUES = 500_000  # enough values for quantiles; torch takes at most 2^24


def _figure16(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    device = choose_device(conditions.device)
    values, widths, accuracies = {}, {}, {}
    for name, _, trained, images in _trained(conditions, [(name, LIPSCHITZ) for name in _ACTIVATIONS]):
        accuracies[name] = trained.accuracy
        values[name] = jacobian_singular_values(trained.classifier.function(device), images, device)
        found = _quantiles(values[name])
        widths[name] = found[-1] - found[0]
        for quantile, value in zip(_QUANTILES, found, strict=True):
            yield ReproducedNumber(row=name, column=f"{quantile:.0%} quantile", ours=value, paper=RANGES[name])
    yield Conclusion(
        settings={**settings_of(conditions, accuracies), "learning rate": LEARNING_RATES["bjorck"]},
        checks=_checks16(values, widths),
        panels=(
            Panel(
                title="singular values of the Jacobian, 10-Lipschitz classifiers",
                x_label="singular value",
                y_label="share of values",
                series=tuple(histogram(name, sigma) for name, sigma in values.items()),
                bins=True,
            ),
        ),
        remarks=(
            "The paper states ranges in words. It does not state learning rate, steps, batch size, group size, or how images were "
            "scaled; ours are in [0, 1].",
        ),
    )


def _quantiles(sigma: Tensor) -> tuple[float, ...]:
    some = sigma.flatten()[:: max(1, sigma.numel() // _MOST_VALUES)]
    return tuple(torch.quantile(some, torch.tensor(_QUANTILES, dtype=torch.float64)).tolist())


def _checks16(values: dict[str, Tensor], widths: dict[str, float]) -> tuple[ClaimCheck, ...]:
    """Checks the paper's statements, given all singular values and the width of their central 90 %, by name of the network."""
    within = {
        name: float(((sigma >= RANGES[name][0]) & (sigma <= RANGES[name][1] * (1 + 1e-4))).double().mean())
        for name, sigma in values.items()
    }
    largest = max(float(sigma.max()) for sigma in values.values())
    return (
        ClaimCheck(
            claim="The GroupSort network concentrates the singular values in the range 9-10.",
            holds=within["GroupSort"] >= _MOST,
            detail=f"{percent(within['GroupSort'])} of them lie there",
        ),
        ClaimCheck(
            claim="The ReLU singular values are spread between 4 and 8.",
            holds=within["ReLU"] >= _MOST,
            detail=f"{percent(within['ReLU'])} of them lie there",
        ),
        ClaimCheck(
            claim="GroupSort is nearer to dynamical isometry than ReLU.",
            holds=widths["GroupSort"] < widths["ReLU"],
            detail=f"90 % of the values span {widths['GroupSort']:.2f}, those of ReLU {widths['ReLU']:.2f}",
        ),
        ClaimCheck(
            claim="Both networks are 10-Lipschitz.",
            holds=largest <= LIPSCHITZ * (1 + 1e-4),
            detail=f"the largest singular value at any image is {largest:.4f}",
        ),
    )


FIGURE6 = Study(
    name="figure6",
    title="Jacobian spectral norms and activation statistics on MNIST",
    source="figure 6, section 7.1.2, appendix H.4",
    measure=_figure6,
    operations=lambda quick: operations(quick, classifiers=len(CONSTANTS) + 1, jacobians=2),
    reduced=REDUCED,
)
FIGURE16 = Study(
    name="figure16",
    title="Jacobian singular values on MNIST",
    source="figure 16, appendix G.3",
    measure=_figure16,
    operations=lambda quick: operations(quick, classifiers=2, jacobians=2),
    reduced=REDUCED,
)
