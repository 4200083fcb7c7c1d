"""Figure 7: input gradients of the targeted cross-entropy at digits, of a standard and of a 2-norm-constrained network.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 7, section 7.3, appendix H.5.
    Tsipras, Santurkar, Engstrom, Turner & Madry (2018), arXiv:1805.12152 (gradients of robust networks can be interpreted).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from wdist.environment import choose_device
from wdist.robustness.classifier import Logits
from wdist.robustness.training import Labelled, LossSettings, NetworkSettings, train_classifier
from wdist.studies.machine import critic_operations
from wdist.studies.panels import Mosaic
from wdist.studies.reproduce.mnist import CLASSES, PIXELS, digits, error_of
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study, percent

WIDTH, QUICK_WIDTH, HIDDEN = 1024, 256, 3
STEPS, QUICK_STEPS, BATCH = 3000, 800, 256
LIPSCHITZ = 1.0
"""K of the Lipschitz network. With 10, which is more than it needs, gradients keep the random directions of the initial weights."""
SHOWN = 5
"""Number of shown images, one of each class from 0 to 4."""
_MEASURED = 500  # test images whose gradients are measured
_SIDE = 28
_NETWORKS = {
    "standard": (NetworkSettings(activation="relu", constraint="none"), 0.001),
    "Lipschitz": (NetworkSettings(activation="maxmin", constraint="bjorck", lipschitz=LIPSCHITZ), 0.003),
}
"""Name -> network and learning rate."""


def targeted_gradients(function: Logits, x: Tensor) -> Tensor:
    """Gradients of the cross-entropy with each class as its target, shape (n, classes, dim), for x of shape (n, dim)."""
    found = []
    for target in range(CLASSES):
        x = x.detach().requires_grad_()
        loss = nn.functional.cross_entropy(function(x), torch.full((len(x),), target, device=x.device), reduction="sum")
        found.append(torch.autograd.grad(loss, x)[0])
    return torch.stack(found, 1)


def roughness(gradients: Tensor) -> Tensor:
    """Roughness of each gradient, shape (n, classes): about 4 for noise, 0 for smooth gradients.

    It is the sum of squared differences from the right and the lower neighbour, over the sum of squares.
    """
    image = gradients.unflatten(-1, (_SIDE, _SIDE))
    energy = image.square().sum((-2, -1)).clamp(min=1e-30)
    return (image.diff(dim=-1).square().sum((-2, -1)) + image.diff(dim=-2).square().sum((-2, -1))) / energy


def alignment(gradients: Tensor, x: Tensor, means: Tensor) -> Tensor:
    """Cosine of each negative gradient with the direction from the image to the mean of the target class, shape (n, classes)."""
    return nn.functional.cosine_similarity(-gradients, means - x[:, None], dim=-1)


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    data, test = digits(conditions, train=True), digits(conditions, train=False)
    means = torch.stack([data.x[data.labels == label].mean(0) for label in range(CLASSES)])
    device, panels = choose_device(conditions.device), []
    errors, rough, aligned = dict[str, float](), dict[str, float](), dict[str, float]()
    for name, (network, rate) in _NETWORKS.items():
        steps, width = (QUICK_STEPS, QUICK_WIDTH) if conditions.quick else (STEPS, WIDTH)
        conditions.announce(f"training the {name} network, {steps} steps")
        settings = NetworkSettings(**{**vars(network), "hidden": (width,) * HIDDEN})
        loss = LossSettings(steps=steps, batch_size=BATCH, learning_rate=rate)
        classifier = train_classifier(data, settings, loss, seed=conditions.seed, device=device)
        function = classifier.function(device)
        errors[name] = error_of(function, test, device)
        x = test.x[:_MEASURED]
        gradients = targeted_gradients(function, x.to(device)).cpu()
        others = torch.arange(CLASSES) != test.labels[:_MEASURED, None]
        rough[name] = float(roughness(gradients)[others].mean())
        aligned[name] = float(alignment(gradients, x, means)[others].mean())
        shown = _shown(test, conditions.seed)
        panels.append(Mosaic(title=name, pixels=_mosaic(shown, targeted_gradients(function, shown.to(device)).cpu()).numpy()))
        yield ReproducedNumber(row=name, column="roughness of the gradients", ours=rough[name])
        yield ReproducedNumber(row=name, column="cosine with the way to the target's mean", ours=aligned[name])
    yield Conclusion(
        settings={
            "hidden layers": HIDDEN,
            "width": QUICK_WIDTH if conditions.quick else WIDTH,
            "steps": QUICK_STEPS if conditions.quick else STEPS,
            "batch size": BATCH,
            "K": LIPSCHITZ,
            "optimizer": "adam",
            "test error": "; ".join(f"{name} {percent(error)}" for name, error in errors.items()),
        },
        checks=(
            ClaimCheck(
                claim="Gradients of the Lipschitz network can be interpreted (ours: they point towards the target's class more "
                "than those of the standard network).",
                holds=aligned["Lipschitz"] > aligned["standard"],
                detail=f"cosine {aligned['Lipschitz']:.2f} against {aligned['standard']:.2f}",
            ),
        ),
        panels=tuple(panels),
        remarks=(
            "The paper shows a picture only; roughness and cosine are ours, as means over the wrong targets of "
            f"{_MEASURED} test images. Roughness is about 4 for noise and 0 for smooth gradients.",
            "We chose K = 1 among 0.1, 1 and 10: at 10 the gradients of the Lipschitz network look like noise, too.",
            "Rows of the figure: the images of the classes 0 to 4, then the gradient for each target from 0 to 9; positive is red.",
        ),
    )


def _shown(test: Labelled, seed: int) -> Tensor:
    """A random test image of each class from 0 to 4, shape (5, 784)."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.nonzero(test.labels == label).squeeze(1) for label in range(SHOWN)]
    return torch.stack([test.x[each[torch.randint(len(each), (1,), generator=generator)]][0] for each in rows])


def _mosaic(x: Tensor, gradients: Tensor) -> Tensor:
    """One picture of shape (11 * 28, 5 * 28): images above their gradients, each scaled to [-1, 1]."""
    scaled = gradients / gradients.abs().amax(-1, keepdim=True).clamp(min=1e-30)
    tiles = torch.cat([x[:, None], scaled], 1).unflatten(-1, (_SIDE, _SIDE))
    return tiles.permute(1, 2, 0, 3).reshape((1 + CLASSES) * _SIDE, len(x) * _SIDE)


def _operations(quick: bool) -> float:
    width, steps = (QUICK_WIDTH, QUICK_STEPS) if quick else (WIDTH, STEPS)
    sizes = {"dim": PIXELS, "width": width, "depth": HIDDEN + 1, "batch": BATCH, "steps": steps, "outputs": CLASSES}
    return 2 * critic_operations(muon=False, **sizes)


STUDY = Study(
    name="figure7",
    title="Input gradients of a standard and of a Lipschitz network",
    source="figure 7, section 7.3, appendix H.5",
    measure=_measure,
    operations=_operations,
    reduced=(f"width {QUICK_WIDTH} instead of {WIDTH}", f"{QUICK_STEPS} steps instead of {STEPS}"),
)
