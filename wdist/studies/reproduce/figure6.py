"""Figure 6: Jacobian spectral norms of 10-Lipschitz classifiers, and how often the units of Lipschitz ReLU networks are active.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 6, section 7.1.2, appendix H.4.
"""

from dataclasses import dataclass
from itertools import pairwise

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
    active_shares,
    digits,
    jacobian_singular_values,
    operations,
    train_classifier,
)
from wdist.studies.reproduce.experiment import Experiment, Outcome
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Series

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


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """The classifiers of the figure, and what is seen of them on the images."""

    relu: dict[float | None, Classifier]
    """By their Lipschitz constants."""
    sort: Classifier
    norms: dict[str, Tensor]
    """Largest singular value of the Jacobian at each image, of both 10-Lipschitz classifiers by name."""
    shares: dict[float | None, Tensor]
    """Of each unit of a ReLU classifier, the share of images that it is active at."""

    @property
    def undead(self) -> dict[float | None, float]:
        """Share of the units that are active all of the time."""
        return {lipschitz: float((share >= 1).double().mean()) for lipschitz, share in self.shares.items()}

    @property
    def most_undead(self) -> float:
        return max(self.undead.values())

    def active(self, lipschitz: float | None) -> float:
        """Share of the units that are active at more images than the threshold."""
        return float((self.shares[lipschitz] > SPARSE_THRESHOLD).double().mean())

    @property
    def largest(self) -> dict[str, float]:
        return {name: float(values.max()) for name, values in self.norms.items()}

    @property
    def median(self) -> dict[str, float]:
        return {name: float(values.median()) for name, values in self.norms.items()}


def _conduct(conditions: Conditions) -> Outcome:
    trained = _train(conditions)
    return Outcome(
        settings=_settings(trained, conditions),
        comparisons=_comparisons(trained),
        findings=_findings(trained),
        panels=_panels(trained),
        remarks=(
            "The paper states its numbers in words (closer to 8 than 10; about 10 %; almost no units); it does not state "
            "learning rate, steps, batch size, group size, or how images were scaled: ours lie in [0, 1].",
        ),
    )


def _train(conditions: Conditions) -> _Trained:
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
    tight = {"ReLU": relu[LIPSCHITZ], "GroupSort": sort}
    return _Trained(
        relu=relu,
        sort=sort,
        norms={name: jacobian_singular_values(each.network, looked_at)[:, 0] for name, each in tight.items()},
        shares={lipschitz: active_shares(each.network, looked_at) for lipschitz, each in relu.items()},
    )


def _settings(trained: _Trained, conditions: Conditions) -> dict[str, str | int | float]:
    return {
        "hidden layers": HIDDEN_LAYERS,
        "width": QUICK_WIDTH if conditions.quick else WIDTH,
        "steps": QUICK_STEPS if conditions.quick else STEPS,
        "batch size": BATCH,
        "optimizer": "adam",
        "learning rates": f"{LEARNING_RATES['bjorck']} under the constraint, {LEARNING_RATES['none']} without",
        "GroupSort": "group size 2",
        "constraint": "bjorck",
        "test accuracy": "; ".join(
            [f"ReLU {_name(lipschitz)} {100 * each.accuracy:.1f} %" for lipschitz, each in trained.relu.items()]
            + [f"GroupSort {_name(LIPSCHITZ)} {100 * trained.sort.accuracy:.1f} %"]
        ),
    }


def _comparisons(trained: _Trained) -> tuple[Comparison, ...]:
    largest, median = trained.largest, trained.median
    return (
        Comparison(row="ReLU, 10-Lipschitz", column="largest Jacobian norm", ours=largest["ReLU"], paper=RELU_LARGEST),
        Comparison(row="ReLU, 10-Lipschitz", column="median Jacobian norm", ours=median["ReLU"]),
        Comparison(row="GroupSort, 10-Lipschitz", column="largest Jacobian norm", ours=largest["GroupSort"]),
        Comparison(row="GroupSort, 10-Lipschitz", column="median Jacobian norm", ours=median["GroupSort"]),
        Comparison(
            row="ReLU, no constraint",
            column=f"share of units active at more than {SPARSE_THRESHOLD:.0%} of images",
            ours=trained.active(None),
            paper=SPARSE_SHARE,
        ),
        Comparison(row="ReLU, worst case", column="share of units always active", ours=trained.most_undead, paper=UNDEAD_SHARE),
    )


def _findings(trained: _Trained) -> tuple[Finding, ...]:
    largest, median, sparse = trained.largest, trained.median, trained.active(None)
    at_threshold = [trained.active(lipschitz) for lipschitz in CONSTANTS]
    return (
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
            holds=0.5 * UNDEAD_SHARE <= trained.most_undead <= 2 * UNDEAD_SHARE,
            detail=", ".join(f"{_name(each)} {100 * share:.1f} %" for each, share in trained.undead.items()),
        ),
    )


def _panels(trained: _Trained) -> tuple[Curves, ...]:
    thresholds = torch.linspace(0, 1, 101, dtype=torch.float64)
    return (
        Curves(
            title="Jacobian spectral norms, 10-Lipschitz",
            x_label="largest singular value",
            y_label="share of images",
            series=tuple(_histogram_series(name, values) for name, values in trained.norms.items()),
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
                    y=tuple((trained.shares[lipschitz][:, None] >= thresholds).double().mean(0).tolist()),
                )
                for lipschitz in CONSTANTS
            ),
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
