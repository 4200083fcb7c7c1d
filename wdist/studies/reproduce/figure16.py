"""Figure 16: all singular values of the Jacobians of 10-Lipschitz classifiers.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 16, appendix G.3.
    Pennington, Schoenholz & Ganguli (2017), Resurrecting the sigmoid in deep learning through dynamical isometry.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from wdist.studies.panels import Panel
from wdist.studies.reproduce import classifier
from wdist.studies.reproduce.classifier import LIPSCHITZ
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

RANGES = {"ReLU": (4.0, 8.0), "GroupSort": (9.0, 10.0)}
""""While the ReLU singular values are spread between 4-8 the GroupSort network concentrates the singular values in range 9-10.\""""
_ACTIVATIONS = {"ReLU": "relu", "GroupSort": "maxmin"}
_MOST = 0.9
_QUANTILES = (0.05, 0.5, 0.95)
_MOST_VALUES = 500_000
"""Values that are enough for quantiles, of which torch takes 2^24 at most."""


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    data, test = (classifier.digits(conditions, train=train) for train in (True, False))
    looked_at = data.images[: classifier.QUICK_IMAGES] if conditions.quick else data.images
    values, widths, accuracies = {}, {}, {}
    for name, activation in _ACTIVATIONS.items():
        label = f"{name}, {LIPSCHITZ:g}-Lipschitz"
        trained = classifier.train_classifier(
            data, test, activation=activation, lipschitz=LIPSCHITZ, conditions=conditions, label=label
        )
        values[name] = classifier.jacobian_singular_values(trained.network, looked_at)
        found, accuracies[name] = _quantiles(values[name]), trained.accuracy
        widths[name] = found[-1] - found[0]
        for quantile, value in zip(_QUANTILES, found, strict=True):
            yield ReproducedNumber(row=name, column=f"{quantile:.0%} quantile", ours=value, paper=RANGES[name])
    yield Conclusion(
        settings={**classifier.settings_of(conditions, accuracies), "learning rate": classifier.LEARNING_RATES["bjorck"]},
        checks=_checks(values, widths),
        panels=(
            Panel(
                title="singular values of the Jacobian, 10-Lipschitz classifiers",
                x_label="singular value",
                y_label="share of values",
                series=tuple(classifier.histogram(name, sigma) for name, sigma in values.items()),
                bins=True,
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


def _checks(values: dict[str, Tensor], widths: dict[str, float]) -> tuple[ClaimCheck, ...]:
    """Statements of the paper, from all singular values and the width of nine tenths of them by the name of the network."""
    within = {
        name: float(((sigma >= RANGES[name][0]) & (sigma <= RANGES[name][1] * (1 + 1e-4))).double().mean())
        for name, sigma in values.items()
    }
    largest = max(float(sigma.max()) for sigma in values.values())
    return (
        ClaimCheck(
            claim="The GroupSort network concentrates the singular values in the range 9-10.",
            holds=within["GroupSort"] >= _MOST,
            detail=f"{100 * within['GroupSort']:.1f} % of them lie there",
        ),
        ClaimCheck(
            claim="The ReLU singular values are spread between 4 and 8.",
            holds=within["ReLU"] >= _MOST,
            detail=f"{100 * within['ReLU']:.1f} % of them lie there",
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


STUDIES = (
    Study(
        name="figure16",
        title="Jacobian singular values on MNIST",
        source="figure 16, appendix G.3",
        measure=_measure,
        operations=lambda quick: classifier.operations(quick, classifiers=2, jacobians=2),
        reduced=classifier.REDUCED,
    ),
)
