"""Classifiers of MNIST with a given Lipschitz constant: their training, Jacobians and active units.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.1.2, appendices G.1, G.3 and H.4.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.data.sources.torchvision_dataset import import_torchvision
from wdist.environment import choose_device
from wdist.errors import SourceError, TrainingDiverged
from wdist.studies.dual_training import critic_operations
from wdist.studies.panels import Series
from wdist.studies.reproduce.network import FrozenNetwork, Network
from wdist.studies.study import Conditions
from wdist.training.observer import Stage

HIDDEN_LAYERS, WIDTH = 3, 1024
"""From the paper (H.5; G.1 says "a 3-layer fully connected network with 1024 hidden units in each layer")."""
LIPSCHITZ = 10.0
"""Constant of the classifiers whose Jacobians figures 6 and 16 show."""
PIXELS, CLASSES = 784, 10
STEPS, BATCH = 3000, 256
QUICK_WIDTH, QUICK_STEPS, QUICK_IMAGES = 256, 500, 4000
REDUCED = (
    f"width {QUICK_WIDTH} instead of {WIDTH}",
    f"{QUICK_STEPS} steps instead of {STEPS}",
    f"Jacobians at the first {QUICK_IMAGES} training images instead of all",
)
LEARNING_RATES = {"bjorck": 0.003, "none": 0.01}
"""For Adam; the paper states none. Without a constraint 0.001 leaves most units active, 0.01 few, as in the paper."""
_SLAB = 500
"""Images whose Jacobians are computed at a time."""
_BINS = 40


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Images in [0, 1], shape (n, 784) float32, and labels, shape (n,)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A trained classifier and its accuracy on the test images."""

    network: FrozenNetwork
    accuracy: float


def digits(conditions: Conditions, *, train: bool) -> Digits:
    """MNIST by torchvision.

    Raises:
        SourceError: it is missing and may not be downloaded.
    """
    folder = conditions.data or "data"
    try:
        dataset = import_torchvision().MNIST(str(folder), train=train, download=conditions.download)
    except (RuntimeError, OSError) as error:
        raise SourceError(
            f"torchvision finds no complete MNIST in {folder}; name its folder with --root DIR, or fetch it with --download"
        ) from error
    return Digits(images=dataset.data.flatten(1).float() / 255, labels=dataset.targets)


def train_classifier(
    data: Digits, test: Digits, *, activation: str, lipschitz: float | None, conditions: Conditions, label: str
) -> Classifier:
    """Trains a fully connected classifier by cross-entropy and Adam.

    Arguments:
        data: training images.
        test: images that the accuracy is measured on.
        activation: by name.
        lipschitz: its Lipschitz constant, by orthonormal weights and a factor on the output; None for no constraint.
        conditions: quick or full, seed, device, observer.
        label: its name while it trains.

    Raises:
        TrainingDiverged: the loss was not finite.
    """
    width, steps = (QUICK_WIDTH, QUICK_STEPS) if conditions.quick else (WIDTH, STEPS)
    conditions.observer.notify(Stage(what=f"training {label}, {steps} steps"))
    device = choose_device(conditions.device)
    constraint = "none" if lipschitz is None else "bjorck"
    network = Network(
        (PIXELS, *[width] * HIDDEN_LAYERS, CLASSES),
        activation=activation,
        constraint=constraint,
        generator=torch.Generator().manual_seed(conditions.seed),
        scale=1.0 if lipschitz is None else lipschitz,
    ).to(device)
    if lipschitz is None:
        _start_as_usual(network, torch.Generator().manual_seed(conditions.seed))
    images, labels = data.images.to(device), data.labels.to(device)
    minibatches = _minibatches(len(images), torch.Generator().manual_seed(conditions.seed))

    def cross_entropy() -> Tensor:
        rows = next(minibatches).to(device)
        return nn.functional.cross_entropy(network(images[rows]), labels[rows])

    loss = network.minimise_(cross_entropy, steps=steps, learning_rate=LEARNING_RATES[constraint])
    if not bool(torch.isfinite(loss)):
        raise TrainingDiverged(f"the loss of classifier {label} is not finite; try another --seed")
    frozen = network.freeze().to(device, torch.float32)
    with torch.no_grad():
        predicted = torch.cat([frozen(part.to(device)).argmax(1).cpu() for part in test.images.split(_SLAB)])
    return Classifier(network=frozen, accuracy=float((predicted == test.labels).double().mean()))


@torch.no_grad()
def _start_as_usual(network: Network, generator: torch.Generator) -> None:
    """Weights and biases uniform within one over the root of a layer's inputs, as torch's own linear layers start."""
    for layer in network.linear:
        bound = layer.inputs**-0.5
        for parameter in (layer.weight, layer.bias):
            parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))


def _minibatches(count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows of minibatches, epoch after epoch, each in a new order."""
    while True:
        yield from torch.randperm(count, generator=generator).split(BATCH)


def jacobian_singular_values(network: FrozenNetwork, images: Tensor) -> Tensor:
    """All singular values of the Jacobian of the outputs for each image, in descending order.

    Arguments:
        network: float32, with c outputs.
        images: shape (n, dim).

    Returns:
        Shape (n, c), float64, on the CPU: square roots of the eigenvalues of the small Gram matrices.
    """
    device = network.weights[0][0].device
    found = []
    for part in images.split(_SLAB):
        x = part.to(device).requires_grad_()
        outputs = network(x)
        rows = [
            torch.autograd.grad(outputs[:, k].sum(), x, retain_graph=k + 1 < outputs.shape[1])[0] for k in range(outputs.shape[1])
        ]
        J = torch.stack(rows, dim=1).double().cpu()
        found.append(torch.linalg.eigvalsh(J @ J.mT).clamp(min=0).sqrt().flip(1))
    return torch.cat(found)


@torch.no_grad()
def active_shares(network: FrozenNetwork, images: Tensor) -> Tensor:
    """The share of images at which each hidden unit is positive, float64, on the CPU."""
    device = network.weights[0][0].device
    counts: list[Tensor] = []
    for part in images.split(_SLAB):
        _, trace = network.traced(part.to(device))
        counts.append(torch.cat([(h > 0).sum(0) for _, h in trace]).double().cpu())
    return torch.stack(counts).sum(0) / len(images)


def histogram(name: str, singular_values: Tensor) -> Series:
    """The share of singular values in each of 40 bins, for a panel of ``bins``; the share behind the last edge is 0."""
    values, high = singular_values.flatten(), 1.05 * LIPSCHITZ
    counts = torch.histc(values, bins=_BINS, min=0.0, max=high) / values.numel()
    return Series(name=name, x=tuple(torch.linspace(0.0, high, _BINS + 1).tolist()), y=(*counts.tolist(), 0.0))


def settings_of(conditions: Conditions, accuracies: dict[str, float]) -> dict[str, str | int | float]:
    """Settings of a figure, with the test accuracy of each classifier by its name."""
    return {
        "hidden layers": HIDDEN_LAYERS,
        "width": QUICK_WIDTH if conditions.quick else WIDTH,
        "steps": QUICK_STEPS if conditions.quick else STEPS,
        "batch size": BATCH,
        "optimizer": "adam",
        "GroupSort": "group size 2",
        "constraint": "bjorck",
        "test accuracy": "; ".join(f"{name} {100 * accuracy:.1f} %" for name, accuracy in accuracies.items()),
    }


def operations(quick: bool, classifiers: int, jacobians: int) -> float:
    """Operations of that many trainings and of the Jacobians of that many classifiers."""
    width, steps = (QUICK_WIDTH, QUICK_STEPS) if quick else (WIDTH, STEPS)
    images = QUICK_IMAGES if quick else 60_000
    depth = HIDDEN_LAYERS + 1
    training = critic_operations(dim=PIXELS, width=width, depth=depth, batch=BATCH, steps=steps, muon=False, outputs=CLASSES)
    weights = PIXELS * width + (HIDDEN_LAYERS - 1) * width**2
    return classifiers * training + jacobians * images * CLASSES * 2.0 * weights * 1.5
