"""Table 6: wide residual networks on CIFAR-10, ReLU beside MaxMin, by regulariser.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 6, appendix G.1.
    Zagoruyko & Komodakis (2016), Wide residual networks, arXiv:1605.07146 (the network, its schedule and its augmentation).
    Cisse, Bojanowski, Grave, Dauphin & Usunier (2017), Parseval networks, arXiv:1704.08847.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.data.access import Access
from wdist.data.labels import LabelledSamples, read_labelled
from wdist.environment import choose_device
from wdist.errors import SourceError, UsageError
from wdist.lipschitz.activations import activation
from wdist.lipschitz.convolution import ImageShape
from wdist.lipschitz.linalg.orthonormalise import bjorck
from wdist.robustness.training import Labelled, LossSettings, fit_
from wdist.studies.panels import Panel, curves
from wdist.studies.reproduce.mnist import error_of
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

VALUES = {"Standard": (95.29, 94.57), "Parseval": (95.45, 94.83), "Spec Jac": (95.44, 94.62)}
"""Table 6: test accuracies in %, ReLU before MaxMin."""
ACTIVATIONS = {"ReLU": "relu", "MaxMin": "maxmin"}
COLUMN = "cifar10"
"""Name of the data in ``--data cifar10=ADDRESS``."""
_SIDE, _CLASSES, _PADDING = 32, 10, 4
_COMPARABLE = 2.0  # MaxMin counts as comparable within this many points of accuracy


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Sizes of the network and of its training."""

    depth: int
    """Number of convolutions, 6 n + 4 for n blocks of two in each of three groups."""
    widening: int
    steps: int
    batch_size: int
    images: int | None
    """Largest number of training and of test images; None for all."""


_FULL = _Sizes(depth=28, widening=4, steps=78_000, batch_size=128, images=None)
_QUICK = _Sizes(depth=10, widening=1, steps=80, batch_size=64, images=1500)


@dataclass(frozen=True, kw_only=True)
class Regulariser:
    """Settings of a pair of columns of the table."""

    beta: float = 0.0
    """Step of equation 8 on the unfolded kernels after each update; 0 for none."""
    jacobian: float = 0.0


REGULARISERS = {"Standard": Regulariser(), "Parseval": Regulariser(beta=0.0003), "Spec Jac": Regulariser(jacobian=0.01)}


class _Block(nn.Module):
    """Two 3x3 convolutions, each after batch normalisation and the activation, added to their input."""

    def __init__(self, inputs: int, outputs: int, stride: int, name: str) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(inputs), _Channels(name))
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            _Channels(name),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        self.same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if self.same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.convolutions(h) + (x if self.same else self.shortcut(h))


class _Channels(nn.Module):
    """An activation on the channels of every pixel."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function, self.elementwise = activation(name).train, activation(name).group == 1

    def forward(self, x: Tensor) -> Tensor:
        if self.elementwise:
            return self.function(x)
        pixels = x.permute(0, 2, 3, 1)
        return self.function(pixels.reshape(-1, x.shape[1])).reshape(pixels.shape).permute(0, 3, 1, 2)


class WideResNet(nn.Module):
    """A wide residual network for flattened images of 3 x 32 x 32, which it shifts and mirrors in training.

    It has ``depth`` convolutions (6 n + 4), and ``widening`` times 16, 32 and 64 channels in its three groups; ``name`` names the
    activation, and ``beta`` is the step of the Parseval update, 0 for none.
    """

    constrain_every = 1

    def __init__(self, depth: int, widening: int, name: str, *, beta: float = 0.0) -> None:
        super().__init__()
        widths = [16, *(16 * widening * 2**group for group in range(3))]
        blocks: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)]
        for group in range(3):
            for position in range((depth - 4) // 6):
                inputs = widths[group] if position == 0 else widths[group + 1]
                blocks.append(_Block(inputs, widths[group + 1], 2 if group and position == 0 else 1, name))
        self.body = nn.Sequential(*blocks, nn.BatchNorm2d(widths[-1]), _Channels(name), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.last, self.beta = nn.Linear(widths[-1], _CLASSES), beta
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (n, 10), for x of shape (n, 3072), channel by channel."""
        x = x.reshape(-1, 3, _SIDE, _SIDE)
        return self.last(self.body(_augmented(x) if self.training else x))

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Takes one Parseval step (equation 8 of the paper) on each unfolded kernel; none before an evaluation (``tightly``)."""
        if tightly or not self.beta:
            return
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                W = module.weight
                W.copy_(bjorck(W.flatten(1), iterations=1, beta=self.beta).view_as(W))


def _augmented(x: Tensor) -> Tensor:
    """The batch, shifted by up to four pixels and mirrored at random."""
    top, left = torch.randint(2 * _PADDING + 1, (2,)).tolist()
    mirrored = bool(torch.rand(()) < 0.5)
    x = nn.functional.pad(x, (_PADDING,) * 4)[:, :, top : top + _SIDE, left : left + _SIDE]
    return x.flip(3) if mirrored else x


def _data(conditions: Conditions, most: int | None) -> tuple[Labelled, Labelled, str]:
    """Training and test images, and their origin: torchvision's CIFAR-10, or one source that is split in two."""
    access = Access(download=conditions.download, trust=conditions.trust)
    if conditions.generators or conditions.sources.keys() - {COLUMN}:
        raise UsageError(f"table6 takes --data {COLUMN}=ADDRESS only; leave the others out")
    if address := conditions.sources.get(COLUMN):
        whole = _images(read_labelled(address, access=access))
        half = len(whole.x) // 2
        train, test = Labelled(whole.x[:half], whole.labels[:half]), Labelled(whole.x[half:], whole.labels[half:])
        words = "one source split in two, not CIFAR-10's own training set"
    else:
        root = f"root={conditions.data or 'data'}"
        sides = [read_labelled(f"torchvision:CIFAR10?split={split}&{root}", access=access) for split in ("train", "test")]
        train, test = (_images(side) for side in sides)
        words = "torchvision's CIFAR-10"
    mean, deviation = train.x.mean(), train.x.std()
    train, test = (Labelled((side.x[:most] - mean) / deviation, side.labels[:most]) for side in (train, test))
    return train, test, words


def _images(samples: LabelledSamples) -> Labelled:
    """Images channel by channel, float32, shape (n, 3072)."""
    image = ImageShape.of_event(samples.info.event_shape)
    if image.dim != 3 * _SIDE * _SIDE or image.channels != 3:
        raise SourceError(f"{samples.info.address} holds no images of 3 channels and 32 x 32 pixels; give CIFAR-10")
    x = samples.x.float()
    if image.layout == "hwc":
        x = x.reshape(-1, _SIDE, _SIDE, 3).permute(0, 3, 1, 2).flatten(1)
    return Labelled(x, samples.labels)


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    sizes, device = _QUICK if conditions.quick else _FULL, choose_device(conditions.device)
    train, test, words = _data(conditions, sizes.images)
    found: dict[str, dict[str, float]] = {}
    for row, regulariser in REGULARISERS.items():
        found[row] = {}
        for (name, ours), paper in zip(ACTIVATIONS.items(), VALUES[row], strict=True):
            conditions.announce(f"training {name}, {row}, {sizes.steps} steps")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(conditions.seed)
                network = WideResNet(sizes.depth, sizes.widening, ours, beta=regulariser.beta).to(device)
            loss = LossSettings(
                steps=sizes.steps, batch_size=sizes.batch_size, jacobian=regulariser.jacobian, weight_decay=0.0, learning_rate=0.002
            )
            fit_(network, train, loss, seed=conditions.seed)
            found[row][name] = 100 * (1 - error_of(network, test, device))
            yield ReproducedNumber(row=row, column=name, ours=found[row][name], paper=paper, unit="%")
    gap = max(abs(each["ReLU"] - each["MaxMin"]) for each in found.values())
    yield Conclusion(
        settings={**{name: "all" if value is None else value for name, value in vars(sizes).items()}, "data": words},
        checks=(
            ClaimCheck(
                claim="MaxMin performs comparably to ReLU.",
                holds=gap <= _COMPARABLE,
                detail=f"accuracies differ by at most {gap:.2f} points",
            ),
        ),
        panels=(
            Panel(
                title="test accuracy of wide residual networks",
                x_label="",
                ticks=tuple(found),
                y_label="accuracy in %",
                series=curves(range(len(found)), {name: [row[name] for row in found.values()] for name in ACTIVATIONS}, marks=True),
            ),
        ),
        remarks=(
            f"Images: {words}. Trained by Adam; the paper uses SGD with settings tuned for ReLU.",
            "Whole minibatches are shifted and mirrored, not single images.",
        ),
    )


def _operations(quick: bool) -> float:
    sizes = _QUICK if quick else _FULL
    one = 5.2e9 / 36.5e6 * 0.37e6 * sizes.widening**2 * (sizes.depth - 4) / 24  # scaled from the products per image of WRN-28-10
    return 8.0 * 6 * one * sizes.batch_size * sizes.steps


STUDY = Study(
    name="table6",
    title="Wide residual networks on CIFAR-10",
    source="table 6, appendix G.1",
    measure=_measure,
    operations=_operations,
    reduced=(
        f"WRN-{_QUICK.depth}-{_QUICK.widening} instead of WRN-{_FULL.depth}-{_FULL.widening}",
        f"{_QUICK.steps} steps instead of {_FULL.steps}",
        f"{_QUICK.images} training and test images",
    ),
    takes_data=True,
)
