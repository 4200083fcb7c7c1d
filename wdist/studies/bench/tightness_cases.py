"""Pairs on which tightness is measured: distributions of known W1, and finite sets.

References:
    Korotin, Kolesov & Burnaev (2022), Kantorovich Strikes Back! Wasserstein GANs are not Optimal Transport?, NeurIPS datasets and
    benchmarks (the min-funnel pairs, and what GroupSort critics with orthogonal weights reached on them).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from wdist.data.rows import in_units
from wdist.data.sources import pairs
from wdist.data.sources.opening import open_source
from wdist.data.sources.pairs import KnownPair
from wdist.data.sources.source import FiniteSource
from wdist.errors import SourceError

SIZES = (None, 2_000, 20_000)
"""Numbers of samples a side; None for endless draws."""
FUNNEL_DIMENSIONS = (2, 4, 8, 16, 32, 64, 128)
FUNNEL_COUNTS = (4, 16, 64, 256)
PUBLISHED: dict[int, dict[int, float]] = {
    2: {4: 0.93, 64: 0.37, 256: 0.26},
    8: {256: 0.28},
    16: {4: 0.97, 64: 0.55, 256: 0.40},
    32: {256: 0.52},
    64: {4: 1.01, 64: 0.82, 256: 0.63},
    128: {4: 0.92, 64: 0.66, 256: 0.62},
}
"""Dimension -> number of funnels -> share of the truth that GroupSort critics with orthogonal weights reached in 25,000 steps with
batches of 1024, as far as Korotin et al. (2022) publish it; 1.01 is noise of their evaluation."""
_NO_SAMPLES = "needs samples/ of a checkout of wdist; run the study from one"
_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_SOME, _MANY = 3_000, 24_000  # samples per side; two thirds are trained on: 2,000 and 16,000


@dataclass(frozen=True, kw_only=True)
class KnownCase:
    """A pair of distributions whose W1 is known."""

    name: str
    family: str
    dim: int
    make: Callable[[Path | None], KnownPair]
    """Makes the pair, given the folder of data sets; raises a SourceError if samples that it needs are missing."""
    published: float | None = None
    """Share of the truth that a published certified critic reached."""
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class FiniteSets:
    """Two sets for an estimate, and fresh samples of the same distributions to evaluate its critic on."""

    a: Any
    """An address, or an array of shape (n, ...)."""
    b: Any
    fresh: tuple[np.ndarray, np.ndarray] | None
    """Samples of shapes (n, d) and (m, d), in the units of the estimate; None to use the held-out split instead."""


@dataclass(frozen=True, kw_only=True)
class FiniteCase:
    """A pair of finite sets."""

    name: str
    open: Callable[[Path | None, int], FiniteSets]
    """Maps the folder of data sets and a seed to the sets.

    Raises:
        SourceError: the sets are missing.
    """
    quick: bool = False


def _funnels(dim: int, funnels: int) -> KnownCase:
    return KnownCase(
        name=f"funnels-{funnels}-dim-{dim}",
        family="funnels",
        dim=dim,
        make=lambda data: pairs.funnels(dim, funnels),
        published=PUBLISHED.get(dim, {}).get(funnels),
        quick=(dim, funnels) in ((2, 4), (16, 64)),
    )


def _gaussians(kind: str, dim: int) -> KnownCase:
    make = {"shift": partial(pairs.gaussian_shift, dim, 1.0), "scale": partial(pairs.gaussian_scale, dim, 1.5)}[kind]
    return KnownCase(name=f"gaussian-{kind}-dim-{dim}", family="gaussians", dim=dim, make=lambda data: make(), quick=dim == 10)


def _descent(shape: str, dim: int) -> KnownCase:
    return KnownCase(
        name=f"{shape}-dim-{dim}",
        family="networks" if shape == "network" else "distances",
        dim=dim,
        make=lambda data: pairs.descent(shape, dim),
        quick=(shape, dim) == ("subspaces", 8),
    )


def _moved_images(name: str, shape: str, dim: int, images: Callable[[Path | None], Path]) -> KnownCase:
    def make(data: Path | None) -> KnownPair:
        path = images(data)
        source = open_source(f"{path}:images" if path.stem.startswith("cifar") else path)
        assert isinstance(source, FiniteSource), "a file is finite"
        return pairs.descent(shape, dim, base=source)

    return KnownCase(name=f"{shape}-{name}", family="distances", dim=dim, make=make)


def _digits_file(data: Path | None) -> Path:
    path = _SAMPLES / "digits.h5"
    if not path.is_file():
        raise SourceError(_NO_SAMPLES)
    return path


def _cifar(data: Path | None) -> Path:
    path = _folder(data) / "cifar10_test.h5"
    if not path.is_file():
        raise SourceError(f"needs cifar10_test.h5, with images and labels, in {path.parent}; name another folder with --data")
    return path


_DESCENTS = (
    *(("subspaces", dim) for dim in (2, 8, 16, 32, 64, 128, 3072)),
    *(("curves", dim) for dim in (8, 32, 128)),
    *(("polytopes", dim) for dim in (8, 32, 128)),
    *(("segments", dim) for dim in (16, 64)),
    *(("shells", dim) for dim in (16, 128)),
    *(("mixed", dim) for dim in (8, 32)),
    *(("network", dim) for dim in (8, 16, 32)),
)
KNOWN: tuple[KnownCase, ...] = (
    KnownCase(name="absolute-value", family="cones", dim=1, make=lambda data: pairs.absolute_value(), quick=True),
    KnownCase(name="cones-3", family="cones", dim=2, make=lambda data: pairs.cones(3), quick=True),
    KnownCase(name="sphere-128", family="cones", dim=128, make=lambda data: pairs.sphere(128), quick=True),
    KnownCase(name="sphere-512", family="cones", dim=512, make=lambda data: pairs.sphere(512)),
    *(_gaussians(kind, dim) for kind in ("shift", "scale") for dim in (10, 100)),
    *(_funnels(dim, funnels) for dim in FUNNEL_DIMENSIONS for funnels in FUNNEL_COUNTS),
    *(_descent(shape, dim) for shape, dim in _DESCENTS),
    _moved_images("digits", "subspaces", 64, _digits_file),
    _moved_images("cifar", "curves", 3072, _cifar),
)


def _digits(data: Path | None, seed: int) -> FiniteSets:
    low, high = (_SAMPLES / f"digits-{name}.h5" for name in ("low", "high"))
    if not low.is_file():
        raise SourceError(_NO_SAMPLES)
    return FiniteSets(a=str(low), b=str(high), fresh=None)


def _three_against_eight(data: Path | None, seed: int) -> FiniteSets:
    """3,000 images of each digit, 2,000 of them for training, and fresh ones from the test split."""
    train_a, train_b = (_random_rows(_mnist(data, "train", digit), _SOME, seed) for digit in (3, 8))
    return FiniteSets(a=train_a, b=train_b, fresh=(_mnist(data, "test", 3), _mnist(data, "test", 8)))


def _mnist_against_gaussian(data: Path | None, seed: int) -> FiniteSets:
    """24,000 images of MNIST, 16,000 of them for training, against as many normal vectors with their mean and covariance."""
    images, fresh = _mnist(data, "train"), _mnist(data, "test")
    random = np.random.default_rng([seed, 1])
    values, vectors = np.linalg.eigh(np.cov(images.T))
    root = vectors * np.sqrt(values.clip(min=0))

    def draw(n: int) -> np.ndarray:
        return images.mean(0) + random.standard_normal((n, images.shape[1])) @ root.T

    return FiniteSets(a=_random_rows(images, _MANY, seed), b=draw(_MANY), fresh=(fresh, draw(len(fresh))))


def _planes_against_cars(data: Path | None, seed: int) -> FiniteSets:
    """All images of two classes of CIFAR-10's test split."""
    with h5py.File(_cifar(data)) as file:
        images, labels = file["images"][:], file["labels"][:]
    a, b = (images[labels == number].reshape(-1, images[0].size) / 255 for number in (0, 1))
    return FiniteSets(a=a, b=b, fresh=None)


def _mnist(data: Path | None, split: str, digit: int | None = None) -> np.ndarray:
    """Images in [0, 1], shape (n, 784), float32."""
    classes = "" if digit is None else f"&classes={digit}"
    return np.asarray(whole_set(f"torchvision:MNIST?split={split}{classes}&root={_folder(data)}", torch.float32).numpy())


def whole_set(address: str | Path, dtype: torch.dtype = torch.float64) -> Tensor:
    """All samples of a finite set in the units of an estimate, shape (n, d)."""
    source = open_source(address)
    assert isinstance(source, FiniteSource), "a finite set"
    return in_units(source.read(slice(0, source.count)), source.info, dtype)


def _folder(data: Path | None) -> Path:
    if data is None:
        raise SourceError("needs a folder of data sets; name it with --data DIR")
    return data


def _random_rows(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    chosen = np.random.default_rng([seed, len(rows)]).choice(len(rows), size=min(count, len(rows)), replace=False)
    return rows[chosen]


FINITE: tuple[FiniteCase, ...] = (
    FiniteCase(name="digits", open=_digits, quick=True),
    FiniteCase(name="mnist-3-8", open=_three_against_eight),
    FiniteCase(name="mnist-gaussian", open=_mnist_against_gaussian),
    FiniteCase(name="cifar-planes-cars", open=_planes_against_cars),
)
