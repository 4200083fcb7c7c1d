"""Classifiers of MNIST with a given Lipschitz constant, trained here, and what can be seen in them.

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
from wdist.studies.reproduce.forecast import critic_operations
from wdist.studies.reproduce.network import FrozenNetwork, Network
from wdist.studies.reproduce.reproduction import Conditions
from wdist.training.observer import Stage
from wdist.training.optimizers import make_optimizers, schedule

HIDDEN_LAYERS, WIDTH = 3, 1024
"""Of the paper (H.5; G.1 says "a 3-layer fully connected network with 1024 hidden units in each layer")."""
PIXELS, CLASSES = 784, 10
STEPS, BATCH = 3000, 256
QUICK_WIDTH, QUICK_STEPS, QUICK_IMAGES = 256, 500, 4000
REDUCED = (
    f"width {QUICK_WIDTH} instead of {WIDTH}",
    f"{QUICK_STEPS} steps instead of {STEPS}",
    f"the first {QUICK_IMAGES} training images looked at instead of all",
)
LEARNING_RATES = {"bjorck": 0.003, "none": 0.01}
"""Of Adam; the paper states none for this task. Without a constraint 0.001 leaves most units active, 0.01 few, as in the paper."""
_SLAB = 500
"""Images whose Jacobians are computed at a time."""


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
        SourceError: it is not there and may not be fetched.
    """
    try:
        dataset = import_torchvision().MNIST(conditions.root, train=train, download=conditions.download)
    except (RuntimeError, OSError) as error:
        raise SourceError(
            f"torchvision finds no complete MNIST in {conditions.root}; say where it lies with --root DIR, "
            "or fetch it with --download"
        ) from error
    return Digits(images=dataset.data.flatten(1).float() / 255, labels=dataset.targets)


def train_classifier(
    data: Digits, test: Digits, *, activation: str, lipschitz: float | None, conditions: Conditions, label: str
) -> Classifier:
    """A fully connected classifier, by cross-entropy and Adam.

    Arguments:
        data: to learn from.
        test: for the accuracy.
        activation: by name.
        lipschitz: its Lipschitz constant, by orthonormal weights and a factor on the output; None for no constraint.
        conditions: quick or full, seed, device, observer.
        label: for the observer.

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
    order = torch.Generator().manual_seed(conditions.seed)
    optimizers = make_optimizers(network, name="adam", learning_rate=LEARNING_RATES[constraint])
    rates = [[group["lr"] for group in each.param_groups] for each in optimizers]
    decay = schedule("linear")
    loss = torch.zeros((), device=device)
    for step, rows in zip(range(steps), _minibatches(len(images), order), strict=False):
        rows = rows.to(device)
        loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
        for each, initial in zip(optimizers, rates, strict=True):
            each.zero_grad(set_to_none=True)
            for group, rate in zip(each.param_groups, initial, strict=True):
                group["lr"] = rate * decay(step / steps)
        loss.backward()
        for each in optimizers:
            each.step()
        if step % network.constrain_every == network.constrain_every - 1:
            network.constrain_()
    if not bool(torch.isfinite(loss)):
        raise TrainingDiverged(f"the classifier {label} has a loss that is not finite; try another --seed")
    network.constrain_(tightly=True)
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
    """Epoch after epoch, each in a new order."""
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
    """For every hidden unit of the network the share of images at which its activation is positive, float64, on the CPU."""
    device = network.weights[0][0].device
    counts: list[Tensor] = []
    for part in images.split(_SLAB):
        _, trace = network.traced(part.to(device))
        positive = torch.cat([(h > 0).sum(0) for _, h in trace]).double().cpu()
        counts.append(positive)
    return torch.stack(counts).sum(0) / len(images)


def operations(quick: bool, classifiers: int, jacobians: int) -> float:
    """Of so many trainings, and of the Jacobians of so many of them."""
    width, steps = (QUICK_WIDTH, QUICK_STEPS) if quick else (WIDTH, STEPS)
    images = QUICK_IMAGES if quick else 60_000
    depth = HIDDEN_LAYERS + 1
    training = critic_operations(dim=PIXELS, width=width, depth=depth, batch=BATCH, steps=steps, muon=False, outputs=CLASSES)
    weights = PIXELS * width + (HIDDEN_LAYERS - 1) * width**2
    return classifiers * training + jacobians * images * CLASSES * 2.0 * weights * 1.5
