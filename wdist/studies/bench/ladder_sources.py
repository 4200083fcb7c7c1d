"""Ladders: sources at known or growing distances from a reference, for ``wdist bench ladder``."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource
from wdist.studies.study import Skipped

_GENERATOR, _DIGITS = "digit_generator.safetensors", "digits.h5"
_WITH_NOISE, _TWO_SEEDS = "digit generator with noise", "two seeds of the digit generator"
_DIGIT_CRITICS = {"": ("c-transform", None), ", networks": ("groupsort-bjorck", 1000)}
"""Suffix of a ladder's name -> the critic that compares the digits, and its training steps."""

Draw = Callable[[int, torch.Generator], Tensor]
"""Maps a number and a generator to that many samples, shape (n, \\*event shape)."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A reference and sources in the order of their distances from it."""

    name: str
    reference: Draw
    rungs: tuple[Draw, ...]
    labels: tuple[str, ...]
    critic: str
    steps: int | None = None
    """Training steps of each critic; None for the default, and for critics that are not trained."""
    truths: tuple[float, ...] | None = None
    """The distances; None if they are not known."""
    twins: bool = False
    """Whether all sources draw from one distribution, so that no order is right."""
    tests_only: bool = False
    """Whether only the levels ``detected`` and ``blocks`` are tested, over folds, beside the relative MMD test."""


def normal_ladders() -> tuple[Ladder, ...]:
    """Shifted normal distributions in the plane, where W1 is the length of the shift."""

    def shifted(by: float) -> Draw:
        return lambda n, random: torch.randn(n, 2, generator=random, dtype=torch.float64) + torch.tensor([by, 0.0])

    shifts = (0.3, 1.0, 2.0, 3.5)
    labels, rungs = tuple(f"{by:g}" for by in shifts), tuple(shifted(by) for by in shifts)
    make = partial(Ladder, reference=shifted(0.0), critic="mean-difference")
    ladder = make(name="shifted normals", rungs=rungs, labels=labels, truths=shifts)
    return ladder, make(name="one normal twice", rungs=(shifted(1.0),) * 2, labels=("1", "1"), twins=True)


def wide_ladders() -> tuple[Ladder, ...]:
    """Distributions in 64 dimensions, shifted along the first axis or the diagonal: normal, or Student's t with 3 degrees."""

    def drawn(by: float, *, heavy: bool = False, diagonal: bool = False) -> Draw:
        def draw(n: int, random: torch.Generator) -> Tensor:
            x = torch.randn(n, 64, generator=random, dtype=torch.float64)
            if heavy:
                x = x / (torch.randn(n, 3, generator=random, dtype=torch.float64).square().sum(1, keepdim=True) / 3).sqrt()
            x[:, : 64 if diagonal else 1] += by / 8 if diagonal else by
            return x

        return draw

    shifts = (0.0, 0.25, 0.5, 1.0)
    make = partial(Ladder, critic="sparse-mean-difference", tests_only=True)
    ladders = [
        make(
            name=f"{name} of 64 dimensions{', diagonal' if diagonal else ''}",
            reference=drawn(0.0, heavy=heavy),
            rungs=tuple(drawn(by, heavy=heavy, diagonal=diagonal) for by in shifts),
            labels=tuple(f"{by:g}" for by in shifts),
            truths=shifts,
        )
        for name, heavy, diagonal in (("normals", False, False), ("normals", False, True), ("heavy tails", True, False))
    ]
    for name, by, heavy in (
        ("reference twice", 0.0, False),
        ("shifted normal twice", 0.5, False),
        ("heavy tails twice", 0.5, True),
    ):
        both = (drawn(by, heavy=heavy),) * 2
        full = f"{name}, 64 dimensions"
        ladders.append(make(name=full, reference=drawn(0.0, heavy=heavy), rungs=both, labels=("1", "1"), twins=True))
    return tuple(ladders)


def digit_ladders(folder: Path | None) -> Iterator[Ladder | Skipped]:
    """The generator of ``samples/`` against its training digits, with growing noise and with two seeds, compared by c-transforms
    and by networks; skipped if the files are missing."""
    if folder is None or not all((folder / file).is_file() for file in (_GENERATOR, _DIGITS)):
        missing = f"needs {_GENERATOR} and {_DIGITS}; name their folder with --data"
        yield from (Skipped(name=name + by, reason=missing) for by in _DIGIT_CRITICS for name in (_WITH_NOISE, _TWO_SEEDS))
        return
    drawn, source = digit_generator(folder / _GENERATOR), open_source(folder / _DIGITS)
    assert isinstance(source, FiniteSource), "a file of samples"
    digits = source.read(slice(0, source.count)).reshape(source.count, *source.info.event_shape)

    def noisy(n: int, random: torch.Generator, *, deviation: float) -> Tensor:
        images = drawn(n, random)
        return images + deviation * torch.randn(images.shape, generator=random)

    noises = (0.0, 0.1, 0.15, 0.25, 0.4)
    labels, rungs = tuple(f"{each:g}" for each in noises), tuple(partial(noisy, deviation=each) for each in noises)
    for by, (critic, steps) in _DIGIT_CRITICS.items():
        make = partial(Ladder, reference=lambda n, random: digits, critic=critic, steps=steps)
        yield make(name=_WITH_NOISE + by, rungs=rungs, labels=labels)
        yield make(name=_TWO_SEEDS + by, rungs=(drawn, drawn), labels=("one seed", "another"), twins=True)


def digit_generator(path: Path) -> Draw:
    """The generator of ``samples/``, rebuilt from its weights: no code of that folder runs.

    Three linear layers, with SiLU between them and a sigmoid at the end, map standard normal latents to images of 8 by 8 pixels.
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
