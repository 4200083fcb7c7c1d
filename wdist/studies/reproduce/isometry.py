"""Dynamical isometry throughout training: singular values of the Jacobian, and the gradient's norm layer by layer.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.4 and appendix G.3; and the talk on it,
        which shows the norm of the gradient with respect to the activations of each layer.
    Pennington, Schoenholz & Ganguli (2017), Resurrecting the sigmoid in deep learning through dynamical isometry.
"""

from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor

from wdist.environment import choose_device
from wdist.robustness.classifier import FrozenClassifier
from wdist.robustness.training import ClassifierNetwork, Labelled, LossSettings, NetworkSettings, train_classifier
from wdist.studies.panels import Panel, curves
from wdist.studies.reproduce import classifier as figures
from wdist.studies.reproduce.classifier import jacobian_singular_values, operations
from wdist.studies.reproduce.mnist import digits, some
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study, percent

MOMENTS = (0.0, 0.02, 0.1, 0.3, 0.6, 1.0)
"""Times during training at which Jacobians are computed, as shares of all steps."""
IMAGES, QUICK_IMAGES = 1000, 200
ACTIVATIONS = {"ReLU": "relu", "GroupSort": "maxmin"}
_QUANTILES = (0.05, 0.5, 0.95)
_NEAR = 0.9  # singular values that count as near K: the range 9-10 of the paper for K = 10

_TOP = 1.08 * figures.LIPSCHITZ


def gradient_norms(classifier: FrozenClassifier, data: Labelled, device: torch.device) -> Tensor:
    """Mean gradient norms of the true class's logit with respect to the input and to each hidden layer's activations, float64."""
    layers = classifier.layers_on(device)
    x = data.x.to(device).detach().requires_grad_()
    outputs = list(accumulate(layers, lambda h, layer: layer.forward(h), initial=x))
    logit = outputs[-1].gather(1, data.labels.to(device)[:, None]).sum()
    # the input, then the output of each activation
    found = torch.autograd.grad(logit, outputs[0:-1:2])
    return torch.stack([gradient.norm(dim=1).mean() for gradient in found]).double().cpu()


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    width, steps = (figures.QUICK_WIDTH, figures.QUICK_STEPS) if conditions.quick else (figures.WIDTH, figures.STEPS)
    data, device = digits(conditions, train=True), choose_device(conditions.device)
    looked_at = some(data, QUICK_IMAGES if conditions.quick else IMAGES)
    quantiles, norms, near = dict[str, list[Tensor]](), dict[str, Tensor](), dict[str, list[float]]()
    moments = [round(share * steps) for share in MOMENTS]
    for name, activation in ACTIVATIONS.items():
        conditions.announce(f"training {name}, {steps} steps")
        values: list[Tensor] = []

        def look(step: int, network: ClassifierNetwork, values: list[Tensor] = values) -> None:
            if step in moments:
                values.append(jacobian_singular_values(network.frozen().function(device), looked_at.x, device))

        hidden = (width,) * figures.HIDDEN_LAYERS
        network = NetworkSettings(hidden=hidden, activation=activation, lipschitz=figures.LIPSCHITZ)
        generator = torch.Generator().manual_seed(conditions.seed)
        start = ClassifierNetwork(data.x.shape[1], 1 + int(data.labels.max()), network, generator).to(device)
        look(0, start)
        loss = LossSettings(steps=steps, batch_size=figures.BATCH, learning_rate=figures.LEARNING_RATES["bjorck"])
        trained = train_classifier(data, network, loss, seed=conditions.seed, device=device, after_step=look)
        quantiles[name] = [torch.quantile(each.flatten(), torch.tensor(_QUANTILES, dtype=torch.float64)) for each in values]
        near[name] = [float((each >= _NEAR * figures.LIPSCHITZ).double().mean()) for each in values]
        norms[name] = gradient_norms(trained, looked_at, device)
        for step, found in zip(moments, quantiles[name], strict=True):
            yield ReproducedNumber(row=name, column=f"median singular value, step {step}", ours=float(found[1]))
        for layer, norm in enumerate(norms[name].tolist()):
            where = f"hidden layer {layer}" if layer else "the input"
            yield ReproducedNumber(row=name, column=f"gradient norm by {where}", ours=norm)
    yield Conclusion(
        settings={
            "hidden layers": figures.HIDDEN_LAYERS,
            "width": width,
            "steps": steps,
            "batch size": figures.BATCH,
            "K": figures.LIPSCHITZ,
            "optimizer": "adam",
            "constraint": "bjorck",
        },
        checks=tuple(_checks(near, norms)),
        panels=(*_panels(moments, quantiles), _norms_panel(norms)),
        remarks=("The paper states isometry throughout training, and the talk shows gradient norms; neither gives numbers.",),
    )


def _checks(near: dict[str, list[float]], norms: dict[str, Tensor]) -> Iterator[ClaimCheck]:
    yield ClaimCheck(
        claim="GroupSort networks have dynamical isometry throughout training; ReLU networks have it at no time.",
        holds=min(near["GroupSort"]) >= 0.9 and max(near["ReLU"]) < 0.5,
        detail="; ".join(
            f"{name}: {percent(min(shares), 0)} to {percent(max(shares), 0)} of the singular values are at least "
            f"{_NEAR * figures.LIPSCHITZ:g}"
            for name, shares in near.items()
        ),
    )
    kept = {name: float(found[0] / found[-1]) for name, found in norms.items()}
    yield ClaimCheck(
        claim="The ReLU network loses gradient norm layer by layer; GroupSort keeps it.",
        holds=kept["GroupSort"] >= 0.95 and kept["ReLU"] < 0.8,
        detail=", ".join(
            f"{name} keeps {percent(share, 0)} from the last hidden layer to the input" for name, share in kept.items()
        ),
    )


def _panels(moments: list[int], quantiles: dict[str, list[Tensor]]) -> Iterator[Panel]:
    for name, found in quantiles.items():
        names = [f"{percent(share, 0)} quantile" for share in _QUANTILES]
        yield Panel(
            title=f"singular values of the Jacobian, {name}",
            x_label="step",
            y_label="singular value",
            series=curves(moments, dict(zip(names, torch.stack(found, 1), strict=True))),
            level=figures.LIPSCHITZ,
            bottom=0.0,
            top=_TOP,
        )


def _norms_panel(norms: dict[str, Tensor]) -> Panel:
    count = len(next(iter(norms.values())))
    return Panel(
        title="norm of the gradient by layer",
        x_label="",
        ticks=("input", *(f"hidden {layer}" for layer in range(1, count))),
        y_label="norm",
        series=curves(range(count), norms),
        level=figures.LIPSCHITZ,
        bottom=0.0,
        top=_TOP,
    )


STUDY = Study(
    name="isometry",
    title="Dynamical isometry throughout training, and gradient norms by layer",
    source="isometry: section 4.4, appendix G.3 and the talk",
    measure=_measure,
    operations=lambda quick: operations(quick, classifiers=2, jacobians=1),
    reduced=(*figures.REDUCED[:2], f"Jacobians at {QUICK_IMAGES} images instead of {IMAGES}"),
)
