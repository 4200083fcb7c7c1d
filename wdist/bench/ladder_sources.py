"""Ladders: a reference, and sources whose order by their distance from it is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from wdist.bench.bench import Skipped
from wdist.sources.opening import open_source
from wdist.sources.source import FiniteSource

_GENERATOR, _DIGITS = "digit_generator.safetensors", "digits.h5"

Draw = Callable[[int, torch.Generator], Tensor]
"""From a number and a generator to that many samples, shape (n, \\*event shape)."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A reference and sources in the order of their distances from it."""

    name: str
    reference: Draw
    rungs: tuple[Draw, ...]
    labels: tuple[str, ...]
    critic: str
    truths: tuple[float, ...] | None = None
    """The distances, where they are known."""
    twins: bool = False
    """The sources are draws of one distribution, so that no order is right."""


def normal_ladders() -> tuple[Ladder, ...]:
    """Normal distributions of the plane, shifted: W1 is the length of the shift."""

    def shifted(by: float) -> Draw:
        return lambda n, random: torch.randn(n, 2, generator=random, dtype=torch.float64) + torch.tensor([by, 0.0])

    shifts = (0.3, 1.0, 2.0, 3.5)
    ladder = Ladder(
        name="shifted normals",
        reference=shifted(0.0),
        rungs=tuple(shifted(by) for by in shifts),
        labels=tuple(f"{by:g}" for by in shifts),
        critic="mean-difference",
        truths=shifts,
    )
    twins = Ladder(
        name="one normal twice",
        reference=shifted(0.0),
        rungs=(shifted(1.0),) * 2,
        labels=("1", "1"),
        critic="mean-difference",
        twins=True,
    )
    return ladder, twins


def digit_ladders(folder: Path | None) -> Iterator[Ladder | Skipped]:
    """The generator of the sample folder against the digits that it was trained on, with growing noise, and with two seeds.

    Arguments:
        folder: that holds weights and digits; without them both are skipped.
    """
    names = ("digit generator with noise", "two seeds of the digit generator")
    if folder is None or not all((folder / file).is_file() for file in (_GENERATOR, _DIGITS)):
        yield from (Skipped(name=name, reason=f"--data names no folder with {_GENERATOR} and {_DIGITS}") for name in names)
        return
    drawn, digits = digit_generator(folder / _GENERATOR), _digits(folder / _DIGITS)

    def noisy(deviation: float) -> Draw:
        def draw(n: int, random: torch.Generator) -> Tensor:
            images = drawn(n, random)
            return images + deviation * torch.randn(images.shape, generator=random)

        return draw

    noises = (0.0, 0.15, 0.25, 0.4)
    yield Ladder(
        name=names[0],
        reference=lambda n, random: digits,
        rungs=tuple(noisy(deviation) for deviation in noises),
        labels=tuple(f"{deviation:g}" for deviation in noises),
        critic="c-transform",
    )
    yield Ladder(
        name=names[1],
        reference=lambda n, random: digits,
        rungs=(drawn, drawn),
        labels=("one seed", "another"),
        critic="c-transform",
        twins=True,
    )


def _digits(path: Path) -> Tensor:
    source = open_source(path)
    assert isinstance(source, FiniteSource), "a file of samples"
    return source.read(slice(0, source.count)).reshape(source.count, *source.info.event_shape)


def digit_generator(path: Path) -> Draw:
    """The generator of the sample folder, from its weights alone: no code of that folder runs.

    Three linear layers with SiLU between and a sigmoid behind, from standard normal latents to images of 8 by 8 pixels.
    """
    weights = load_file(path)
    layers = sorted({name.rpartition(".")[0] for name in weights})

    def draw(n: int, random: torch.Generator) -> Tensor:
        h = torch.randn(n, weights[f"{layers[0]}.weight"].shape[1], generator=random)
        for number, layer in enumerate(layers):
            h = torch.nn.functional.linear(h, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
            h = torch.sigmoid(h) if number == len(layers) - 1 else torch.nn.functional.silu(h)
        return h.reshape(n, 8, 8)

    return draw
