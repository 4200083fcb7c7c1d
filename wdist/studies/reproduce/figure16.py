"""Figure 16: all singular values of the Jacobians of 10-Lipschitz classifiers.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 16, appendix G.3.
    Pennington, Schoenholz & Ganguli (2017), Resurrecting the sigmoid in deep learning through dynamical isometry.
"""

import torch
from torch import Tensor

from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.classifier import (
    BATCH,
    HIDDEN_LAYERS,
    LEARNING_RATES,
    QUICK_IMAGES,
    QUICK_STEPS,
    QUICK_WIDTH,
    REDUCED,
    STEPS,
    WIDTH,
    Classifier,
    digits,
    jacobian_singular_values,
    operations,
    train_classifier,
)
from wdist.studies.reproduce.experiment import Experiment, Outcome
from wdist.studies.reproduce.figure6 import LIPSCHITZ, histogram
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Series

RANGES = {"ReLU": (4.0, 8.0), "GroupSort": (9.0, 10.0)}
""""While the ReLU singular values are spread between 4-8 the GroupSort network concentrates the singular values in range 9-10.\""""
_ACTIVATIONS = {"ReLU": "relu", "GroupSort": "maxmin"}
_MOST = 0.9


_QUANTILES = (0.05, 0.5, 0.95)
_MOST_VALUES = 500_000
"""About so many are enough for quantiles, of which torch takes 2^24 values at most."""


def _conduct(conditions: Conditions) -> Outcome:
    data, test = digits(conditions, train=True), digits(conditions, train=False)
    looked_at = data.images[:QUICK_IMAGES] if conditions.quick else data.images
    trained = {
        name: train_classifier(
            data, test, activation=activation, lipschitz=LIPSCHITZ, conditions=conditions, label=f"{name}, {LIPSCHITZ:g}-Lipschitz"
        )
        for name, activation in _ACTIVATIONS.items()
    }
    values = {name: jacobian_singular_values(each.network, looked_at) for name, each in trained.items()}
    quantiles = {name: _quantiles(sigma) for name, sigma in values.items()}
    return Outcome(
        settings=_settings(trained, conditions),
        comparisons=tuple(
            Comparison(row=name, column=f"{quantile:.0%} quantile", ours=value, paper=RANGES[name])
            for name, found in quantiles.items()
            for quantile, value in zip(_QUANTILES, found, strict=True)
        ),
        findings=_findings(values, spread={name: found[-1] - found[0] for name, found in quantiles.items()}),
        panels=(
            Curves(
                title="singular values of the Jacobian, 10-Lipschitz classifiers",
                x_label="singular value",
                y_label="share of values",
                series=tuple(_histogram_series(name, sigma) for name, sigma in values.items()),
                steps=True,
            ),
        ),
        remarks=(
            "The paper states ranges in words; it does not state learning rate, steps, batch size, group size, or how images "
            "were scaled: ours lie in [0, 1].",
        ),
    )


def _quantiles(sigma: Tensor) -> tuple[float, ...]:
    some = sigma.flatten()[:: max(1, sigma.numel() // _MOST_VALUES)]
    return tuple(torch.quantile(some, torch.tensor(_QUANTILES, dtype=torch.float64)).tolist())


def _settings(trained: dict[str, Classifier], conditions: Conditions) -> dict[str, str | int | float]:
    return {
        "hidden layers": HIDDEN_LAYERS,
        "width": QUICK_WIDTH if conditions.quick else WIDTH,
        "steps": QUICK_STEPS if conditions.quick else STEPS,
        "batch size": BATCH,
        "optimizer": "adam",
        "learning rate": LEARNING_RATES["bjorck"],
        "GroupSort": "group size 2",
        "constraint": "bjorck",
        "test accuracy": "; ".join(f"{name} {100 * each.accuracy:.1f} %" for name, each in trained.items()),
    }


def _findings(values: dict[str, Tensor], *, spread: dict[str, float]) -> tuple[Finding, ...]:
    """What the paper says of the singular values, by the name of the network, and of the width of nine tenths of them."""
    within = {
        name: float(((sigma >= RANGES[name][0]) & (sigma <= RANGES[name][1] * (1 + 1e-4))).double().mean())
        for name, sigma in values.items()
    }
    largest = max(float(sigma.max()) for sigma in values.values())
    return (
        Finding(
            claim="The GroupSort network concentrates the singular values in the range 9-10.",
            holds=within["GroupSort"] >= _MOST,
            detail=f"{100 * within['GroupSort']:.1f} % of them lie there",
        ),
        Finding(
            claim="The ReLU singular values are spread between 4 and 8.",
            holds=within["ReLU"] >= _MOST,
            detail=f"{100 * within['ReLU']:.1f} % of them lie there",
        ),
        Finding(
            claim="GroupSort is nearer to dynamical isometry than ReLU.",
            holds=spread["GroupSort"] < spread["ReLU"],
            detail=f"nine tenths of the values lie within {spread['GroupSort']:.2f}; those of ReLU within {spread['ReLU']:.2f}",
        ),
        Finding(
            claim="Both networks are 10-Lipschitz.",
            holds=largest <= LIPSCHITZ * (1 + 1e-4),
            detail=f"the largest singular value at any image is {largest:.4f}",
        ),
    )


def _histogram_series(name: str, sigma: Tensor) -> Series:
    edges, shares = histogram(sigma.flatten(), low=0.0, high=1.05 * LIPSCHITZ)
    return Series(name=name, x=edges, y=shares)


EXPERIMENT = Experiment(
    name="figure16",
    title="Jacobian singular values on MNIST",
    source="figure 16, appendix G.3",
    conduct=_conduct,
    operations=lambda quick: operations(quick, classifiers=2, jacobians=2),
    reduced=REDUCED,
)
