"""Table 5: test errors on MNIST of LeNet-5 trained on few images, by regulariser.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 5, appendix G.1.
    LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to document recognition (LeNet-5).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.environment import choose_device
from wdist.lipschitz.activations import activation
from wdist.lipschitz.constraints import constraint
from wdist.lipschitz.linear import LipschitzLinear
from wdist.robustness.training import Labelled, LossSettings, fit_, start_as_usual
from wdist.studies.panels import Panel, curves
from wdist.studies.reproduce.mnist import CLASSES, digits, error_of
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

VALUES = {
    300: (12.40, 12.14, 7.30, 10.64, 11.06, 10.81, 8.12, 7.81),
    500: (8.57, 9.13, 5.54, 6.15, 7.33, 7.50, 5.96, 6.98),
    1000: (5.95, 6.23, 3.70, 4.58, 5.14, 6.05, 4.45, 4.54),
    5000: (2.54, 2.51, 1.84, 2.15, 2.31, 2.55, 2.23, 2.31),
    10_000: (1.77, 1.76, 1.26, 1.70, 1.58, 1.57, 1.66, 1.64),
}
"""Table 5: number of training images -> errors in %, in the order of the rows below, ReLU before MaxMin."""
ACTIVATIONS = {"ReLU": "relu", "MaxMin": "maxmin"}
QUICK_SIZES = (300, 1000)
STEPS, QUICK_STEPS, BATCH = 4000, 400, 64
_KERNEL, _SIDE = 5, 28
_OPERATIONS = 1.3e6 * 6 * BATCH  # of a step


@dataclass(frozen=True, kw_only=True)
class Regulariser:
    """Settings of a pair of columns of the table."""

    constraint: str = "none"
    lipschitz: float = 1.0
    dropout: float = 0.0
    weight_decay: float = 0.0
    learning_rate: float = 0.001


REGULARISERS = {
    "Standard": Regulariser(),
    "Dropout": Regulariser(dropout=0.4),
    "Weight decay": Regulariser(weight_decay=0.003),
    "Björck": Regulariser(constraint="bjorck", lipschitz=10.0, learning_rate=0.003),
}


class LeNet(nn.Module):
    """LeNet-5 with a constraint on the unfolded kernels and on the matrices, max-pooling, and a factor on the logits.

    The activation acts on the channels of a pixel.
    """

    constrain_every = 1

    def __init__(self, name: str, regulariser: Regulariser, generator: torch.Generator) -> None:
        super().__init__()
        kind, function = constraint(regulariser.constraint), activation(name)
        sizes = [(_KERNEL**2, 6), (6 * _KERNEL**2, 16), (16 * _KERNEL**2, 120), (120, 84), (84, CLASSES)]
        self.linear: list[LipschitzLinear] = [kind(inputs, outputs, generator=generator) for inputs, outputs in sizes]
        self.layers = nn.ModuleList(self.linear)
        if regulariser.constraint == "none":
            start_as_usual(self.linear, generator)
        self.activation, self.scale, self.dropout = function.train, regulariser.lipschitz, nn.Dropout(regulariser.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits for flattened images, shape (n, 784)."""
        x = self._convolved(x.reshape(-1, 1, _SIDE, _SIDE), self.linear[0], padding=2)
        x = self._convolved(x, self.linear[1], padding=0).flatten(1)
        for layer in self.linear[2:-1]:
            x = self.dropout(self.activation(layer(x)))
        return self.scale * self.linear[-1](x)

    def _convolved(self, x: Tensor, layer: LipschitzLinear, *, padding: int) -> Tensor:
        """A convolution by its unfolded kernel, then the activation and max-pooling by two."""
        side = x.shape[-1] + 2 * padding - _KERNEL + 1
        patches = nn.functional.unfold(x, _KERNEL, padding=padding).mT.flatten(0, 1)
        h = self.activation(layer(patches))
        return nn.functional.max_pool2d(h.unflatten(0, (len(x), side, side)).permute(0, 3, 1, 2), 2)

    def constrain_(self, *, tightly: bool = False) -> None:
        """Returns the weights to their constraint."""
        for layer in self.linear:
            layer.constrain_(tightly=tightly)


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    steps, sizes = (QUICK_STEPS, QUICK_SIZES) if conditions.quick else (STEPS, tuple(VALUES))
    data, test, device = digits(conditions, train=True), digits(conditions, train=False), choose_device(conditions.device)
    order = torch.randperm(len(data.x), generator=torch.Generator().manual_seed(conditions.seed))
    errors: dict[int, dict[str, float]] = {}
    for count in sizes:
        errors[count], few = {}, Labelled(data.x[order[:count]], data.labels[order[:count]])
        columns = [(row, name) for row in REGULARISERS for name in ACTIVATIONS]
        for (row, name), paper in zip(columns, VALUES[count], strict=True):
            conditions.announce(f"training {name}, {row}, on {count} images, {steps} steps")
            regulariser = REGULARISERS[row]
            network = LeNet(ACTIVATIONS[name], regulariser, torch.Generator().manual_seed(conditions.seed)).to(device)
            loss = LossSettings(
                steps=steps, batch_size=BATCH, learning_rate=regulariser.learning_rate, weight_decay=regulariser.weight_decay
            )
            fit_(network, few, loss, seed=conditions.seed)
            error = errors[count][f"{row}, {name}"] = 100 * error_of(network, test, device)
            yield ReproducedNumber(row=f"{count} images", column=f"{row}, {name}", ours=error, paper=paper, unit="%")
    yield Conclusion(
        settings={
            "network": "LeNet-5 with max-pooling",
            "steps": steps,
            "batch size": BATCH,
            "optimizer": "adam",
            "dropout": REGULARISERS["Dropout"].dropout,
            "weight decay": REGULARISERS["Weight decay"].weight_decay,
            "K": REGULARISERS["Björck"].lipschitz,
        },
        checks=tuple(_checks(errors)),
        panels=tuple(_panels(errors)),
        remarks=(
            "The paper names both fully connected networks and LeNet-5; its errors are those of LeNet-5. It states neither "
            "settings nor how often it drew the images; ours are drawn once.",
            "Constraints act on unfolded kernels, as in the paper; overlapping patches and max-pooling leave no certificate.",
        ),
    )


def _checks(errors: dict[int, dict[str, float]]) -> Iterator[ClaimCheck]:
    few = min(errors)
    row = errors[few]
    yield ClaimCheck(
        claim="Networks with a Lipschitz constraint generalise better from few images than standard ones.",
        holds=all(row[f"Björck, {name}"] < row[f"Standard, {name}"] for name in ACTIVATIONS),
        detail=f"{few} images: "
        + ", ".join(f"{name} {row[f'Björck, {name}']:.1f} % against {row[f'Standard, {name}']:.1f} %" for name in ACTIVATIONS),
    )
    best = {count: min(found, key=lambda name: found[name]) for count, found in errors.items()}
    yield ClaimCheck(
        claim="Dropout is the most effective regulariser.",
        holds=all(name.startswith("Dropout") for name in best.values()),
        detail=", ".join(f"{count} images: {name}" for count, name in best.items()),
    )


def _panels(errors: dict[int, dict[str, float]]) -> Iterator[Panel]:
    for name in ACTIVATIONS:
        yield Panel(
            title=f"test error of LeNet-5 on MNIST, {name}",
            x_label="training images",
            y_label="error in %",
            series=curves(errors, {row: [found[f"{row}, {name}"] for found in errors.values()] for row in REGULARISERS}),
            log_x=True,
            bottom=0.0,
        )


STUDY = Study(
    name="table5",
    title="Test errors on MNIST from few images",
    source="table 5, appendix G.1",
    measure=_measure,
    operations=lambda quick: (
        2 * len(REGULARISERS) * (len(QUICK_SIZES) * QUICK_STEPS if quick else len(VALUES) * STEPS) * (_OPERATIONS * 4 + 2e8)
    ),
    reduced=(f"{' and '.join(map(str, QUICK_SIZES))} training images only", f"{QUICK_STEPS} steps instead of {STEPS}"),
)
