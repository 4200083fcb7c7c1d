"""Figure 6: Jacobian spectral norms of 10-Lipschitz classifiers, and how often the units of Lipschitz ReLU networks are active.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 6, section 7.1.2, appendix H.4.
"""

from itertools import pairwise

import torch
from torch import Tensor

from wdist.finding import Finding
from wdist.reproduce.classifier import (
    BATCH,
    HIDDEN_LAYERS,
    LEARNING_RATES,
    QUICK_IMAGES,
    QUICK_STEPS,
    QUICK_WIDTH,
    REDUCED,
    STEPS,
    WIDTH,
    active_shares,
    digits,
    jacobian_singular_values,
    operations,
    train_classifier,
)
from wdist.reproduce.experiment import Experiment, Outcome
from wdist.reproduce.reproduction import Comparison, Conditions, Curves, Series

LIPSCHITZ = 10.0
RELU_LARGEST = 8.0
""""The observed Lipschitz constant was actually closer to 8 than 10.\""""
UNDEAD_SHARE = 0.10
""""In the worst case, about 10% of units were undead, or active all of the time.\""""
SPARSE_THRESHOLD, SPARSE_SHARE = 0.4, 0.0
"""Without a constraint there were "almost no units active when tau > 0.4"."""
_ALMOST_NO = 0.05
"""Share of the units that counts as almost none."""
CONSTANTS: tuple[float | None, ...] = (None, 100.0, LIPSCHITZ, 1.0, 0.1)
"""Lipschitz constants whose statistics are compared: those that the paper tried (H.4), and none."""
_BINS = 40


def histogram(values: Tensor, *, low: float, high: float, bins: int = _BINS) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Edges of the bins, and the share of the values in each; the last share, behind the last edge, is 0."""
    counts = torch.histc(values, bins=bins, min=low, max=high) / values.numel()
    return tuple(torch.linspace(low, high, bins + 1).tolist()), (*counts.tolist(), 0.0)


def _name(lipschitz: float | None) -> str:
    return "no constraint" if lipschitz is None else f"{lipschitz:g}-Lipschitz"


def _conduct(conditions: Conditions) -> Outcome:
    data, test = digits(conditions, train=True), digits(conditions, train=False)
    looked_at = data.images[:QUICK_IMAGES] if conditions.quick else data.images
    relu = {
        lipschitz: train_classifier(
            data, test, activation="relu", lipschitz=lipschitz, conditions=conditions, label=f"ReLU, {_name(lipschitz)}"
        )
        for lipschitz in CONSTANTS
    }
    sort = train_classifier(
        data, test, activation="maxmin", lipschitz=LIPSCHITZ, conditions=conditions, label=f"GroupSort, {_name(LIPSCHITZ)}"
    )
    norms = {
        name: jacobian_singular_values(classifier.network, looked_at)[:, 0]
        for name, classifier in (("ReLU", relu[LIPSCHITZ]), ("GroupSort", sort))
    }
    shares = {lipschitz: active_shares(classifier.network, looked_at) for lipschitz, classifier in relu.items()}
    undead = {lipschitz: float((share >= 1).double().mean()) for lipschitz, share in shares.items()}
    sparse = float((shares[None] > SPARSE_THRESHOLD).double().mean())
    at_threshold = [float((shares[lipschitz] > SPARSE_THRESHOLD).double().mean()) for lipschitz in CONSTANTS]
    worst = max(undead, key=lambda lipschitz: undead[lipschitz])
    thresholds = torch.linspace(0, 1, 101, dtype=torch.float64)
    largest = {name: float(values.max()) for name, values in norms.items()}
    median = {name: float(values.median()) for name, values in norms.items()}
    return Outcome(
        settings={
            "hidden layers": HIDDEN_LAYERS,
            "width": QUICK_WIDTH if conditions.quick else WIDTH,
            "steps": QUICK_STEPS if conditions.quick else STEPS,
            "batch size": BATCH,
            "optimizer": "adam",
            "learning rates": f"{LEARNING_RATES['bjorck']} under the constraint, {LEARNING_RATES['none']} without",
            "GroupSort": "group size 2",
            "constraint": "bjorck",
            "test accuracy": "; ".join(
                [f"ReLU {_name(lipschitz)} {100 * each.accuracy:.1f} %" for lipschitz, each in relu.items()]
                + [f"GroupSort {_name(LIPSCHITZ)} {100 * sort.accuracy:.1f} %"]
            ),
        },
        comparisons=(
            Comparison(row="ReLU, 10-Lipschitz", column="largest Jacobian norm", ours=largest["ReLU"], paper=RELU_LARGEST),
            Comparison(row="ReLU, 10-Lipschitz", column="median Jacobian norm", ours=median["ReLU"]),
            Comparison(row="GroupSort, 10-Lipschitz", column="largest Jacobian norm", ours=largest["GroupSort"]),
            Comparison(row="GroupSort, 10-Lipschitz", column="median Jacobian norm", ours=median["GroupSort"]),
            Comparison(
                row="ReLU, no constraint",
                column=f"share of units active at more than {SPARSE_THRESHOLD:.0%} of images",
                ours=sparse,
                paper=SPARSE_SHARE,
            ),
            Comparison(row="ReLU, worst case", column="share of units always active", ours=undead[worst], paper=UNDEAD_SHARE),
        ),
        findings=(
            Finding(
                claim="Both satisfy the constraint; the GroupSort network does so much more tightly than the ReLU network.",
                holds=max(largest.values()) <= LIPSCHITZ * (1 + 1e-4) and median["GroupSort"] > median["ReLU"],
                detail=f"largest norms {largest['GroupSort']:.3f} and {largest['ReLU']:.3f}, medians {median['GroupSort']:.3f} and "
                f"{median['ReLU']:.3f}, of {LIPSCHITZ:g} allowed",
            ),
            Finding(
                claim=f"Without a constraint almost no units are active when tau > {SPARSE_THRESHOLD}.",
                holds=sparse <= _ALMOST_NO,
                detail=f"{100 * sparse:.1f} % of the units are",
            ),
            Finding(
                claim="Smaller Lipschitz constants force the network to use more positive activations.",
                holds=all(wider < tighter for wider, tighter in pairwise(at_threshold)),
                detail=f"active at more than {SPARSE_THRESHOLD:.0%} of images: "
                + ", ".join(f"{_name(each)} {100 * share:.1f} %" for each, share in zip(CONSTANTS, at_threshold, strict=True)),
            ),
            Finding(
                claim="In the worst case about 10 % of the units are active all of the time.",
                holds=0.5 * UNDEAD_SHARE <= undead[worst] <= 2 * UNDEAD_SHARE,
                detail=", ".join(f"{_name(each)} {100 * share:.1f} %" for each, share in undead.items()),
            ),
        ),
        panels=(
            Curves(
                title="Jacobian spectral norms, 10-Lipschitz",
                x_label="largest singular value",
                y_label="share of images",
                series=tuple(_histogram_series(name, values) for name, values in norms.items()),
                steps=True,
            ),
            Curves(
                title="activation statistics, ReLU",
                x_label="threshold tau",
                y_label="share of units active at least that often",
                series=tuple(
                    Series(
                        name=_name(lipschitz),
                        x=tuple(thresholds.tolist()),
                        y=tuple((shares[lipschitz][:, None] >= thresholds).double().mean(0).tolist()),
                    )
                    for lipschitz in CONSTANTS
                ),
            ),
        ),
        remarks=(
            "The paper states its numbers in words (closer to 8 than 10; about 10 %; almost no units); it does not state "
            "learning rate, steps, batch size, group size, or how images were scaled: ours lie in [0, 1].",
        ),
    )


def _histogram_series(name: str, values: Tensor) -> Series:
    edges, shares = histogram(values, low=0.0, high=1.05 * LIPSCHITZ)
    return Series(name=name, x=edges, y=shares)


EXPERIMENT = Experiment(
    name="figure6",
    title="Jacobian spectral norms and activation statistics on MNIST",
    source="figure 6, section 7.1.2, appendix H.4",
    conduct=_conduct,
    operations=lambda quick: operations(quick, classifiers=len(CONSTANTS) + 1, jacobians=2),
    reduced=REDUCED,
)
